"""On closed meshes the method is Garland and Heckbert's (1997): shown against their algorithm.

Written here once more, as their paper has it: 4 by 4 matrices, a heap, neighbors by sets.
"""

import heapq

import numpy as np
from splatworks.stages.geometry.components import Surface
from splatworks.stages.geometry.decimation import Rules, simplify

from .measure import apart
from .shapes import bumpy

PLAIN = Rules(
    line_weight=0.0, placement_pull=0.0, placement_reach=1e9, flip_penalty=0.0, sliver_penalty=0.0,
    bend_penalty=0.0, shrink_penalty=0.0,
)  # fmt: skip


def matrices(mesh: Surface) -> np.ndarray:
    """Per vertex the sum of p pᵀ, p the planes of its faces, by a third of their areas."""
    a, b, c = np.moveaxis(mesh.positions[mesh.faces], 1, 0)
    cross = np.cross(b - a, c - a)
    double = np.linalg.norm(cross, axis=1)
    normal = cross / double[:, None]
    plane = np.concatenate([normal, -(normal * a).sum(axis=1, keepdims=True)], axis=1)
    each = (double / 6)[:, None, None] * plane[:, :, None] * plane[:, None]
    out = np.zeros((len(mesh.positions), 4, 4))
    for k in range(3):
        np.add.at(out, mesh.faces[:, k], each)
    return out


def garland_heckbert(mesh: Surface, steps: int) -> tuple[list[float], list[np.ndarray]]:
    """Costs and places of the first collapses."""
    q = matrices(mesh)
    around: list[set[int]] = [set() for _ in mesh.positions]
    for face in mesh.faces:
        for k in range(3):
            around[face[k]] |= {int(face[k - 1]), int(face[k - 2])}

    def priced(i: int, j: int) -> tuple[float, np.ndarray]:
        total = q[i] + q[j]
        x = np.linalg.solve(total[:3, :3], -total[:3, 3])
        return float(x @ total[:3, :3] @ x + 2 * total[:3, 3] @ x + total[3, 3]), x

    stamp = np.zeros(len(mesh.positions), int)
    heap = [(*priced(i, j), i, j, 0) for i in range(len(around)) for j in around[i] if i < j]
    heap = [(cost, i, j, then, tuple(x)) for cost, x, i, j, then in heap]
    heapq.heapify(heap)
    costs: list[float] = []
    places: list[np.ndarray] = []
    gone: set[int] = set()
    while len(costs) < steps:
        cost, i, j, then, x = heapq.heappop(heap)
        if i in gone or j in gone or then < max(stamp[i], stamp[j]):
            continue
        costs.append(cost)
        places.append(np.array(x))
        q[i] += q[j]
        gone.add(j)
        around[i] = (around[i] | around[j]) - {i, j}
        stamp[i] = len(costs)
        for k in around[i]:
            around[k] = (around[k] - {j}) | {i}
            a, b = min(i, k), max(i, k)
            now, y = priced(a, b)
            heapq.heappush(heap, (now, a, b, len(costs), tuple(y)))
    return costs, places


def test_the_first_thousand_collapses_are_theirs() -> None:
    mesh = bumpy(4)
    made = simplify(mesh, targets=[len(mesh.faces) - 2000], rules=PLAIN)
    _, places = garland_heckbert(mesh, 1000)
    own = made.history.points[len(mesh.positions) :][:1000] * made.diagonal_m + made.center_m
    assert len(own) == 1000
    # Points of the history are float32.
    assert np.abs(own - np.array(places)).max() < 1e-6 * made.diagonal_m


def test_the_whole_way_down_it_is_as_near_as_theirs() -> None:
    """With the penalties that keep faces in shape, at a tenth, mean distances within 5 %."""
    mesh = bumpy(4)
    target = len(mesh.faces) // 10
    levels = [simplify(mesh, targets=[target], rules=r).levels[0] for r in (PLAIN, Rules())]
    means = [apart(mesh, Surface(level.positions, level.faces))[0] for level in levels]
    assert means[1] < 1.05 * means[0]
