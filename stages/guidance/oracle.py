"""A guidance that knows one object: to tell a wrong method from a wrong model.

Its prediction is the exact posterior mean over a stored set of pictures of that object, those
of the view that the text names:

    x0* = sum_i w_i z_i,    w_i proportional to exp(-|z_t - alpha z_i|^2 / (2 sigma^2))

which is what a perfectly trained network would answer if the world held nothing else. Latents are
the pixels themselves, folded by 4 so that they have a latent's shape; nothing is lost, no network
is needed. Everything about the prompt but the view and the background is ignored.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor
from torch.nn import functional

from ...pipeline.contract import replacing
from ...pipeline.errors import InputError
from ..formats import tensors as tensor_files
from .protocol import Condition, Prediction
from .view_words import FILE_NAME, ViewWords, to_json
from .view_words import load as load_view_words

INDEX_NAME = "oracle.json"
WEIGHTS_NAME = "oracle.safetensors"
FOLD = 4
SPREAD = 0.25
"""Latent = (sRGB - 0.5) / SPREAD: about unit variance, as diffusion models want."""
SAMPLE = 48
ANY = -1
"""Row entry of a condition: this part of the view was not named."""


class OracleGuidance:
    """See the module. Immutable; may be used from several threads."""

    def __init__(
        self,
        pictures: UInt8[Tensor, "n 4 size size"],
        azimuths_deg: Float[Tensor, " n"],
        elevations_deg: Float[Tensor, " n"],
        view_words: ViewWords,
        device: str = "cpu",
    ) -> None:
        """
        Args:
            pictures: Straight (not premultiplied) sRGB and alpha.
            azimuths_deg: From where each was taken; it belongs to the nearest word.
        """
        if pictures.shape[-1] % FOLD:
            raise ValueError(f"pictures must be a multiple of {FOLD} wide, got {pictures.shape}.")
        if view_words.close_up_template is not None:
            raise ValueError("the oracle stores no close-ups; its close_up_template must be None.")
        self._pictures = pictures.to(device)
        self._words = view_words
        self._angles = torch.stack([azimuths_deg, elevations_deg], dim=1).float()
        self._size = int(pictures.shape[-1])
        self._alphas_cumprod = scaled_linear_alphas_cumprod().to(device)
        azimuth_names = [word.word for word in view_words.azimuth]
        elevation_names = [word.word for word in view_words.elevation]
        self._azimuth_of = torch.tensor(
            [azimuth_names.index(view_words.nearest_azimuth(a).word) for a in azimuths_deg.tolist()]
        )
        self._elevation_of = torch.tensor(
            [
                elevation_names.index(view_words.nearest_elevation(e).word)
                for e in elevations_deg.tolist()
            ]
        )
        self._endings = self._all_endings()

    @property
    def alphas_cumprod(self) -> Float[Tensor, " timestep"]:
        return self._alphas_cumprod

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        return 3 * FOLD * FOLD, self._size // FOLD, self._size // FOLD

    @property
    def image_size(self) -> int:
        return self._size

    @property
    def view_words(self) -> ViewWords:
        return self._words

    def unknown_words(self, text: str) -> list[str]:
        return []

    def view_text(self, prompt: str, azimuth_deg: float, elevation_deg: float) -> str:
        return self._words.text(prompt, azimuth_deg, elevation_deg)

    def embed(self, texts: Sequence[str]) -> Condition:
        """Index of azimuth word, elevation word and background; ANY where nothing was named."""
        rows = [
            next((row for ending, row in self._endings if text.endswith(ending)), (ANY, ANY, ANY))
            for text in texts
        ]
        return Condition({"view": torch.tensor(rows)})

    def encode(
        self, images: Float[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, "batch channel latent_height latent_width"]:
        return functional.pixel_unshuffle((images - 0.5) / SPREAD, FOLD)

    def decode(
        self, latents: Float[Tensor, "batch channel latent_height latent_width"]
    ) -> Float[Tensor, "batch 3 height width"]:
        return functional.pixel_shuffle(latents, FOLD) * SPREAD + 0.5

    @torch.no_grad()
    def predict(
        self,
        z_t: Float[Tensor, "batch channel height width"],
        t: Int[Tensor, " batch"],
        condition: Condition,
    ) -> Prediction:
        abar = self._alphas_cumprod.to(z_t.dtype)[t]
        x0 = torch.stack(
            [
                posterior_mean(one, float(a), self._candidates(row, one.dtype))
                for one, a, row in zip(z_t, abar, condition.tensors["view"].tolist(), strict=True)
            ]
        )
        a = abar.view(-1, 1, 1, 1)
        return Prediction(eps=(z_t - a.sqrt() * x0) / (1 - a).sqrt(), x0=x0)

    def _candidates(
        self, row: Sequence[int], dtype: torch.dtype
    ) -> Float[Tensor, "n channel height width"]:
        """Latents of all stored pictures that fit; with no background named, on each of them.

        Where no view is named, `SAMPLE` of them, evenly picked, stand for all.
        """
        azimuth, elevation, background = row
        fits = (self._azimuth_of == azimuth) | (azimuth == ANY)
        fits &= (self._elevation_of == elevation) | (elevation == ANY)
        which = fits.nonzero()[:, 0]
        if azimuth == ANY:
            which = which[:: max(1, -(-len(which) // SAMPLE))]
        chosen = self._pictures[which].to(dtype) / 255
        color, alpha = chosen[:, :3], chosen[:, 3:]
        known = self._words.backgrounds
        colors = [
            b.rgb for b in (known if background == ANY else known[background : background + 1])
        ]
        composed = [
            color * alpha + (1 - alpha) * color.new_tensor(rgb).view(1, 3, 1, 1) for rgb in colors
        ]
        return self.encode(torch.cat(composed))

    def _all_endings(self) -> list[tuple[str, tuple[int, int, int]]]:
        """What a caption can end with. They begin with what the template puts after the prompt,
        so that the one of "left view" does not end "front-left view" too."""
        words = self._words
        endings: list[tuple[str, tuple[int, int, int]]] = []
        for i, azimuth in enumerate(words.azimuth):
            for j, elevation in enumerate(words.elevation):
                at = (azimuth.center_deg, elevation.center_deg)
                endings.append((words.text("", *at), (i, j, ANY)))
                for k, background in enumerate(words.backgrounds):
                    endings.append((words.text("", *at, background=background.name), (i, j, k)))
        return endings

    def save(self, model_dir: Path) -> Path:
        """Write a directory that `load` reads. Returns it."""
        model_dir.mkdir(parents=True, exist_ok=True)
        angles = {"azimuths_deg": self._angles[:, 0], "elevations_deg": self._angles[:, 1]}
        tensor_files.save({"pictures": self._pictures, **angles}, model_dir / WEIGHTS_NAME)
        for name, values in (
            (INDEX_NAME, {"kind": "oracle", "pictures": len(self._pictures)}),
            (FILE_NAME, to_json(self._words)),
        ):
            with replacing(model_dir / name) as temporary:
                temporary.write_text(json.dumps(values, indent=1) + "\n", "utf-8")
        return model_dir


def load(model_dir: Path, device: str = "cpu") -> OracleGuidance:
    """Read what `OracleGuidance.save` wrote."""
    if not (model_dir / INDEX_NAME).is_file():
        raise InputError(f"{model_dir}: no oracle: {INDEX_NAME} is missing.")
    names = {"pictures", "azimuths_deg", "elevations_deg"}
    values, _ = tensor_files.load(model_dir / WEIGHTS_NAME, names)
    return OracleGuidance(**values, view_words=load_view_words(model_dir), device=device)


def posterior_mean(
    z_t: Float[Tensor, "channel height width"],
    alpha_cumprod: float,
    candidates: Float[Tensor, "n channel height width"],
) -> Float[Tensor, "channel height width"]:
    """E[z | z_t] when z is one of `candidates`, all equally likely beforehand."""
    alpha, variance = alpha_cumprod**0.5, 1 - alpha_cumprod
    distance = (z_t - alpha * candidates).square().flatten(1).sum(dim=1)
    weights = torch.softmax(-distance / (2 * variance), dim=0)
    return (weights.view(-1, 1, 1, 1) * candidates).sum(dim=0)


def scaled_linear_alphas_cumprod(
    steps: int = 1000, first: float = 0.00085, last: float = 0.012
) -> Float[Tensor, " timestep"]:
    """Stable Diffusion's schedule: square roots of beta on a line."""
    betas = torch.linspace(first**0.5, last**0.5, steps, dtype=torch.float64) ** 2
    return torch.cumprod(1 - betas, dim=0).float()
