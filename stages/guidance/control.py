"""Hints that a model follows beside the text: a ControlNet (Zhang et al. 2023, 2302.05543).

A ControlNet is a copy of the denoiser's first half that sees one more picture, the hint, and adds
to what the denoiser keeps for its second half. It is part of the model's directory, as diffusers
saves its ControlNet pipelines. Hints travel in the condition, so whatever handles conditions
handles hints; a condition without one asks the model as if it had no ControlNet.
"""

from collections.abc import Mapping
from typing import Any

from jaxtyping import Float, Int
from torch import Tensor

from ...pipeline.errors import InputError
from .protocol import Condition, Guidance

HINT, STRENGTH = "hint", "hint_strength"
"""Names in a condition."""
CHANNELS = 3


def follows_hints(guidance: Guidance) -> bool:
    """Whether the model has a ControlNet."""
    return getattr(guidance, "control", None) is not None


def hinted(
    condition: Condition, hints: Float[Tensor, "row 3 height width"], strength: float
) -> Condition:
    """The condition with a hint for each of its rows.

    Args:
        hints: In 0..1, as large as the model's pictures.
        strength: What the ControlNet adds is multiplied by it; 1 is as trained.
    """
    return Condition(
        {
            **condition.tensors,
            HINT: hints,
            STRENGTH: hints.new_full((len(hints),), strength),
        }
    )


def additions(
    control: Any,
    z_t: Float[Tensor, "row channel height width"],
    t: Int[Tensor, " row"],
    condition: Condition,
    arguments: Mapping[str, Any],
) -> dict[str, Any]:
    """What the denoiser is called with in addition; nothing where the condition has no hint.

    Args:
        arguments: Those of the denoiser for the condition, which the ControlNet takes as well.
    """
    if HINT not in condition.tensors:
        return {}
    hints, strength = (condition.tensors[name].to(z_t) for name in (HINT, STRENGTH))
    down, middle = control(z_t, t, controlnet_cond=hints, return_dict=False, **arguments)
    rows = strength.view(-1, 1, 1, 1)
    return {
        "down_block_additional_residuals": [each * rows for each in down],
        "mid_block_additional_residual": middle * rows,
    }


def check_fit(control: Any, unet: Any, pixels_per_latent: int, where: str) -> None:
    """Refuse a ControlNet that was made for another denoiser."""
    for name in ("in_channels", "block_out_channels", "layers_per_block", "cross_attention_dim"):
        theirs, ours = getattr(control.config, name), getattr(unet.config, name)
        if theirs != ours:
            raise InputError(
                f"{where}: {name} is {theirs}, the unet's is {ours}: it belongs to another model."
            )
    if control.config.conditioning_channels != CHANNELS:
        raise InputError(
            f"{where}: takes hints of {control.config.conditioning_channels} channels, "
            f"{CHANNELS} are supported."
        )
    shrinks = 2 ** (len(control.config.conditioning_embedding_out_channels) - 1)
    if shrinks != pixels_per_latent:
        raise InputError(
            f"{where}: makes hints {shrinks} times smaller, the vae pictures {pixels_per_latent} "
            f"times: it belongs to another model."
        )
