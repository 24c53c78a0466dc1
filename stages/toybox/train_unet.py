"""Stage `toybox-train-unet`: teaches the embedded prior to draw captions, and puts the whole
pipeline together."""

from dataclasses import dataclass, field

from ...pipeline.contract import RUNTIME, Context
from ..artifacts import GuidanceDir
from .kinds import LatentsDir, ToyCaptionsDir, ToyImagesDir, VaeDir
from .props import PropsDir

VERSION = 2


@dataclass(frozen=True, slots=True)
class Inputs:
    props: PropsDir
    """What the images show."""
    images: ToyImagesDir
    """Only its index is read: which images are for training, and from where they were taken."""
    captions: ToyCaptionsDir
    latents: LatentsDir
    vae: VaeDir
    start: GuidanceDir | None = None
    """A model of the same sizes and words to begin with; its text encoder can read already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The denoiser, the text encoder and how long they learn together."""

    channels: tuple[int, ...] = (32, 80, 144)
    """Per level (32, 16 and 8 latents wide); no attention at the first. Multiples of 16."""
    heads: tuple[int, ...] = (2, 2, 4)
    """Attention heads per level; few are faster on a CPU."""
    text_width: int = 128
    """Width of the text encoder and of the cross attention; a multiple of 32."""
    text_layers: int = 3
    tokens: int = 32
    """Longest caption, in words plus two."""
    steps: int = 4_800
    batch: int = 24
    """Latents per step. Even."""
    learning_rate: float = 5e-4
    """At its peak; a cosine brings it to 0 at the last step."""
    text_rate: float = 0.3
    """Factor of the learning rate for the text's way into the denoiser: at the full rate the
    text encoder forgets to tell captions apart."""
    reading_steps: int = 1_500
    """Steps in which the text encoder learns to read before anything is drawn."""
    warmup_steps: int = 200
    ema: float = 0.998
    """Longest decay of the moving average that is kept."""
    drop_caption: float = 0.1
    """Share of empty captions, for classifier-free guidance."""
    snr_cap: float = 5.0
    """Largest signal-to-noise ratio that adds to a noise level's weight."""
    bfloat16: bool = False
    """Compute in bfloat16; parameters and sums stay in float32. Twice as fast where the processor
    has instructions for it (AVX512-BF16, AMX), half as fast where it has not."""
    save_every_s: float = field(default=60.0, metadata=RUNTIME)
    """Time between checkpoints."""

    def __post_init__(self) -> None:
        for name in ("steps", "warmup_steps", "text_layers", "reading_steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}.")
        if self.tokens < 4:
            raise ValueError(f"tokens must be at least 4, got {self.tokens}.")
        if self.batch < 2 or self.batch % 2:
            raise ValueError(f"batch must be even and positive, got {self.batch}.")
        if len(self.channels) < 2 or any(c < 16 or c % 16 for c in self.channels):
            raise ValueError(f"channels must be multiples of 16, two or more: {self.channels}.")
        if len(self.heads) != len(self.channels) or any(
            h < 1 or c % h for h, c in zip(self.heads, self.channels, strict=False)
        ):
            raise ValueError(f"heads must divide the channels of each level, got {self.heads}.")
        if self.text_width < 32 or self.text_width % 32:
            raise ValueError(f"text_width must be a multiple of 32, got {self.text_width}.")
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate must be positive, got {self.learning_rate}.")
        for name in ("ema", "drop_caption"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be in [0, 1), got {getattr(self, name)}.")
        if not 0 <= self.text_rate <= 1:
            raise ValueError(f"text_rate must be in [0, 1], got {self.text_rate}.")
        if not self.snr_cap > 0:
            raise ValueError(f"snr_cap must be positive, got {self.snr_cap}.")


@dataclass(frozen=True, slots=True)
class Outputs:
    model: GuidanceDir


def run(inputs: Inputs, config: Config, ctx: Context) -> Outputs:
    from .unet_loop import train_unet

    return Outputs(GuidanceDir(train_unet(inputs, config, ctx)))
