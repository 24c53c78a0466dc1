"""Which photographs are compared with which."""

from itertools import combinations

from . import Pairs

ALL_UP_TO = 200
NEXT = 10
FAR = 60
"""In a sequence so many photographs, evenly spread, are compared with each other: where a path
comes back to, the model must close."""


def pairs_of(count: int, pairs: Pairs) -> list[tuple[int, int]]:
    """Pairs (a, b) with a < b of photographs 0..count-1, in order."""
    if pairs == "all" or (pairs == "auto" and count <= ALL_UP_TO):
        return list(combinations(range(count), 2))
    near = {(a, b) for a in range(count) for b in range(a + 1, min(count, a + NEXT + 1))}
    far = combinations(range(0, count, max(1, -(-count // FAR))), 2)
    return sorted(near.union(far))
