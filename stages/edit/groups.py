"""Rigid groups: after the coarse stage, what has moved as one piece moves on as one piece.

One picture says little about depth, and anchors that are only nearly rigid lean out of the
picture's plane at no cost to speak of. A piece that is exactly rigid can not: its outline and its
pattern in perspective fix all six of its degrees of freedom. So anchors that share a motion are
joined (grown from seeds, in the spirit of the group rigidity of Kim et al. 2025, DeformSplat), and
only the motions of the groups are optimized, by the same losses.

Notation: group g with rest center c_g, place p_g, unit quaternion r_g. Anchors follow the groups as
Gaussians follow anchors (`skinning.py`): those of a group exactly, those of none by a blend.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy import sparse
from scipy.spatial.transform import Rotation

from . import coarse
from .anchors import Graph, smoothing
from .skinning import Pose, Skin, deform
from .state import State, advance, value

SAME_MOTION = 0.12
"""Anchors belong to a group if they lie this near to where its motion takes them, in edges."""
FEWEST = 6
"""Smaller groups are none."""
ROUNDS = 12
BLEND = 4.0
"""How far groups reach into what belongs to none: the square, in edges."""
AT_REST = 0.05
"""A group that has moved less than this, in edges, has not moved."""


@dataclass(frozen=True, slots=True)
class Groups:
    """Pieces of the anchors."""

    skin: Skin
    """Anchors on groups."""
    pose: Pose
    """Of the groups, as the coarse stage leaves them."""
    moves: Float[torch.Tensor, " group"]
    """1, or 0 for those at rest, which stay there exactly."""


def motion(
    rest: Float[np.ndarray, "n 3"], places: Float[np.ndarray, "n 3"]
) -> tuple[Float[np.ndarray, "3 3"], Float[np.ndarray, "3"]]:
    """Rotation and shift that take `rest` nearest to `places` (Kabsch 1976)."""
    low, high = rest.mean(axis=0), places.mean(axis=0)
    u, _, vt = np.linalg.svd((places - high).T @ (rest - low))
    u[:, 2] *= np.sign(np.linalg.det(u @ vt))
    turn = u @ vt
    return turn, high - turn @ low


def labels(
    rest: Float[np.ndarray, "n 3"], places: Float[np.ndarray, "n 3"], edges: Graph
) -> Int[np.ndarray, " n"]:
    """Which group each anchor belongs to, the first grown first; -1: to none."""
    near = sparse.coo_array(
        (np.ones(len(edges.start), bool), (edges.start.numpy(), edges.end.numpy())),
        shape=(len(rest), len(rest)),
    ).tocsr()
    near = (near + near.T).tocsr()
    strain = _strain(rest, places, near)
    out = np.full(len(rest), -1)
    count = 0
    for seed in np.argsort(strain, kind="stable"):
        if out[seed] >= 0:
            continue
        members = _grown(int(seed), rest, places, near, out < 0, SAME_MOTION * edges.length)
        if len(members) >= FEWEST:
            out[members] = count
            count += 1
    return out


def _strain(
    rest: Float[np.ndarray, "n 3"], places: Float[np.ndarray, "n 3"], near: sparse.csr_array
) -> Float[np.ndarray, " n"]:
    """How far each anchor's neighborhood is from having moved rigidly."""
    out = np.zeros(len(rest))
    for k in range(len(rest)):
        some = np.append(near.indices[near.indptr[k] : near.indptr[k + 1]], k)
        turn, shift = motion(rest[some], places[some])
        out[k] = np.linalg.norm(rest[some] @ turn.T + shift - places[some], axis=1).mean()
    return out


def _grown(
    seed: int,
    rest: Float[np.ndarray, "n 3"],
    places: Float[np.ndarray, "n 3"],
    near: sparse.csr_array,
    free: np.ndarray,
    tolerance: float,
) -> Int[np.ndarray, " m"]:
    """What hangs together with the seed and shares its motion, fitted anew as it grows."""
    inside = np.zeros(len(rest), bool)
    inside[near.indices[near.indptr[seed] : near.indptr[seed + 1]]] = True
    inside &= free
    inside[seed] = True
    for _ in range(ROUNDS * int(np.sqrt(len(rest)))):
        if inside.sum() < 3:
            break
        turn, shift = motion(rest[inside], places[inside])
        fits = np.linalg.norm(rest @ turn.T + shift - places, axis=1) < tolerance
        reached = (near @ inside.astype(np.int32) > 0) | inside
        grown = reached & fits & free
        if (grown == inside).all():
            break
        inside = grown
    return np.flatnonzero(inside)


def grouped(rest: Float[torch.Tensor, "n 3"], pose: Pose, edges: Graph) -> Groups | None:
    """The groups of a coarse result; None where there is none that moves."""
    before, after = rest.double().numpy(), pose.places.detach().double().numpy()
    found = labels(before, after, edges)
    count = int(found.max()) + 1
    if not count:
        return None
    centers, places, turns, moves = [], [], [], []
    for group in range(count):
        own = found == group
        turn, shift = motion(before[own], after[own])
        center = before[own].mean(axis=0)
        gone = np.linalg.norm(after[own] - before[own], axis=1).mean()
        moving = gone > AT_REST * edges.length
        moves.append(float(moving))
        centers.append(center)
        places.append(turn @ center + shift if moving else center)
        quaternion = Rotation.from_matrix(turn).as_quat()[[3, 0, 1, 2]]
        turns.append(quaternion if moving else np.array([1.0, 0.0, 0.0, 0.0]))
    if not any(moves):
        return None
    weights = sparse.csr_array(memberships(found, count, edges))
    whole = [torch.from_numpy(np.stack(part)).float() for part in (centers, places, turns)]
    skin = Skin(weights, weights.T.tocsr(), whole[0])
    return Groups(skin, Pose(whole[1], whole[2]), torch.tensor(moves))


def memberships(
    found: Int[np.ndarray, " n"], count: int, edges: Graph
) -> Float[np.ndarray, "n group"]:
    """One group for most, several for those between; rows sum to 1."""
    hot = np.zeros((len(found), count))
    inside = found >= 0
    hot[np.flatnonzero(inside), found[inside]] = 1
    spread = smoothing(edges, BLEND).double().numpy() @ hot
    total = spread.sum(axis=1, keepdims=True)
    # What hangs on no group at all goes with the first and largest.
    spread = np.where(total > 1e-9, spread / np.maximum(total, 1e-9), np.eye(count)[0])
    return np.where(inside[:, None], hot, spread).astype(np.float32)


def start(problem: coarse.Problem, groups: Groups) -> State:
    """Where the coarse stage ended."""
    settings = problem.coarse
    places = value(groups.pose.places, settings.group_rate * problem.size)
    turns = value(groups.pose.turns, settings.group_rate)
    return State({"places": places, "turns": turns}, [None] * len(problem.views))


def pose_of(problem: coarse.Problem, groups: Groups, state: State) -> Pose:
    """Where the groups put the anchors. Those at rest are held there."""
    moves = groups.moves[:, None]
    places = moves * state["places"] + (1 - moves) * groups.skin.rest
    turns = moves * state["turns"] + (1 - moves) * groups.pose.turns
    moved = deform(groups.skin, problem.skin.rest, Pose(places, turns))
    return Pose(moved.means, moved.turns)


def step(
    problem: coarse.Problem,
    groups: Groups,
    masks: Float[torch.Tensor, "3 edge"],
    state: State,
) -> None:
    """One iteration, in place; `masks` are those of the coarse stage, held fixed."""
    settings = problem.coarse
    share = state.iteration / max(1, settings.group_iterations)
    pose = pose_of(problem, groups, state)
    moved = deform(problem.skin, problem.scene.means[problem.movable], pose)
    loss = coarse.resting(problem, masks, pose, share=1.0)
    for number in range(len(problem.views)):
        # Matching is over: its tiles are too coarse for what is left to do.
        one = coarse.view_loss(problem, state, moved, number, share=1.0)
        loss = loss + one / len(problem.views)
    advance(state, loss, settings.last_rate**share)
