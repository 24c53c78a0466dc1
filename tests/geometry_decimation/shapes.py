"""Meshes to try a decimation on: proper ones, open ones, and what is found in the wild."""

import functools

import numpy as np
import trimesh
from splatworks.stages.geometry.components import Surface


def surface(positions, faces) -> Surface:
    return Surface(np.asarray(positions, np.float64), np.asarray(faces, np.int64).reshape(-1, 3))


def together(*parts: Surface) -> Surface:
    starts = np.cumsum([0, *(len(part.positions) for part in parts)])[:-1]
    return Surface(
        np.concatenate([part.positions for part in parts]),
        np.concatenate([p.faces + start for p, start in zip(parts, starts, strict=True)]),
    )


def moved(part: Surface, offset, scale=1.0) -> Surface:
    return Surface(part.positions * scale + np.asarray(offset, np.float64), part.faces)


def sphere(subdivisions: int) -> Surface:
    mesh = trimesh.creation.icosphere(subdivisions)
    return surface(mesh.vertices, mesh.faces)


def bumpy(subdivisions: int, seed: int = 0) -> Surface:
    """A closed blob without any symmetry."""
    ball = sphere(subdivisions)
    rng = np.random.default_rng(seed)
    waves = rng.normal(size=(6, 3)) * 3
    bumps = np.sin(ball.positions @ waves.T + rng.uniform(0, 6, 6)).sum(axis=1)
    out = ball.positions * (1 + 0.05 * bumps[:, None]) * [1.0, 0.8, 0.6]
    return Surface(out, ball.faces)


def grid(cells: int, height=None) -> Surface:
    """The unit square in `cells` squared pairs of triangles, over (x, y)."""
    ticks = np.linspace(0, 1, cells + 1)
    x, y = (a.ravel() for a in np.meshgrid(ticks, ticks, indexing="ij"))
    z = np.zeros_like(x) if height is None else height(x, y)
    corner = (np.arange(cells)[:, None] * (cells + 1) + np.arange(cells)).ravel()
    a, b, c, d = corner, corner + cells + 1, corner + cells + 2, corner + 1
    faces = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])
    return surface(np.stack([x, y, z], 1), faces)


def hills(cells: int) -> Surface:
    return grid(
        cells, lambda x, y: 0.08 * np.sin(5 * x + 1) * np.cos(7 * y) + 0.03 * np.sin(11 * x * y)
    )


def box(size=(1.0, 1.0, 1.0), center=(0.0, 0.0, 0.0), cuts: int = 0) -> Surface:
    mesh = trimesh.creation.box(size)
    for _ in range(cuts):
        mesh = mesh.subdivide()
    return surface(mesh.vertices + np.asarray(center), mesh.faces)


def soup(part: Surface) -> Surface:
    """Every triangle with vertices of its own."""
    return surface(part.positions[part.faces].reshape(-1, 3), np.arange(3 * len(part.faces)))


def fan(blades: int, quads: int = 1) -> Surface:
    """Many sheets around one edge, each of `quads` pairs of triangles."""
    ticks = np.linspace(0, 1, quads + 1)
    parts = []
    for angle in np.linspace(0, 2 * np.pi, blades, endpoint=False):
        out = np.array([np.cos(angle), np.sin(angle), 0])
        points = [r * out + [0, 0, z] for r in ticks for z in (0.0, 1.0)]
        rows = 2 * np.arange(quads)
        faces = [f for k in rows for f in ([k, k + 2, k + 3], [k, k + 3, k + 1])]
        parts.append(surface(points, faces))
    return together(*parts)


def mobius(around: int, across: int) -> Surface:
    u = np.linspace(0, 2 * np.pi, around + 1)
    v = np.linspace(-0.4, 0.4, across + 1)
    uu, vv = np.meshgrid(u, v, indexing="ij")
    r = 1 + vv * np.cos(uu / 2)
    points = np.stack([r * np.cos(uu), r * np.sin(uu), vv * np.sin(uu / 2)], -1).reshape(-1, 3)
    k = (np.arange(around)[:, None] * (across + 1) + np.arange(across)).ravel()
    a, b, c, d = k, k + across + 1, k + across + 2, k + 1
    return surface(points, np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)]))


def plate(cells: int, thickness: float) -> Surface:
    """Two wavy sheets back to back, joined by walls."""
    top = grid(cells, lambda x, y: 0.05 * np.sin(6 * x) * np.cos(5 * y))
    count = cells + 1
    bottom = Surface(top.positions - [0, 0, thickness], top.faces[:, ::-1])
    index = np.arange(count * count).reshape(count, count)
    rim = np.concatenate([index[:-1, 0], index[-1, :-1], index[:0:-1, -1], index[0, :0:-1]])
    after, under = np.roll(rim, -1), count * count
    walls = np.concatenate(
        [np.stack([rim, rim + under, after + under], 1), np.stack([rim, after + under, after], 1)]
    )
    both = together(top, bottom)
    return Surface(both.positions, np.concatenate([both.faces, walls]))


def bricks(*, mirrored: bool = False) -> Surface:
    """72 separate cubes with small gaps between them.

    Mirrored in turn, the diagonals of walls that look at each other lie side by side; otherwise
    they cross.
    """
    unit = box((0.95,) * 3)
    parts = []
    for place in np.ndindex(6, 6, 2):
        signs = np.where(np.array(place) % 2 == 1, -1.0, 1.0) if mirrored else np.ones(3)
        faces = unit.faces if signs.prod() > 0 else unit.faces[:, ::-1]
        parts.append(Surface(unit.positions * signs + place, faces))
    return together(*parts)


@functools.cache
def wild() -> dict[str, Surface]:
    """What breaks programs that expect manifolds."""
    rng = np.random.default_rng(3)
    ball = bumpy(2)
    flat = grid(6)
    return {
        "one triangle": surface(np.eye(3), [0, 1, 2]),
        "two triangles": surface(rng.normal(size=(6, 3)), np.arange(6)),
        "tetrahedron": surface([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]],
                               [[0, 2, 1], [0, 1, 3], [1, 2, 3], [0, 3, 2]]),
        "both sides of a triangle": surface(np.eye(3), [[0, 1, 2], [0, 2, 1]]),
        "fan of 7 sheets": fan(7, 6),
        "fan of 300 sheets": fan(300, 2),
        "cone of 500": surface(
            [[0, 0, 1], *([np.cos(t), np.sin(t), 0] for t in np.linspace(0, 6.28, 501))],
            [[0, k, k + 1] for k in range(1, 501)],
        ),
        "moebius": mobius(60, 5),
        "soup of a ball": soup(ball),
        "random soup": surface(rng.normal(size=(900, 3)), np.arange(900)),
        "exploded": surface(
            (ball.positions[ball.faces] + rng.normal(size=(len(ball.faces), 1, 3)) * 0.01
             ).reshape(-1, 3), np.arange(3 * len(ball.faces))),
        "random triples": surface(rng.normal(size=(40, 3)), rng.integers(0, 40, (800, 3))),
        "everything twice": together(ball, ball),
        "twice, turned": together(ball, Surface(ball.positions, ball.faces[:, ::-1])),
        "crossing balls": together(ball, moved(ball, [0.7, 0.2, 0.1])),
        "ball in a ball": together(ball, moved(ball, [0, 0, 0], 0.5)),
        "flat": flat,
        "flat and doubled": together(flat, moved(flat, [0, 0, 1e-4])),
        "line of needles": surface(
            np.stack([np.arange(200.0), np.tile([0, 1e-7], 100), np.zeros(200)], 1),
            [[k, k + 1, k + 2] for k in range(198)],
        ),
        "points as faces": surface(
            [*ball.positions, [9, 9, 9]], [*ball.faces, [3, 3, 3], [5, 5, 6], [162, 162, 162]]
        ),
        "many cubes": together(*(moved(box(), rng.uniform(0, 60, 3)) for _ in range(400))),
        "bow ties": surface(
            np.concatenate([flat.positions, flat.positions * [-1, -1, 1]]),
            np.concatenate([flat.faces, flat.faces + len(flat.positions)]),
        ),
        "far away and tiny": moved(ball, [1e4, -2e4, 5e3], 1e-2),
        "open and torn": Surface(ball.positions, ball.faces[rng.random(len(ball.faces)) < 0.6]),
    }  # fmt: skip
