"""What distillation needs of a diffusion model, and nothing else.

Notation: z latents, x images, t integer timesteps of the training schedule; z_t = alpha z_0 +
sigma eps with alpha^2 = alphas_cumprod[t], sigma^2 = 1 - alpha^2.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from jaxtyping import Float, Int
from torch import Tensor

from .view_words import ViewWords


@dataclass(frozen=True, slots=True)
class Condition:
    """What a model made of some texts. Opaque to its users; savable as `tensors/1`."""

    tensors: Mapping[str, Tensor]
    """Each with one row per text."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """The model's answer, whatever its own prediction type."""

    eps: Float[Tensor, "batch channel height width"]
    x0: Float[Tensor, "batch channel height width"]


@runtime_checkable
class Guidance(Protocol):
    """A text-to-image diffusion model (or something that answers like one)."""

    @property
    def alphas_cumprod(self) -> Float[Tensor, " timestep"]: ...

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """Channels, height, width."""
        ...

    @property
    def image_size(self) -> int:
        """Side of the square image that `encode` expects, in pixels."""
        ...

    def embed(self, texts: Sequence[str]) -> Condition: ...

    def encode(
        self, images: Float[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, "batch channel latent_height latent_width"]:
        """sRGB in [0, 1] to scaled latents (the mean of the posterior); differentiable."""
        ...

    def decode(
        self, latents: Float[Tensor, "batch channel latent_height latent_width"]
    ) -> Float[Tensor, "batch 3 height width"]:
        """Scaled latents to sRGB, not clamped."""
        ...

    def predict(
        self,
        z_t: Float[Tensor, "batch channel height width"],
        t: Int[Tensor, " batch"],
        condition: Condition,
    ) -> Prediction: ...

    def view_text(self, prompt: str, azimuth_deg: float, elevation_deg: float) -> str:
        """The prompt with the model's own view words added."""
        ...

    @property
    def view_words(self) -> ViewWords:
        """The words behind `view_text`, with those for backgrounds and close-ups."""
        ...

    def unknown_words(self, text: str) -> list[str]:
        """Words that a model with a closed vocabulary does not know, in order; else none."""
        ...
