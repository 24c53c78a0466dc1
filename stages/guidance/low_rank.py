"""A copy of a model that differs by matrices of low rank, and learns.

Hu et al. 2022 (LoRA) on the projections of all attention layers, as Wang et al. 2023
(ProlificDreamer) use it: W + B A, with A random and B zero at the start, so that the copy begins as
the model itself. The copy is also told where the camera stands: a linear map of the pose, zero at
the start, is added to the states of the text. (The authors add it to the embedding of the noise
level; the states are there in every diffusers UNet.)

The values are plain named tensors and the model itself is never changed, so that several threads
may use both, and a checkpoint is a file of tensors.
"""

import copy
from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.func import functional_call

from ...pipeline.errors import InputError
from .protocol import Condition, Guidance, Prediction

PROJECTIONS = ("to_q", "to_k", "to_v", "to_out.0")
POSE_SIZE = 12
"""Entries of a world-to-camera matrix without its last row."""
POSE = "pose"

Values = Mapping[str, Tensor]
"""`NAME.down` (rank, in) and `NAME.up` (out, rank) per layer, and `pose` (states, 12)."""


def start(guidance: Guidance, rank: int, random: torch.Generator) -> dict[str, Tensor]:
    """Values of a copy that still answers as the model does; float32."""
    unet = _unet(guidance)
    values: dict[str, Tensor] = {}
    for name, layer in _projections(unet).items():
        down = torch.randn(rank, layer.in_features, generator=random) / layer.in_features**0.5
        values[f"{name}.down"] = down.to(layer.weight.device)
        values[f"{name}.up"] = torch.zeros(layer.out_features, rank, device=layer.weight.device)
    size = int(unet.config.cross_attention_dim)
    values[POSE] = torch.zeros(size, POSE_SIZE, device=next(unet.parameters()).device)
    return values


def predict(
    guidance: Guidance,
    values: Values,
    z_t: Float[Tensor, "batch channel height width"],
    t: Int[Tensor, " batch"],
    condition: Condition,
    poses: Float[Tensor, "batch 12"],
) -> Prediction:
    """The copy's answer; differentiable by `values`."""
    unet = _unet(guidance)
    weights = {}
    for name, layer in _projections(unet).items():
        change = values[f"{name}.up"] @ values[f"{name}.down"]
        weights[f"{name}.weight"] = layer.weight + change.to(layer.weight.dtype)
    shift = poses.to(values[POSE].dtype) @ values[POSE].T
    states = condition.tensors["states"].to(shift) + shift[:, None, :]
    moved = Condition({**condition.tensors, "states": states})
    own = _shadow(unet)
    return guidance.predict_with(  # type: ignore[attr-defined]
        lambda *args, **kwargs: functional_call(own, weights, args, kwargs), z_t, t, moved
    )


def _unet(guidance: Guidance) -> Any:
    unet = getattr(guidance, "unet", None)
    if not isinstance(unet, nn.Module):
        raise InputError(
            "loss vsd needs a diffusion model with a network that can learn; the oracle has none. "
            "Use another loss, or a diffusers model."
        )
    return unet


def _shadow(unet: nn.Module) -> nn.Module:
    """The same network around the same weights, as an object of its own: `functional_call` changes
    its module for the time of the call, and other threads use the model meanwhile."""
    return copy.deepcopy(unet, {id(weight): weight for weight in unet.parameters()})


def _projections(unet: nn.Module) -> dict[str, nn.Linear]:
    return {
        name: module
        for name, module in unet.named_modules()
        if isinstance(module, nn.Linear) and name.endswith(PROJECTIONS) and ".attn" in f".{name}"
    }
