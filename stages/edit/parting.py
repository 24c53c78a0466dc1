"""What was shifted as one piece, told apart from what it stands before, Gaussian by Gaussian.

Where a picture shows an object in another place, its Gaussians and those of the wall behind it all
lie under the edit, and between them hang such as no picture places: dark ones inside of fur, the
sides of a board. Bound to both, these would go half the way. So each is given to one of the two:
by the pixels that show it (`whereabouts.py`), and where none does by what it touches
(`walker.py`). This is believed only if one shift, which most pixel pairs share, explains the edit.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float

from ...renderers.cpu import render
from ...renderers.projection import view_depths
from ...renderers.scene import Cameras, Gaussians
from .pictures_in import Retouched
from .views import composited, weights_inside
from .walker import body, footprints, subset
from .whereabouts import averaged, moved, told

AGREE_PX, AGREE_SHARE = 4.0, 0.1
"""Pairs share a shift if theirs are this near, and by this share of it."""
SHARE, FEWEST = 0.5, 8
"""So many of all pairs have to share it."""
LEAST_PX = 8.0
"""A shift by less than this tears nothing apart."""
HIDDEN = 0.3
"""A Gaussian that shows less than this share of what it does once others are gone was hidden."""
ROUNDS, LIKE = 2, 0.2
"""How often what was hidden is looked at; and what difference still is a likeness."""
SEEN_PX = 0.1
"""Blending weight from which on something shows."""
EXPLAINED = 0.5
"""Share of the difference that the shift has to remove."""
COVERED = 0.05
"""Share of what is under the edit that has to have stayed; else there is nothing to part from."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What was shifted, and what was not."""

    gone: Bool[np.ndarray, " n"]
    movable: Bool[np.ndarray, " n"]
    """With what was hidden: it is in the way, perhaps, now that the other is gone."""


def parted(
    scene: Gaussians,
    shot: Retouched,
    pairs: Float[np.ndarray, "pair 4"],
    near: Bool[np.ndarray, " n"],
) -> Parts | None:
    """Of the Gaussians `near`, those that were shifted as one piece; None if that is not what
    has happened."""
    by_px = shift_of(pairs)
    if by_px is None:
        return None
    found = told(shot.own, shot.edited, by_px)
    shown = [_shown(scene, shot.camera, mask) for mask in (found.gone, found.stayed)]
    footprint = footprints(scene, shot.camera)
    gone = body(scene, *shown, footprint, near)
    under = _shown(scene, shot.camera, shot.mask)
    if not gone.any() or under[~gone].sum() < COVERED * under.sum():
        return None
    if explained(scene, shot, by_px, gone) < EXPLAINED:
        return None
    for _ in range(ROUNDS):
        hidden = bared(scene, shot.camera, gone)
        shown[0] += hidden * left_over(scene, shot, by_px, gone, found.gone)
        gone = body(scene, *shown, footprint, near)
    return Parts(gone, gone | near & bared(scene, shot.camera, gone))


def left_over(
    scene: Gaussians,
    shot: Retouched,
    by_px: tuple[int, int],
    gone: Bool[np.ndarray, " n"],
    where: Bool[np.ndarray, "height width"],
) -> Float[np.ndarray, " n"]:
    """How much each shows, where something has gone and nothing has come, of what still looks as
    before: it was hidden by its like, and has been left by mistake."""
    bare = where & ~moved(where[..., None], (-by_px[0], -by_px[1]))[..., 0]
    left = np.flatnonzero(~gone)
    rest = subset(scene, left)
    with torch.no_grad():
        frames = render(rest, shot.camera)
    alone = composited(frames, torch.from_numpy(shot.background)).numpy()
    before, after = (averaged(alone, one) for one in (shot.own, shot.edited))
    out = np.zeros(len(gone))
    out[left] = _shown(rest, shot.camera, bare & (before < after) & (before < LIKE))
    return out


def bared(
    scene: Gaussians, camera: Cameras, gone: Bool[np.ndarray, " n"]
) -> Bool[np.ndarray, " n"]:
    """What shows once the others have gone, and hardly did before."""
    everywhere = np.ones((camera.height_px, camera.width_px), bool)
    before, left = _shown(scene, camera, everywhere), np.flatnonzero(~gone)
    out = np.zeros(len(gone), bool)
    after = _shown(subset(scene, left), camera, everywhere)
    out[left] = (after > SEEN_PX) & (before[left] < HIDDEN * after)
    return out


def explained(
    scene: Gaussians, shot: Retouched, by_px: tuple[int, int], gone: Bool[np.ndarray, " n"]
) -> float:
    """Share of the difference that is removed if those that have gone are shifted, as a body in
    space or each in the picture: painters do the one as well as the other."""
    camera = shot.camera
    rows = torch.from_numpy(gone)
    depths = view_depths(scene.means, camera)[0]
    before = np.abs(shot.own - shot.edited)[shot.mask].mean()
    errors = []
    for far in (depths, depths[rows].median().expand_as(depths)):
        way = torch.zeros_like(scene.means)
        way[:, :2] = far[:, None] * torch.tensor(by_px).to(way) / camera.focal_px[0].to(way)
        way[~rows] = 0.0
        means = scene.means + way @ camera.world_to_camera[0, :3, :3].to(way)
        with torch.no_grad():
            frames = render(replace(scene, means=means), camera)
        now = composited(frames, torch.from_numpy(shot.background)).numpy()
        errors.append(np.abs(now - shot.edited)[shot.mask].mean())
    return float(1 - min(errors) / max(before, 1e-9))


def shift_of(pairs: Float[np.ndarray, "pair 4"]) -> tuple[int, int] | None:
    """Columns and rows that most pairs have gone by; None if they do not agree, or have hardly
    gone anywhere."""
    way = pairs[:, 2:] - pairs[:, :2]
    if len(way) < FEWEST:
        return None
    allowed = AGREE_PX + AGREE_SHARE * np.linalg.norm(way, axis=1)
    near = np.linalg.norm(way[:, None] - way, axis=2) < allowed[:, None]
    best = near[int(near.sum(axis=1).argmax())]
    column, row = way[best].mean(axis=0)
    if best.mean() < SHARE or np.hypot(column, row) < LEAST_PX:
        return None
    return round(float(column)), round(float(row))


def _shown(
    scene: Gaussians, camera: Cameras, mask: Bool[np.ndarray, "height width"]
) -> Float[np.ndarray, " n"]:
    return weights_inside(scene, [camera], [torch.from_numpy(mask)]).double().numpy()
