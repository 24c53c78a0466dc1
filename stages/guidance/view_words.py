"""The words by which a model knows where the camera stands, read from `view_words.json`.

A model that was trained on captions such as "a red mug, front-left view, eye-level, gray
background" says so in a file beside its weights. Without the file the four words that Stable
Diffusion understands are used: front, side, back, overhead.

Azimuth 0 looks at the front, 90 at the object's own left side; sectors are centred at the words.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from ...pipeline.errors import InputError
from ..formats import documents

FILE_NAME = "view_words.json"


@dataclass(frozen=True, slots=True)
class Word:
    """A view word and the angle at its middle, in degrees."""

    word: str
    center_deg: float


@dataclass(frozen=True, slots=True)
class Background:
    """A background color that the model knows by name. sRGB in [0, 1]."""

    name: str
    rgb: tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class TrainingCamera:
    """How the model's training pictures were taken; the standard frame where nothing is known."""

    distance_m: float = 1.8
    fovy_deg: float = 40.0
    object_radius_m: float = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewWords:
    """What can be said about a picture in addition to the prompt, and how."""

    template: str = "{prompt}, {azimuth} view"
    """With {prompt}, {azimuth} and, where there are elevation words, {elevation}."""
    azimuth: tuple[Word, ...]
    elevation: tuple[Word, ...] = ()
    overhead: Word | None = None
    """Takes the place of the azimuth word from its angle of elevation on."""
    jitter_deg: float | None = None
    """The model saw views within this of the centres only; None: views from anywhere."""
    elevation_range_deg: tuple[float, float] = (-10.0, 45.0)
    """Where cameras stand for a model without elevation words."""
    background_template: str | None = None
    """With {prompt} and {background}; None: backgrounds are not named."""
    backgrounds: tuple[Background, ...] = ()
    close_up_template: str | None = None
    """With {prompt}; None: the model knows no close-ups."""
    camera: TrainingCamera = TrainingCamera()

    def __post_init__(self) -> None:
        if not self.azimuth:
            raise ValueError("azimuth must hold at least one word.")
        wanted = {"template": ["{prompt}", "{azimuth}"]}
        if self.elevation:
            wanted["template"].append("{elevation}")
        if self.background_template is not None:
            wanted["background_template"] = ["{prompt}", "{background}"]
        if self.close_up_template is not None:
            wanted["close_up_template"] = ["{prompt}"]
        for name, parts in wanted.items():
            missing = [part for part in parts if part not in getattr(self, name)]
            if missing:
                raise ValueError(f"{name} must contain {missing[0]}, got {getattr(self, name)!r}.")
        if self.jitter_deg is not None and not 0 <= self.jitter_deg <= 180:
            raise ValueError(f"jitter_deg must be in 0..180, got {self.jitter_deg}.")

    def text(
        self,
        prompt: str,
        azimuth_deg: float,
        elevation_deg: float,
        *,
        background: str | None = None,
        close_up: bool = False,
        sides: bool = True,
    ) -> str:
        """The caption of one view. The background's name comes last.

        A background name is left out for models that name none, so callers need not ask.

        Args:
            sides: Whether to say where the camera stands.
        """
        if close_up:
            if self.close_up_template is None:
                raise ValueError("this model has no words for a close-up.")
            prompt = _fill(self.close_up_template, {"prompt": prompt})
        caption = self._with_side(prompt, azimuth_deg, elevation_deg) if sides else prompt
        if background is not None and self.background_template is not None:
            caption = _fill(self.background_template, {"prompt": caption, "background": background})
        return caption

    def _with_side(self, prompt: str, azimuth_deg: float, elevation_deg: float) -> str:
        around = self.nearest_azimuth(azimuth_deg).word
        if self.overhead is not None and elevation_deg >= self.overhead.center_deg:
            around = self.overhead.word
        values = {"prompt": prompt, "azimuth": around}
        if self.elevation:
            values["elevation"] = self.nearest_elevation(elevation_deg).word
        return _fill(self.template, values)

    def nearest_azimuth(self, azimuth_deg: float) -> Word:
        """The word whose centre is nearest around the circle; the first one at a tie."""
        return min(self.azimuth, key=lambda word: _apart(word.center_deg, azimuth_deg))

    def nearest_elevation(self, elevation_deg: float) -> Word:
        return min(self.elevation, key=lambda word: abs(word.center_deg - elevation_deg))


STABLE_DIFFUSION = ViewWords(
    azimuth=(Word("front", 0.0), Word("side", 90.0), Word("back", 180.0), Word("side", 270.0)),
    overhead=Word("overhead", 60.0),
)


def load(model_dir: Path) -> ViewWords:
    """The view words of a model directory; Stable Diffusion's where it holds none."""
    path = Path(model_dir) / FILE_NAME
    if not path.exists():
        return STABLE_DIFFUSION
    values = documents.read_any(path)
    known = {entry.name for entry in fields(ViewWords)}
    unknown = sorted(set(values) - known)
    if unknown:
        raise InputError(f"{path}: unknown entry {unknown[0]!r}; known are {sorted(known)}.")
    missing = [name for name in ("template", "azimuth") if name not in values]
    if missing:
        raise InputError(f"{path}: {missing[0]!r} is missing.")
    try:
        return ViewWords(**_typed(values))
    except KeyError as error:
        raise InputError(f"{path}: an entry lacks {error}.") from None
    except (TypeError, ValueError) as error:
        raise InputError(f"{path}: {error}") from None


def to_json(words: ViewWords) -> dict[str, Any]:
    """What `load` reads back to the same value."""
    values: dict[str, Any] = {"template": words.template}
    for name in ("azimuth", "elevation"):
        values[name] = [_word_json(word) for word in getattr(words, name)]
    if words.overhead is not None:
        values["overhead"] = _word_json(words.overhead)
    values["jitter_deg"] = words.jitter_deg
    values["elevation_range_deg"] = list(words.elevation_range_deg)
    values["background_template"] = words.background_template
    values["backgrounds"] = [{"name": b.name, "rgb": list(b.rgb)} for b in words.backgrounds]
    values["close_up_template"] = words.close_up_template
    values["camera"] = {
        name.name: getattr(words.camera, name.name) for name in fields(TrainingCamera)
    }
    return values


def _typed(values: Mapping[str, Any]) -> dict[str, Any]:
    typed = dict(values)
    for name in ("azimuth", "elevation"):
        if name in typed:
            typed[name] = tuple(_word(entry) for entry in typed[name])
    if typed.get("overhead") is not None:
        typed["overhead"] = _word(typed["overhead"])
    if "elevation_range_deg" in typed:
        low, high = (_number(value) for value in typed["elevation_range_deg"])
        typed["elevation_range_deg"] = (low, high)
    if typed.get("jitter_deg") is not None:
        typed["jitter_deg"] = _number(typed["jitter_deg"])
    if "backgrounds" in typed:
        typed["backgrounds"] = tuple(_background(entry) for entry in typed["backgrounds"])
    if "camera" in typed:
        typed["camera"] = TrainingCamera(
            **{name: _number(value) for name, value in typed["camera"].items()}
        )
    for name in ("template", "background_template", "close_up_template"):
        if not isinstance(typed.get(name, ""), str | None):
            raise ValueError(f"{name} must be text, got {typed[name]!r}.")
    return typed


def _word(entry: Mapping[str, Any]) -> Word:
    if not isinstance(entry["word"], str):
        raise ValueError(f"a view word must be text, got {entry['word']!r}.")
    return Word(entry["word"], _number(entry["center_deg"]))


def _background(entry: Mapping[str, Any]) -> Background:
    red, green, blue = (_number(value) for value in entry["rgb"])
    if not all(0 <= value <= 1 for value in (red, green, blue)):
        raise ValueError(f"background {entry['name']!r}: rgb must be in [0, 1].")
    return Background(str(entry["name"]), (red, green, blue))


def _number(value: object) -> float:
    if type(value) not in (int, float) or not math.isfinite(value):
        raise ValueError(f"expected a finite number, got {value!r}.")
    return float(value)


def _word_json(word: Word) -> dict[str, Any]:
    return {"word": word.word, "center_deg": word.center_deg}


def _apart(a_deg: float, b_deg: float) -> float:
    """Angle between two directions, 0-180 degrees."""
    return abs((a_deg - b_deg + 180) % 360 - 180)


def _fill(template: str, values: Mapping[str, str]) -> str:
    """Put in all values at once: a prompt that itself contains braces stays as it is."""
    return re.sub(r"\{(\w+)\}", lambda match: values.get(match[1], match[0]), template)
