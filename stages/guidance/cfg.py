"""Guidance towards a text.

One convention is stored everywhere, diffusers':  uncond + s (text - uncond); s = 1 is no guidance.
Much score-distillation code writes text + s' (text - uncond), which is the same with s = s' + 1.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from .apg import project
from .perp_neg import Negatives, combine_perpendicular
from .protocol import Condition, Guidance, Prediction
from .rescale import rescale

Method = Literal["cfg", "apg", "rescale"]


def scale_from_text_convention(scale: float) -> float:
    """Diffusers' s of a preset written as text + scale (text - uncond)."""
    return scale + 1


def combine(
    text: Float[Tensor, "*shape"], unconditional: Float[Tensor, "*shape"], scale: float
) -> Float[Tensor, "*shape"]:
    """Classifier-free guidance (Ho and Salimans 2022). Linear, so it may be applied to noise or
    to denoised predictions alike."""
    return unconditional + scale * (text - unconditional)


def stack(conditions: Sequence[Condition]) -> Condition:
    """Several conditions as one batch, in order."""
    names = conditions[0].tensors.keys()
    return Condition({name: torch.cat([c.tensors[name] for c in conditions]) for name in names})


def repeated(condition: Condition, rows: int) -> Condition:
    """A condition of one row, for a batch of `rows`; one that has more stays as it is."""
    return Condition(
        {
            name: value.expand(rows, *value.shape[1:]) if len(value) == 1 else value
            for name, value in condition.tensors.items()
        }
    )


def predict_guided(
    guidance: Guidance,
    z_t: Float[Tensor, "batch channel height width"],
    t: Int[Tensor, " batch"],
    text: Condition,
    unconditional: Condition,
    *,
    scale: float,
    method: Method = "cfg",
    rescale_share: float = 0.7,
    negatives: Negatives | None = None,
) -> Prediction:
    """The model's prediction, guided. `eps` and `x0` agree with each other:
    z_t = alpha x0 + sigma eps.

    All passes run as one batch, text first. At scale 1 the unconditional pass is saved.

    Args:
        rescale_share: Of method `rescale`.
        negatives: Texts to be avoided; their result takes the place of `cfg`'s.
    """
    if scale == 1 and negatives is None:
        return guidance.predict(z_t, t, text)
    asked = [text, unconditional, *(negatives.conditions if negatives else ())]
    every = guidance.predict(
        torch.cat([z_t] * len(asked)), torch.cat([t] * len(asked)), stack(asked)
    )
    eps = every.eps.unflatten(0, (len(asked), len(t)))
    x0 = every.x0.unflatten(0, (len(asked), len(t)))
    a = guidance.alphas_cumprod.to(z_t)[t.to(guidance.alphas_cumprod.device)].view(-1, 1, 1, 1)
    if negatives is not None:
        guided = combine_perpendicular(eps[0], eps[1], eps[2:], negatives.weights.to(eps), scale)
        return Prediction(eps=guided, x0=(z_t - (1 - a).sqrt() * guided) / a.sqrt())
    if method == "apg":
        denoised = project(x0[0], x0[1], scale)
    else:
        denoised = combine(x0[0], x0[1], scale)
        if method == "cfg":
            return Prediction(eps=combine(eps[0], eps[1], scale), x0=denoised)
        denoised = rescale(denoised, x0[0], rescale_share)
    return Prediction(eps=(z_t - a.sqrt() * denoised) / (1 - a).sqrt(), x0=denoised)
