"""The round toys: mushroom, mug, tree, rocket, duck, barrel, donut."""

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from . import solids
from .recipe import Parts, Recipe, Vary


def mushroom(vary: Vary) -> Parts:
    """A wide cap over pale gills, on a stem with a swollen foot."""
    wide, tall, high, foot = vary(0.50), vary(0.42), vary(0.44), vary(0.20)
    neck = vary(0.135)
    cap = [(0, 0.04), (0.55, 0.00), (0.90, -0.02), (0.98, 0.03), (1.0, 0.12), (0.95, 0.38)]
    cap += [(0.80, 0.66), (0.55, 0.88), (0.28, 0.98), (0, 1.0)]
    gills = [(0, -0.10), (0.30, -0.10), (0.84, -0.035), (0.90, 0.0), (0.90, 0.0), (0, 0.03)]
    stem = [(0, 0), (0.85 * foot, 0), (foot, 0.05), (0.92 * foot, 0.14), (neck, 0.28)]
    stem += [(0.95 * neck, high), (0.95 * neck, high), (0, high)]
    return [
        ("main", solids.moved(solids.turned([(wide * r, tall * y) for r, y in cap]), (0, high, 0))),
        (
            "gills",
            solids.moved(solids.turned([(wide * r, tall * y) for r, y in gills]), (0, high, 0)),
        ),
        ("part", solids.turned(stem)),
    ]


def mug(vary: Vary) -> Parts:
    """A cup, dark inside, with its handle at +X."""
    r, h = vary(0.36), vary(0.84)
    t = 0.045
    wall = [(0.86 * r, 0), (0.96 * r, 0.02), (r, 0.09), (r, 0.5 * h), (r, h - 0.02)]
    wall += [(r - 0.4 * t, h + 0.004), (r - t, h - 0.02), (r - t, h - 0.02), (r - t, 0.07)]
    wall += [(r - t, 0.07), (0.05, 0.07), (0.05, 0.07), (0.05, 0.0), (0.05, 0.0)]
    lining = [(0, 0.05), (r - 0.7 * t, 0.05), (r - 0.7 * t, 0.05), (r - 0.7 * t, 0.93 * h)]
    lining += [(r - 0.7 * t, 0.93 * h), (r - 1.15 * t, 0.93 * h), (r - 1.15 * t, 0.93 * h)]
    lining += [(r - 1.15 * t, 0.09), (r - 1.15 * t, 0.09), (0, 0.09)]
    turn = np.radians(np.linspace(-88, 88, 25))
    reach, rise = vary(0.25), vary(0.25)
    path = np.stack(
        [r - 0.02 + reach * np.cos(turn), 0.5 * h + rise * np.sin(turn), np.zeros(25)], axis=1
    )
    return [
        ("main", solids.ring(wall, smooth=2)),
        ("inside", solids.turned(lining, smooth=1)),
        ("part", solids.tube(path, np.full(25, 0.058))),
    ]


def tree(vary: Vary) -> Parts:
    """A fir: three soft cones on a brown trunk."""
    parts: Parts = []
    trunk, foot = vary(0.10), 0.38
    profile = [(0, 0), (1.25 * trunk, 0), (1.2 * trunk, 0.03), (trunk, 0.12), (trunk, 0.5)]
    parts.append(("part", solids.turned([*profile, (0, 0.5)], segments=24)))
    wide, tall = vary(0.46), vary(0.52)
    cone = [(0, 0.0), (0.55, -0.02), (0.93, -0.04), (1.0, 0.02), (0.93, 0.12), (0.50, 0.56)]
    cone += [(0.12, 0.95), (0, 1.0)]
    for size, rise in ((1.0, 0.0), (0.80, 0.52), (0.58, 1.0)):
        tier = [(size * wide * r, size * tall * y) for r, y in cone]
        parts.append(("main", solids.moved(solids.turned(tier), (0, foot + rise * 0.62 * tall, 0))))
    return parts


def rocket(vary: Vary) -> Parts:
    """A plump rocket on four fins, a porthole at the front, a nozzle below."""
    r, h = vary(0.27), vary(0.66)
    nose = vary(0.34)
    low = 0.16
    hull = [(0, low), (0.68 * r, low), (0.68 * r, low), (0.90 * r, low + 0.18 * h)]
    hull += [(r, low + 0.45 * h), (0.985 * r, low + 0.7 * h), (0.87 * r, low + h)]
    hull += [(0.87 * r, low + h), (0, low + h)]
    tip = [(0, low + h - 0.03), (0.875 * r, low + h - 0.03), (0.875 * r, low + h - 0.03)]
    tip += [
        (0.70 * r, low + h + 0.35 * nose),
        (0.38 * r, low + h + 0.75 * nose),
        (0, low + h + nose),
    ]
    nozzle = [
        (0, 0.06),
        (0.62 * r, 0.06),
        (0.62 * r, 0.06),
        (0.42 * r, low + 0.02),
        (0, low + 0.02),
    ]
    parts: Parts = [
        ("main", solids.turned(hull)),
        ("main", solids.turned(tip)),
        ("dark", solids.turned(nozzle, smooth=1)),
    ]
    span = vary(0.22)
    inner = 0.6 * r
    outline = np.array(
        [
            [inner, 0.56],
            [inner, 0.17],
            [r + 0.35 * span, 0.10],
            [r + span, -0.02],
            [r + span, 0.16],
            [r + 0.62 * span, 0.40],
        ]
    )
    flat = np.c_[outline, np.full(len(outline), -0.028)]
    for angle in (45, 135, 225, 315):
        fin = solids.prism(flat, (0, 0, 0.056))
        parts.append(("part", solids.turned_by(fin, (0, 1, 0), angle)))
    middle, window = low + 0.66 * h, vary(0.115)
    frame = solids.turned_by(solids.torus(window, 0.032), (1, 0, 0), 90)
    glass = solids.turned_by(solids.cylinder(window, 0.05), (1, 0, 0), 90)
    parts.append(("metal", solids.moved(frame, (0, middle, r - 0.005))))
    parts.append(("glass", solids.moved(glass, (0, middle, r - 0.012))))
    return parts


def duck(vary: Vary) -> Parts:
    """A rubber duck: orange beak at +Z, tail up at -Z."""
    wide, tall, long = vary(0.34), vary(0.27), vary(0.46)
    points, faces = solids.ball((wide, tall, long), segments=40)
    tail = np.clip(-points[:, 2] / long, 0, 1)
    points[:, 1] += 0.30 * tail**2.5
    points[:, 0] *= 1 - 0.5 * tail**2
    flat = points[:, 1] < -0.7 * tall
    points[flat, 1] = -0.7 * tall + 0.25 * (points[flat, 1] + 0.7 * tall)
    head = vary(0.245)
    up, ahead = tall + 0.62 * head, 0.20
    parts: Parts = [
        ("main", (points, faces)),
        ("main", solids.moved(solids.ball((head, head, head), segments=40), (0, up, ahead))),
        ("main", solids.moved(solids.ball((0.17, 0.16, 0.17)), (0, 0.5 * tall + 0.07, 0.15))),
    ]
    beak = vary(0.125)
    for lift, size in ((0.018, 1.0), (-0.03, 0.82)):
        bill = solids.ball((size * beak, 0.042, size * 0.15), segments=24)
        parts.append(("orange", solids.moved(bill, (0, up - 0.05 + lift, ahead + 0.93 * head))))
    for side in (-1, 1):
        toward = np.array([side * 0.50, 0.32, 0.80])
        toward /= np.linalg.norm(toward)
        eye = np.array([0, up, ahead]) + 0.955 * head * toward
        parts.append(("dark", solids.moved(solids.ball((0.045,) * 3, segments=16), eye)))
        glint = eye + 0.036 * np.array([side * 0.3, 0.55, 0.8])
        parts.append(("white", solids.moved(solids.ball((0.016,) * 3, segments=10), glint)))
        wing = solids.ball((0.06, 0.13, 0.22), segments=24)
        wing = solids.turned_by(wing, (1, 0, 0), 14)
        parts.append(("base", solids.moved(wing, (side * 0.93 * wide, 0.06, -0.06))))
    return parts


def barrel(vary: Vary) -> Parts:
    """Bulging staves with iron hoops, a sunken lid, a tap at the front."""
    r, h, bulge = vary(0.33), vary(0.92), vary(0.085)

    def radius(y: float) -> float:
        return r + bulge * (1 - (2 * y / h - 1) ** 2)

    heights = [h * k / 8 for k in range(9)]
    staves = [(0, 0), (r, 0), *((radius(y), y) for y in heights), (r, h), (r - 0.05, h)]
    staves += [(r - 0.05, h), (r - 0.05, h - 0.045), (r - 0.05, h - 0.045), (0, h - 0.045)]
    parts: Parts = [("main", solids.turned(staves, smooth=2))]
    lid = [(0, h - 0.05), (r - 0.045, h - 0.05), (r - 0.045, h - 0.05), (r - 0.045, h - 0.04)]
    lid += [(r - 0.045, h - 0.04), (0, h - 0.04)]
    parts.append(("inside", solids.turned(lid, smooth=1)))
    for middle in (0.06, 0.29, 0.71, 0.94):
        low, high = middle * h - 0.03, middle * h + 0.03
        a, b = radius(low), radius(high)
        hoop = [(a - 0.03, low), (a + 0.016, low), (b + 0.016, high), (b - 0.03, high)]
        hoop = [point for point in hoop for _ in range(2)]
        parts.append(("part", solids.ring(hoop, smooth=1)))
    tap = 0.16 * h
    spout = solids.turned_by(solids.cylinder(0.035, 0.14), (1, 0, 0), 90)
    parts.append(("wood", solids.moved(spout, (0, tap, radius(tap) + 0.06))))
    handle = solids.cylinder(0.026, 0.13, segments=16)
    parts.append(("wood", solids.moved(handle, (0, tap + 0.03, radius(tap) + 0.10))))
    return parts


def donut(vary: Vary) -> Parts:
    """A ring of dough, lying flat, with icing that runs down in waves."""
    radius, thick, flat = vary(0.40), vary(0.175), vary(0.92)
    segments, around = 72, 15
    dough = solids.torus(radius, thick, segments=segments, sides=24)
    dough[0][:, 1] *= flat
    turn = np.arange(segments) * (2 * np.pi / segments)
    outer = np.radians(-2 + 10 * np.sin(5 * turn + 0.4) + 5 * np.sin(8 * turn))
    inner = np.radians(180 + 8 * np.sin(4 * turn + 1.0))
    share = np.linspace(0, 1, around)
    angle = outer[:, None] + (inner - outer)[:, None] * share
    lift = 0.032 * (1 - (2 * share - 1) ** 8) - 0.004
    over = thick + np.broadcast_to(lift, angle.shape)
    under = np.full_like(angle, thick - 0.03)
    loop = np.concatenate([angle, angle[:, ::-1]], axis=1)
    distance = np.concatenate([over, under], axis=1)
    out = radius + distance * np.cos(loop)
    points = np.stack(
        [
            out * np.sin(turn)[:, None],
            flat * distance * np.sin(loop),
            out * np.cos(turn)[:, None],
        ],
        axis=-1,
    )
    return [("dough", dough), ("main", solids.grid(points, wrap_rows=True, wrap_columns=True))]


RECIPES: Mapping[str, Recipe] = MappingProxyType(
    {
        "mushroom": Recipe(build=mushroom, part_color=(0.93, 0.86, 0.72), sectors=16),
        "mug": Recipe(build=mug, sectors=16),
        "tree": Recipe(build=tree, part_color=(0.47, 0.29, 0.15), sectors=14),
        "rocket": Recipe(build=rocket, part_color=(0.55, 0.56, 0.60), sectors=10),
        "duck": Recipe(build=duck),
        "barrel": Recipe(build=barrel, part_color=(0.29, 0.29, 0.32), sectors=16, stripes="around"),
        "donut": Recipe(build=donut, sectors=20, stripes="around"),
    }
)
"""Every kind of this file."""
