"""The kinds of files that only the training of the embedded prior exchanges."""

from dataclasses import dataclass

from ...pipeline.contract import Artifact


@dataclass(frozen=True, slots=True)
class ToyImagesDir(Artifact):
    """`images.npy`, uint8, image row column channel, and `index.jsonl`, one line per image."""

    kind = "toybox-images/1"


@dataclass(frozen=True, slots=True)
class ToyCaptionsDir(Artifact):
    """`captions.jsonl` (per image its wordings), `vocabulary.json` and `view_words.json`."""

    kind = "toybox-captions/1"


@dataclass(frozen=True, slots=True)
class VaeDir(Artifact):
    """A diffusers `AutoencoderKL` whose `scaling_factor` was measured."""

    kind = "toybox-vae/1"


@dataclass(frozen=True, slots=True)
class LatentsDir(Artifact):
    """`latents.npy`, float16, image channel row column; unscaled posterior means."""

    kind = "toybox-latents/1"


@dataclass(frozen=True, slots=True)
class ScorerDir(Artifact):
    """`scorer.safetensors` and `scorer.json`; see `stages/toybox/scorer/files.py`."""

    kind = "toybox-scorer/1"
