"""`pipeline generate`: a recipe with a prompt put in."""

import hashlib
import json
import logging
import re
import time
import unicodedata
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import tyro

from ...stages import STAGES
from ..config import nearest
from ..contract import replacing
from ..errors import ConfigError, InputError, SplatworksError
from ..execute import explained
from ..fault import Fault, faults_in
from ..guidance_source import find_guidance
from ..machine import Machine
from ..plan import bind
from ..progress import duration
from ..recipe import Recipe, load_recipe, with_settings
from ..runner import Finished, held, run_steps
from ..store import Store, open_store
from .options import RunOptions, print_results

LONGEST_PROMPT = 1000


@dataclass(frozen=True, slots=True)
class Outcome:
    """One prompt of a list."""

    prompt: str
    run: Path
    wall_s: float
    code: int
    said: str


def generate(
    prompt: tyro.conf.Positional[str | None] = None,
    /,
    *,
    negative: str = "",
    out: Path | None = None,
    preset: str = "draft",
    guidance: str = "toybox",
    seed: int = 0,
    prompts: Path | None = None,
    options: Annotated[RunOptions, tyro.conf.arg(name="")] = RunOptions(),  # noqa: B008
) -> int:
    """Make a 3D object from a prompt. Repeat the same line to continue after an interruption.

    Args:
        prompt: What to make, such as "a red mushroom with white dots".
        negative: What to keep away from.
        out: The run directory; by default runs/ and the prompt's words.
        preset: A preset of the package (draft, standard, quality, …) or a recipe file (.toml).
        guidance: `toybox` (built in), a diffusers model directory, or a hub name OWNER/NAME.
        seed: Another seed gives another object.
        prompts: A text file with one prompt per line; makes one run per prompt below `out`.
    """
    if (prompt is None) == (prompts is None):
        raise ConfigError("generate: give either one PROMPT or --prompts FILE.")
    texts = [check_prompt(prompt)] if prompt is not None else read_prompts(prompts or Path())
    if negative:
        check_prompt(negative, "the negative prompt")
    recipe = replace(load_recipe(preset), seed=seed)
    recipe = with_settings(recipe, options.set, STAGES)
    if options.until is not None and options.until not in (names := [s.name for s in recipe.steps]):
        raise ConfigError(
            f"--until {options.until}: there is no such step.{nearest(options.until, names)}"
        )
    model = find_guidance(guidance)
    recipe = replace(recipe, arguments={**recipe.arguments, "guidance": str(model)})
    job = Job(recipe, negative, options.machine(), options.until)
    if prompt is not None:
        store = open_store(out or Path("runs") / slug(prompt), options.store)
        print_results(store, _one(job, texts[0], store))
        return 0
    outcomes: list[Outcome] = []
    for text in texts:
        run = (out or Path("runs")) / slug(text)
        outcomes.append(_attempt(job, text, run, options.store))
    _print_table(outcomes)
    return max((o.code for o in outcomes), key=lambda code: (code == 1, code))


def check_prompt(text: str, name: str = "the prompt") -> str:
    """The prompt without surrounding blanks; refuses what no model can make sense of."""
    text = text.strip()
    if not text:
        raise InputError(f"{name} is empty. Say what to make, such as 'a red mushroom'.")
    if len(text) > LONGEST_PROMPT:
        raise InputError(
            f"{name} has {len(text)} characters, at most {LONGEST_PROMPT} are possible. Shorten it."
        )
    for place, letter in enumerate(text):
        if unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp"):
            raise InputError(
                f"{name} holds a line break or control character ({letter!a} at character"
                f" {place + 1}). Write it on one line."
            )
    return text


def read_prompts(path: Path) -> list[str]:
    """One prompt per line; blank lines and lines that start with # are skipped."""
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"--prompts {path} cannot be read as UTF-8 text ({error}).") from error
    numbered = [(n, line) for n, line in enumerate(lines, 1) if line.strip()]
    texts = [
        check_prompt(line, f"{path}, line {n}: the prompt")
        for n, line in numbered
        if not line.strip().startswith("#")
    ]
    if not texts:
        raise InputError(f"--prompts {path} holds no prompt.")
    return list(dict.fromkeys(texts))


def slug(prompt: str) -> str:
    """A directory name from a prompt; what had to be changed is told apart by a short hash."""
    ascii_text = unicodedata.normalize("NFKD", prompt.strip()).encode("ascii", "ignore").decode()
    name = re.sub(r"[^a-z0-9]+", "-", ascii_text.lower()).strip("-")[:60].strip("-")
    if name.replace("-", " ") == prompt.strip():
        return name
    return "-".join(filter(None, (name, hashlib.sha256(prompt.encode()).hexdigest()[:6])))


@dataclass(frozen=True, slots=True)
class Job:
    """What all prompts of one line have in common."""

    recipe: Recipe
    negative: str
    machine: Machine
    until: str | None


def _one(job: Job, text: str, store: Store) -> list[Finished]:
    logging.getLogger("splatworks").info("%s: %s", store.run, text)
    path = store.run / "inputs" / "prompt.json"
    with faults_in(store.run), held(store):
        with explained(str(path), store.run):
            write_prompt(path, text, job.negative)
        recipe = replace(job.recipe, arguments={**job.recipe.arguments, "prompt": str(path)})
        return run_steps(recipe, bind(recipe, STAGES), store, job.machine, job.until)


def write_prompt(path: Path, text: str, negative: str) -> None:
    """Write a prompt file, unless it is there already with the same words."""
    data = json.dumps({"text": text, "negative": negative}, indent=1, ensure_ascii=False) + "\n"
    if path.is_file() and path.read_text("utf-8", errors="replace") == data:
        return
    path.parent.mkdir(exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_text(data, "utf-8")


def _attempt(job: Job, text: str, run: Path, store: Path | None) -> Outcome:
    """One prompt of several: its failure is noted and does not stop the others."""
    start = time.monotonic()
    try:
        finished = _one(job, text, open_store(run, store))
    except (SplatworksError, Fault) as error:
        logging.getLogger("splatworks").error("%s", error)
        code = 2 if isinstance(error, SplatworksError) else 1
        return Outcome(text, run, time.monotonic() - start, code, str(error))
    reused = sum(one.reused for one in finished)
    said = f"{len(finished)} steps" + (f", {reused} reused" if reused else "")
    return Outcome(text, run, time.monotonic() - start, 0, said)


def _print_table(outcomes: list[Outcome]) -> None:
    width = max(len(str(o.run)) for o in outcomes)
    for o in outcomes:
        state = "done  " if o.code == 0 else "failed"
        print(f"{state}  {duration(o.wall_s):>12}  {o.run!s:{width}}  {o.said}")
