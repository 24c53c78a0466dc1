"""Edges without faces between components that nearly touch (the paper's Sec. 3, after Čech).

A ball around every triangle: where the balls of two triangles of different components overlap,
their closest pair of corners becomes an edge. Distances are those of the triangles, exactly. The
radius, which the paper leaves open, is half an edge length, of the whole mesh or around the
triangle, and at most `LARGEST` of the diagonal.

The search runs over a tree of boxes in Morton order that skips what belongs to one's own
component, so that it takes n log n steps where few triangles are near each other; where very many
are, each one is linked at most `MOST` times.
"""

from dataclasses import replace
from typing import Literal

import numpy as np

from ....renderers.cpu.compiled import kernel
from .complex import Complex, first_of_equal
from .triangles import triangles_apart

LARGEST = 0.01
"""Cap on the radius, so that triangles at most 2 % of the diagonal apart are linked."""
MOST = 32
"""Links that start at one triangle."""
LEAF = 4
"""Triangles in a leaf of the tree."""


def link(complex_: Complex, labels: np.ndarray, reach: Literal["local", "global"]) -> Complex:
    """The complex with virtual edges between components (`labels` of its vertices)."""
    if labels.max(initial=0) == 0:
        return complex_
    corners = complex_.positions[complex_.faces]
    radii = global_radii(complex_) if reach == "global" else local_radii(complex_)
    order = _morton_order(corners.mean(axis=1))
    own = labels[complex_.faces[order, 0]]
    faces, tree = complex_.faces[order], _tree(corners[order], own)
    found, count = _pairs(complex_.positions, faces, own, radii[order], radii.max(), *tree)
    if not count:
        return complex_
    pairs = found[:count]
    pairs = pairs[first_of_equal(pairs.astype(np.int64)) == np.arange(len(pairs))]
    pairs = pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]
    return replace(
        complex_,
        edges=np.concatenate([complex_.edges, pairs]),
        edge_faces=np.concatenate([complex_.edge_faces, np.zeros(len(pairs), np.int32)]),
    )


def global_radii(complex_: Complex) -> np.ndarray:
    """Half the median edge length for every face."""
    return np.full(len(complex_.faces), min(np.median(_lengths(complex_)) / 2, LARGEST))


def local_radii(complex_: Complex) -> np.ndarray:
    """Half the mean length of the edges at its corners for every face.

    Kept between the 5th and the 95th percentile of the whole mesh.
    """
    lengths = _lengths(complex_)
    count = len(complex_.positions)
    ends = complex_.edges.ravel()
    total = np.bincount(ends, np.repeat(lengths, 2), minlength=count)
    mean = total / np.maximum(np.bincount(ends, minlength=count), 1)
    low, high = np.percentile(lengths, [5, 95])
    around = np.clip(mean[complex_.faces].mean(axis=1), low, high)
    return np.minimum(around / 2, LARGEST)


def _lengths(complex_: Complex) -> np.ndarray:
    ends = complex_.positions[complex_.edges]
    return np.linalg.norm(ends[:, 1] - ends[:, 0], axis=1)


def _morton_order(centers: np.ndarray) -> np.ndarray:
    """Along a curve that visits near points one after the other: 20 bits of each axis mixed."""
    cells = np.clip((centers + 0.5) * 2**20, 0, 2**20 - 1).astype(np.uint64)
    code = np.zeros(len(centers), np.uint64)
    for bit in range(20):
        for axis in range(3):
            digit = (cells[:, axis] >> np.uint64(bit)) & np.uint64(1)
            code |= digit << np.uint64(3 * bit + axis)
    return np.argsort(code, kind="stable")


def _tree(corners: np.ndarray, own: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Boxes of a complete binary tree over runs of `LEAF` triangles; node k has 2k+1 and 2k+2.

    Also each node's component, -1 where there are several; -2 marks empty nodes.
    """
    leaves = 1
    while leaves * LEAF < len(corners):
        leaves *= 2
    low, high = np.full((2 * leaves - 1, 3), np.inf), np.full((2 * leaves - 1, 3), -np.inf)
    whose = np.full(2 * leaves - 1, -2, np.int32)
    starts = np.arange(0, len(corners), LEAF)
    used = slice(leaves - 1, leaves - 1 + len(starts))
    low[used] = np.minimum.reduceat(corners.min(axis=1), starts)
    high[used] = np.maximum.reduceat(corners.max(axis=1), starts)
    first, last = np.minimum.reduceat(own, starts), np.maximum.reduceat(own, starts)
    whose[used] = np.where(first == last, first, -1)
    width = leaves // 2
    while width:
        here = np.arange(width - 1, 2 * width - 1)
        left, right = 2 * here + 1, 2 * here + 2
        low[here], high[here] = (
            np.minimum(low[left], low[right]),
            np.maximum(high[left], high[right]),
        )
        one = (whose[left] == whose[right]) | (whose[right] == -2)
        whose[here] = np.where(one, whose[left], -1)
        width //= 2
    return low, high, whose


@kernel
def _pairs(
    positions: np.ndarray, faces: np.ndarray, own: np.ndarray, radii: np.ndarray, largest: float,
    low: np.ndarray, high: np.ndarray, whose: np.ndarray,
) -> tuple[np.ndarray, int]:  # fmt: skip
    """Closest corners of all near triangles of different components, smaller vertex first.

    Returns an array that may be longer than needed, and how many of its rows count.
    """
    inner = len(low) // 2
    found = np.zeros((1024, 2), np.int32)
    count = 0
    stack = np.zeros(128, np.int64)
    one, two = np.zeros((3, 3)), np.zeros((3, 3))
    for n in range(len(faces)):
        for k in range(3):
            for axis in range(3):
                one[k, axis] = positions[faces[n, k], axis]
        reach = radii[n] + largest
        linked = 0
        stack[0] = 0
        depth = 1
        while depth > 0 and linked < MOST:
            depth -= 1
            node = stack[depth]
            if whose[node] == own[n] or whose[node] == -2:
                continue
            gap = 0.0
            for axis in range(3):
                bottom = min(one[0, axis], one[1, axis], one[2, axis]) - high[node, axis]
                top = low[node, axis] - max(one[0, axis], one[1, axis], one[2, axis])
                gap += max(bottom, top, 0.0) ** 2
            if gap >= reach * reach:
                continue
            if node < inner:
                stack[depth] = 2 * node + 2
                stack[depth + 1] = 2 * node + 1
                depth += 2
                continue
            start = (node - inner) * LEAF
            for m in range(max(start, n + 1), min(start + LEAF, len(faces))):
                if own[m] == own[n] or linked >= MOST:
                    continue
                limit = (radii[n] + radii[m]) ** 2
                for k in range(3):
                    for axis in range(3):
                        two[k, axis] = positions[faces[m, k], axis]
                if not _boxes_near(one, two, limit) or triangles_apart(one, two) >= limit:
                    continue
                a, b = _closest_corners(one, two)
                if count == len(found):
                    wider = np.zeros((2 * count, 2), np.int32)
                    for row in range(count):  # Copying a slice would take seconds to compile.
                        wider[row, 0], wider[row, 1] = found[row, 0], found[row, 1]
                    found = wider
                found[count, 0] = min(faces[n, a], faces[m, b])
                found[count, 1] = max(faces[n, a], faces[m, b])
                count += 1
                linked += 1
    return found, count


@kernel
def _boxes_near(one: np.ndarray, two: np.ndarray, limit: float) -> bool:
    gap = 0.0
    for axis in range(3):
        bottom = min(one[0, axis], one[1, axis], one[2, axis]) - max(
            two[0, axis], two[1, axis], two[2, axis]
        )
        top = min(two[0, axis], two[1, axis], two[2, axis]) - max(
            one[0, axis], one[1, axis], one[2, axis]
        )
        gap += max(bottom, top, 0.0) ** 2
    return gap < limit


@kernel
def _closest_corners(one: np.ndarray, two: np.ndarray) -> tuple[int, int]:
    least = np.inf
    best = 0
    for k in range(9):
        square = 0.0
        for axis in range(3):
            square += (one[k // 3, axis] - two[k % 3, axis]) ** 2
        if square < least:
            least, best = square, k
    return best // 3, best % 3
