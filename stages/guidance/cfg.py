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
from .protocol import Condition, Guidance, Prediction

Method = Literal["cfg", "apg"]


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


def predict_guided(
    guidance: Guidance,
    z_t: Float[Tensor, "batch channel height width"],
    t: Int[Tensor, " batch"],
    text: Condition,
    unconditional: Condition,
    *,
    scale: float,
    method: Method = "cfg",
) -> Prediction:
    """The model's prediction, guided. `eps` and `x0` agree with each other:
    z_t = alpha x0 + sigma eps.

    Both passes run as one batch, text first. At scale 1 the unconditional pass is saved.
    """
    if scale == 1:
        return guidance.predict(z_t, t, text)
    count = len(t)
    both = guidance.predict(torch.cat([z_t, z_t]), torch.cat([t, t]), stack([text, unconditional]))
    if method == "cfg":
        return Prediction(
            eps=combine(both.eps[:count], both.eps[count:], scale),
            x0=combine(both.x0[:count], both.x0[count:], scale),
        )
    x0 = project(both.x0[:count], both.x0[count:], scale)
    a = guidance.alphas_cumprod.to(z_t)[t.to(guidance.alphas_cumprod.device)].view(-1, 1, 1, 1)
    return Prediction(eps=(z_t - a.sqrt() * x0) / (1 - a).sqrt(), x0=x0)
