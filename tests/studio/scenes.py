"""Two objects that meet, as files, and a workspace on them."""

from pathlib import Path

import numpy as np
from splatworks.stages.formats import splats
from splatworks.studio.gestures import Eye
from splatworks.studio.workspace import Workspace, open_workspace

from ..stages.stitch_setup import ball, torus

COUNT = 1200


def files(folder: Path, count: int = COUNT) -> list[Path]:
    """torus.ply and ball.ply."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = {"torus": torus(count), "ball": ball(count)}
    return [splats.save(part, folder / f"{name}.ply") for name, part in parts.items()]


def workspace(folder: Path, count: int = COUNT) -> Workspace:
    return open_workspace(files(folder / "in", count), folder / "out", threads=1)[0]


def looking(size_px: tuple[int, int] = (400, 300)) -> Eye:
    """From +Z at the seam: OpenCV axes, so half a turn about x."""
    return Eye(
        rotation=(0.0, 1.0, 0.0, 0.0), position=(0.25, 0.0, 2.0), fovy_rad=np.radians(40.0),
        size_px=size_px,
    )  # fmt: skip
