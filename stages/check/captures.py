"""What is in a folder of photographs with cameras, and whether it can be trained on."""

from collections import Counter
from pathlib import Path

import numpy as np

from ..formats import captures
from .remarks import Remark, fact, share

FEW = 20
APART = 1e-9


def remarks_on_capture(folder: Path) -> list[Remark]:
    """Facts first, then what is wrong."""
    capture = captures.load(folder)
    listed = len(capture.shots) + len(capture.missing)
    found = [fact(f"{len(capture.shots)} photographs, up is {capture.up_axis}")]
    if capture.missing:
        found.append(
            Remark(
                "warning",
                f"{share(len(capture.missing), listed)} of {listed} listed photographs are not "
                f"there: {', '.join(capture.missing[:5])}"
                + (" …" if len(capture.missing) > 5 else ""),
                "copy them, or go on without",
            )
        )
    sizes = Counter((shot.lens.width_px, shot.lens.height_px) for shot in capture.shots)
    said = ", ".join(f"{n} of {w} x {h}" for (w, h), n in sorted(sizes.items()))
    found.append(fact(f"sizes: {said}"))
    bent = sum(not shot.lens.is_straight for shot in capture.shots)
    found.append(fact(f"{bent} with a lens that bends, which is straightened while reading"))
    points = "none: training begins at random"
    if capture.points is not None:
        points = f"{len(capture.points.positions):,}"
    found.append(fact(f"triangulated points: {points}"))
    return [*found, *_on_cameras(capture)]


def _on_cameras(capture: captures.Capture) -> list[Remark]:
    poses = np.stack([shot.world_to_camera for shot in capture.shots])
    eyes = -np.einsum("nji,nj->ni", poses[:, :3, :3], poses[:, :3, 3])
    spread = np.linalg.norm(eyes - eyes.mean(axis=0), axis=1).max()
    found = [fact(f"cameras within {spread:.3g} units of their middle")]
    if len(eyes) < FEW:
        found.append(Remark("note", f"fewer than {FEW} photographs: expect holes and floaters"))
    if spread <= APART:
        found.append(
            Remark("error", "all cameras stand in one place: depth cannot be found from them")
        )
    same = len(eyes) - len(np.unique(poses.round(9), axis=0))
    if same:
        found.append(Remark("warning", f"{same} cameras stand exactly where another one does"))
    return found
