"""Limbs, told by shape, are tried at other angles before the coarse stage begins.

A leg that is hidden behind another one has no gradient that would take it to where the edited
picture shows it: what is not seen gets none. Transport takes the wrong one of two legs as readily
as the right one. But there are few limbs, and a try is one small rendering.

Distances are along the graph of anchors. A tip is farther from the middle than all around it; the
limbs of a tip are what lies within some distance of it, for several distances, where that is
longer than its cut is wide. A try puts a limb back into its shape at rest, carries it along with
what it hangs on, and turns it about the line of sight through its joint. The best one is taken if
the picture gets clearly better by it, then the next one, until none is.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy import sparse
from scipy.sparse.csgraph import dijkstra
from scipy.spatial.transform import Rotation
from torch import Tensor
from torch.nn import functional

from ...renderers.cpu import render
from ...renderers.projection import view_points
from ...renderers.scene import Cameras
from . import coarse
from .anchors import Graph
from .groups import motion
from .skinning import Pose, deform
from .views import View, composited

ANGLES_DEG = (-75.0, -60.0, -45.0, -30.0, -15.0, 0.0, 15.0, 30.0, 45.0, 60.0, 75.0)
BETTER = 0.95
"""A try is taken if it leaves at most this share of the difference to the picture."""
MOST_TURNS = 12
PROMISING = 60
"""Of all tries, so many are repeated once one has been taken."""
SMALL_PX = 96
"""Longer side of the pictures that are compared, about."""
AROUND, SHORTEST, STEP = 2.5, 2.5, 1.5
"""In edges: how far a tip rules, the shortest limb, and from each limb of a tip to the next."""
SLENDER = 0.5
"""The widest cut, as a share of the limb's length: root mean square distance from its middle."""
MOST_TIPS = 12
FEWEST_ANCHORS = 4
UNDER_EDIT = 0.3
"""Share of a turned limb's anchors that lie behind a mask, for the turn to be tried."""

Places = Float[np.ndarray, "anchor 3"]


@dataclass(frozen=True, slots=True)
class Limb:
    """Anchors that turn about a joint."""

    inside: Bool[np.ndarray, " anchor"]
    hold: Bool[np.ndarray, " anchor"]
    """What it hangs on: anchors next to the cut, on the other side."""
    joint: Float[np.ndarray, "3"]
    """At rest."""


@dataclass(frozen=True, slots=True)
class Small:
    """An edited picture, reduced."""

    number: int
    """Of the view."""
    camera: Cameras
    target: Float[Tensor, "height width 3"]


def first_pose(problem: coarse.Problem) -> tuple[Pose, int]:
    """Where the coarse stage begins, and how many limbs were turned for it."""
    rest, views = problem.skin.rest.double().numpy(), problem.views
    camera = views[0].camera.world_to_camera[0].double().numpy()
    eye = -camera[:3, :3].T @ camera[:3, 3]
    upright = problem.skin.rest.new_tensor([1.0, 0.0, 0.0, 0.0]).repeat(len(rest), 1)
    pose = Pose(problem.skin.rest.clone(), upright)
    todo = [
        (limb, angle)
        for limb in limbs(rest, problem.edges)
        for angle in ANGLES_DEG
        if _ends_up_under(turned(rest, pose, limb, eye, angle), limb, views)
    ]
    small = [reduced(view, number) for number, view in enumerate(views)]
    count, least = 0, difference(problem, pose, small) if todo else 0.0
    while todo and count < MOST_TURNS:
        errors = [
            difference(problem, turned(rest, pose, limb, eye, angle), small) for limb, angle in todo
        ]
        order = np.argsort(errors, kind="stable")
        if errors[order[0]] > BETTER * least:
            break
        limb, angle = todo[order[0]]
        pose, least, count = turned(rest, pose, limb, eye, angle), errors[order[0]], count + 1
        todo = [todo[k] for k in order[:PROMISING]]
    return pose, count


def _ends_up_under(pose: Pose, limb: Limb, views: Sequence[View]) -> bool:
    inside = torch.from_numpy(limb.inside)
    return bool(under_edit(pose.places[inside], views).mean() >= UNDER_EDIT)


def under_edit(places: Float[Tensor, "n 3"], views: Sequence[View]) -> Bool[np.ndarray, " n"]:
    """Which places lie behind a pixel of some mask."""
    out = np.zeros(len(places), bool)
    for view in views:
        camera, (height, width) = view.camera, view.mask.shape
        points = view_points(places, camera.world_to_camera.to(places))[0]
        where = camera.focal_px * points[:, :2] / points[:, 2:] + camera.center_px
        where = where.nan_to_num(-1.0).floor().numpy()
        shown = ((where >= 0) & (where < (width, height))).all(axis=1) & (points[:, 2] > 0).numpy()
        column, row = np.where(shown[:, None], where, 0).astype(int).T
        out |= shown & view.mask.numpy()[row, column]
    return out


def reduced(view: View, number: int) -> Small:
    """By a whole factor; what does not fill a pixel at the right and below is left out."""
    camera, factor = view.camera, -(-max(view.target.shape[:2]) // SMALL_PX)
    target = functional.avg_pool2d(view.target.permute(2, 0, 1)[None], factor)[0].permute(1, 2, 0)
    small = replace(
        camera,
        focal_px=camera.focal_px / factor,
        center_px=camera.center_px / factor,
        width_px=target.shape[1],
        height_px=target.shape[0],
    )
    return Small(number, small, target)


def difference(problem: coarse.Problem, pose: Pose, small: Sequence[Small]) -> float:
    """Mean absolute difference to the pictures, all of their boxes."""
    total = 0.0
    with torch.no_grad():
        moved = deform(problem.skin, problem.scene.means[problem.movable], pose)
        for one in small:
            frames = render(coarse.seen(problem, moved, one.number), one.camera)
            background = problem.views[one.number].background
            total += float((composited(frames, background) - one.target).abs().mean())
    return total / len(small)


def limbs(rest: Places, edges: Graph) -> list[Limb]:
    """Those of every tip, the longest first."""
    start, end = edges.start.numpy(), edges.end.numpy()
    lengths = np.maximum(np.linalg.norm(rest[start] - rest[end], axis=1), 1e-12)
    shape = (len(rest), len(rest))
    web = sparse.coo_array((lengths, (start, end)), shape=shape).tocsr()
    apart = dijkstra(web, directed=False)
    out = []
    for tip, far in tips(apart, edges.length):
        reach = far
        while reach >= SHORTEST * edges.length:
            limb = _limb(rest, apart[tip], edges, reach)
            if limb is not None:
                out.append(limb)
            reach -= STEP * edges.length
    return out


def tips(apart: Float[np.ndarray, "anchor anchor"], spacing: float) -> list[tuple[int, float]]:
    """Anchors that are farther from the middle of their piece than all around them, and how far;
    the farthest first."""
    reached = np.isfinite(apart)
    near = np.where(reached, apart, 0.0)
    means = near.sum(axis=1) / reached.sum(axis=1)
    middle = np.array([np.flatnonzero(row)[means[row].argmin()] for row in reached])
    far = apart[np.arange(len(apart)), middle]
    around = apart <= AROUND * spacing
    found = [k for k in range(len(apart)) if far[k] >= far[around[k]].max()]
    found.sort(key=lambda k: -far[k])
    return [(k, float(far[k])) for k in found[:MOST_TIPS]]


def _limb(rest: Places, away: np.ndarray, edges: Graph, reach: float) -> Limb | None:
    """What lies within `reach` of a tip, unless it is stout or more than half of its piece."""
    inside = away <= reach
    start, end = edges.start.numpy(), edges.end.numpy()
    cut = inside[start] != inside[end]
    middles = (rest[start[cut]] + rest[end[cut]]) / 2
    if len(middles) < FEWEST_ANCHORS or inside.sum() < FEWEST_ANCHORS:
        return None
    joint = middles.mean(axis=0)
    width = np.sqrt(np.square(middles - joint).sum(axis=1).mean())
    hold = np.zeros(len(rest), bool)
    hold[start[cut]] = hold[end[cut]] = True
    hold &= ~inside
    if (
        width > SLENDER * reach
        or hold.sum() < FEWEST_ANCHORS
        or 2 * inside.sum() > np.isfinite(away).sum()
    ):
        return None
    return Limb(inside, hold, joint)


def turned(rest: Places, pose: Pose, limb: Limb, eye: np.ndarray, angle_deg: float) -> Pose:
    """A limb in its shape at rest, moved with what it hangs on and turned about the line from
    `eye` to its joint; unit quaternions."""
    places = pose.places.double().numpy()
    turn, shift = motion(rest[limb.hold], places[limb.hold])
    pivot = turn @ limb.joint + shift
    axis = (pivot - eye) / np.linalg.norm(pivot - eye)
    spin = Rotation.from_rotvec(np.deg2rad(angle_deg) * axis)
    moved = spin.apply(rest[limb.inside] @ turn.T + shift - pivot) + pivot
    whole = (spin * Rotation.from_matrix(turn)).as_quat()[[3, 0, 1, 2]]
    inside = torch.from_numpy(limb.inside)
    new_places, turns = pose.places.clone(), torch.nn.functional.normalize(pose.turns, dim=1)
    new_places[inside] = torch.from_numpy(moved).to(new_places)
    turns[inside] = torch.from_numpy(whole).to(turns)
    return Pose(new_places, turns)
