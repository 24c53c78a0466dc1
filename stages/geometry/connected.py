"""What hangs together: connected components, in a kernel that needs no sparse matrices."""

import numpy as np

from ...renderers.cpu.compiled import inner, lean_kernel

ASKEW = np.array([0.6122, 0.5390, 0.5783])
"""Along which near points are looked for: no mesh has many vertices in a plane across it."""


def connected(count: int, pairs: np.ndarray) -> np.ndarray:
    """Labels of `count` items that pairs (n 2) connect, numbered by the first item of each."""
    above, labels = np.arange(count), np.empty(count, np.int64)
    _connect(above, np.ascontiguousarray(pairs, np.int64), labels)
    return labels


def near_each_other(points: np.ndarray, radius: float) -> np.ndarray:
    """The same for points (n 3) that chains of steps up to `radius` connect."""
    along = points @ ASKEW
    above, labels = np.arange(len(points)), np.empty(len(points), np.int64)
    points = np.ascontiguousarray(points, np.float64)
    _connect_near(above, points, along, np.argsort(along), radius, labels)
    return labels


@inner
def _root(above: np.ndarray, item: int) -> int:
    """The lowest item of its set; halves the way there for the next time."""
    while above[item] != item:
        above[item] = above[above[item]]
        item = above[item]
    return item


@inner
def _join(above: np.ndarray, one: int, two: int) -> None:
    one, two = _root(above, one), _root(above, two)
    above[max(one, two)] = min(one, two)


@inner
def _number(above: np.ndarray, labels: np.ndarray) -> None:
    count = 0
    for item in range(len(above)):
        root = _root(above, item)
        if root == item:  # Lower ones are numbered already, and a root is the lowest of its set.
            labels[item] = count
            count += 1
        else:
            labels[item] = labels[root]


@lean_kernel
def _connect(above: np.ndarray, pairs: np.ndarray, labels: np.ndarray) -> None:
    for pair in range(len(pairs)):
        _join(above, pairs[pair, 0], pairs[pair, 1])
    _number(above, labels)


@lean_kernel
def _connect_near(
    above: np.ndarray, points: np.ndarray, along: np.ndarray, order: np.ndarray, radius: float,
    labels: np.ndarray,
) -> None:  # fmt: skip
    for k in range(len(order)):
        one = order[k]
        m = k + 1
        # `ASKEW` is not quite of unit length, so nothing within the radius is missed.
        while m < len(order) and along[order[m]] - along[one] <= radius:
            two = order[m]
            x, y = points[one, 0] - points[two, 0], points[one, 1] - points[two, 1]
            z = points[one, 2] - points[two, 2]
            if x * x + y * y + z * z <= radius * radius:
                _join(above, one, two)
            m += 1
    _number(above, labels)
