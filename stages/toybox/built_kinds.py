"""The built toys: chair, table, house, car, crate."""

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from . import solids
from .recipe import Parts, Recipe, Vary


def chair(vary: Vary) -> Parts:
    """Four legs, a thick seat, a back at -Z."""
    wide, deep, high = vary(0.62), vary(0.58), vary(0.46)
    back = vary(0.52)
    parts: Parts = [("main", solids.box((wide, 0.085, deep), 0.03, center=(0, high, 0)))]
    leg = 0.085
    for x in (-1, 1):
        for z in (-1, 1):
            place = (x * (wide - leg) / 2, high / 2, z * (deep - leg) / 2)
            parts.append(("part", solids.box((leg, high, leg), 0.02, center=place)))
        post = (x * (wide - leg) / 2, high + back / 2, (leg - deep) / 2)
        parts.append(("base", solids.box((leg, back, leg), 0.02, center=post)))
    panel = (wide - leg, 0.66 * back, 0.055)
    parts.append(
        ("main", solids.box(panel, 0.022, center=(0, high + 0.63 * back, (leg - deep) / 2)))
    )
    return parts


def table(vary: Vary) -> Parts:
    """A thick top on four legs, a drawer with a knob at the front."""
    wide, deep, high = vary(0.94), vary(0.62), vary(0.56)
    parts: Parts = [("main", solids.box((wide, 0.085, deep), 0.03, center=(0, high, 0)))]
    leg = 0.095
    for x in (-1, 1):
        for z in (-1, 1):
            place = (x * (wide - leg - 0.04) / 2, high / 2, z * (deep - leg - 0.04) / 2)
            parts.append(("part", solids.box((leg, high, leg), 0.025, center=place)))
    parts.append(
        ("base", solids.box((wide - 0.12, 0.15, deep - 0.10), 0.01, center=(0, high - 0.10, 0)))
    )
    front = (deep - 0.10) / 2
    parts.append(
        (
            "trim",
            solids.box((0.42 * wide, 0.105, 0.02), 0.008, center=(0, high - 0.105, front + 0.004)),
        )
    )
    knob = solids.ball((0.032, 0.032, 0.032), segments=16)
    parts.append(("brass", solids.moved(knob, (0, high - 0.105, front + 0.035))))
    return parts


def house(vary: Vary) -> Parts:
    """A cottage: gable, door and windows at the front, one window at the back."""
    wide, deep, wall = vary(0.62), vary(0.66), vary(0.42)
    rise = vary(0.34)
    w, d = wide / 2, deep / 2
    gable = np.array([[-w, 0], [w, 0], [w, wall], [0, wall + rise], [-w, wall]])
    walls = solids.prism(np.c_[gable, np.full(5, -d)], (0, 0, deep))
    parts: Parts = [("main", walls), *_roof(w, d, wall, rise)]
    parts.append(
        (
            "brick",
            solids.box((0.11, 0.26, 0.11), 0.01, center=(0.52 * w, wall + 0.68 * rise, -0.4 * d)),
        )
    )
    door_wide, door_high = vary(0.15), vary(0.27)
    parts.append(
        (
            "trimming",
            solids.box(
                (door_wide + 0.05, door_high + 0.03, 0.02), 0.008, center=(0, door_high / 2, d)
            ),
        )
    )
    parts.append(
        (
            "wood",
            solids.box((door_wide, door_high, 0.03), 0.008, center=(0, door_high / 2, d + 0.004)),
        )
    )
    knob = solids.ball((0.014,) * 3, segments=10)
    parts.append(("brass", solids.moved(knob, (0.3 * door_wide, 0.5 * door_high, d + 0.025))))
    size = 0.13
    places = [(x * 0.62 * w, 0.60 * wall, d, 0) for x in (-1, 1)]
    places += [(0, 0.55 * wall, -d, 180)]
    places += [(side * w, 0.55 * wall, z * d, side * 90) for side in (-1, 1) for z in (-0.5, 0.5)]
    for x, y, z, turn in places:
        parts.extend(_window(size, (x, y, z), turn))
    attic = solids.turned_by(solids.cylinder(0.062, 0.03, segments=24), (1, 0, 0), 90)
    parts.append(("trimming", solids.moved(attic, (0, wall + 0.42 * rise, d))))
    attic = solids.turned_by(solids.cylinder(0.045, 0.04, segments=24), (1, 0, 0), 90)
    parts.append(("glass", solids.moved(attic, (0, wall + 0.42 * rise, d))))
    return parts


def car(vary: Vary) -> Parts:
    """A toy car: cabin behind the bonnet, lamps at +Z, red lamps at -Z, four wheels."""
    wide, long, tall = vary(0.50), vary(1.04), vary(0.24)
    wheel = vary(0.135)
    low = 0.6 * wheel
    body = low + tall
    nose = long / 2
    parts: Parts = [
        ("main", solids.box((wide, tall, long), 0.085, center=(0, low + tall / 2, 0), steps=5))
    ]
    cabin = vary(0.22)
    rear, ahead = -0.40 * long, 0.18 * long
    base = _rectangle(0.45 * wide, rear, ahead, body - 0.03)
    top = _rectangle(0.37 * wide, rear + 0.13, ahead - 0.17, body + cabin)
    parts.append(("main", solids.loft(np.stack([base, top]), creased=True)))
    parts.extend(_car_glass(base, top))
    middle = (rear + ahead) / 2 - 0.02
    lid = (0.78 * wide, 0.055, ahead - rear - 0.25)
    parts.append(("part", solids.box(lid, 0.025, center=(0, body + cabin + 0.012, middle))))
    for side in (-1, 1):
        for z in (-0.30, 0.30):
            center = (side * (wide / 2 - 0.025), wheel, z * long)
            tire = solids.turned_by(solids.cylinder(wheel, 0.12, bevel=0.025), (0, 0, 1), 90)
            parts.append(("rubber", solids.moved(tire, center)))
            hub = solids.turned_by(solids.cylinder(0.52 * wheel, 0.15, bevel=0.02), (0, 0, 1), 90)
            parts.append(("metal", solids.moved(hub, center)))
        lamp = solids.ball((0.062, 0.062, 0.04), segments=20)
        parts.append(
            ("lamp", solids.moved(lamp, (side * 0.30 * wide, low + 0.58 * tall, nose - 0.01)))
        )
        tail = solids.box(
            (0.10, 0.06, 0.04), 0.015, center=(side * 0.30 * wide, low + 0.60 * tall, -nose + 0.005)
        )
        parts.append(("tail-lamp", tail))
    for end in (-1, 1):
        bumper = (0.94 * wide, 0.055, 0.06)
        parts.append(
            ("metal", solids.box(bumper, 0.025, center=(0, low + 0.16 * tall, end * (nose - 0.01))))
        )
    grill = solids.box(
        (0.26 * wide, 0.07, 0.03), 0.012, center=(0, low + 0.52 * tall, nose - 0.005)
    )
    parts.append(("dark", grill))
    return parts


def crate(vary: Vary) -> Parts:
    """Panels in a darker frame, with one slanting brace on each side."""
    wide, high, deep = vary(0.72), vary(0.72), vary(0.72)
    size = np.array([wide, high, deep])
    parts: Parts = [("main", solids.box(size - 0.07, 0.01))]
    beam = 0.105
    for axis in range(3):
        first, second = [k for k in range(3) if k != axis]
        for s in (-1, 1):
            for t in (-1, 1):
                shape, place = np.full(3, beam), np.zeros(3)
                shape[axis] = size[axis]
                place[first] = s * (size[first] - beam) / 2
                place[second] = t * (size[second] - beam) / 2
                parts.append(("trim", solids.box(shape, 0.014, center=place)))
    for turn in (0, 90, 180, 270):
        half, out = (wide, deep / 2) if turn % 180 == 0 else (deep, wide / 2)
        run, climb = half / 2 - beam, high / 2 - beam
        brace = solids.box((2 * np.hypot(run, climb), 0.085, 0.05), 0.012)
        brace = solids.turned_by(brace, (0, 0, 1), np.degrees(np.arctan2(climb, run)))
        brace = solids.turned_by(solids.moved(brace, (0, 0, out - 0.03)), (0, 1, 0), turn)
        parts.append(("trim", brace))
    return parts


def _roof(w: float, d: float, wall: float, rise: float) -> Parts:
    """Two slabs along the gable's slopes, over the edge on all sides."""
    slope = np.hypot(w, rise)
    down = np.array([w, -rise]) / slope
    normal = np.array([rise, w]) / slope
    top = np.array([0.0, wall + rise])
    parts: Parts = []
    for side in (-1, 1):
        edge = [top - 0.02 * normal, top + 0.055 * normal]
        foot = [edge[1] + (slope + 0.10) * down, edge[0] + (slope + 0.10) * down]
        ridge = top + np.array([0, 0.055 * slope / w])
        outline = np.array([edge[0] * [0, 1], ridge, foot[0], foot[1]]) * [side, 1]
        slab = np.c_[outline, np.full(4, -d - 0.06)]
        parts.append(("part", solids.prism(slab, (0, 0, 2 * d + 0.12))))
    return parts


def _window(size: float, place: tuple[float, float, float], turn_deg: float) -> Parts:
    """A pale frame, a pane and a cross, facing +Z and then turned about +Y."""
    pieces = [
        ("trimming", (size + 0.035, size + 0.035, 0.02)),
        ("glass", (size, size, 0.03)),
        ("trimming", (0.018, size, 0.04)),
        ("trimming", (size, 0.018, 0.04)),
    ]
    parts: Parts = []
    for role, shape in pieces:
        solid = solids.turned_by(solids.box(shape, 0.005), (0, 1, 0), turn_deg)
        parts.append((role, solids.moved(solid, place)))
    return parts


def _rectangle(half: float, rear: float, ahead: float, height: float) -> np.ndarray:
    return np.array(
        [[half, height, rear], [half, height, ahead], [-half, height, ahead], [-half, height, rear]]
    )


def _car_glass(base: np.ndarray, top: np.ndarray) -> Parts:
    """Panes on the four faces of the cabin, two on each long side."""
    parts: Parts = []
    for a, b, spans in ((0, 1, 2), (1, 2, 1), (2, 3, 2), (3, 0, 1)):
        low_a, low_b, high_a, high_b = base[a], base[b], top[a], top[b]
        normal = np.cross(low_b - low_a, high_a - low_a)
        normal *= np.sign(normal @ (low_a + low_b - base.sum(axis=0) / 2)) / np.linalg.norm(normal)

        def at(u: float, v: float, corner=(low_a, low_b, high_a, high_b)) -> np.ndarray:
            la, lb, ha, hb = corner
            return (la + u * (lb - la)) * (1 - v) + (ha + u * (hb - ha)) * v

        edges = [(0.08, 0.92)] if spans == 1 else [(0.07, 0.465), (0.535, 0.93)]
        for u0, u1 in edges:
            pane = np.stack([at(u0, 0.24), at(u1, 0.24), at(u1, 0.90), at(u0, 0.90)])
            parts.append(("glass", solids.prism(pane - 0.02 * normal, 0.028 * normal)))
    return parts


RECIPES: Mapping[str, Recipe] = MappingProxyType(
    {
        "chair": Recipe(build=chair, stripes="x"),
        "table": Recipe(build=table, stripes="x"),
        "house": Recipe(build=house, part_color=(0.44, 0.25, 0.17)),
        "car": Recipe(build=car, stripes="z"),
        "crate": Recipe(build=crate),
    }
)
"""Every kind of this file."""
