"""Guidance models whose every answer is known in closed form."""

import torch
from splatworks.stages.guidance.protocol import Condition, Prediction
from splatworks.stages.guidance.view_words import STABLE_DIFFUSION


class Exact:
    """Latents are normal around the mean that the condition names: N(mean, spread^2).

        eps* = sigma (z_t - alpha mean) / (alpha^2 spread^2 + sigma^2)

    Pictures are latents, up to an invertible squash.
    """

    latent_shape = (3, 8, 8)
    image_size = 8
    view_words = STABLE_DIFFUSION

    def __init__(self, levels: int = 100, dtype=torch.float64) -> None:
        self.alphas_cumprod = torch.linspace(0.999, 0.01, levels, dtype=dtype)

    def embed(self, texts) -> Condition:
        spread = [1.0 if text == "" else 0.2 for text in texts]
        return Condition({"mean": torch.zeros(len(texts), 1, 1, 1), "spread": torch.tensor(spread)})

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        return torch.tanh(images)

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        return torch.atanh(latents.clamp(-0.999, 0.999))

    def predict(self, z_t, t, condition) -> Prediction:
        a = self.alphas_cumprod.to(z_t)[t].view(-1, 1, 1, 1)
        mean = condition.tensors["mean"].to(z_t)
        spread = condition.tensors["spread"].to(z_t).view(-1, 1, 1, 1)
        alpha, sigma = a.sqrt(), (1 - a).sqrt()
        eps = sigma * (z_t - alpha * mean) / (a * spread**2 + sigma**2)
        return Prediction(eps=eps, x0=(z_t - sigma * eps) / alpha)

    def view_text(self, prompt: str, azimuth_deg: float, elevation_deg: float) -> str:
        return self.view_words.text(prompt, azimuth_deg, elevation_deg)

    def unknown_words(self, text: str) -> list[str]:
        return []


def around(mean: torch.Tensor, spread: float) -> Condition:
    """One row per sample of `mean`."""
    return Condition({"mean": mean, "spread": torch.full((len(mean),), spread)})
