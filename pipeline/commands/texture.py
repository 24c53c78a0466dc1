"""`pipeline texture`: a texture for a user's own mesh, from a prompt."""

import time
from pathlib import Path
from typing import Annotated

import tyro

from ...stages import STAGES
from ..errors import InputError
from ..execute import explained
from ..fault import faults_in
from ..guidance_source import find_guidance
from ..plan import bind
from ..recipe import Recipe, Step, with_settings
from ..runner import held, run_steps
from ..store import open_store
from .generate import check_prompt, write_prompt
from .options import MachineOptions, print_results


def texture(
    mesh: tyro.conf.Positional[Path],
    /,
    *,
    prompt: str,
    out: Path,
    negative: str = "",
    guidance: str = "toybox",
    keep_look: bool = False,
    keep_uvs: bool = False,
    set: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = (),
    seed: int = 0,
    store: Path | None = None,
    options: Annotated[MachineOptions, tyro.conf.arg(name="")] = MachineOptions(),  # noqa: B008
) -> int:
    """Paint MESH as a prompt says; its shape stays. Repeat the same line to continue.

    Args:
        mesh: A GLB, glTF, OBJ, PLY, STL or OFF file, +Y up, its front to +Z.
        prompt: What it shall look like, such as "a panda in armour".
        out: The run directory; the result is latest/texture/textured.glb.
        negative: What to keep away from.
        guidance: `toybox` (built in), a diffusers model directory, or a hub name OWNER/NAME.
        keep_look: Start from the look that the mesh has instead of from gray.
        keep_uvs: Paint into the mesh's own charts, if they are an atlas, and keep its materials.
        set: texture.FIELD=VALUE, a setting of the stage; may be given several times.
        seed: Another seed gives another texture.
        store: A directory of results shared between runs; OUT remembers it.
    """
    text = check_prompt(prompt)
    if negative:
        check_prompt(negative, "the negative prompt")
    if not mesh.is_file():
        raise InputError(f"{mesh}: no such file.")
    target = open_store(out, store)
    path = target.run / "inputs" / "prompt.json"
    given = {
        "mesh": f"mesh/1:{mesh.absolute()}",
        "prompt": str(path),
        "guidance": str(find_guidance(guidance)),
    }
    step = Step(
        name="texture",
        stage="text-texture",
        inputs=given,
        config={"keep_uvs": keep_uvs, **({"start": "own"} if keep_look else {})},
    )
    recipe = with_settings(Recipe(steps=(step,), seed=seed), set, STAGES)
    machine = options.machine()
    begun = time.perf_counter()
    with faults_in(target.run), held(target):
        with explained(str(path), target.run):
            write_prompt(path, text, negative)
        finished = run_steps(recipe, bind(recipe, STAGES), target, machine)
    print_results(target, finished)
    print(f"took {time.perf_counter() - begun:.1f} s")
    return 0
