"""Figures and things of the house: snowman, robot, hat, umbrella, lamp."""

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from . import solids
from .recipe import Parts, Recipe, Vary
from .solids import Solid


def snowman(vary: Vary) -> Parts:
    """Three balls with a top hat and stick arms: carrot nose, coal eyes and buttons at +Z."""
    low, middle, head = vary(0.36), vary(0.275), vary(0.22)
    belly = 0.90 * low + 0.95 * low + 0.42 * middle
    face = belly + 0.72 * middle + 0.62 * head
    parts: Parts = [
        ("main", _ball((low, 0.92 * low, low), (0, 0.90 * low, 0), 40)),
        ("main", _ball((middle,) * 3, (0, belly, 0), 40)),
        ("main", _ball((head,) * 3, (0, face, 0), 40)),
    ]
    carrot = [(0, -0.04), (0.056, -0.04), (0.056, 0.0), (0.035, 0.12), (0, 0.23)]
    nose = solids.turned_by(solids.turned(carrot, segments=24), (1, 0, 0), 90)
    parts.append(("orange", solids.moved(nose, (0, face - 0.01, head))))
    for angle in (-22, 18):
        up, ahead = np.sin(np.radians(angle)), np.cos(np.radians(angle))
        button = (0, belly + middle * up, middle * ahead)
        parts.append(("dark", _ball((0.045,) * 3, button, 16)))
    for side in (-1, 1):
        eye = (side * 0.085, face + 0.075, 0.84 * head)
        parts.append(("dark", _ball((0.038,) * 3, eye, 16)))
        for tilt, long, at in ((-58, 0.42, (0.40, 0.10)), (-14, 0.17, (0.50, 0.20))):
            stick = solids.turned_by(solids.cylinder(0.044, long, bevel=0.018), (0, 0, 1), tilt)
            stick[0][:, 0] *= side
            stick = solids.outward(*stick)
            parts.append(("wood", solids.moved(stick, (side * at[0], belly + at[1], 0))))
    crown, rise = vary(0.165), vary(0.25)
    hat = [(0, 0), (0.26, 0), (0.285, 0.025), (0.26, 0.05), (crown, 0.055), (crown, 0.055)]
    hat += [(1.04 * crown, rise - 0.02), (1.04 * crown, rise - 0.02), (crown, rise), (0, rise)]
    parts.append(("part", solids.moved(solids.turned(hat, smooth=2), (0, face + 0.66 * head, 0))))
    return parts


def robot(vary: Vary) -> Parts:
    """A boxy robot: lamps for eyes and a panel on the chest at +Z, a wind-up key at -Z."""
    wide, high, deep = vary(0.54), vary(0.42), vary(0.40)
    leg = vary(0.18)
    hip = 0.08 + leg
    chest = hip + high / 2
    parts: Parts = [("main", solids.box((wide, high, deep), 0.05, center=(0, chest, 0)))]
    arm = vary(0.32)
    for side in (-1, 1):
        foot = (side * 0.27 * wide, 0.06, 0.04)
        parts.append(("trim", solids.box((0.21, 0.12, 0.34), 0.045, center=foot)))
        thigh = (side * 0.27 * wide, 0.08 + leg / 2, 0)
        parts.append(("main", solids.box((0.17, leg + 0.06, 0.20), 0.03, center=thigh)))
        joint = solids.turned_by(solids.cylinder(0.075, 0.16, bevel=0.02), (0, 0, 1), 90)
        out = side * (wide / 2 + 0.10)
        parts.append(("metal", solids.moved(joint, (side * wide / 2, hip + high - 0.10, 0))))
        sleeve = (out, hip + high - 0.03 - arm / 2, 0)
        parts.append(("main", solids.box((0.16, arm, 0.20), 0.045, center=sleeve)))
        hand = (out, hip + high - 0.05 - arm, 0)
        parts.append(("metal", _ball((0.085, 0.085, 0.095), hand, 24)))
    parts.extend(_chest_panel(wide, high, (0, chest, deep / 2)))
    key = solids.turned_by(solids.cylinder(0.035, 0.14, segments=16), (1, 0, 0), 90)
    parts.append(("brass", solids.moved(key, (0, chest, -deep / 2 - 0.05))))
    for side in (-1, 1):
        loop = solids.turned_by(solids.torus(0.065, 0.034, sides=16), (1, 0, 0), 90)
        parts.append(("brass", solids.moved(loop, (side * 0.088, chest, -deep / 2 - 0.13))))
    parts.extend(_robot_head(vary(0.44), vary(0.31), hip + high))
    return parts


def _chest_panel(wide: float, high: float, place: tuple[float, float, float]) -> Parts:
    """A dark plate with a screen, a red and a bright light."""
    x, y, z = place
    parts: Parts = [("metal", solids.box((0.62 * wide, 0.54 * high, 0.05), 0.018, center=place))]
    parts.append(
        (
            "glass",
            solids.box((0.50 * wide, 0.20 * high, 0.05), 0.015, center=(x, y + 0.10 * high, z)),
        )
    )
    for role, side in (("tail-lamp", -1), ("lamp", 1)):
        light = (side * 0.14 * wide, y - 0.13 * high, z + 0.02)
        parts.append((role, _ball((0.042, 0.042, 0.03), light, 20)))
    return parts


def _robot_head(wide: float, high: float, neck: float) -> Parts:
    """A box with big lamps, a dark mouth, bolts for ears and an antenna."""
    middle, front = neck + 0.04 + high / 2, 0.185
    parts: Parts = [
        ("metal", solids.moved(solids.cylinder(0.10, 0.14), (0, neck + 0.02, 0))),
        ("part", solids.box((wide, high, 2 * front), 0.045, center=(0, middle, 0))),
        (
            "dark",
            solids.box((0.52 * wide, 0.06, 0.05), 0.02, center=(0, middle - 0.27 * high, front)),
        ),
    ]
    for side in (-1, 1):
        for role, radius, ahead in (("dark", 0.082, 0.0), ("lamp", 0.060, 0.018)):
            eye = solids.cylinder(radius, 0.05, bevel=0.012, segments=24)
            eye = solids.turned_by(eye, (1, 0, 0), 90)
            place = (side * 0.24 * wide, middle + 0.13 * high, front + ahead)
            parts.append((role, solids.moved(eye, place)))
        bolt = solids.turned_by(solids.cylinder(0.065, 0.09, bevel=0.015), (0, 0, 1), 90)
        parts.append(("metal", solids.moved(bolt, (side * (wide / 2 + 0.02), middle, 0))))
    rod = solids.cylinder(0.034, 0.10, segments=16)
    parts.append(("metal", solids.moved(rod, (0, middle + high / 2 + 0.04, 0))))
    parts.append(("tail-lamp", _ball((0.062,) * 3, (0, middle + high / 2 + 0.12, 0), 20)))
    return parts


def hat(vary: Vary) -> Parts:
    """A tall hat on a broad brim that curls up; a band around the crown's foot."""
    crown, rise, brim = vary(0.30), vary(0.66), vary(0.52)
    outside = [(crown - 0.05, 0.0), (0.80 * brim, 0.0), (0.96 * brim, 0.03), (brim, 0.065)]
    outside += [(0.975 * brim, 0.095), (0.91 * brim, 0.09), (0.78 * brim, 0.072)]
    outside += [(crown + 0.02, 0.07), (crown + 0.02, 0.07), (0.93 * crown, 0.5 * rise)]
    outside += [(1.02 * crown, 0.95 * rise), (1.0 * crown, rise), (0.92 * crown, rise + 0.018)]
    outside += [(0.5 * crown, rise + 0.02), (0, rise + 0.02)]
    lining = [(0, 0.04), (crown - 0.05, 0.04), (crown - 0.05, 0.0)]
    bottom = solids.cylinder(crown - 0.04, 0.02)
    tall = vary(0.17)
    belt = [(crown - 0.06, 0.06), (crown + 0.035, 0.06), (crown + 0.035, 0.06)]
    belt += [(0.96 * crown + 0.035, 0.06 + tall), (0.96 * crown + 0.035, 0.06 + tall)]
    belt += [(crown - 0.06, 0.06 + tall)]
    return [
        ("main", solids.turned([*lining, *outside])),
        ("inside", solids.moved(bottom, (0, 0.035, 0))),
        ("part", solids.ring(belt, smooth=1)),
    ]


def umbrella(vary: Vary) -> Parts:
    """An open umbrella of eight scalloped panels, on a shaft with a hooked handle."""
    wide, dome, long, hook = vary(0.60), vary(0.36), vary(0.58), vary(0.12)
    bend = np.radians(np.linspace(0, -195, 20))
    path = np.c_[hook * (np.cos(bend) - 1), hook * np.sin(bend), np.zeros(20)]
    shaft = solids.cylinder(0.044, long + 0.9 * dome, segments=20)
    handle = solids.cylinder(0.058, 0.18, segments=20, bevel=0.012)
    tip = solids.turned([(0, 0), (0.05, 0), (0.05, 0), (0.042, 0.07), (0, 0.13)], segments=24)
    return [
        ("main", solids.moved(_canopy(wide, dome), (0, long, 0))),
        ("trim", solids.moved(_canopy(0.97 * wide, dome), (0, long - 0.022, 0))),
        ("part", solids.moved(shaft, (0, (long + 0.9 * dome) / 2, 0))),
        ("part", solids.moved(handle, (0, 0.09, 0))),
        ("part", solids.tube(path, np.full(20, 0.058))),
        ("part", _ball((0.058,) * 3, path[-1], 20)),
        ("part", solids.moved(tip, (0, long + dome - 0.025, 0))),
    ]


def _canopy(wide: float, dome: float) -> Solid:
    """A shell that hangs in eight arcs between its ribs, the first of them at +Z."""
    turn = np.arange(64)[:, None] * (2 * np.pi / 64)
    arc = np.abs(np.sin(4 * turn))
    share = np.linspace(0, 1, 15)
    out = wide * share * (1 - 0.07 * arc * share)
    up = dome * (1 - share**2) + 0.10 * arc * share**2.5
    out = np.concatenate([out, 0.985 * out[:, ::-1]], axis=1)
    up = np.concatenate([up, up[:, ::-1] - 0.03], axis=1)
    return solids.grid(
        np.stack([out * np.sin(turn), up, out * np.cos(turn)], axis=-1), wrap_rows=True
    )


def lamp(vary: Vary) -> Parts:
    """A table lamp: a wide shade, bright inside, on a turned stand with a knob on top."""
    low, top, tall = vary(0.42), vary(0.25), vary(0.46)
    foot, stem = vary(0.29), vary(0.54)
    stand = [(0, 0), (foot, 0), (foot, 0), (foot, 0.05), (0.85 * foot, 0.075), (0.075, 0.11)]
    stand += [(0.055, 0.15), (0.10, 0.24), (0.115, 0.32), (0.08, 0.41), (0.05, 0.45)]
    stand += [(0.05, stem + 0.14), (0.05, stem + 0.14), (0, stem + 0.14)]
    parts: Parts = [("part", solids.turned(stand))]
    for role, into, short in (("main", 0, 0), ("lamp", 0.03, 0.004)):
        shade = [
            (low, short),
            (top, tall - short),
            (top - 0.035, tall - short),
            (low - 0.035, short),
        ]
        shade = [(r - into, y) for r, y in shade for _ in range(2)]
        parts.append((role, solids.moved(solids.ring(shade, smooth=1), (0, stem, 0))))
    parts.append(("lamp", _ball((0.13, 0.17, 0.13), (0, stem + 0.22, 0), 32)))
    cover = solids.cylinder(top - 0.02, 0.02)
    parts.append(("lamp", solids.moved(cover, (0, stem + tall - 0.035, 0))))
    parts.append(("part", _ball((0.075, 0.065, 0.075), (0, stem + tall + 0.015, 0), 24)))
    return parts


def _ball(radii: object, center: object, segments: int) -> Solid:
    return solids.moved(solids.ball(radii, segments=segments), center)


RECIPES: Mapping[str, Recipe] = MappingProxyType(
    {
        "snowman": Recipe(build=snowman, part_color=(0.09, 0.09, 0.10), sectors=12),
        "robot": Recipe(build=robot),
        "hat": Recipe(build=hat, part_color=(0.09, 0.09, 0.10), sectors=16),
        "umbrella": Recipe(
            build=umbrella, part_color=(0.47, 0.29, 0.15), sectors=8, stripes="around"
        ),
        "lamp": Recipe(build=lamp, part_color=(0.82, 0.64, 0.24), sectors=16),
    }
)
"""Every kind of this file."""
