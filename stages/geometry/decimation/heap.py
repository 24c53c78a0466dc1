"""A 4-ary heap of edges with known places: smallest key first, then the smallest edge.

Each edge is in it at most once, so that it never grows. An edge's place is negative when it is out.
"""

from ....renderers.cpu.compiled import kernel, part
from .web import HEAP, Web


@part
def before(key: float, edge: int, other_key: float, other: int) -> bool:
    """The total order that makes the sequence of collapses deterministic."""
    return key < other_key or (key == other_key and edge < other)


@kernel
def sift_up(web: Web, place: int) -> None:
    """Move the edge at this place towards the root."""
    heap, keys, places = web.heap, web.keys, web.places
    edge = heap[place]
    key = keys[edge]
    while place > 0:
        parent = (place - 1) // 4
        above = heap[parent]
        if not before(key, edge, keys[above], above):
            break
        heap[place] = above
        places[above] = place
        place = parent
    heap[place] = edge
    places[edge] = place


@kernel
def sift_down(web: Web, place: int) -> None:
    """Move the edge at this place towards the leaves."""
    heap, keys, places = web.heap, web.keys, web.places
    size = web.counts[HEAP]
    edge = heap[place]
    key = keys[edge]
    while True:
        child = 4 * place + 1
        if child >= size:
            break
        best = child
        lowest, best_key = heap[child], keys[heap[child]]
        for other in range(child + 1, min(child + 4, size)):
            rival = heap[other]
            if before(keys[rival], rival, best_key, lowest):
                best, lowest, best_key = other, rival, keys[rival]
        if not before(best_key, lowest, key, edge):
            break
        heap[place] = lowest
        places[lowest] = place
        place = best
    heap[place] = edge
    places[edge] = place


@kernel
def fill(web: Web) -> None:
    """All edges, in one go (Floyd)."""
    for edge in range(len(web.edges)):
        web.heap[edge] = edge
        web.places[edge] = edge
    web.counts[HEAP] = len(web.edges)
    for place in range((len(web.edges) - 2) // 4, -1, -1):
        sift_down(web, place)


@kernel
def pop(web: Web) -> None:
    """Take out the root."""
    web.counts[HEAP] -= 1
    size = web.counts[HEAP]
    web.places[web.heap[0]] = -1
    if size > 0:
        web.heap[0] = web.heap[size]
        sift_down(web, 0)


@kernel
def set_key(web: Web, edge: int, key: float) -> None:
    """Change the key of an edge that is in the heap."""
    old = web.keys[edge]
    if old == key:
        return
    web.keys[edge] = key
    if key < old:
        sift_up(web, web.places[edge])
    else:
        sift_down(web, web.places[edge])
