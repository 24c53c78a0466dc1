"""How visible a seam is in pictures, whatever method made it: the step in color across it.

Pictures of both parts together, from around. Two pixels `APART` apart in a row or a column are

    across   one shows the target, the other the source (`CLEAR` of the weight), both are solid,
             and their depths differ by less than β L: the surface goes on from one to the other
    beside   both show the same part, at most `NEAR` pixels from a pair across: what the textures
             do by themselves

The figure is the mean color difference (CIE 1976 ΔE) of each kind. Where a seam can not be told,
the first is no larger than the second.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ...renderers.projection import view_depths
from ...renderers.scene import Cameras, Gaussians
from ..geometry.concurrency import in_order
from ..geometry.likeness import one_by_one
from .seam import lab
from .views import SOLID, View, colors_in, picture, seen

APART = 4
CLEAR = 0.9
NEAR = 8


@dataclass(frozen=True, slots=True)
class Step:
    """Mean color differences between pixels; `None` where no camera sees such pixels."""

    across: float | None
    beside: float | None
    pairs: int
    """Across."""


@dataclass(frozen=True, slots=True)
class Crossing:
    """One camera's view of both parts, and where the seam is in it."""

    view: View
    across: tuple[Bool[Tensor, "height width"], Bool[Tensor, "height width"]]
    """Pixels that begin a pair along x, and along y."""
    beside: tuple[Bool[Tensor, "height width"], Bool[Tensor, "height width"]]


def crossings(
    target: Gaussians, source: Gaussians, cameras: Cameras, reach: float, threads: int
) -> list[Crossing]:
    """Where the cameras see the seam; `reach` is β L."""
    both = Gaussians(
        means=torch.cat([target.means, source.means]),
        quaternions=torch.cat([target.quaternions, source.quaternions]),
        scales=torch.cat([target.scales, source.scales]),
        opacities=torch.cat([target.opacities, source.opacities]),
        sh=torch.cat([target.sh, source.sh]),
    )
    count = len(target.means)

    def look(camera: Cameras) -> Crossing:
        view = seen(both, camera)
        depths = view_depths(both.means, camera)[0]
        ours = (torch.arange(len(depths)) < count).to(depths)
        blended = view.blend(torch.stack([ours, depths], dim=1))
        share, depth = (blended / view.alpha.clamp(min=1e-6)[:, None]).T
        return _crossing(view, share, depth, reach)

    return list(in_order(look, one_by_one(cameras), threads=threads))


def visible_step(
    views: Sequence[Crossing],
    target: Float[Tensor, "n coefficient 3"],
    source: Float[Tensor, "m coefficient 3"],
) -> Step:
    """With these harmonics on the target and on the source."""
    across, beside = [], []
    for one in views:
        width, height = one.view.size_px
        pixels = picture(one.view, colors_in(one.view, torch.cat([target, source])))
        colors = lab((pixels / one.view.alpha.clamp(min=1e-6)[:, None]).double().numpy())
        colors = colors.reshape(height, width, 3)
        for axis, (seam, rest) in enumerate(zip(one.across, one.beside, strict=True)):
            gaps = np.zeros((height, width))
            first, second = _ends(colors, axis)
            _ends(gaps, axis)[0][:] = np.linalg.norm(first - second, axis=-1)
            across.append(gaps[seam.numpy()])
            beside.append(gaps[rest.numpy()])
    one, other = np.concatenate(across), np.concatenate(beside)
    return Step(
        across=float(one.mean()) if len(one) else None,
        beside=float(other.mean()) if len(other) else None,
        pairs=len(one),
    )


def _crossing(
    view: View, share: Float[Tensor, " p"], depth: Float[Tensor, " p"], reach: float
) -> Crossing:
    width, height = view.size_px
    solid, share, depth = (
        part.reshape(height, width) for part in (view.alpha > SOLID, share, depth)
    )
    across, alike = [], []
    for axis in (0, 1):
        planes = [_ends(part, axis) for part in (solid, share > CLEAR, share < 1 - CLEAR, depth)]
        (s1, s2), (t1, t2), (o1, o2), (d1, d2) = planes
        whole = s1 & s2 & ((d1 - d2).abs() < reach)
        across.append(_whole(whole & (t1 & o2 | o1 & t2), axis))
        alike.append(_whole(whole & (t1 & t2 | o1 & o2), axis))
    marks = (across[0] | across[1]).float()[None, None]
    near = torch.nn.functional.max_pool2d(marks, 2 * NEAR + 1, 1, NEAR)[0, 0] > 0
    return Crossing(view, (across[0], across[1]), (alike[0] & near, alike[1] & near))


def _ends(plane, axis: int):
    """The first and the second pixels of all pairs: along x for axis 0, along y for axis 1."""
    if axis == 0:
        return plane[:, :-APART], plane[:, APART:]
    return plane[:-APART], plane[APART:]


def _whole(pairs: Bool[Tensor, "rows columns"], axis: int) -> Bool[Tensor, "height width"]:
    """Of the size of the picture again, at the first pixels."""
    return torch.nn.functional.pad(pairs, (0, 0 if axis else APART, 0, APART if axis else 0))
