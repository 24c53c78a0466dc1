"""Stage `toybox-train-vae`: learns the latents of the embedded prior from the training images."""

from dataclasses import dataclass, field

from ...pipeline.contract import RUNTIME, Context
from .kinds import ToyImagesDir, VaeDir

VERSION = 2


@dataclass(frozen=True, slots=True)
class Inputs:
    images: ToyImagesDir
    start: VaeDir | None = None
    """An autoencoder of the same sizes to begin with; the scale of its latents is kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The autoencoder and how long it learns."""

    channels: tuple[int, ...] = (16, 32, 96)
    """Per level; each level after the first halves the image. Multiples of 8."""
    steps: int = 5_000
    batch: int = 16
    """Crops per step; steps with whole images take as many pixels. Even."""
    crop_px: int = 64
    """Side of the crops; divides the image's side."""
    whole_every: int = 4
    """Every n-th step sees whole images: group norms depend on how much background there is."""
    learning_rate: float = 1.5e-3
    """At its peak; a cosine brings it to 0."""
    warmup_steps: int = 100
    ema: float = 0.998
    """Longest decay of the moving average that is kept."""
    kl_weight: float = 1e-4
    """Of the KL divergence per latent value, beside the mean absolute error of pixel values."""
    edge_weight: float = 0.5
    """Of the mean absolute error of differences between neighboring pixels."""
    gate_db: float = 28.0
    """Least PSNR on held-out props; training that ends below it fails."""
    bfloat16: bool = True
    """Compute in bfloat16; parameters and sums stay in float32."""
    save_every_s: float = field(default=60.0, metadata=RUNTIME)
    """Time between checkpoints."""

    def __post_init__(self) -> None:
        for name in ("steps", "crop_px", "whole_every", "warmup_steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}.")
        if self.batch < 2 or self.batch % 2:
            raise ValueError(f"batch must be even and positive, got {self.batch}.")
        if len(self.channels) != 3 or any(c < 8 or c % 8 for c in self.channels):
            raise ValueError(f"channels must be three multiples of 8, got {self.channels}.")
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate must be positive, got {self.learning_rate}.")
        if not 0 <= self.ema < 1:
            raise ValueError(f"ema must be in [0, 1), got {self.ema}.")
        for name in ("kl_weight", "edge_weight"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}.")


@dataclass(frozen=True, slots=True)
class Outputs:
    vae: VaeDir


def run(inputs: Inputs, config: Config, ctx: Context) -> Outputs:
    from .vae_loop import train_vae

    return Outputs(VaeDir(train_vae(inputs, config, ctx)))
