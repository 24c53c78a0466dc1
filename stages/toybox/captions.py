"""Stage `toybox-captions`: what a user might type for every picture, in several wordings.

Each picture gets six captions: three that do not name the background, then three that do. The
first of each three is canonical: the prompt as `describe` words it, put into the templates of
`view_words.json`, which is also how `distill` will ask. The words of all captions, and of all
wordings that were not drawn, make up the model's closed vocabulary.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ...pipeline.contract import Context, replacing
from . import catalog, images, props
from .kinds import ToyCaptionsDir, ToyImagesDir

VERSION = 2

WORDINGS = 3
"""Captions per picture without the background, and as many with it."""

TEMPLATE = "{prompt}, {azimuth} view, {elevation}"
BACKGROUND_TEMPLATE = "{prompt}, {background} background"
CLOSE_UP_TEMPLATE = "close-up of {prompt}"

KIND_WORDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "mushroom": ("toadstool",),
        "mug": ("cup",),
        "house": ("cottage",),
        "tree": ("fir", "fir tree"),
        "duck": ("rubber duck",),
        "barrel": ("cask",),
        "crate": ("box",),
        "donut": ("doughnut",),
        "lamp": ("table lamp",),
        "tower": ("castle tower",),
        "truck": ("lorry",),
        "boat": ("sailing boat", "ship"),
        "plane": ("airplane", "aeroplane"),
        "snowman": ("snow man",),
        "cake": ("birthday cake",),
        "flower": ("daisy",),
        "chest": ("treasure chest",),
        "hat": ("top hat",),
        "teapot": ("tea pot",),
        "bird": ("songbird",),
        "cat": ("kitten",),
    }
)
"""What else a kind is called."""

COLOR_WORDS: Mapping[str, str] = MappingProxyType(
    {"purple": "violet", "gray": "grey", "golden": "gold"}
)

PATTERN_PHRASES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "dots": ("with {0} dots", "with {0} spots", "with {0} polka dots"),
        "stripes": ("with {0} stripes", "with {0} bands"),
        "checks": ("with {0} checks", "with {0} squares", "with a {0} checkered pattern"),
    }
)
"""The first is canonical; {0} is the pattern's color."""

PATTERN_ADJECTIVES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "dots": ("{1} {2} dotted in {0}", "{0} dotted {1} {2}", "{0} spotted {1} {2}"),
        "stripes": ("{1} {2} striped in {0}", "{0} striped {1} {2}"),
        "checks": ("{1} {2} checkered in {0}", "{0} checkered {1} {2}", "{0} checked {1} {2}"),
    }
)
"""{0} is the pattern's color, {1} the toy's, {2} its kind."""

STARTS: tuple[str, ...] = ("", "the", "one", "a toy", "a 3d model of a", "a picture of a")
"""What may stand in place of the canonical "a"."""

AZIMUTH_PHRASES = ("{} view", "seen from the {}", "from the {}", "{} side")
ELEVATION_PHRASES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "low": ("low", "low view", "from below", "low angle"),
        "eye-level": ("eye-level", "at eye level", "eye-level view"),
        "overhead": ("overhead", "from above", "overhead view"),
    }
)
BACKGROUND_PHRASES = ("{} background", "on {}", "on a {} background", "in front of {}")
CLOSE_UP_PHRASES = ("close-up of {}", "a close-up of {}", "detail of {}")


@dataclass(frozen=True, slots=True)
class Inputs:
    """The toys and their pictures."""

    props: props.PropsDir
    images: ToyImagesDir


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Nothing to set: wordings are part of the trained model's contract."""


@dataclass(frozen=True, slots=True)
class Outputs:
    """The captions, the list of words, and the templates for views."""

    captions: ToyCaptionsDir


def run(inputs: Inputs, config: Config, ctx: Context) -> Outputs:
    """Caption every picture."""
    toys = {toy.id: toy for toy in props.load(inputs.props)}
    entries = images.load_index(inputs.images)
    folder = ctx.out / "captions"
    folder.mkdir(exist_ok=True)
    known = set(vocabulary())
    with (
        replacing(folder / "captions.jsonl") as path,
        path.open("w", encoding="utf-8", newline="\n") as file,
        ctx.progress("captions", len(entries)) as bar,
    ):
        for entry in entries:
            captions = wordings(toys[entry.prop], entry, ctx.seed)
            assert known.issuperset(words(" ".join(captions))), captions
            file.write(json.dumps(captions) + "\n")
            bar.advance()
    _write(folder / "vocabulary.json", sorted(known))
    _write(folder / "view_words.json", view_words())
    ctx.log.info("%d pictures captioned with %d words", len(entries), len(known))
    return Outputs(ToyCaptionsDir(folder))


def words(text: str) -> list[str]:
    """As the tokenizer of the embedded prior sees a text; hyphens are kept."""
    return [word for word in re.split(r"[\s,.;:!?]+", text.lower()) if word]


def describe(toy: props.Prop) -> str:
    """The canonical prompt, such as "a red mushroom with white dots and a yellow stem"."""
    extras = []
    if toy.pattern != "none":
        extras.append(PATTERN_PHRASES[toy.pattern][0].format(toy.pattern_color))
    if toy.part_color:
        extras.append(f"with {_part(toy)}")
    return _spoken(f"a {toy.color} {toy.kind}{_listed(extras)}")


def wordings(toy: props.Prop, entry: images.Entry, seed: int) -> list[str]:
    """Three captions without and three with the background, canonical first in each three."""

    def pick(options: Sequence[str], *label: int | str) -> str:
        return options[catalog.digest(seed, entry.image, *label) % len(options)]

    captions = []
    for named in (False, True):
        for number in range(WORDINGS):
            label = f"{named} {number}"
            if number == 0:
                captions.append(_canonical(toy, entry, named))
                continue
            prompt = _renamed(pick(list(prompts(toy)), label, "prompt"), toy.kind, label, pick)
            if entry.zoom > 1:
                prompt = pick(CLOSE_UP_PHRASES, label, "close-up").format(prompt)
            parts = [prompt]
            parts.append(pick(AZIMUTH_PHRASES, label, "azimuth").format(entry.azimuth))
            parts.append(pick(ELEVATION_PHRASES[entry.elevation], label, "elevation"))
            if named:
                ground = pick(_shades(entry.background), label, "shade")
                parts.append(pick(BACKGROUND_PHRASES, label, "background").format(ground))
            captions.append(", ".join(parts))
    return captions


def prompts(toy: props.Prop) -> Iterator[str]:
    """All ways to name a toy, the canonical one first; kinds and colors by their usual words."""
    yield describe(toy)
    yield from map(_spoken, _plain(toy) if toy.pattern == "none" else _patterned(toy))


def _plain(toy: props.Prop) -> Iterator[str]:
    part = [f"with {_part(toy)}"] if toy.part_color else []
    extras = [part]
    if toy.part_color:
        noun = catalog.PARTS[toy.kind]
        be = "are" if noun.endswith("s") else "is"
        extras.append([f"whose {noun} {be} {toy.part_color}"])
    for start, extra in product(STARTS, extras):
        yield f"{start} {toy.color} {toy.kind}{_listed(extra)}".strip()
    yield f"a {toy.kind}, {toy.color}{_listed(part)}"
    yield f"a plain {toy.color} {toy.kind}{_listed(part)}"


def _patterned(toy: props.Prop) -> Iterator[str]:
    part = [f"with {_part(toy)}"] if toy.part_color else []
    for phrase in (text.format(toy.pattern_color) for text in PATTERN_PHRASES[toy.pattern]):
        for start in STARTS:
            yield f"{start} {toy.color} {toy.kind}{_listed([phrase, *part])}".strip()
        yield f"a {toy.kind}, {toy.color}{_listed([phrase, *part])}"
    for text in PATTERN_ADJECTIVES[toy.pattern]:
        yield f"a {text.format(toy.pattern_color, toy.color, toy.kind)}{_listed(part)}"


def vocabulary() -> list[str]:
    """Every word of every wording, whether or not it was drawn: about 150."""
    texts = [*catalog.LOOKS, *catalog.AZIMUTHS, *catalog.BACKGROUNDS, *COLOR_WORDS.values()]
    texts.extend(("a", "an"))
    for kind, pattern in product(catalog.KINDS, catalog.PATTERNS):
        for part in ("", "red") if kind in catalog.PARTS else ("",):
            color = "" if pattern == "none" else "red"
            texts.extend(
                prompts(
                    props.Prop(
                        id=0,
                        kind=kind,
                        color="red",
                        pattern=pattern,
                        pattern_color=color,
                        part_color=part,
                        shape_seed=0,
                        split="train",
                    )
                )
            )
    for names in (*KIND_WORDS.values(), *ELEVATION_PHRASES.values()):
        texts.extend(names)
    for phrases in (AZIMUTH_PHRASES, BACKGROUND_PHRASES, CLOSE_UP_PHRASES):
        texts.extend(phrase.format("red") for phrase in phrases)
    return sorted({word for text in texts for word in words(text)})


def view_words() -> dict[str, Any]:
    """What `stages/guidance/view_words.py` reads beside the model."""
    return {
        "template": TEMPLATE,
        "azimuth": [{"word": w, "center_deg": c} for w, c in catalog.AZIMUTHS.items()],
        "elevation": [{"word": w, "center_deg": c} for w, c in catalog.ELEVATIONS.items()],
        "jitter_deg": catalog.AZIMUTH_JITTER_DEG,
        "background_template": BACKGROUND_TEMPLATE,
        "backgrounds": [
            {"name": name, "rgb": [value / 255 for value in rgb]}
            for name, rgb in catalog.BACKGROUNDS.items()
        ],
        "close_up_template": CLOSE_UP_TEMPLATE,
        "camera": {
            "distance_m": catalog.CAMERA_DISTANCE_M,
            "fovy_deg": catalog.CAMERA_FOVY_DEG,
            "object_radius_m": catalog.OBJECT_RADIUS_M,
        },
    }


def _canonical(toy: props.Prop, entry: images.Entry, named: bool) -> str:
    prompt = describe(toy)
    if entry.zoom > 1:
        prompt = CLOSE_UP_TEMPLATE.format(prompt=prompt)
    text = TEMPLATE.format(prompt=prompt, azimuth=entry.azimuth, elevation=entry.elevation)
    if named:
        text = BACKGROUND_TEMPLATE.format(prompt=text, background=entry.background)
    return text


def _renamed(prompt: str, kind: str, label: str, pick: Callable[..., str]) -> str:
    """Now and then another word for the kind or a color: one time in six each."""
    if kind in KIND_WORDS and pick("abcdef", label, "rename") == "a":
        name = pick(KIND_WORDS[kind], label, "name")
        prompt = re.sub(rf"\b{kind}\b", name, prompt, count=1)
    for color, other in COLOR_WORDS.items():
        if pick("abcdef", label, "recolor") == "a":
            prompt = re.sub(rf"\b{color}\b", other, prompt)
    return prompt


def _shades(background: str) -> list[str]:
    """A background's name and its other spelling, where there is one."""
    return [background, COLOR_WORDS.get(background, background)]


def _part(toy: props.Prop) -> str:
    noun = catalog.PARTS[toy.kind]
    return f"{toy.part_color} {noun}" if noun.endswith("s") else f"a {toy.part_color} {noun}"


def _spoken(text: str) -> str:
    """ "an orange mug", not "a orange mug"."""
    return re.sub(r"\ba (?=[aeiou])", "an ", text)


def _listed(phrases: Sequence[str]) -> str:
    """ " with white dots and a yellow stem": the second "with" gives way to "and"."""
    if len(phrases) == 2:
        return f" {phrases[0]} and {phrases[1].removeprefix('with ')}"
    return "".join(f" {phrase}" for phrase in phrases)


def _write(path: Path, value: Any) -> None:
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
