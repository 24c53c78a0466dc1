"""Vehicles and a tower: truck, boat, plane, tower."""

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from . import solids
from .recipe import Parts, Recipe, Vary
from .solids import Solid


def truck(vary: Vary) -> Parts:
    """A lorry: a big cargo box, a lower cab with a windscreen at +Z, six thick wheels."""
    wide, high, long = vary(0.60), vary(0.58), vary(0.76)
    cab_high, cab_long, wheel = vary(0.46), vary(0.36), vary(0.15)
    floor, half = 1.25 * wheel, (long + cab_long + 0.05) / 2
    cargo, cab = long / 2 - half, half - cab_long / 2
    parts: Parts = [
        ("main", solids.box((wide, high, long), 0.035, center=(0, floor + high / 2, cargo))),
        ("dark", solids.box((0.72 * wide, 0.11, 1.94 * half), 0.02, center=(0, floor - 0.01, 0))),
        ("part", _cab(0.48 * wide, floor - 0.06, cab_high, cab_long, cab)),
        (
            "metal",
            solids.box((0.98 * wide, 0.09, 0.09), 0.03, center=(0, floor - 0.05, half - 0.01)),
        ),
    ]
    parts.extend(_cab_glass(0.48 * wide, floor - 0.06, cab_high, cab_long, cab))
    for z in (cab - 0.01, cargo - 0.31 * long, cargo + 0.12 * long):
        for side in (-1, 1):
            parts.extend(_wheel(wheel, 0.14, (side * (wide / 2 - 0.055), wheel, z)))
    for side in (-1, 1):
        lamp = solids.ball((0.06, 0.06, 0.04), segments=20)
        parts.append(("lamp", solids.moved(lamp, (side * 0.32 * wide, floor + 0.06, half))))
        place = (side * 0.36 * wide, floor + 0.03, -half)
        parts.append(("tail-lamp", solids.box((0.10, 0.08, 0.05), 0.015, center=place)))
    parts.append(
        (
            "dark",
            solids.box((0.24 * wide, 0.08, 0.04), 0.012, center=(0, floor + 0.06, half - 0.01)),
        )
    )
    return parts


def boat(vary: Vary) -> Parts:
    """A sailing boat: a deep hull with its bow at +Z, two full sails swung out toward +X."""
    wide, deep, long = vary(0.31), vary(0.42), vary(0.54)
    mast, reach = vary(0.84), vary(0.46)
    parts: Parts = [
        ("main", _hull(wide, deep, long)),
        ("wood", _deck(wide, long)),
        ("wood", solids.moved(solids.cylinder(0.036, mast, segments=20), (0, mast / 2, 0.08))),
    ]
    foot = 0.13
    main_sail = _sail(
        (0, foot, 0.05), (0.88 * reach, foot, 0.08 - 0.9 * reach), (0, mast - 0.02, 0.05)
    )
    jib = _sail(
        (0, foot + 0.02, 0.05 + reach), (0.80 * reach, foot + 0.02, 0.16), (0, 0.92 * mast, 0.12)
    )
    parts.extend([("part", main_sail), ("part", jib)])
    end = np.array([0.88 * reach + 0.02, foot - 0.02, 0.06 - 0.9 * reach])
    path = np.linspace([0, foot - 0.02, 0.06], end, 5)
    parts.append(("wood", _rod(path, 0.03)))
    return parts


def plane(vary: Vary) -> Parts:
    """A plump propeller plane, nose at +Z, with thick wings, three tail planes and wheels."""
    r, long = vary(0.22), vary(0.98)
    span, chord, fin = vary(0.56), vary(0.28), vary(0.26)
    body = [(0, -0.5), (0.22, -0.49), (0.36, -0.44), (0.72, -0.16), (0.98, 0.10), (1.0, 0.28)]
    body += [(0.94, 0.40), (0.80, 0.44), (0, 0.45)]
    hull = solids.turned([(r * a, long * z) for a, z in body], segments=40)
    parts: Parts = [("main", solids.turned_by(hull, (1, 0, 0), 90))]
    wing, tail = (chord, 0.7 * chord, 0.075), (0.8 * chord, 0.52 * chord, 0.065)
    for side in (-1, 1):
        blade = _blade(span, *wing)
        parts.append(("part", _aside(blade, side, (0, -0.25 * r, 0.20 * long))))
        blade = _blade(0.46 * span, *tail)
        parts.append(("part", _aside(blade, side, (0, 0.05, -0.41 * long))))
        strut = solids.box(
            (0.05, 0.16, 0.05), 0.015, center=(side * 0.55 * r, -1.02 * r, 0.24 * long)
        )
        parts.append(("dark", strut))
        parts.extend(_wheel(0.095, 0.09, (side * 0.62 * r, -1.42 * r, 0.24 * long)))
    upright = solids.turned_by(_blade(fin, *tail), (0, 0, 1), 90)
    parts.append(("part", solids.moved(upright, (0, 0.03, -0.41 * long))))
    glass = solids.ball((0.60 * r, 0.62 * r, 0.20), segments=28)
    parts.append(("glass", solids.moved(glass, (0, 0.86 * r, 0.08 * long))))
    nose = 0.45 * long
    hub = solids.ball((0.075, 0.075, 0.10), segments=24)
    parts.append(("brass", solids.moved(hub, (0, 0, nose + 0.02))))
    for side in (-1, 1):
        oar = solids.turned_by(solids.ball((0.17, 0.06, 0.032), segments=20), (0, 0, 1), 60)
        shift = 0.17 * np.array([np.cos(np.radians(60)), np.sin(np.radians(60)), 0])
        parts.append(("dark", solids.moved(oar, side * shift + [0, 0, nose + 0.035])))
    return parts


def tower(vary: Vary) -> Parts:
    """A round castle tower: battlements around a pointed roof, an arched door at +Z."""
    r, high, top = vary(0.29), vary(0.74), vary(0.36)
    roof, rise = vary(0.29), vary(0.44)
    walls = [(0, 0), (1.16 * r, 0), (1.16 * r, 0), (1.14 * r, 0.07), (r, 0.13), (r, 0.16)]
    walls += [(r, 0.78 * high), (r, 0.78 * high), (top, 0.86 * high), (top, 0.86 * high)]
    walls += [(top, high), (top, high), (top - 0.08, high), (top - 0.08, high)]
    walls += [(top - 0.08, 0.9 * high), (top - 0.08, 0.9 * high), (0, 0.9 * high)]
    parts: Parts = [("main", solids.turned(walls, smooth=2))]
    for turn in range(0, 360, 45):
        block = solids.box((0.165, 0.14, 0.085), 0.015)
        block = solids.moved(block, (0, high + 0.04, top - 0.04))
        parts.append(("main", solids.turned_by(block, (0, 1, 0), turn + 22.5)))
    cone = [(0, 0), (roof, 0), (roof, 0), (0.98 * roof, 0.05), (0.50 * roof, 0.5 * rise)]
    cone += [(0.06, 0.97 * rise), (0, rise)]
    parts.append(("part", solids.moved(solids.turned(cone), (0, high + 0.02, 0))))
    ball = solids.ball((0.05, 0.05, 0.05), segments=16)
    parts.append(("brass", solids.moved(ball, (0, high + rise + 0.03, 0))))
    parts.append(("trimming", _arch(0.29, 0.36, 0.08, (0, 0, r - 0.01))))
    parts.append(("wood", _arch(0.20, 0.30, 0.10, (0, 0, r - 0.01))))
    knob = solids.ball((0.025,) * 3, segments=12)
    parts.append(("brass", solids.moved(knob, (0.055, 0.15, r + 0.09))))
    for turn, level in ((0, 0.55), (90, 0.42), (180, 0.50), (270, 0.42)):
        for role, wide, tall, thick in (("trimming", 0.16, 0.19, 0.05), ("dark", 0.09, 0.13, 0.07)):
            slit = _arch(wide, tall, thick, (0, level * high + (0.19 - tall) / 2, r - 0.03))
            parts.append((role, solids.turned_by(slit, (0, 1, 0), turn)))
    return parts


def _wheel(radius: float, thick: float, center: tuple[float, float, float]) -> Parts:
    """A tire about the X axis and its hub."""
    tire = solids.turned_by(solids.cylinder(radius, thick, bevel=0.025), (0, 0, 1), 90)
    hub = solids.cylinder(0.5 * radius, thick + 0.03, bevel=0.015, segments=24)
    hub = solids.turned_by(hub, (0, 0, 1), 90)
    return [("rubber", solids.moved(tire, center)), ("metal", solids.moved(hub, center))]


def _cab(half: float, floor: float, high: float, long: float, middle: float) -> Solid:
    """A block from -X to +X whose front leans back above the bonnet line."""
    outline = np.array(_cab_side(floor, high, long, middle))
    return solids.prism(np.c_[np.full(len(outline), -half), outline], (2 * half, 0, 0))


def _cab_side(floor: float, high: float, long: float, middle: float) -> list[list[float]]:
    """(height, forward) around the cab."""
    rear, ahead = middle - long / 2, middle + long / 2
    side = [[floor, rear], [floor, ahead], [floor + 0.46 * high, ahead]]
    return [*side, [floor + high, ahead - 0.11], [floor + high, rear]]


def _cab_glass(half: float, floor: float, high: float, long: float, middle: float) -> Parts:
    """A windscreen on the leaning front and a window on each side."""
    _, _, low, top, _ = np.array(_cab_side(floor, high, long, middle))
    a, b = low + 0.10 * (top - low), low + 0.84 * (top - low)
    normal = np.array([top[1] - low[1], low[0] - top[0]])
    normal *= -0.02 / np.linalg.norm(normal)
    w = 0.84 * half
    pane = np.array([[-w, *a], [w, *a], [w, *b], [-w, *b]]) - [0, *normal]
    parts: Parts = [("glass", solids.prism(pane, (0, *(1.7 * normal))))]
    rear = middle - 0.30 * long
    side = np.array([[a[0], rear], [a[0], a[1] - 0.05], [b[0], b[1] - 0.05], [b[0], rear]])
    for x in (-1, 1):
        pane = np.c_[np.full(4, x * (half - 0.02)), side]
        parts.append(("glass", solids.prism(pane, (x * 0.034, 0, 0))))
    return parts


def _hull(wide: float, deep: float, long: float) -> Solid:
    """Round ribs from a blunt stern at -Z to a raised, pointed bow; the deck is at height 0."""
    turn = np.linspace(0, np.pi, 17)
    sections = []
    for z, breadth, depth in _ribs():
        sheer = 0.10 * max(z, 0.0) ** 2
        x = wide * breadth * np.sign(np.cos(turn)) * np.abs(np.cos(turn)) ** 0.6
        y = sheer - (deep * depth + sheer) * np.sin(turn) ** 0.8
        # The keel runs back under the bow and the stern.
        ahead = long * z * (1 - 0.16 * np.sin(turn))
        rib = np.stack([x, y, ahead], axis=1)
        sections.append(np.concatenate([rib[:1], rib, rib[-1:]]))
    return solids.loft(np.array(sections))


def _ribs() -> list[tuple[float, float, float]]:
    """(forward, breadth, depth) of the hull's ribs as shares of its size."""
    ribs = [(-1.0, 0.66, 0.80), (-0.75, 0.84, 0.92), (-0.4, 0.98, 1.0), (0.0, 1.0, 1.0)]
    return [*ribs, (0.35, 0.90, 0.98), (0.65, 0.66, 0.92), (0.85, 0.40, 0.82), (1.0, 0.08, 0.60)]


def _deck(wide: float, long: float) -> Solid:
    """A sheet of planks on the hull, within its edge."""
    shore = np.array([[0.62 * wide * b, 0.84 * long * z] for z, b, _ in _ribs()])
    loop = np.concatenate([shore, shore[::-1] * [-1, 1]])
    height = -0.02 + 0.10 * np.clip(loop[:, 1] / long, 0, 1) ** 2
    return solids.prism(np.stack([loop[:, 0], height, loop[:, 1]], axis=1), (0, 0.035, 0))


def _sail(tack: object, clew: object, head: object) -> Solid:
    """A thick triangle of cloth between three corners, filled by a wind from -X."""
    tack, clew, head = (np.asarray(corner, dtype=np.float64) for corner in (tack, clew, head))
    normal = np.cross(clew - tack, head - tack)
    normal *= np.sign(normal[0]) / np.linalg.norm(normal)
    across = np.linspace(0, 1, 9)
    sections = []
    for up in np.linspace(0, 0.96, 9):
        row = tack + up * (head - tack) + (1 - up) * across[:, None] * (clew - tack)
        belly = 0.42 * across * (1 - across) * (1 - up) * (0.4 + up)
        row = row + belly[:, None] * normal
        sections.append(np.concatenate([row + 0.022 * normal, row[::-1] - 0.022 * normal]))
    return solids.loft(np.array(sections))


def _rod(path: np.ndarray, radius: float) -> Solid:
    """A round rod along a level, straight path."""
    turn = np.arange(12) * (np.pi / 6)
    along = (path[-1] - path[0]) / np.linalg.norm(path[-1] - path[0])
    side = np.cross(along, [0, 1, 0])
    circle = np.outer(np.cos(turn), side) + np.outer(np.sin(turn), [0, 1, 0])
    return solids.loft(path[:, None] + radius * circle)


def _blade(span: float, root: float, tip: float, thick: float) -> Solid:
    """A wing from the origin to +X, rounded in section, narrower and swept back at its tip."""
    turn = np.arange(20) * (np.pi / 10)
    sections = []
    for share, size in ((0.0, 1.0), (0.5, 1.0), (0.85, 1.0), (0.95, 0.86), (1.0, 0.55)):
        chord = (root + share * (tip - root)) * size
        z = chord / 2 * np.sign(np.cos(turn)) * np.abs(np.cos(turn)) ** 0.7
        y = thick / 2 * size * np.sign(np.sin(turn)) * np.abs(np.sin(turn)) ** 0.7
        x = np.full(20, span * share)
        sections.append(np.stack([x, y, z - 0.12 * root * share], axis=1))
    return solids.loft(np.array(sections))


def _aside(solid: Solid, side: int, place: tuple[float, float, float]) -> Solid:
    """The solid, mirrored to -X if `side` is negative, then moved."""
    vertices, faces = solid
    faces = faces if side > 0 else faces[:, ::-1]
    return vertices * [side, 1, 1] + np.asarray(place), faces


def _arch(wide: float, tall: float, thick: float, place: tuple[float, float, float]) -> Solid:
    """An upright slab with a round top, its foot in the middle of its back at `place`."""
    turn = np.linspace(0, np.pi, 11)
    bow = np.stack([wide / 2 * np.cos(turn), tall - wide / 2 + wide / 2 * np.sin(turn)], axis=1)
    outline = np.concatenate([[[-wide / 2, 0], [wide / 2, 0]], bow])
    return solids.moved(solids.prism(np.c_[outline, np.zeros(13)], (0, 0, thick)), place)


RECIPES: Mapping[str, Recipe] = MappingProxyType(
    {
        "truck": Recipe(build=truck),
        "boat": Recipe(build=boat, part_color=(0.97, 0.97, 0.97), stripes="z"),
        "plane": Recipe(build=plane, stripes="z"),
        "tower": Recipe(build=tower, part_color=(0.33, 0.36, 0.42), sectors=16),
    }
)
"""Every kind of this file."""
