"""The animals: bird, fish, penguin, cat."""

from collections.abc import Mapping
from itertools import pairwise
from types import MappingProxyType

import numpy as np

from . import solids
from .recipe import Parts, Recipe, Vary
from .solids import Solid


def bird(vary: Vary) -> Parts:
    """A round songbird on two short legs: pointed beak at +Z, tail at -Z."""
    wide, tall, long = vary(0.34), vary(0.33), vary(0.39)
    body = solids.turned_by(solids.ball((wide, tall, long), segments=40), (1, 0, 0), -16)
    head, middle = vary(0.245), 0.12 + tall
    top = np.array([0.0, middle + 0.30, 0.20])
    beak = [(0, -0.03), (0.085, -0.03), (0.085, 0.0), (0.055, 0.09), (0, 0.19)]
    beak_solid = solids.turned_by(solids.turned(beak, segments=24), (1, 0, 0), 94)
    tail_long = vary(0.38)
    half = np.array([[-0.09, 0.05], [-0.15, -tail_long], [0.15, -tail_long], [0.09, 0.05]])
    tail = _pillow(np.c_[half[:, 0], np.full(4, -0.045), half[:, 1]], (0, 0.09, 0))
    tail = solids.moved(solids.turned_by(tail, (1, 0, 0), -24), (0, middle - 0.08, -0.72 * long))
    parts: Parts = [
        ("main", solids.moved(body, (0, middle, 0))),
        ("main", solids.moved(solids.ball((head,) * 3, segments=40), top)),
        ("main", tail),
        ("orange", solids.moved(beak_solid, np.add(top, (0, -0.03, 0.93 * head)))),
        *_eyes(top, head, (0.60, 0.22, 0.76), 0.046),
    ]
    wing_long = vary(0.27)
    for side in (-1, 1):
        wing = solids.ball((0.07, 0.15, wing_long), segments=28)
        narrow = np.clip(-wing[0][:, 2] / wing_long, 0, 1)
        wing[0][:, 1] *= 1 - 0.45 * narrow**2
        wing = solids.turned_by(solids.turned_by(wing, (1, 0, 0), -6), (0, 1, 0), side * -10)
        parts.append(("part", solids.moved(wing, (side * 0.96 * wide, middle, -0.10))))
        leg = solids.cylinder(0.042, 0.20, segments=16)
        parts.append(("orange", solids.moved(leg, (side * 0.13, 0.10, 0.02))))
        foot = solids.ball((0.085, 0.035, 0.13), segments=20)
        parts.append(("orange", solids.moved(foot, (side * 0.13, 0.03, 0.07))))
    return parts


def fish(vary: Vary) -> Parts:
    """A chunky fish that swims toward +Z: big tail, fins above and below, round eyes."""
    wide, tall, long = vary(0.29), vary(0.35), vary(0.43)
    points, faces = solids.ball((wide, tall, long), segments=40)
    behind = np.clip(-points[:, 2] / long, 0, 1)
    points[:, :2] *= (1 - 0.35 * behind**2)[:, None]
    reach, spread = vary(0.30), vary(0.34)
    z = 0.10 - 0.92 * long
    tail = [(0.10, z), (spread, z - 0.8 * reach), (0.92 * spread, z - 1.12 * reach)]
    tail += [(0.45 * spread, z - 1.02 * reach), (0, z - 0.80 * reach)]
    tail += [(-y, b) for y, b in reversed(tail[:-1])]
    high = vary(0.22)
    back = [(0.7 * tall, 0.24), (tall + 0.55 * high, 0.10), (tall + high, -0.14)]
    back += [(tall + 0.85 * high, -0.26), (0.6 * tall, -0.30)]
    keel = [(-0.7 * tall, 0.10), (-0.6 * tall, -0.26), (-tall - 0.6 * high, -0.24)]
    keel += [(-tall - 0.5 * high, -0.08)]
    parts: Parts = [("main", (points, faces))]
    for outline in (tail, back, keel):
        y, along = np.array(outline).T
        flat = np.c_[np.full(len(y), -0.065), y, along]
        parts.append(("part", _pillow(flat, (0.13, 0, 0))))
    for side in (-1, 1):
        fin = solids.ball((0.055, 0.12, 0.20), segments=24)
        fin = solids.turned_by(solids.moved(fin, (0, 0, -0.13)), (0, 1, 0), side * -50)
        fin = solids.turned_by(fin, (0, 0, 1), side * -20)
        parts.append(("part", solids.moved(fin, (side * 0.92 * wide, -0.09, 0.08))))
        eye = np.array([side * 0.80 * wide, 0.09, 0.60 * long])
        parts.append(("white", solids.moved(solids.ball((0.075, 0.095, 0.095)), eye)))
        pupil = solids.ball((0.045, 0.058, 0.058), segments=20)
        parts.append(("dark", solids.moved(pupil, np.add(eye, (side * 0.042, 0, 0.025)))))
    mouth = solids.turned_by(solids.torus(0.07, 0.04, sides=16), (1, 0, 0), 90)
    parts.append(("trim", solids.moved(mouth, (0, -0.05, 0.955 * long))))
    return parts


def penguin(vary: Vary) -> Parts:
    """An upright penguin, white in front: beak, feet and the scarf's loose end at +Z."""
    wide, high = vary(0.33), vary(0.98)
    profile = [(0, 0), (0.60, 0), (0.88, 0.07), (1.0, 0.24), (0.94, 0.43), (0.76, 0.58)]
    profile += [(0.72, 0.68), (0.73, 0.78), (0.66, 0.88), (0.42, 0.96), (0, 1.0)]
    body = solids.turned([(wide * r, high * y) for r, y in profile])
    front = [(wide * r, high * y) for r, y in [*profile[:6], (0.60, 0.64), (0, 0.64)]]
    belly = solids.turned(front)
    belly[0][:, 0] *= 0.80
    parts: Parts = [("main", body), ("white", solids.moved(belly, (0, 0.008, 0.05)))]
    face = np.array([0.0, 0.78 * high, 0.0])
    skull = 0.73 * wide
    beak = [(0, -0.03), (0.085, -0.03), (0.085, 0.0), (0.055, 0.08), (0, 0.16)]
    beak_solid = solids.turned_by(solids.turned(beak, segments=24), (1, 0, 0), 96)
    parts.append(("orange", solids.moved(beak_solid, np.add(face, (0, -0.05, skull + 0.01)))))
    flipper, foot = vary(0.25), vary(0.17)
    for side in (-1, 1):
        patch = solids.ball((0.105, 0.115, 0.105), segments=28)
        parts.append(("white", solids.moved(patch, np.add(face, (side * 0.085, 0, 0.57 * skull)))))
        pupil = np.add(face, (side * 0.092, 0.025, 0.57 * skull + 0.098))
        parts.append(("dark", solids.moved(solids.ball((0.038, 0.045, 0.03)), pupil)))
        arm = solids.ball((0.06, flipper, 0.125), segments=28)
        arm = solids.turned_by(arm, (0, 0, 1), side * 24)
        parts.append(("main", solids.moved(arm, (side * (wide + 0.045), 0.39 * high, 0))))
        shoe = solids.ball((0.115, 0.055, foot), segments=24)
        parts.append(("orange", solids.moved(shoe, (side * 0.14, 0.035, 0.20))))
    neck, loop = 0.615 * high, vary(0.068)
    scarf = solids.torus(0.76 * wide, loop, segments=40, sides=16)
    end = solids.turned_by(solids.box((0.13, 0.27, 0.075), 0.03), (1, 0, 0), -14)
    parts.append(("part", solids.moved(scarf, (0, neck, 0.012))))
    parts.append(("part", solids.moved(end, (0.13, neck - 0.13, wide + 0.035))))
    return parts


def cat(vary: Vary) -> Parts:
    """A sitting cat: muzzle, paws and the collar's bell at +Z, a raised tail behind."""
    wide, high = vary(0.27), vary(0.60)
    profile = [(0, 0), (0.80, 0), (1.0, 0.12), (1.0, 0.32), (0.86, 0.60), (0.66, 0.86), (0, 1.1)]
    body = solids.turned([(wide * r, high * y) for r, y in profile])
    parts: Parts = [("main", solids.moved(body, (0, 0, -0.03)))]
    head = vary(0.265)
    skull = np.array([0.0, high + 0.62 * head, 0.05])
    parts.append(
        ("main", solids.moved(solids.ball((1.14 * head, 0.94 * head, head), segments=40), skull))
    )
    parts.extend(_cat_face(skull, head, vary(0.24)))
    for side in (-1, 1):
        leg = solids.ball((0.088, 0.27, 0.10), segments=24)
        parts.append(("main", solids.moved(leg, (side * 0.115, 0.25, 0.19))))
        paw = solids.ball((0.10, 0.07, 0.13), segments=24)
        parts.append(("white", solids.moved(paw, (side * 0.125, 0.06, 0.27))))
        haunch = solids.ball((0.13, 0.19, 0.21), segments=28)
        parts.append(("main", solids.moved(haunch, (side * 0.78 * wide, 0.17, 0.0))))
    rise = vary(0.55)
    curve = [(0.09, -0.15), (0.08, -0.38), (0.20, -0.53), (0.62 * rise, -0.50)]
    curve += [(0.90 * rise, -0.44), (1.10 * rise, -0.50), (1.12 * rise, -0.62)]
    y, z = solids.smoothed(curve, 4).T
    tail = solids.tube(np.c_[np.zeros_like(y), y, z], np.linspace(0.085, 0.065, len(y)))
    tip = solids.moved(solids.ball((0.068,) * 3, segments=20), (0, y[-1], z[-1]))
    for piece in (tail, tip):
        parts.append(("main", solids.turned_by(piece, (0, 1, 0), -24)))
    collar = solids.torus(0.70 * wide, 0.055, segments=40, sides=16)
    parts.append(("part", solids.moved(collar, (0, 0.86 * high, -0.005))))
    bell = solids.ball((0.058,) * 3, segments=20)
    parts.append(("brass", solids.moved(bell, (0, 0.80 * high, 0.74 * wide + 0.05))))
    return parts


def _cat_face(skull: np.ndarray, head: float, ear: float) -> Parts:
    """Ears, eyes, a white muzzle and a pink nose on a head at +Z."""
    parts: Parts = []
    nose = solids.moved(solids.ball((0.038, 0.028, 0.03), segments=16), skull)
    parts.append(("pink", solids.moved(nose, (0, -0.015, head + 0.035))))
    for side in (-1, 1):
        cheek = solids.ball((0.085, 0.068, 0.07), segments=24)
        parts.append(
            ("white", solids.moved(cheek, np.add(skull, (side * 0.06, -0.075, 0.90 * head))))
        )
        for role, size, ahead in (("main", 1.0, 0.0), ("pink", 0.62, 0.043)):
            cone = [(0, 0), (0.125, 0), (0.125, 0.02), (0.07, 0.58 * ear), (0.02, ear), (0, ear)]
            points, faces = solids.turned(cone, segments=24, smooth=2)
            points = points * size * np.array([1, 1, 0.6])
            tilted = solids.turned_by((points, faces), (0, 0, 1), side * -20)
            place = np.add(skull, (side * 0.62 * head, 0.60 * head + 0.02, ahead))
            parts.append((role, solids.moved(tilted, place)))
    parts.extend(_eyes(skull, head, (0.46, 0.17, 0.87), 0.05))
    return parts


def _eyes(
    head: np.ndarray, radius: float, toward: tuple[float, float, float], size: float
) -> Parts:
    """Two dark eyes with glints on a round head, each in a direction mirrored at x = 0."""
    parts: Parts = []
    for side in (-1, 1):
        eye = head + radius * np.array(toward) * (side, 1, 1) / np.linalg.norm(toward)
        parts.append(("dark", solids.moved(solids.ball((size,) * 3, segments=16), eye)))
        glint = eye + 0.8 * size * np.array([side * 0.3, 0.55, 0.8])
        parts.append(("white", solids.moved(solids.ball((0.36 * size,) * 3, segments=10), glint)))
    return parts


def _pillow(outline: np.ndarray, offset: tuple[float, float, float]) -> Solid:
    """A flat polygon (point, 3), star-shaped around its mean, extruded, with soft edges."""
    closed = np.concatenate([outline[-1:], outline, outline[:2]])
    corners = [a + (b - a) * share for a, b in pairwise(closed) for share in (0.25, 0.75)]
    outline = np.array(corners[1:-3])
    middle = outline.mean(axis=0)
    sections = [
        middle + (outline - middle) * size + np.array(offset) * depth
        for size, depth in ((0.80, 0), (0.94, 0.08), (1, 0.3), (1, 0.7), (0.94, 0.92), (0.80, 1))
    ]
    return solids.loft(np.stack(sections))


RECIPES: Mapping[str, Recipe] = MappingProxyType(
    {
        "bird": Recipe(build=bird),
        "fish": Recipe(build=fish, stripes="z"),
        "penguin": Recipe(build=penguin, part_color=(0.80, 0.10, 0.10), sectors=14),
        "cat": Recipe(build=cat, part_color=(0.82, 0.64, 0.24)),
    }
)
"""Every kind of this file."""
