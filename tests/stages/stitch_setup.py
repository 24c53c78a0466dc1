"""A red ball and a blue torus with a pattern that meet, and a whole run of the optimization."""

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import torch
from splatworks.stages.formats.splats import RawSplats
from splatworks.stages.geometry.activation import activate
from splatworks.stages.scene.recolor import base_colors
from splatworks.stages.stitch import Config, Weights
from splatworks.stages.stitch.boundary import Boundary, driving_points
from splatworks.stages.stitch.checkpoint import begun
from splatworks.stages.stitch.harmonize import harmonized, posed, source_palette
from splatworks.stages.stitch.seam import lab, seam_difference, texture_kept
from splatworks.stages.stitch.views import around, views_of
from splatworks.stages.stitch.work import seam_of

from .splat_objects import SH_DC, context, raw, sphere, turn_z_to

PAPER = {"start": "original", "weights": Weights(color=1.0, palette=2.0)}
"""Settings of the paper, as far as they are known."""
RED = np.array([0.8, 0.12, 0.1])


def ball(count: int, radius: float = 0.25) -> RawSplats:
    plain = sphere(count, radius, opacity=0.97)
    sh = np.broadcast_to((RED - 0.5) / SH_DC, plain.sh.shape).astype(np.float32)
    return replace(plain, sh=sh.copy())


def torus(count: int, large: float = 0.32, small: float = 0.12) -> RawSplats:
    """Around z, meeting the ball; blue, darker and lighter in turn."""
    rng = np.random.default_rng(0)
    u, v = rng.uniform(0, 2 * np.pi, (2, 4 * count))
    even = rng.uniform(0, large + small, 4 * count) < large + small * np.cos(v)
    u, v = u[even][:count], v[even][:count]
    normals = np.stack([np.cos(v) * np.cos(u), np.cos(v) * np.sin(u), np.sin(v)], axis=1)
    ring = np.stack([np.cos(u), np.sin(u), np.zeros(count)], axis=1)
    width = np.sqrt(4 * np.pi**2 * large * small / count)
    pattern = 0.5 + 0.5 * np.sin(16 * u) * np.sin(6 * v)
    return raw(
        means=large * ring + small * normals + [0.42, 0, 0],
        scales=np.tile([0.8 * width, 0.8 * width, 0.08 * width], (count, 1)),
        quaternions=turn_z_to(normals),
        opacities=np.full(count, 0.97),
        colors=np.array([0.12, 0.2, 0.75]) * (0.55 + 0.6 * pattern[:, None]),
    )


@dataclass(frozen=True)
class Run:
    """What came out, in figures."""

    boundary: Boundary
    before: float
    """Color difference at the seam."""
    after: float
    texture: float
    far_gap_left: float
    """Color difference between the far Gaussians' mean and the source's mean, after over before."""
    sh: torch.Tensor


@cache
def run(tmp: str, count: int, size_px: int, views: int, **settings) -> Run:
    """The optimization on `count` Gaussians each."""
    config = Config(size_px=size_px, views=views, **settings)
    target, source = torus(count), ball(count)
    own, theirs = activate(target), activate(source)
    size, boundary = seam_of(target, source, config)
    cameras = around(np.array([0.25, 0.0, 0.0]), 0.65, views, size_px)
    seen = views_of(own, cameras, 1)
    palette = None
    if config.iterations[1] and not config.seam_only:
        palette = source_palette(views_of(theirs, cameras, 1), theirs.sh, 0)
    problem = posed(own, theirs, boundary, seen, size, config)
    sh = harmonized(problem, palette, config, context(Path(tmp)), begun(problem.start))
    _, distance = driving_points(
        target.means.astype(np.float64), boundary.members, size=size, amplitude=0.0, gamma=0.0, k=1
    )
    spacing = np.sqrt(4 * np.pi**2 * 0.32 * 0.12 / count)
    far = distance > 5 * spacing
    red = lab(RED)
    gaps = [
        np.linalg.norm(lab(base_colors(s.numpy())[far].mean(axis=0)) - red) for s in (own.sh, sh)
    ]
    return Run(
        boundary=boundary,
        before=seam_difference(own.sh, theirs.sh, boundary),
        after=seam_difference(sh, theirs.sh, boundary),
        texture=texture_kept(seen, own.sh, sh, boundary),
        far_gap_left=float(gaps[1] / gaps[0]),
        sh=sh,
    )
