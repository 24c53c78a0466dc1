"""Pictures of the full scene by our own renderer: all harmonics, all Gaussians, one depth order.

splats    colors; the selection is tinted
centers   every Gaussian as a dot in its mean color
depth     near is bright, far is dark, over the range that is seen
normals   of the shortest axes turned to the camera; (x, y, z) from -1 to 1 as (red, green, blue)
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from ..renderers import sh as harmonics
from ..renderers.cpu.renderer import render
from ..renderers.projection import NEAR_M, view_depths, view_directions
from ..renderers.scene import Cameras, Frames, Gaussians, Output
from ..stages.formats.pictures import to_bytes
from ..stages.formats.regions import Viewpoint
from ..stages.geometry.activation import activate
from ..stages.scene import affine
from ..stages.scene.layers import Layer, Scene, baked_shape
from .proxy import HIGHLIGHT, TINT

Mode = Literal["splats", "centers", "depth", "normals"]
BACKGROUND = 0.18
DOT_PX = 0.9
"""Standard deviation of a dot."""
_NEEDS: dict[Mode, frozenset[Output]] = {
    "splats": frozenset({"rgb", "alpha"}),
    "centers": frozenset({"rgb", "alpha"}),
    "depth": frozenset({"depth", "alpha"}),
    "normals": frozenset({"normal", "alpha"}),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """How a picture is taken."""

    mode: Mode = "splats"
    hidden: frozenset[str] = frozenset()
    """Layers that are left out."""
    tinted: bool = True
    """The selection in orange."""
    background: float = BACKGROUND
    """Gray."""


@dataclass(frozen=True, slots=True)
class _Held:
    layer: Layer
    gaussians: Gaussians
    """Moved, but for the harmonics."""
    turns: tuple[tuple[Tensor, Tensor], ...]
    """What the harmonics are turned by, and which rows."""

    def towards(self, camera: Cameras) -> Gaussians:
        """With the colors that this camera sees, in degree 0.

        Looking at unturned harmonics from directions turned back is the same, and much cheaper
        than turning harmonics, of which a picture needs one direction each.
        """
        if not self.turns or self.gaussians.sh.shape[1] == 1:
            return self.gaussians
        directions = view_directions(self.gaussians.means, camera)[0]
        for turn, rows in self.turns:
            directions[rows] = directions[rows] @ turn
        sh = self.gaussians.sh
        seen = torch.einsum("nk,nkc->nc", harmonics.basis(directions, sh.shape[1]), sh)
        return replace(self.gaussians, sh=(seen / harmonics.C0)[:, None])


@dataclass(frozen=True, slots=True)
class Forming:
    """A retouched view on its way."""

    camera: Viewpoint
    picture: UInt8[np.ndarray, "height width 3"]


class Pictures:
    """Takes pictures of one scene after another; what did not change is not prepared again."""

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._held: dict[str, _Held] = {}

    def take(
        self, scene: Scene, camera: Viewpoint, look: Look | None = None
    ) -> UInt8[np.ndarray, "height width 3"]:
        """One picture, sRGB."""
        look = look or Look()
        layers = [layer for layer in scene.layers if layer.name not in look.hidden]
        self._held = {layer.name: self._prepared(layer) for layer in layers}
        width, height = camera.size_px
        if not layers:
            return to_bytes(np.full((height, width, 3), look.background))
        cameras = camera.cameras()
        parts = [self._held[layer.name].towards(cameras) for layer in layers]
        if look.tinted and look.mode in ("splats", "centers"):
            parts = [_tinted(part, layer) for part, layer in zip(parts, layers, strict=True)]
        drawn = _joined(parts)
        if look.mode == "centers":
            drawn = _dots(drawn, camera)
        with torch.no_grad():
            frames = render(drawn, cameras, _NEEDS[look.mode], threads=self._threads)
        assert frames.alpha is not None
        alpha = frames.alpha[0].numpy()
        out = _premultiplied(frames, alpha, look.mode) + (1 - alpha) * look.background
        return to_bytes(np.broadcast_to(out, (height, width, 3)))

    def _prepared(self, layer: Layer) -> _Held:
        held = self._held.get(layer.name)
        if held is not None and _same_splats(held.layer, layer):
            return held
        shape = baked_shape(layer).values
        gaussians = activate(replace(shape, sh=layer.values.sh))
        return _Held(layer, gaussians, tuple(_turns(layer)))


def _turns(layer: Layer) -> Iterator[tuple[Tensor, Tensor]]:
    for slot, matrix in enumerate(layer.palette):
        turn = affine.polar(matrix[:3, :3])[0]
        if not np.array_equal(turn, np.eye(3)):
            rows = np.flatnonzero(layer.slots == slot)
            yield torch.from_numpy(turn).float(), torch.from_numpy(rows)


def _same_splats(one: Layer, two: Layer) -> bool:
    """Whether only selections differ. Matrices are replaced, never changed in place."""
    same = one.values is two.values and len(one.palette) == len(two.palette)
    if not same or any(a is not b for a, b in zip(one.palette, two.palette, strict=True)):
        return False
    return one.slots is two.slots or bool((one.slots == two.slots).all())


def _tinted(part: Gaussians, layer: Layer) -> Gaussians:
    rows = torch.from_numpy(np.flatnonzero(layer.selected))
    if not len(rows):
        return part
    sh = part.sh.clone()
    sh[rows] *= 1 - TINT
    # Half of the offset 0.5 goes with the rest, and comes back with the highlight.
    sh[rows, 0] += torch.from_numpy(TINT * (HIGHLIGHT - 0.5) / harmonics.C0).to(sh)
    return replace(part, sh=sh)


def _joined(parts: list[Gaussians]) -> Gaussians:
    """All in one; the lower SH degrees are filled up with zeros."""
    if len(parts) == 1:
        return parts[0]
    most = max(part.sh.shape[1] for part in parts)
    names = ("means", "quaternions", "scales", "opacities")
    columns = [torch.cat([getattr(part, name) for part in parts]) for name in names]
    return Gaussians(*columns, sh=torch.cat([_padded(part.sh, most) for part in parts]))


def _padded(sh: Float[Tensor, "n coefficient 3"], most: int) -> Float[Tensor, "n most 3"]:
    return torch.nn.functional.pad(sh, (0, 0, 0, most - sh.shape[1]))


def _dots(scene: Gaussians, camera: Viewpoint) -> Gaussians:
    away = view_depths(scene.means, camera.cameras())[0].clamp(min=NEAR_M)
    return replace(
        scene,
        scales=(DOT_PX / camera.focal_px[1] * away)[:, None].expand(-1, 3),
        opacities=torch.full_like(scene.opacities, 0.95),
        sh=scene.sh[:, :1],
    )


def _premultiplied(
    frames: Frames, alpha: Float[np.ndarray, "height width 1"], mode: Mode
) -> Float[np.ndarray, "height width channel"]:
    if mode == "depth":
        assert frames.depth is not None
        return _shaded_depth(frames.depth[0].numpy(), alpha) * alpha
    if mode == "normals":
        assert frames.normal is not None
        return 0.5 * frames.normal[0].numpy() + 0.5 * alpha
    assert frames.rgb is not None
    return frames.rgb[0].numpy()


def _shaded_depth(
    depth: Float[np.ndarray, "height width 1"], alpha: Float[np.ndarray, "height width 1"]
) -> Float[np.ndarray, "height width 1"]:
    seen = depth[alpha > 0.5]
    if not len(seen):
        return np.zeros_like(depth)
    near, far = np.percentile(seen, [1, 99])
    return 1 - 0.85 * ((depth - near) / max(far - near, 1e-9)).clip(0, 1)
