"""A 4-ary heap of edges with known places: smallest key first, then the smallest edge.

Each edge is in it at most once, so that it never grows. An edge's place is -1 when it is out.
"""

import numpy as np

from ....renderers.cpu.compiled import strict_kernel, strict_part
from .web import HEAP, PLACE, Web


@strict_part
def before(key: float, edge: int, other_key: float, other: int) -> bool:
    """The total order that makes the sequence of collapses deterministic."""
    return key < other_key or (key == other_key and edge < other)


@strict_part
def put(keys: np.ndarray, heap: np.ndarray, edges: np.ndarray, place: int, key: float, edge: int):
    """Write one entry."""
    keys[place] = key
    heap[place] = edge
    edges[edge, PLACE] = place


@strict_kernel
def sift(
    keys: np.ndarray, heap: np.ndarray, edges: np.ndarray, size: int, place: int, key: float,
    edge: int,
) -> None:  # fmt: skip
    """Put an edge where it belongs, starting from a place that it may take."""
    while place > 0:
        parent = (place - 1) // 4
        if not before(key, edge, keys[parent], heap[parent]):
            break
        put(keys, heap, edges, place, keys[parent], heap[parent])
        place = parent
    while True:
        child = 4 * place + 1
        if child >= size:
            break
        best = child
        for other in range(child + 1, min(child + 4, size)):
            if before(keys[other], heap[other], keys[best], heap[best]):
                best = other
        if not before(keys[best], heap[best], key, edge):
            break
        put(keys, heap, edges, place, keys[best], heap[best])
        place = best
    put(keys, heap, edges, place, key, edge)


@strict_kernel
def fill(web: Web) -> None:
    """All edges, whose keys lie in their order, in one go (Floyd): each place in turn becomes the
    root of a heap."""
    size = len(web.keys)
    web.counts[HEAP] = size
    for edge in range(size):
        put(web.keys, web.heap, web.edges, edge, web.keys[edge], edge)
    for start in range((size - 2) // 4, -1, -1):
        place, key, edge = start, web.keys[start], web.heap[start]
        while True:
            child = 4 * place + 1
            if child >= size:
                break
            best = child
            for other in range(child + 1, min(child + 4, size)):
                if before(web.keys[other], web.heap[other], web.keys[best], web.heap[best]):
                    best = other
            if not before(web.keys[best], web.heap[best], key, edge):
                break
            put(web.keys, web.heap, web.edges, place, web.keys[best], web.heap[best])
            place = best
        put(web.keys, web.heap, web.edges, place, key, edge)


@strict_part
def pop(web: Web) -> None:
    """Take out the root."""
    web.counts[HEAP] -= 1
    size = web.counts[HEAP]
    web.edges[web.heap[0], PLACE] = -1
    if size > 0:
        sift(web.keys, web.heap, web.edges, size, 0, web.keys[size], web.heap[size])


@strict_part
def set_key(web: Web, edge: int, key: float) -> None:
    """Change the key of an edge that is in the heap."""
    place = web.edges[edge, PLACE]
    if web.keys[place] != key:
        sift(web.keys, web.heap, web.edges, web.counts[HEAP], place, key, edge)
