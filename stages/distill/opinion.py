"""How each loss asks the model about latents, and what it takes from the answers.

One function per loss, all of one form, in a table. Formulas are in `losses.py`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..guidance import low_rank
from ..guidance.cfg import predict_guided
from ..guidance.inversion import invert, levels_between
from ..guidance.perp_neg import Negatives
from ..guidance.protocol import Condition, Guidance, Prediction
from .losses import add_noise, csd_gradient, sds_gradient, weight_of, x0_gradient
from .settings import Guide, Inversion, Loss, Weight


@dataclass(frozen=True, slots=True)
class Latents:
    """The rendered views as the model sees them, with all that was drawn for them."""

    z: Float[Tensor, "view channel height width"]
    text: Condition
    unconditional: Condition
    timesteps: Int[Tensor, " view"]
    noise: Float[Tensor, "view channel height width"]
    negatives: Negatives | None = None
    lesson: "Lesson | None" = None


@dataclass(frozen=True, slots=True)
class Lesson:
    """From what the learned copy of loss `vsd` learns in this iteration."""

    values: low_rank.Values
    timesteps: Int[Tensor, " view"]
    noise: Float[Tensor, "view channel height width"]
    poses: Float[Tensor, "view 12"]
    told: Float[Tensor, " view"]
    """1 where the copy is told the pose while it learns, 0 where not."""


@dataclass(frozen=True, slots=True)
class Manner:
    """What is the same for all views of a run."""

    loss: Loss
    weight: Weight
    guide: Guide
    inversion: Inversion


@dataclass(frozen=True, slots=True)
class Opinion:
    gradient: Float[Tensor, "view channel height width"]
    """By the latents."""
    x0: Float[Tensor, "view channel height width"]
    """The model's guess of the finished latents."""
    lesson: Mapping[str, Tensor] = field(default_factory=dict)
    """Gradient by the values of the learned copy."""


def opinion(latents: Latents, manner: Manner, guidance: Guidance) -> Opinion:
    """The gradient by the latents, summed over nothing: each view's own."""
    return OPINIONS[manner.loss](latents, manner, guidance)


def _abar(latents: Latents, guidance: Guidance) -> Float[Tensor, " view"]:
    t = latents.timesteps.to(guidance.alphas_cumprod.device)
    return guidance.alphas_cumprod.to(latents.z.dtype)[t]


def _guided(z_t: Tensor, latents: Latents, guide: Guide, guidance: Guidance) -> Prediction:
    return predict_guided(
        guidance,
        z_t,
        latents.timesteps,
        latents.text,
        latents.unconditional,
        scale=guide.scale,
        method=guide.method,
        rescale_share=guide.rescale_share,
        negatives=latents.negatives,
    )


def _sds(latents: Latents, manner: Manner, guidance: Guidance) -> Opinion:
    abar = _abar(latents, guidance)
    guess = _guided(add_noise(latents.z, latents.noise, abar), latents, manner.guide, guidance)
    weight = weight_of(manner.weight, abar)
    return Opinion(sds_gradient(guess.eps, latents.noise, weight), guess.x0)


def _x0(latents: Latents, manner: Manner, guidance: Guidance) -> Opinion:
    abar = _abar(latents, guidance)
    guess = _guided(add_noise(latents.z, latents.noise, abar), latents, manner.guide, guidance)
    return Opinion(x0_gradient(latents.z, guess.x0, weight_of(manner.weight, abar)), guess.x0)


def _csd(latents: Latents, manner: Manner, guidance: Guidance) -> Opinion:
    """Both predictions are asked for by guidance of 1 and 0, which `predict_guided` would hide."""
    abar = _abar(latents, guidance)
    z_t = add_noise(latents.z, latents.noise, abar)
    text = guidance.predict(z_t, latents.timesteps, latents.text)
    nothing = guidance.predict(z_t, latents.timesteps, latents.unconditional)
    weight = weight_of(manner.weight, abar)
    return Opinion(csd_gradient(text.eps, nothing.eps, weight), text.x0)


def _ism(latents: Latents, manner: Manner, guidance: Guidance) -> Opinion:
    """Up to level s without the text, one more step to t, and back from there with it."""
    levels = len(guidance.alphas_cumprod)
    interval = max(1, round(manner.inversion.interval * (levels - 1)))
    stride = max(1, round(manner.inversion.stride * (levels - 1)))
    t = latents.timesteps
    s = (t - interval).clamp(min=0)
    start = (s - stride * manner.inversion.steps).clamp(min=0)
    z_start = torch.where(
        (start > 0).view(-1, 1, 1, 1),
        add_noise(latents.z, latents.noise, guidance.alphas_cumprod.to(latents.z.dtype)[start]),
        latents.z,
    )
    count = max(1, int(((s - start + stride - 1) // stride).max()))
    path = [(s - stride * k).maximum(start) for k in range(count, -1, -1)]
    z_t, below = invert(guidance, z_start, [*path, t], latents.text, latents.unconditional)
    guess = _guided(z_t, latents, manner.guide, guidance)
    weight = weight_of(manner.weight, _abar(latents, guidance))
    return Opinion(sds_gradient(guess.eps, below.eps, weight), guess.x0)


def _sdi(latents: Latents, manner: Manner, guidance: Guidance) -> Opinion:
    abar = _abar(latents, guidance)
    t, fresh = latents.timesteps, manner.inversion.fresh
    _, guess = invert(
        guidance,
        latents.z,
        list(levels_between(torch.zeros_like(t), t, manner.inversion.steps)),
        latents.text,
        latents.unconditional,
        scale=manner.inversion.scale,
    )
    noise = (1 - fresh**2) ** 0.5 * guess.eps + fresh * latents.noise
    found = _guided(add_noise(latents.z, noise, abar), latents, manner.guide, guidance)
    return Opinion(x0_gradient(latents.z, found.x0, weight_of(manner.weight, abar)), found.x0)


def _vsd(latents: Latents, manner: Manner, guidance: Guidance) -> Opinion:
    lesson = latents.lesson
    if lesson is None:
        raise ValueError("loss vsd needs a lesson.")
    abar = _abar(latents, guidance)
    z_t = add_noise(latents.z, latents.noise, abar)
    guess = _guided(z_t, latents, manner.guide, guidance)
    with torch.no_grad():
        copy = low_rank.predict(
            guidance, lesson.values, z_t, latents.timesteps, latents.text, lesson.poses
        )
    gradient = sds_gradient(guess.eps, copy.eps, weight_of(manner.weight, abar))
    return Opinion(gradient, guess.x0, _taught(latents, lesson, guidance))


def _taught(latents: Latents, lesson: Lesson, guidance: Guidance) -> dict[str, Tensor]:
    """Gradient of the copy's plain denoising loss, mean over latents and summed over views."""
    leaves = {name: value.detach().requires_grad_() for name, value in lesson.values.items()}
    abar = guidance.alphas_cumprod.to(latents.z.dtype)[lesson.timesteps]
    z_t = add_noise(latents.z.detach(), lesson.noise, abar)
    poses = lesson.poses * lesson.told[:, None].to(lesson.poses)
    with torch.enable_grad():
        guess = low_rank.predict(guidance, leaves, z_t, lesson.timesteps, latents.text, poses)
        loss = (guess.eps - lesson.noise).square().flatten(1).mean(dim=1).sum()
        found = torch.autograd.grad(loss, list(leaves.values()))
    return dict(zip(leaves, found, strict=True))


OPINIONS: Mapping[Loss, Callable[[Latents, Manner, Guidance], Opinion]] = MappingProxyType(
    {"sds": _sds, "x0": _x0, "csd": _csd, "ism": _ism, "sdi": _sdi, "vsd": _vsd}
)
