"""What the guidance model says about a few views: the gradient by the Gaussians."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ...renderers.scene import Cameras, Renderer
from ..geometry.activation import Parameters, activate
from ..guidance.cfg import predict_guided
from ..guidance.protocol import Condition, Guidance
from .clip import ClipReport, clip_pixels, percentile
from .losses import add_noise, sds_gradient, weight_of, x0_gradient
from .settings import Clipping, Loss, Method, Weight


@dataclass(frozen=True, slots=True)
class Question:
    """Views that go through the network together, with all that was drawn for them."""

    cameras: Cameras
    backgrounds: Float[Tensor, "view 3"]
    text: Condition
    unconditional: Condition
    timesteps: Int[Tensor, " view"]
    noise: Float[Tensor, "view channel height width"]


@dataclass(frozen=True, slots=True)
class Rules:
    """What is the same for all questions of an iteration."""

    loss: Loss
    weight: Weight
    guidance_scale: float
    method: Method
    clip: Clipping
    clip_threshold: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer to one question, summed over its views."""

    gradients: Parameters
    score: Float[Tensor, " n"]
    """Length of the gradient by each projected centre, per pixel of its motion."""
    seen: Float[Tensor, " n"]
    """In how many views each Gaussian was drawn."""
    loss: float
    """Mean square of the latents' gradient."""
    clip: ClipReport
    percentile: float
    """Of the image gradient before clipping."""
    not_finite: str
    """The first tensor with an inf or nan, or an empty string."""


def judge(
    values: Parameters, question: Question, rules: Rules, guidance: Guidance, renderer: Renderer
) -> Verdict:
    """Render, encode, ask, and go back.

    The way back is taken in two parts, latents to image and image to Gaussians, with the image's
    gradient clipped in between. Single non-finite pixels are zeroed and counted by the clipping.
    """
    names = [entry.name for entry in fields(Parameters)]
    leaves = Parameters(*(getattr(values, name).detach().requires_grad_() for name in names))
    frames = renderer(activate(leaves), question.cameras, frozenset({"rgb", "alpha"}))
    background = question.backgrounds[:, None, None, :]
    composed = (frames.rgb + (1 - frames.alpha) * background).permute(0, 3, 1, 2)

    image = composed.detach().requires_grad_()
    z = guidance.encode(image)
    g_z, checks = _latent_gradient(z.detach(), question, rules, guidance)
    (g_image,) = torch.autograd.grad(z, image, g_z)
    share = rules.clip.calibrate_percentile / 100
    clipped = clip_pixels(g_image, rules.clip_threshold, rules.clip.norm)

    targets = [getattr(leaves, name) for name in names]
    *gradients, g_means2d = torch.autograd.grad(
        composed, [*targets, frames.means2d], clipped.gradient.to(composed)
    )
    checks += list(zip((f"gradient of {name}" for name in names), gradients, strict=True))
    return Verdict(
        gradients=Parameters(*gradients),
        score=torch.linalg.vector_norm(g_means2d, dim=-1).sum(dim=0),
        seen=(frames.radii_px > 0).sum(dim=0).to(g_means2d),
        loss=float(g_z.square().mean()),
        clip=clipped.report,
        percentile=percentile(g_image, share, rules.clip.norm),
        not_finite=_first_not_finite([("rendered image", composed.detach()), *checks]),
    )


def _latent_gradient(
    z: Float[Tensor, "view channel height width"],
    question: Question,
    rules: Rules,
    guidance: Guidance,
) -> tuple[Tensor, list[tuple[str, Tensor]]]:
    t = question.timesteps.to(guidance.alphas_cumprod.device)
    abar = guidance.alphas_cumprod.to(z.dtype)[t]
    z_t = add_noise(z, question.noise, abar)
    guess = predict_guided(
        guidance,
        z_t,
        question.timesteps,
        question.text,
        question.unconditional,
        scale=rules.guidance_scale,
        method=rules.method,
    )
    weight = weight_of(rules.weight, abar)
    if rules.loss == "sds":
        gradient = sds_gradient(guess.eps, question.noise, weight)
    else:
        gradient = x0_gradient(z, guess.x0, weight)
    return gradient, [("latents", z), ("prediction", gradient)]


def _first_not_finite(checks: Sequence[tuple[str, Tensor]]) -> str:
    return next((name for name, tensor in checks if not torch.isfinite(tensor).all()), "")
