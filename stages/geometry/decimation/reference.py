"""The same decimation, readable and slow: sets, lists of planes, and a search for the least price.

It judges the kernels on small meshes: same complex in, same sequence of collapses out. Nothing is
shared with them but the numbers of `checks`; a quadric is here a list of weighted distances that
is summed up where it is asked for.
"""

import math
from dataclasses import dataclass, field

import numpy as np

from .checks import FLIP_COSINE, SLIVER
from .collapse import AGAIN, HELD_BACK
from .complex import Complex, labels
from .rules import Rules


@dataclass
class Mesh:
    """A simplicial complex by sets, with what each vertex remembers."""

    rules: Rules
    position: list[np.ndarray]
    distances: list[list[tuple[float, np.ndarray, np.ndarray]]]
    """Per vertex: (weight, projection P, point p), each standing for weight |P (x - p)|²."""
    shown: list[float]
    """Per vertex: the share of the surface there that is not transparent."""
    areas: list[float]
    faces: dict[int, tuple[int, int, int]]
    edges: dict[int, list[int]]
    keys: dict[int, float] = field(default_factory=dict)
    penalized: set[int] = field(default_factory=set)
    virtual: set[int] = field(default_factory=set)
    part: list[int] = field(default_factory=list)
    """Per vertex."""
    at_first: dict[int, float] = field(default_factory=dict)
    """Per part that may have a floor: its area at first."""
    shares: dict[int, float] = field(default_factory=dict)
    looked: int = 0

    def hanging(self, a: int, b: int) -> int:
        """Faces at the edge ab."""
        return sum(a in face and b in face for face in self.faces.values())

    def share(self, a: int, b: int) -> float:
        """Of the surface at the edge ab, what is not transparent."""
        return (self.shown[a] + self.shown[b]) / 2

    def edges_at(self, vertex: int) -> dict[int, int]:
        """Neighbor to edge."""
        return {
            (b if a == vertex else a): e for e, (a, b) in self.edges.items() if vertex in (a, b)
        }

    def borders(self, vertex: int) -> list[tuple[int, int]]:
        """Border edges at a vertex."""
        if not self.rules.boundary_area:
            return []
        around = sorted(self.edges_at(vertex))
        return [(vertex, k) for k in around if self.hanging(vertex, k) not in (0, 2)]


@dataclass(frozen=True)
class Collapse:
    """One step: `removed` went into `kept`, which now lies at `position`."""

    kept: int
    removed: int
    position: np.ndarray


def collapses(
    complex_: Complex, target: int, rules: Rules, shown: np.ndarray | None = None
) -> tuple[list[Collapse], Mesh]:
    """All steps until `target` faces or fewer are left, and the mesh then."""
    mesh = start(complex_, rules, shown)
    steps = []
    while len(mesh.faces) > target:
        held = [e for e, key in mesh.keys.items() if HELD_BACK <= key < math.inf]
        if held and len(mesh.faces) < AGAIN * mesh.looked:
            mesh.looked = len(mesh.faces)
            mesh.keys |= {e: price(mesh, e)[0] for e in held}
        edge = cheapest(mesh)
        if edge is None:
            break
        i, j = mesh.edges[edge]
        _, position = price(mesh, edge)
        collapse(mesh, edge, position)
        steps.append(Collapse(i, j, position))
    return steps, mesh


def start(complex_: Complex, rules: Rules, shown: np.ndarray | None = None) -> Mesh:
    """Planes of all faces and lines of all vertices, and the first prices."""
    count = len(complex_.positions)
    mesh = Mesh(
        rules=rules,
        position=list(complex_.positions.copy()),
        distances=[[] for _ in range(count)],
        shown=[1.0] * count if shown is None else list(shown),
        areas=[0.0] * count,
        faces={n: tuple(map(int, face)) for n, face in enumerate(complex_.faces)},
        edges={n: list(map(int, edge)) for n, edge in enumerate(complex_.edges)},
        virtual=set(map(int, np.flatnonzero(complex_.edge_faces == 0))),
    )
    sums = np.zeros((count, 3))
    for face in mesh.faces.values():
        p, q, r = (mesh.position[k] for k in face)
        cross = np.cross(q - p, r - p)
        normal = cross / np.linalg.norm(cross)
        for k in face:
            weight = np.linalg.norm(cross) / 6
            mesh.distances[k].append((weight, np.outer(normal, normal), p))
            sums[k] += weight * normal
            mesh.areas[k] += weight
    for k in range(count):
        if np.linalg.norm(sums[k]) > 0 and rules.line_weight > 0:
            normal = sums[k] / np.linalg.norm(sums[k])
            across = np.eye(3) - np.outer(normal, normal)
            mesh.distances[k].append((rules.line_weight * mesh.areas[k], across, mesh.position[k]))
    mesh.keys = {edge: price(mesh, edge)[0] for edge in mesh.edges}
    _measure_parts(mesh, labels(complex_, virtual=True))
    return mesh


def _measure_parts(mesh: Mesh, part: np.ndarray) -> None:
    mesh.part, mesh.looked = part.tolist(), len(mesh.faces)
    seen: dict[int, float] = {}
    for face in mesh.faces.values():
        clear = np.mean([mesh.shown[k] for k in face])
        seen[part[face[0]]] = seen.get(part[face[0]], 0) + clear * area(mesh, face)
    largest = max(seen, key=lambda number: (seen[number], -number))
    for number, found in seen.items():
        if number != largest:
            mesh.at_first[number] = area_of_part(mesh, number)
            mesh.shares[number] = found / sum(seen.values())


def area(mesh: Mesh, face: tuple[int, int, int]) -> float:
    """Of one face."""
    p, q, r = (mesh.position[k] for k in face)
    return float(np.linalg.norm(np.cross(q - p, r - p))) / 2


def area_of_part(mesh: Mesh, number: int) -> float:
    """What is left of a part."""
    return sum(area(mesh, face) for face in mesh.faces.values() if mesh.part[face[0]] == number)


def below_floor(mesh: Mesh, vertex: int, lost: float) -> bool:
    """Whether a large part would lose more than it may, with others left to lose from."""
    number, rules = mesh.part[vertex], mesh.rules
    share = mesh.shares.get(number, 0.0)
    if share < rules.part_share or share * len(mesh.faces) < rules.part_faces or not share:
        return False
    return area_of_part(mesh, number) - lost < rules.part_floor * mesh.at_first[number]


def terms(mesh: Mesh, edge: int) -> list[tuple[float, np.ndarray, np.ndarray]]:
    """All weighted distances that the price of an edge sums up.

    A border edge ab adds 2 area(x, a, b)² = |b - a|² / 2 times the squared distance to its line.
    """
    i, j = mesh.edges[edge]
    found = mesh.distances[i] + mesh.distances[j]
    for a, b in mesh.borders(i) + mesh.borders(j):
        if {a, b} != {i, j}:
            along = mesh.position[b] - mesh.position[a]
            square = along @ along
            across = np.eye(3) - np.outer(along, along) / square
            weight = mesh.rules.border_weight * mesh.share(a, b) ** 2
            found.append((weight * square / 2, across, mesh.position[a]))
    return found


def price(mesh: Mesh, edge: int) -> tuple[float, np.ndarray]:
    """Least sum of the terms and where it is."""
    i, j = mesh.edges[edge]
    p, q = mesh.position[i], mesh.position[j]
    middle = (p + q) / 2
    found = terms(mesh, edge)

    def total(x: np.ndarray) -> float:
        return sum(w * float((x - at) @ projection @ (x - at)) for w, projection, at in found)

    matrix = sum((w * projection for w, projection, _ in found), np.zeros((3, 3)))
    slope = sum((w * projection @ (middle - at) for w, projection, at in found), np.zeros(3))
    stiff = matrix + mesh.rules.placement_pull * np.trace(matrix) * np.eye(3)
    if np.linalg.matrix_rank(stiff, tol=1e-13 * np.trace(stiff)) == 3:
        best = middle - np.linalg.solve(stiff, slope)
        reach = mesh.rules.placement_reach * np.linalg.norm(p - q)
        if np.linalg.norm(best - middle) <= reach:
            return total(best), best
    return min(((total(x), x) for x in (middle, p, q)), key=lambda pair: pair[0])


def penalty(mesh: Mesh, edge: int, position: np.ndarray) -> tuple[float, float]:
    """Price of the faces that would turn over or become slivers, of those after which nothing is
    left here, and of what must not go yet; and of normals that change and of area that is lost, or
    gained at a border."""
    i, j = mesh.edges[edge]
    turned = thin = bent = lost = 0.0
    for face in mesh.faces.values():
        if i in face and j in face:
            lost += area(mesh, face)
        if (i in face) == (j in face):
            continue
        before = np.array([mesh.position[k] for k in face])
        after = np.array([position if k in (i, j) else mesh.position[k] for k in face])
        old, new = (np.cross(t[1] - t[0], t[2] - t[0]) for t in (before, after))
        sizes = np.linalg.norm(old), np.linalg.norm(new)
        lost += (sizes[0] - sizes[1]) / 2
        if sizes[0] > 1e-15:
            if old @ new < FLIP_COSINE * sizes[0] * sizes[1]:
                turned += max(sizes) / 2
            bent += (sizes[1] - old @ new / sizes[0]) / 2
        sides = [float(((t - np.roll(t, 1, axis=0)) ** 2).sum()) for t in (before, after)]
        quality = [2 * math.sqrt(3) * s / q for s, q in zip(sizes, sides, strict=True)]
        if quality[1] < SLIVER and quality[1] < quality[0]:
            thin += sides[1]
    length = float(((mesh.position[i] - mesh.position[j]) ** 2).sum())
    rejected = mesh.rules.flip_penalty * turned + mesh.rules.sliver_penalty * thin
    rejected *= length
    changed = mesh.rules.bend_penalty * max(bent, 0.0) * length
    counts = sum(w * np.trace(p) for k in (i, j) for w, p, _ in mesh.distances[k])
    counts *= mesh.share(i, j) / max(mesh.areas[i] + mesh.areas[j], 1e-300)
    loss = 2 * lost**2 * counts
    if all(i in face and j in face for face in mesh.faces.values() if i in face or j in face):
        rejected += mesh.rules.vanish_penalty * loss
    elif lost > 0:
        changed += mesh.rules.shrink_penalty * loss
    elif mesh.rules.boundary_area and mesh.hanging(i, j) not in (0, 2):
        weight = mesh.rules.grow_penalty * mesh.rules.border_weight * mesh.share(i, j) ** 2
        changed += 2 * weight * lost**2
    if below_floor(mesh, i, lost):
        rejected += HELD_BACK
    return rejected, changed


def cheapest(mesh: Mesh) -> int | None:
    """The edge with the least key that still deserves it; keys that have grown are raised."""
    while mesh.keys:
        edge = min(mesh.keys, key=lambda e: (mesh.keys[e], e))
        if mesh.keys[edge] == math.inf:
            return None
        total, position = price(mesh, edge)
        if total <= mesh.keys[edge]:
            rejected, bent = penalty(mesh, edge, position)
            if rejected > 0:
                mesh.penalized.add(edge)
            total += rejected + bent
        if total <= mesh.keys[edge]:
            if len(mesh.faces) > mesh.hanging(*mesh.edges[edge]):
                return edge
            total = math.inf
        mesh.keys[edge] = total
    return None


def collapse(mesh: Mesh, edge: int, position: np.ndarray) -> None:
    """Join the two ends of an edge and bring prices around up to date."""
    i, j = mesh.edges[edge]
    old_border = {k for end in (i, j) for _, k in mesh.borders(end)}
    mesh.position[i] = position
    mesh.distances[i] = mesh.distances[i] + mesh.distances[j]
    area = mesh.areas[i] + mesh.areas[j]
    if area > 0:
        both = mesh.areas[i] * mesh.shown[i] + mesh.areas[j] * mesh.shown[j]
        mesh.shown[i], mesh.areas[i] = both / area, area
    doubled = _rename_faces(mesh, i, j)
    for e, (a, b) in list(mesh.edges.items()):
        if {a, b} <= doubled and e not in mesh.virtual and not mesh.hanging(a, b):
            del mesh.edges[e], mesh.keys[e]
    _rename_edges(mesh, i, j)
    around = mesh.edges_at(i)
    touched = {k for k in around if k in old_border | doubled}
    touched |= {k for _, k in mesh.borders(i) if k in around}
    stale = set()
    lost = {k for k, _ in _bare_edges(mesh, i)}
    for _, e in _bare_edges(mesh, i):
        del mesh.edges[e], mesh.keys[e]
    for k in lost:
        for e in mesh.edges_at(k).values():
            if mesh.rules.boundary_area or e in mesh.penalized:
                stale.add(e)
    for k, e in mesh.edges_at(i).items():
        if k in touched and mesh.rules.boundary_area:
            stale |= set(mesh.edges_at(k).values())
        stale |= {e for e in mesh.edges_at(k).values() if e in mesh.penalized}
        if mesh.borders(i):
            stale.add(e)
    for e in stale:
        mesh.penalized.discard(e)
        mesh.keys[e] = price(mesh, e)[0]


def _rename_faces(mesh: Mesh, i: int, j: int) -> set[int]:
    """j becomes i; faces with both and faces there are already go. Corners of the latter.

    With virtual edges, a face and its double both go where they looked at each other.
    """
    doubled = set()
    for n, face in sorted(mesh.faces.items()):
        if j not in face:
            continue
        new = tuple(i if k == j else k for k in face)
        there = [m for m, f in mesh.faces.items() if m != n and j not in f and set(new) == set(f)]
        if i in face:
            del mesh.faces[n]
        elif there:
            doubled |= set(face) - {j}
            del mesh.faces[n]
            closing = mesh.rules.virtual_edges != "off" and len(mesh.faces) > 1
            if closing and _looks_at(mesh, there[0], new, j):
                del mesh.faces[there[0]]
        else:
            mesh.faces[n] = new
    return doubled


def _looks_at(mesh: Mesh, face: int, other: tuple[int, ...], vertex: int) -> bool:
    """Whether a face is wound against the other one and has the vertex before it."""
    corners = mesh.faces[face]
    turns = [tuple(np.roll(other, k)) for k in range(3)]
    if corners in turns:
        return False
    p, q, r = (mesh.position[k] for k in corners)
    return float(np.cross(q - p, r - p) @ (mesh.position[vertex] - p)) > 0


def _rename_edges(mesh: Mesh, i: int, j: int) -> None:
    """j becomes i; of two edges to one neighbor that of i stays."""
    own = mesh.edges_at(i)
    for k, e in mesh.edges_at(j).items():
        if k == i or k in own:
            if k in own and k != i and e not in mesh.virtual:
                mesh.virtual.discard(own[k])
            del mesh.edges[e], mesh.keys[e]
        else:
            mesh.edges[e][mesh.edges[e].index(j)] = i


def _bare_edges(mesh: Mesh, i: int) -> list[tuple[int, int]]:
    """Edges to drop after a collapse: without faces though not virtual, or of bare vertices."""
    alive = {k for face in mesh.faces.values() for k in face}
    found = []
    for k, e in mesh.edges_at(i).items():
        if i not in alive or (e not in mesh.virtual and not mesh.hanging(i, k)):
            found.append((k, e))
            if k not in alive:
                found += [(k, other) for other in mesh.edges_at(k).values() if other != e]
    return found
