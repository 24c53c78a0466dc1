"""Splats on a sphere, and what a stage needs to run in a test."""

import logging
import math
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from splatworks.pipeline.contract import Context
from splatworks.stages.artifacts import SplatsFile
from splatworks.stages.formats import splats

SH_DC = 0.28209479177387814
RADIUS_M = 0.4


@contextmanager
def silent(title: str, total: int, done: int = 0):
    class Bar:
        def advance(self, steps: int = 1, note: str = "") -> None: ...

    yield Bar()


def context(folder: Path, threads: int = 1) -> Context:
    out, scratch = folder / "out", folder / "scratch"
    out.mkdir(parents=True)
    scratch.mkdir()
    log = logging.getLogger("splatworks.test")
    return Context(out, scratch, log, silent, 7, "cpu", threads, 2**30)


def sphere(
    count: int = 2500, radius_m: float = RADIUS_M, center=(0.0, 0.0, 0.0), opacity: float = 0.95
) -> splats.RawSplats:
    """Flat Gaussians on a Fibonacci sphere; the front (+Z) is red, +X green, the rest blue."""
    steps = np.arange(count) + 0.5
    y, turn = 1 - 2 * steps / count, steps * math.pi * (3 - math.sqrt(5))
    ring = np.sqrt(1 - y**2)
    normals = np.stack([ring * np.cos(turn), y, ring * np.sin(turn)], axis=1)
    width = radius_m * math.sqrt(4 * math.pi / count)
    colors = np.where(
        normals[:, 2:] > 0.6, [[0.9, 0.1, 0.1]],
        np.where(normals[:, :1] > 0.6, [[0.1, 0.8, 0.2]], [[0.15, 0.2, 0.9]]),
    )  # fmt: skip
    return raw(
        means=normals * radius_m + np.asarray(center),
        scales=np.tile([width, width, width / 10], (count, 1)),
        quaternions=turn_z_to(normals),
        opacities=np.full(count, opacity),
        colors=colors,
    )


def raw(means, scales, quaternions, opacities, colors) -> splats.RawSplats:
    """Raw values from activated ones."""
    return splats.RawSplats(
        means=np.asarray(means, np.float32),
        log_scales=np.log(scales).astype(np.float32),
        logit_opacities=np.log(opacities / (1 - opacities)).astype(np.float32),
        quaternions=np.asarray(quaternions, np.float32),
        sh=((np.asarray(colors) - 0.5) / SH_DC)[:, None].astype(np.float32),
    )


def joined(*parts: splats.RawSplats) -> splats.RawSplats:
    names = ("means", "log_scales", "logit_opacities", "quaternions", "sh")
    return splats.RawSplats(*(np.concatenate([getattr(p, n) for p in parts]) for n in names))


def turn_z_to(normals: np.ndarray) -> np.ndarray:
    """Quaternions (w, x, y, z) of the shortest turn from +Z to each normal."""
    w = 1 + normals[:, 2]
    turns = np.stack([w, -normals[:, 1], normals[:, 0], np.zeros_like(w)], axis=1)
    turns[w < 1e-9] = [0, 1, 0, 0]
    return turns / np.linalg.norm(turns, axis=1, keepdims=True)


def saved(scene: splats.RawSplats, path: Path) -> SplatsFile:
    return SplatsFile(splats.save(scene, path))
