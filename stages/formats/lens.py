"""What a lens does to straight lines, and how to take it back.

Notation: (x, y) a direction as the pinhole sees it, r^2 = x^2 + y^2; (u, v) where it lands.

    brown    f = (1 + k1 r^2 + k2 r^4 + k3 r^6) / (1 + k4 r^2 + k5 r^4 + k6 r^6)
             u = x f + 2 p1 x y + p2 (r^2 + 2 x^2)
             v = y f + p1 (r^2 + 2 y^2) + 2 p2 x y
    fisheye  t = atan r;  (u, v) = (x, y) t (1 + k1 t^2 + k2 t^4 + k3 t^6 + k4 t^8) / r

(Brown 1966, Kannala and Brandt 2006, with OpenCV's names.) A picture is straightened by looking up,
for each pixel of the pinhole picture, where it landed: no equation has to be solved.
"""

from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

LensModel = Literal["brown", "fisheye"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lens:
    """A pinhole and what is before it. Pixel centers lie at halves."""

    width_px: int
    height_px: int
    focal_px: tuple[float, float]
    center_px: tuple[float, float]
    model: LensModel = "brown"
    radial: tuple[float, ...] = ()
    """k1, k2, ...; missing ones are zero. At most 6 (brown) or 4 (fisheye)."""
    tangential: tuple[float, float] = (0.0, 0.0)
    """p1, p2; brown only."""

    @property
    def is_straight(self) -> bool:
        return self.model == "brown" and not any(self.radial) and not any(self.tangential)


def straightened(lens: Lens) -> Lens:
    """The pinhole alone."""
    return replace(lens, model="brown", radial=(), tangential=(0.0, 0.0))


def resized(lens: Lens, width_px: int, height_px: int) -> Lens:
    """The same camera with a picture of another size; the bending does not depend on it."""
    x, y = width_px / lens.width_px, height_px / lens.height_px
    return replace(
        lens,
        width_px=width_px,
        height_px=height_px,
        focal_px=(lens.focal_px[0] * x, lens.focal_px[1] * y),
        center_px=(lens.center_px[0] * x, lens.center_px[1] * y),
    )


def bend(lens: Lens, directions: Float[Tensor, "*shape 2"]) -> Float[Tensor, "*shape 2"]:
    """Where directions (x, y) at z = 1 land, in the same units."""
    x, y = directions.unbind(-1)
    square = x * x + y * y
    if lens.model == "fisheye":
        r = square.sqrt()
        t = torch.atan(r)
        k1, k2, k3, k4 = _padded(lens.radial, 4)
        t2 = t * t
        bent = t * (1 + t2 * (k1 + t2 * (k2 + t2 * (k3 + t2 * k4))))
        factor = torch.where(r > 0, bent / torch.where(r > 0, r, 1.0), 1.0)
        return directions * factor[..., None]
    k1, k2, k3, k4, k5, k6 = _padded(lens.radial, 6)
    p1, p2 = lens.tangential
    upper = 1 + square * (k1 + square * (k2 + square * k3))
    factor = upper / (1 + square * (k4 + square * (k5 + square * k6)))
    u = x * factor + 2 * p1 * x * y + p2 * (square + 2 * x * x)
    v = y * factor + p1 * (square + 2 * y * y) + 2 * p2 * x * y
    return torch.stack([u, v], dim=-1)


def straighten(
    picture: Float[Tensor, "channel height width"], lens: Lens
) -> tuple[Float[Tensor, "channel height width"], Bool[Tensor, "height width"]]:
    """What `straightened(lens)` would have seen, and which of its pixels the picture shows."""
    focal = torch.tensor(lens.focal_px, dtype=torch.float64)
    center = torch.tensor(lens.center_px, dtype=torch.float64)
    columns = torch.arange(lens.width_px, dtype=torch.float64) + 0.5
    rows = torch.arange(lens.height_px, dtype=torch.float64) + 0.5
    pixels = torch.stack(torch.meshgrid(columns, rows, indexing="xy"), dim=-1)
    landed = bend(lens, (pixels - center) / focal) * focal + center
    size = torch.tensor([lens.width_px, lens.height_px], dtype=torch.float64)
    seen = ((landed >= 0) & (landed <= size)).all(dim=-1)
    grid = (2 * landed / size - 1).to(picture)[None]
    found = functional.grid_sample(picture[None], grid, padding_mode="border", align_corners=False)
    return found[0], seen


def _padded(values: tuple[float, ...], count: int) -> tuple[float, ...]:
    if len(values) > count:
        raise ValueError(f"at most {count} radial coefficients, got {len(values)}.")
    return (*values, *([0.0] * (count - len(values))))
