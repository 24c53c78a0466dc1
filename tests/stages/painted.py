"""Shapes covered with flat splats of known color, and a context to run a stage in: for tests."""

import logging
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import trimesh
from splatworks.pipeline.contract import Context
from splatworks.stages.formats.gltf import Mesh
from splatworks.stages.formats.splats import RawSplats

SH_C0 = 0.28209479177387814
Coloring = Callable[[np.ndarray], np.ndarray]


def as_mesh(shape: trimesh.Trimesh) -> Mesh:
    return Mesh(shape.vertices.astype(np.float32), shape.faces.astype(np.int64))


def stripes(points: np.ndarray) -> np.ndarray:
    """sRGB: soft red bands, 24 cm from one to the next, on a color that changes with the place."""
    band = 0.5 + 0.5 * np.sin(2 * np.pi * points[:, 1:2] / 0.24)
    return band * [0.85, 0.15, 0.1] + (1 - band) * (0.25 + 0.6 * (points + 0.5))


def cover(shape: trimesh.Trimesh, count: int, coloring: Coloring = stripes) -> RawSplats:
    """Opaque disks on the surface, evenly spread, overlapping generously."""
    points, faces = trimesh.sample.sample_surface_even(shape, count, seed=0)
    normals = shape.face_normals[faces]
    width = np.log(0.6 * np.sqrt(shape.area / len(points)))
    # Turns +Z to the normal; where that is -Z, half a turn about X.
    turn = np.cross(np.broadcast_to([0.0, 0.0, 1.0], normals.shape), normals)
    quaternions = np.concatenate([1 + normals[:, 2:], turn], axis=1)
    quaternions[np.linalg.norm(quaternions, axis=1) < 1e-3] = (0, 1, 0, 0)
    return RawSplats(
        means=points.astype(np.float32),
        log_scales=np.tile([width, width, width - 3], (len(points), 1)).astype(np.float32),
        logit_opacities=np.full(len(points), 6.0, np.float32),
        quaternions=quaternions.astype(np.float32),
        sh=((coloring(points) - 0.5) / SH_C0)[:, None].astype(np.float32),
    )


class Notes:
    """A progress bar that only counts."""

    def __init__(self, done: int) -> None:
        self.done = done

    def advance(self, steps: int = 1, note: str = "") -> None:
        self.done += steps


def context(directory: Path, threads: int = 1) -> Context:
    @contextmanager
    def progress(title: str, total: int, done: int = 0):
        yield Notes(done)

    for name in ("out", "scratch"):
        (directory / name).mkdir(parents=True, exist_ok=True)
    return Context(
        out=directory / "out",
        scratch=directory / "scratch",
        log=logging.getLogger("test"),
        progress=progress,
        seed=0,
        device="cpu",
        threads=threads,
        memory_bytes=1 << 32,
    )
