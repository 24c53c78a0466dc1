"""The mesh's appearance as a field on simplices, fitted to the pixels of the views.

Visibility is settled once: each pixel whose ray meets the mesh becomes a surface point with a color
and a weight, by the rules of `blend.py`. Only the field is differentiated then. Its loss grows
linearly with the error, so that at every place it ends near the weighted median of what the views
show there; but unlike a median texel by texel it is one function, sharp where the views agree.
"""

import dataclasses

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor

from ...pipeline.contract import Context
from ...renderers.scene import Cameras
from ..encoding.field import Field, FieldSettings
from ..encoding.settings import Settings
from ..encoding.training import Schedule, signature, train
from ..randomness import generator
from .blend import Rules, fade

ITERATIONS, BATCH, RATE = 800, 1 << 14, 0.01
CHECKPOINT_EVERY_S = 30.0
LEVELS, TABLE, COARSEST = 12, 1 << 17, 8.0
ROUNDING = 0.02
"""Errors below this (in sRGB units) count with their square."""
MARGIN = 1.02


@dataclasses.dataclass(frozen=True, slots=True)
class Seen:
    """What the views show of the surface, pixel by pixel."""

    points: Float32[np.ndarray, "pixel 3"]
    colors: Float32[np.ndarray, "pixel 3"]
    weights: Float32[np.ndarray, " pixel"]


def learn(
    shots: Float32[np.ndarray, "camera height width 4"],
    depths: Float32[np.ndarray, "camera height width"],
    cameras: Cameras,
    rules: Rules,
    ctx: Context,
) -> Field | None:
    """The fitted field; None where no view shows the mesh.

    Args:
        shots: Premultiplied color and alpha.
        depths: View-space z of the mesh itself; inf beside it.
    """
    torch.set_num_threads(1)
    seen = observe(shots, depths, cameras, rules)
    if not len(seen.points):
        return None
    low, high = seen.points.min(axis=0), seen.points.max(axis=0)
    side = float((high - low).max()) * MARGIN + 1e-6
    corner = (low + high) / 2 - side / 2
    settings = FieldSettings(
        kind="texture",
        encoding=Settings(
            dims=3, levels=LEVELS, table_size=TABLE, n_min=COARSEST,
            n_max=max(COARSEST, float(cameras.height_px)),
        ),
        low=(float(corner[0]), float(corner[1]), float(corner[2])),
        side=side,
    )  # fmt: skip
    field = Field(settings, seed=ctx.seed, threads=ctx.threads)
    given = tuple(torch.from_numpy(getattr(seen, f.name)) for f in dataclasses.fields(Seen))
    schedule = Schedule(ITERATIONS, RATE, CHECKPOINT_EVERY_S, signature(2, {}, ctx.seed))
    train(field, lambda k: _loss(field, given, ctx.seed, k), lambda v: f"{v:.4f}", schedule, ctx)
    return field


def observe(
    shots: Float32[np.ndarray, "camera height width 4"],
    depths: Float32[np.ndarray, "camera height width"],
    cameras: Cameras,
    rules: Rules,
) -> Seen:
    """All pixels that show the mesh, with the weights of `blend.py`."""
    parts = []
    rows, columns = np.mgrid[: cameras.height_px, : cameras.width_px] + 0.5
    for view, (shot, depth) in enumerate(zip(shots, depths, strict=True)):
        focal, center = cameras.focal_px[view].numpy(), cameras.center_px[view].numpy()
        pose = cameras.world_to_camera[view].double().numpy()
        z = np.where(np.isfinite(depth), depth, np.nan).astype(np.float64)
        place = np.stack(
            [(columns - center[0]) / focal[0] * z, (rows - center[1]) / focal[1] * z, z], axis=-1
        )
        right, down = np.gradient(place, axis=1), np.gradient(place, axis=0)
        normal = np.cross(right, down)
        lengths = np.linalg.norm(normal, axis=-1) * np.linalg.norm(place, axis=-1)
        cosine = np.abs((normal * place).sum(axis=-1)) / np.maximum(lengths, 1e-30)
        use = np.isfinite(cosine) & (cosine >= rules.min_cosine)
        use &= shot[..., 3] >= rules.min_alpha
        weight = cosine[use] ** rules.sharpness * fade(depth, rules)[use]
        world = (place[use] - pose[:3, 3]) @ pose[:3, :3]
        parts.append((world, shot[use][:, :3] / shot[use][:, 3:], weight))
    joined = (np.concatenate(part).astype(np.float32) for part in zip(*parts, strict=True))
    return Seen(*joined)


def _loss(field: Field, seen: tuple[Tensor, ...], seed: int, iteration: int) -> Tensor:
    points, colors, weights = seen
    picked = torch.randint(len(points), (BATCH,), generator=generator(seed, iteration, "pixels"))
    error = torch.nn.functional.smooth_l1_loss(
        field(points[picked]), colors[picked], beta=ROUNDING, reduction="none"
    )
    weight = weights[picked]
    return (weight * error.mean(dim=1)).sum() / weight.sum()
