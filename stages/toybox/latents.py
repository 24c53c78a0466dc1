"""Stage `toybox-latents`: encodes every training image once."""

from dataclasses import dataclass

from ...pipeline.contract import Context
from .kinds import LatentsDir, ToyImagesDir, VaeDir

VERSION = 1


@dataclass(frozen=True, slots=True)
class Inputs:
    images: ToyImagesDir
    vae: VaeDir


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """How the work is cut up."""

    batch: int = 16
    """Images encoded at a time."""

    def __post_init__(self) -> None:
        if self.batch < 1:
            raise ValueError(f"batch must be at least 1, got {self.batch}.")


@dataclass(frozen=True, slots=True)
class Outputs:
    latents: LatentsDir


def run(inputs: Inputs, config: Config, ctx: Context) -> Outputs:
    from .encoding import encode_all

    return Outputs(LatentsDir(encode_all(inputs.images.path, inputs.vae.path, config.batch, ctx)))
