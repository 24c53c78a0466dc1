"""Limbs, told by shape, and what may be tried with them (`tries.py`).

Distances are along the graph of anchors. A tip is farther from the middle than all around it; the
limbs of a tip are what lies within some distance of it, for several distances, where that is
longer than its cut is wide. A limb can be put back into its shape at rest, carried along with what
it hangs on, and turned about the line of sight through its joint; or it takes the pose of another
limb of its shape, as one leg that of the other.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy import sparse
from scipy.sparse.csgraph import dijkstra
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation
from torch.nn import functional

from .anchors import Graph
from .groups import motion
from .skinning import Pose

AROUND, SHORTEST, STEP = 2.5, 2.5, 1.5
"""In edges: how far a tip rules, the shortest limb, and from each limb of a tip to the next."""
SLENDER = 0.5
"""The widest cut, as a share of the limb's length: root mean square distance from its middle."""
MOST_TIPS = 12
FEWEST_ANCHORS = 4
ALIKE = 1.0
"""In edges: how far two limbs of one shape are apart on average, once their joints coincide."""
HALF_WAY = 0.2
"""A knee is this near to the middle of a leg, as a share of its length."""

Places = Float[np.ndarray, "anchor 3"]


@dataclass(frozen=True, slots=True)
class Limb:
    """Anchors that turn about a joint."""

    inside: Bool[np.ndarray, " anchor"]
    hold: Bool[np.ndarray, " anchor"]
    """What it hangs on: anchors next to the cut, on the other side."""
    joint: Float[np.ndarray, "3"]
    """At rest."""
    tip: int
    reach: float
    """How far from the tip the joint is, along the graph."""


def limbs(rest: Places, edges: Graph) -> list[Limb]:
    """Those of every tip, the longest first."""
    start, end = edges.start.numpy(), edges.end.numpy()
    lengths = np.maximum(np.linalg.norm(rest[start] - rest[end], axis=1), 1e-12)
    shape = (len(rest), len(rest))
    web = sparse.coo_array((lengths, (start, end)), shape=shape).tocsr()
    apart = dijkstra(web, directed=False)
    out = []
    for tip, far in tips(apart, edges.length):
        # The same for all tips, so that limbs of one shape are told alike.
        for reach in np.arange(SHORTEST, far / edges.length, STEP)[::-1] * edges.length:
            limb = _limb(rest, apart, tip, edges, reach)
            if limb is not None:
                out.append(limb)
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


def _limb(rest: Places, apart: np.ndarray, tip: int, edges: Graph, reach: float) -> Limb | None:
    """What lies within `reach` of a tip, unless it is stout or more than half of its piece."""
    inside = apart[tip] <= reach
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
        or 2 * inside.sum() > np.isfinite(apart[tip]).sum()
    ):
        return None
    return Limb(inside, hold, joint, tip, float(reach))


def inner(limb: Limb, found: list[Limb]) -> Limb | None:
    """Of the limbs of the same tip, the one that begins half way down this one, if any does."""
    shares = [(abs(one.reach / limb.reach - 0.5), k) for k, one in enumerate(found)
              if one.tip == limb.tip]  # fmt: skip
    off, k = min(shares)
    return found[k] if off <= HALF_WAY else None


def alike(rest: Places, first: Limb, second: Limb, edges: Graph) -> bool:
    """Whether two limbs that share nothing have the same shape and direction at rest."""
    if (first.inside & second.inside).any():
        return False
    one, other = rest[first.inside] - first.joint, rest[second.inside] - second.joint
    far = cKDTree(one).query(other)[0].mean() + cKDTree(other).query(one)[0].mean()
    return bool(far <= 2 * ALIKE * edges.length)


def carried_joint(rest: Places, places: Places, limb: Limb) -> tuple[np.ndarray, np.ndarray]:
    """How what a limb hangs on has turned, and where that has taken the limb's joint."""
    turn, shift = motion(rest[limb.hold], places[limb.hold])
    return turn, turn @ limb.joint + shift


def turned(rest: Places, limb: Limb, eye: np.ndarray, angle_deg: float, pose: Pose) -> Pose:
    """A limb in its shape at rest, moved with what it hangs on and turned about the line from
    `eye` to its joint; unit quaternions."""
    turn, pivot = carried_joint(rest, pose.places.double().numpy(), limb)
    axis = (pivot - eye) / np.linalg.norm(pivot - eye)
    spin = Rotation.from_rotvec(np.deg2rad(angle_deg) * axis)
    moved = spin.apply((rest[limb.inside] - limb.joint) @ turn.T) + pivot
    whole = (spin * Rotation.from_matrix(turn)).as_quat()[[3, 0, 1, 2]]
    return _with(pose, limb, moved, np.tile(whole, (len(moved), 1)))


def bent(
    rest: Places, limb: Limb, lower: Limb, eye: np.ndarray, angles_deg: tuple[float, float],
    pose: Pose,
) -> Pose:  # fmt: skip
    """Turned about its joint, and its lower part about its own by another angle."""
    return turned(rest, lower, eye, angles_deg[1], turned(rest, limb, eye, angles_deg[0], pose))


def exchanged(rest: Places, first: Limb, second: Limb, pose: Pose) -> Pose:
    """Two limbs of one shape, each in the other's pose, about their own joints; unit
    quaternions."""
    out = pose
    for one, other in ((first, second), (second, first)):
        out = _with(out, one, *_in_pose_of(rest, one, other, pose))
    return out


def _in_pose_of(
    rest: Places, one: Limb, other: Limb, pose: Pose
) -> tuple[Float[np.ndarray, "limb 3"], Float[np.ndarray, "limb 4"]]:
    """Places and turns of one limb's anchors, as if they were the other's."""
    places = pose.places.double().numpy()
    turns = functional.normalize(pose.turns, dim=1).double().numpy()[other.inside]
    wanted = rest[one.inside] - one.joint + other.joint
    _, near = cKDTree(rest[other.inside]).query(wanted)
    offset = wanted - rest[other.inside][near]
    spins = Rotation.from_quat(turns[near][:, [1, 2, 3, 0]])
    moved = spins.apply(offset) + places[other.inside][near]
    apart = carried_joint(rest, places, one)[1] - carried_joint(rest, places, other)[1]
    return moved + apart, turns[near]


def _with(
    pose: Pose,
    limb: Limb,
    places: Float[np.ndarray, "limb 3"],
    turns: Float[np.ndarray, "limb 4"],
) -> Pose:
    """The pose with a limb's anchors elsewhere."""
    inside = torch.from_numpy(limb.inside)
    new_places, new_turns = pose.places.clone(), functional.normalize(pose.turns, dim=1)
    new_places[inside] = torch.from_numpy(places).to(new_places)
    new_turns[inside] = torch.from_numpy(turns).to(new_turns)
    return Pose(new_places, new_turns)
