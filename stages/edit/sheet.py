"""The picture of the report: the edited view, and what was edited from its sides and from behind.

Above the scene as it was, below as it is now. Other views turn around the middle of a subject: as
much of what the edited view shows whole as leaves the size about as it is there; the whole scene,
else the body that the edit is part of, else what was changed alone. A view counts if the subject
is seen from there: what stands before it, and what the camera is inside of, covers it.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from ...renderers.cpu import render
from ...renderers.scene import Cameras
from ..formats import pictures
from ..formats.splats import RawSplats
from ..geometry.activation import activate
from ..scene.affine import take
from . import vantage
from .pictures_in import Retouched
from .subject import Part, body_of, changed, everything
from .vantage import Cloud
from .views import composited, weights_inside

WANTED_DEG = (
    (60.0, 40.0, 80.0, 20.0),
    (180.0, 160.0, 200.0, 140.0, 220.0),
    (300.0, 320.0, 280.0, 340.0),
)
"""Side, back, side; each one's alternatives."""
WHOLE = 0.95
"""Share of its mass that the edited view shows of what it shows whole."""
FARTHEST = 1.4
"""So many times as far away as in the edited view may other views be for the sake of more than
what was changed."""
CLEAR, ENOUGH = 0.8, 0.4
"""Share of the subject that is seen, against the edited view: the first alternative above this is
taken, or the best one above that."""
EDGEWISE = 0.2
"""A view in which the subject has less than this share of its area in the edited one."""
SAME = 0.5
"""A view from behind that shows so much of the very Gaussians that are seen from the front is
behind a wall, and not behind a body."""
MEASURED_PX = 96
"""Longer side of the pictures by which views are judged."""
WIDEST = 4.0
"""So many times the median of what one shows does a Gaussian count at most: blurs that no
photograph saw are wide."""
SEEN = 0.05
"""Blending weight in pixels from which on a Gaussian is seen."""


@dataclass(frozen=True, slots=True)
class Scenes:
    """Before and after an edit."""

    before: RawSplats
    after: RawSplats
    origin: Int[np.ndarray, " m"]
    """Per Gaussian of `after`, which one of `before` it was or is a part of."""

    def each(self, part: Part) -> list[tuple[RawSplats, Bool[np.ndarray, " _"]]]:
        """Both, with the Gaussians of the part, if there are any."""
        both = ((self.before, part.before), (self.after, part.after))
        return [(scene, rows) for scene, rows in both if rows.any()]


@dataclass(frozen=True, slots=True)
class Orbit:
    """What other views turn around."""

    pivot: Float[np.ndarray, "3"]
    cloud: Cloud
    depth: float
    """Of the pivot in the edited view."""

    def view(self, camera: Cameras, angle_deg: float) -> Cameras:
        """From that side, as far away as the edited view, or farther where it would not fit."""
        axes = vantage.turned(camera, angle_deg)
        fitting = vantage.distance_to_fit(self.cloud, self.pivot, axes, camera)
        return vantage.placed(camera, axes, self.pivot, max(self.depth, fitting))


def sheet(
    scenes: Scenes, shot: Retouched
) -> tuple[Float[np.ndarray, "height width 3"], list[float]]:
    """The picture, and the angles of its other views about the vertical, in degrees."""
    angles, cameras = other_views(scenes, shot)
    ground = torch.from_numpy(shot.background)
    cells = []
    for splats, first in ((scenes.before, shot.edited), (scenes.after, np.ones_like(shot.edited))):
        scene = activate(splats)
        cells.append(first)
        for camera in (shot.camera, *cameras):
            with torch.no_grad():
                cells.append(composited(render(scene, camera), ground).numpy())
    return pictures.sheet(cells, len(cells) // 2), angles


def other_views(scenes: Scenes, shot: Retouched) -> tuple[list[float], list[Cameras]]:
    """From where what was edited is seen."""
    thing = changed(scenes.before, scenes.after, scenes.origin)
    if thing.empty:
        thing = _seen(scenes, shot)
    body = body_of(scenes.before, scenes.origin, thing)
    whole = vantage.share_shown(cloud_of(scenes, body), shot.camera) >= WHOLE
    orbit = _orbit(scenes, [body, thing] if whole else [thing], shot.camera)
    judge = _Judge(scenes, body if whole else thing, whole, shot.camera)
    angles, cameras = [], []
    for alternatives in WANTED_DEG:
        views = [(angle, orbit.view(shot.camera, angle)) for angle in alternatives]
        found = judge.best(views)
        if found is not None:
            angles.append(found[0])
            cameras.append(found[1])
    return angles, cameras


def _seen(scenes: Scenes, shot: Retouched) -> Part:
    """What the view shows, where nothing has changed; all, if it shows nothing."""
    everywhere = torch.ones(shot.mask.shape, dtype=torch.bool)
    weights = weights_inside(activate(scenes.before), [shot.camera], [everywhere]).numpy()
    rows = weights > min(SEEN, weights.max(initial=0.0) / 2)
    if not rows.any():
        return everything(scenes.before, scenes.after)
    return Part(rows, rows[scenes.origin])


def _orbit(scenes: Scenes, parts: list[Part], camera: Cameras) -> Orbit:
    """Around as much as can be shown at about the size that it has; the last part if need be."""
    every = cloud_of(scenes, everything(scenes.before, scenes.after))
    clouds = [cloud_of(scenes, part) for part in parts]
    if vantage.share_shown(every, camera) >= WHOLE:
        clouds.insert(0, every)
    orbits = [_around(cloud, camera) for cloud in clouds]
    angles = [alternatives[0] for alternatives in WANTED_DEG]
    for orbit in orbits[:-1]:
        axes = [vantage.turned(camera, angle) for angle in angles]
        needed = [vantage.distance_to_fit(orbit.cloud, orbit.pivot, one, camera) for one in axes]
        if max(needed) <= FARTHEST * orbit.depth:
            return orbit
    return orbits[-1]


def _around(cloud: Cloud, camera: Cameras) -> Orbit:
    pivot = vantage.middle(cloud, camera)
    return Orbit(pivot, cloud, max(vantage.depth(pivot, camera), 1e-6))


def cloud_of(scenes: Scenes, part: Part) -> Cloud:
    """Where a part was and where it is, weighted by what it shows."""
    chosen = [take(splats, rows) for splats, rows in scenes.each(part)]
    points = np.concatenate([one.means for one in chosen]).astype(np.float64)
    scales = np.exp(np.concatenate([one.log_scales for one in chosen]).astype(np.float64))
    logits = np.concatenate([one.logit_opacities for one in chosen]).astype(np.float64)
    widest = scales.max(axis=1)
    mass = np.minimum(widest, np.median(widest)) ** 2 / (1 + np.exp(-logits))
    return Cloud(points, vantage.EXTENT * widest, mass)


class _Judge:
    """Tells how well a part is seen."""

    def __init__(self, scenes: Scenes, part: Part, whole: bool, front: Cameras) -> None:
        self.each, self.whole = scenes.each(part), whole
        self.front = [_look(splats, rows, front) for splats, rows in self.each]

    def best(self, views: list[tuple[float, Cameras]]) -> tuple[float, Cameras] | None:
        """The first clear one, else the best, else none."""
        scores = []
        for angle, camera in views:
            scores.append(self.score(angle, camera))
            if scores[-1] >= CLEAR:
                break
        best = int(np.argmax(scores))
        return views[best] if scores[best] >= ENOUGH else None

    def score(self, angle_deg: float, camera: Cameras) -> float:
        """Share of the part that is seen, against the front; 0 where a view is of no use."""
        behind = abs(angle_deg - 180.0) < 90.0 and not self.whole
        scores = []
        for (splats, rows), front in zip(self.each, self.front, strict=True):
            look = _look(splats, rows, camera)
            useless = look.area < EDGEWISE * front.area or (behind and look.like(front) > SAME)
            scores.append(0.0 if useless else look.share / max(front.share, 1e-6))
        return min(scores)


@dataclass(frozen=True, slots=True)
class _Look:
    """How a view shows a part."""

    weights: Float[np.ndarray, " k"]
    """What each Gaussian of the part shows, in pixels."""
    share: float
    """What the part shows, of what it would by itself."""
    area: float
    """The part by itself, at unit depth and focal length."""

    def like(self, other: "_Look") -> float:
        """Share of the one that lies on the same Gaussians as the other."""
        one, two = (w / max(w.sum(), 1e-9) for w in (self.weights, other.weights))
        return float(np.minimum(one, two).sum())


def _look(splats: RawSplats, rows: Bool[np.ndarray, " n"], camera: Cameras) -> _Look:
    camera = _reduced(camera)
    full = _weights(splats, camera)[rows]
    part = take(splats, rows)
    alone = _weights(part, camera)
    counted = np.minimum(alone, WIDEST * np.median(alone[alone > 0])) if alone.any() else alone
    full = full * counted / np.maximum(alone, 1e-9)
    total = float(counted.sum())
    depths = part.means.astype(np.float64) @ camera.world_to_camera[0, 2, :3].double().numpy()
    depths += float(camera.world_to_camera[0, 2, 3])
    area = float((counted * depths**2).sum()) / float(camera.focal_px[0].prod())
    return _Look(full, float(full.sum()) / max(total, 1e-9), area)


def _weights(splats: RawSplats, camera: Cameras) -> Float[np.ndarray, " n"]:
    with torch.no_grad():
        frames = render(activate(splats), camera, frozenset({"weights"}))
    assert frames.weights is not None
    return frames.weights[0].double().numpy()


def _reduced(camera: Cameras) -> Cameras:
    """With a small picture."""
    factor = min(1.0, MEASURED_PX / max(camera.width_px, camera.height_px))
    return replace(
        camera,
        focal_px=camera.focal_px * factor,
        center_px=camera.center_px * factor,
        width_px=max(1, round(camera.width_px * factor)),
        height_px=max(1, round(camera.height_px * factor)),
    )
