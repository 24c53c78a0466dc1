"""What each part of the stitch is for: the paper's settings without one of them at a time.

    python benchmarks/stitching_ablations.py [--count 2500] [--only NAME ...]

A red ball and a blue torus, 12 cameras of 96 px, 300 + 300 iterations if not said otherwise.

    seam     color difference (CIE 1976) of the boundary to its source neighbors
    texture  correlation of the target's slopes with those before, away from the boundary
    far gap  what is left of the difference between the mean color of the target's far part, five
             spacings and more from the boundary, and that of the source
"""

import argparse
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import stitching_parts
import torch
from scipy.spatial import cKDTree
from splatworks.stages.geometry.activation import activate
from splatworks.stages.scene.recolor import base_colors
from splatworks.stages.stitch import Config, Weights
from splatworks.stages.stitch.checkpoint import begun
from splatworks.stages.stitch.harmonize import harmonized, posed, source_palette
from splatworks.stages.stitch.seam import lab, seam_difference, texture_kept
from splatworks.stages.stitch.views import View, around, views_of
from splatworks.stages.stitch.work import seam_of
from stitching import quiet

FAR_SPACINGS = 5
PAPER = Config(
    start="original", weights=Weights(color=1.0, palette=2.0), size_px=96, views=12,
    iterations=(300, 300),
)  # fmt: skip


def without(iterations: int = 600, **weights: float) -> Config:
    """Without the palette, and with other weights."""
    return replace(PAPER, iterations=(iterations, 0), weights=replace(PAPER.weights, **weights))


CASES: Mapping[str, Config] = {
    "all": PAPER,
    "without L_tune": without(),
    "without L_tune, 350 iterations": without(350),
    "without L_tune and L_color, 350 iterations": without(350, color=0.0),
    "without L_tune and L_color": without(color=0.0),
    "without L_tune and L_color, L_grad 2/64": without(color=0.0, gradient=2 / 64),
    "without L_tune and L_color, 1200 iterations": without(1200, color=0.0),
    "L_feature alone": without(color=0.0, gradient=0.0),
    "weight of L_grad 20": without(gradient=20.0),
    "A = 0": replace(PAPER, amplitude=0.0),
}


@dataclass(frozen=True)
class Parts:
    """The pair and what all cases share."""

    pair: stitching_parts.Pair
    views: list[View]
    source_views: list[View]
    far: np.ndarray


def parts(count: int) -> Parts:
    pair = stitching_parts.ball_and_torus(count, None)
    _, boundary = seam_of(pair.target, pair.source, PAPER)
    points = np.concatenate([pair.target.means, pair.source.means]).astype(np.float64)
    low, high = np.percentile(points, [1, 99], axis=0)
    radius = 0.5 * float(np.linalg.norm(high - low))
    cameras = around((low + high) / 2, radius, PAPER.views, PAPER.size_px)
    spacing = np.median(cKDTree(pair.target.means).query(pair.target.means, k=2)[0][:, 1])
    distance = cKDTree(pair.target.means[boundary.members]).query(pair.target.means)[0]
    return Parts(
        pair,
        views_of(activate(pair.target), cameras, 1),
        views_of(activate(pair.source), cameras, 1),
        distance > FAR_SPACINGS * spacing,
    )


def run(given: Parts, config: Config) -> tuple[float, float, float, float]:
    """Seam before and after, texture, far gap."""
    target, source = given.pair.target, given.pair.source
    own, theirs = activate(target), activate(source)
    size, boundary = seam_of(target, source, config)
    palette = source_palette(given.source_views, theirs.sh, 0) if config.iterations[1] else None
    problem = posed(own, theirs, boundary, given.views, size, config)
    with tempfile.TemporaryDirectory() as folder:
        sh = harmonized(problem, palette, config, quiet(Path(folder), 1), begun(problem.start))
    wanted = lab(base_colors(source.sh).mean(axis=0))
    gaps = [
        float(np.linalg.norm(lab(base_colors(now)[given.far].mean(axis=0)) - wanted))
        for now in (target.sh, sh.numpy())
    ]
    return (
        seam_difference(own.sh, theirs.sh, boundary),
        seam_difference(sh, theirs.sh, boundary),
        texture_kept(given.views, own.sh, sh, boundary),
        gaps[1] / gaps[0],
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=2500)
    parser.add_argument("--only", nargs="*", default=())
    words = parser.parse_args()
    torch.set_num_threads(1)
    given = parts(words.count)
    for name, config in CASES.items():
        if words.only and name not in words.only:
            continue
        before, after, texture, far = run(given, config)
        print(
            f"{name:46} seam {before:.1f} -> {after:.2f}  texture {texture:.3f}  far gap {far:.1%}"
        )


if __name__ == "__main__":
    main()
