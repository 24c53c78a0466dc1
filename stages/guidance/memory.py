"""How much memory a model will need, before it is asked for the first time.

The networks are built once more without memory (on PyTorch's meta device) and run there: the
tensors that the image encoder keeps for its way back are counted exactly; of the denoiser, which
keeps nothing, the skip connections and a few of the largest intermediate results are.
"""

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

LARGEST_AT_ONCE = 4
"""Intermediate results of the largest size that live at the same time in a forward pass."""


def parameter_bytes(*networks: nn.Module) -> int:
    """Bytes of all weights where they are now."""
    return sum(p.numel() * p.element_size() for net in networks for p in net.parameters())


def encoder_bytes(vae: Any, views: int, image_size_px: int) -> int:
    """Kept by the image encoder between its pass and the way back, in float32."""
    net = _without_memory(vae)
    images = torch.zeros(views, 3, image_size_px, image_size_px, device="meta", requires_grad=True)
    weights = {p.untyped_storage()._cdata for p in net.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in weights:
            kept[storage._cdata] = storage.nbytes()
            alive.append(tensor)  # So that no address is used twice.
        return tensor

    alive: list[Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        net.encode(images)
    return sum(kept.values())


def denoiser_bytes(unet: Any, rows: int, bytes_per_value: int, *, controlled: bool = False) -> int:
    """Used by one pass of the denoiser over so many samples.

    Args:
        controlled: Whether a ControlNet adds to the skip connections: as much again.
    """
    net = _without_memory(unet)
    config, side = unet.config, int(unet.config.sample_size)
    largest, skips = 0, 0

    def look(module: nn.Module, _inputs: Any, out: Any) -> None:
        nonlocal largest, skips
        tensors = list(_tensors(out))
        largest = max([largest, *(t.numel() for t in tensors)])
        if module in net.down_blocks:
            skips += sum(t.numel() for t in tensors)

    hooks = [module.register_forward_hook(look) for module in net.modules()]
    added = None
    if getattr(config, "addition_embed_type", None) == "text_time":
        width = config.projection_class_embeddings_input_dim - 6 * config.addition_time_embed_dim
        added = {
            "text_embeds": torch.zeros(rows, width, device="meta"),
            "time_ids": torch.zeros(rows, 6, device="meta"),
        }
    with torch.no_grad():
        net(
            torch.zeros(rows, config.in_channels, side, side, device="meta"),
            torch.zeros(rows, dtype=torch.long, device="meta"),
            encoder_hidden_states=torch.zeros(rows, 77, config.cross_attention_dim, device="meta"),
            added_cond_kwargs=added,
        )
    for hook in hooks:
        hook.remove()
    return (skips * (1 + controlled) + LARGEST_AT_ONCE * largest) * bytes_per_value


def weight_bytes(guidance: Any) -> int:
    """Of all networks that are still there."""
    rest = [each.network for each in guidance.text_encoders]
    rest += [] if guidance.control is None else [guidance.control]
    return parameter_bytes(guidance.unet, guidance.vae, *rest)


def call_bytes(guidance: Any, views: int, passes: int) -> int:
    """Beside the weights, to encode `views` and to denoise each of them `passes` times at once."""
    value_bytes = torch.empty((), dtype=guidance.unet_dtype).element_size()
    encoding = encoder_bytes(guidance.vae, views, guidance.image_size)
    controlled = guidance.control is not None
    return encoding + denoiser_bytes(
        guidance.unet, views * passes, value_bytes, controlled=controlled
    )


def free_bytes(device: str, memory_bytes: int) -> int:
    """What may be used: of a GPU what is free, else what the caller was given."""
    if torch.device(device).type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return memory_bytes


def gigabytes(count: int) -> str:
    """For a message; never rounded down to nothing."""
    return f"{max(0.1, math.ceil(count / 1e8) / 10):.1f} GB"


def _without_memory(network: Any) -> Any:
    with torch.device("meta"):
        return type(network).from_config(network.config).eval()


def _tensors(out: Any) -> Iterator[Tensor]:
    if isinstance(out, Tensor):
        yield out
    elif isinstance(out, tuple | list):
        for each in out:
            yield from _tensors(each)
