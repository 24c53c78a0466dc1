"""Backgrounds and faults: what lies between a clean picture of a toy and the render of a result.

What comes out of distillation is soft at its edges, bulges a little, is blotchy and has its own
exposure; files are compressed; and anything can be behind it. Every picture gets its own amounts,
many of them zero.
"""

import math

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional

Layered = Float[Tensor, "picture 4 row column"]
"""Premultiplied sRGB and alpha in 0..1."""
Picture = Float[Tensor, "picture 3 row column"]


def disturbed(
    pixels: UInt8[Tensor, "picture row column 4"], draw: torch.Generator
) -> tuple[Picture, Float[Tensor, "picture row column"]]:
    """Premultiplied pictures made less perfect, over random backgrounds, in 0..1; their alpha."""
    layers = pixels.permute(0, 3, 1, 2).float() / 255
    layers = softened(bulged(layers, draw), draw)
    color, alpha = exposed(layers[:, :3], draw), layers[:, 3:]
    image = color + (1 - alpha) * backgrounds(len(color), color.shape[-1], draw)
    return compressed(noisy(image, draw), draw).clamp(0, 1), alpha[:, 0]


def bulged(layers: Layered, draw: torch.Generator) -> Layered:
    """Half are mirrored, and all are warped smoothly by up to about 3 % of the picture."""
    count, side = len(layers), layers.shape[-1]
    line = (torch.arange(side) + 0.5) / side * 2 - 1
    y, x = torch.meshgrid(line, line, indexing="ij")
    grid = torch.stack([x, y], dim=-1).expand(count, side, side, 2).clone()
    grid[:, :, :, 0] *= torch.where(_some(0.5, count, draw), -1.0, 1.0)[:, 0]
    amount = 0.03 * _amounts(count, draw)
    warp = smooth_noise(count, 2, 6, side, draw) * amount
    grid = grid + warp.permute(0, 2, 3, 1)
    return functional.grid_sample(layers, grid, align_corners=False, padding_mode="zeros")


def softened(layers: Layered, draw: torch.Generator) -> Layered:
    """A third are as drawn; the others are mixed with themselves at a half or a quarter size."""
    count, side = len(layers), layers.shape[-1]
    for factor, share, most in ((2, 0.5, 1.0), (4, 0.25, 0.6)):
        small = functional.avg_pool2d(layers, factor)
        soft = functional.interpolate(small, size=(side, side), mode="bilinear")
        weight = most * _amounts(count, draw) * _some(share, count, draw)
        layers = torch.lerp(layers, soft, weight)
    return layers


def exposed(color: Picture, draw: torch.Generator) -> Picture:
    """Brighter or darker, a little tinted, and blotchy."""
    count, side = len(color), color.shape[-1]
    gain = 1 + 0.15 * _signed((count, 1, 1, 1), draw) + 0.04 * _signed((count, 3, 1, 1), draw)
    blotches = 0.12 * _amounts(count, draw) * smooth_noise(count, 3, 8, side, draw)
    return color * (gain + blotches)


def backgrounds(count: int, side: int, draw: torch.Generator) -> Picture:
    """Thirds are flat, gradients, and soft noise."""
    first, second = torch.rand(2, count, 3, 1, 1, generator=draw).unbind()
    angle = 2 * math.pi * torch.rand(count, 1, 1, 1, generator=draw)
    line = (torch.arange(side) + 0.5) / side - 0.5
    y, x = torch.meshgrid(line, line, indexing="ij")
    along = 0.5 + (angle.cos() * x + angle.sin() * y) / math.sqrt(2)
    kind = torch.randint(3, (count, 1, 1, 1), generator=draw)
    noise = 0.35 * _amounts(count, draw) * smooth_noise(count, 3, 5, side, draw)
    gradient = torch.lerp(first, second, along)
    flat = first.expand(count, 3, side, side)
    return torch.where(kind == 0, flat, torch.where(kind == 1, gradient, flat + noise)).clamp(0, 1)


def noisy(image: Picture, draw: torch.Generator) -> Picture:
    """Half get white noise of up to 4 % deviation."""
    count = len(image)
    amount = 0.04 * _amounts(count, draw) * _some(0.5, count, draw)
    return image + amount * torch.randn(image.shape, generator=draw)


def compressed(image: Picture, draw: torch.Generator) -> Picture:
    """A third are quantized as JPEG does it: 8x8 cosine transforms, coarser for fine waves."""
    count, _, side, _ = image.shape
    wave = torch.arange(8)
    base = torch.cos(math.pi * (2 * wave[None, :] + 1) * wave[:, None] / 16) / 2
    base[0] /= math.sqrt(2)
    tiles = image.reshape(count, 3, side // 8, 8, side // 8, 8).transpose(3, 4)
    waves = base @ tiles @ base.T
    step = 0.01 + 0.1 * _amounts(count, draw)[..., None, None]
    step = step * (1 + 0.25 * (wave[:, None] + wave[None, :]))
    coarse = base.T @ ((waves / step).round() * step) @ base
    coarse = coarse.transpose(3, 4).reshape(image.shape)
    return torch.where(_some(1 / 3, count, draw), coarse, image)


def smooth_noise(
    count: int, channels: int, cells: int, side: int, draw: torch.Generator
) -> Float[Tensor, "picture channel row column"]:
    """About -1..1, without detail finer than `side / cells`."""
    coarse = _signed((count, channels, cells, cells), draw)
    return functional.interpolate(coarse, size=(side, side), mode="bilinear")


def _amounts(count: int, draw: torch.Generator) -> Float[Tensor, "picture 1 1 1"]:
    return torch.rand(count, 1, 1, 1, generator=draw)


def _some(share: float, count: int, draw: torch.Generator) -> Tensor:
    """True for about this share of the pictures."""
    return torch.rand(count, 1, 1, 1, generator=draw) < share


def _signed(shape: tuple[int, ...], draw: torch.Generator) -> Float[Tensor, "..."]:
    """Even in -1..1."""
    return 2 * torch.rand(shape, generator=draw) - 1
