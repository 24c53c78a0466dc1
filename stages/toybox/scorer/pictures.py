"""The scorer's own pictures of toys: other cameras, lights and places than the prior was shown.

Where the prior's pictures (`toybox/images.py`) come from eight named sides at one distance under
one light, these come from anywhere between -15 and 60 degrees of elevation, near with a wide
lens or far with a narrow one, tilted and off center, in light of any direction and strength;
one in four has no light at all, as an exported base color has none. They keep their alpha:
backgrounds are put behind them when they are used (`disturb.py`). Straight ray casting, 2x2
rays per pixel.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .. import catalog
from ..props import Prop, Split, split_of
from ..raycast import Model, encoded

PICTURE_PX = 64
SAMPLES = 2
"""Rays per pixel and axis."""
PER_SHAPE = 8
"""Pictures of one shape, each with words (colors and pattern) of its own."""
ELEVATIONS_DEG = (-15.0, 60.0)
SEED = "scorer"
"""Label of every random choice here; no other stage uses it."""

Vector = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shot:
    """Where one picture is taken from, and in which light."""

    azimuth_deg: float
    elevation_deg: float
    roll_deg: float
    distance_m: float
    fill: float
    """Radius of the toy's ball in the picture, in halves of its side."""
    shift: tuple[float, float]
    """Of the ball's middle, in halves of the picture's side, to the right and up."""
    key: Vector
    """Unit direction toward the key light, in the world."""
    strength: float
    """Of the key light, linear; 0 for no light at all: the plain colors."""
    ambient: float
    """Linear light from everywhere."""


def drawn_shot(draw: np.random.Generator) -> Shot:
    """A random view in random light."""
    fill = draw.uniform(0.55, 1.0)
    room = max(0.0, 1.05 - fill)
    plain = draw.random() < 0.25
    return Shot(
        azimuth_deg=draw.uniform(0, 360),
        elevation_deg=draw.uniform(*ELEVATIONS_DEG),
        roll_deg=draw.normal(0, 5),
        distance_m=1 / draw.uniform(0.2, 0.8),
        fill=fill,
        shift=(room * draw.uniform(-1, 1), room * draw.uniform(-1, 1)),
        key=_direction(draw.uniform(0, 360), draw.uniform(0, 80)),
        strength=0.0 if plain else draw.uniform(0.1, 0.8),
        ambient=1.0 if plain else draw.uniform(0.3, 0.65),
    )


def plain_shot(azimuth_deg: float, elevation_deg: float) -> Shot:
    """A level view of the whole toy without light, as exported meshes are looked at."""
    return Shot(
        azimuth_deg=azimuth_deg,
        elevation_deg=elevation_deg,
        roll_deg=0.0,
        distance_m=1.5,
        fill=0.95,
        shift=(0.0, 0.0),
        key=_direction(0, 90),
        strength=0.0,
        ambient=1.0,
    )


def drawn_toy(kind: str, split: Split, draw: np.random.Generator) -> Prop:
    """A random toy of a kind, from the combinations that `props` trains on or holds out."""
    colors = list(catalog.COLORS)
    while True:
        color = str(draw.choice(list(catalog.LOOKS)))
        plain = color in catalog.MATERIALS
        pattern = "none" if plain else str(draw.choice(catalog.PATTERNS))
        others = [other for other in colors if other != color]
        pattern_color = "" if pattern == "none" else str(draw.choice(others))
        part = kind in catalog.PARTS and draw.random() < 0.5
        part_color = str(draw.choice(colors)) if part else ""
        if split_of(kind, color, pattern, part_color) == split:
            return Prop(
                id=0,
                kind=kind,
                color=color,
                pattern=pattern,
                pattern_color=pattern_color,
                part_color=part_color,
                shape_seed=int(draw.integers(2**62)),
                split=split,
            )


def block(
    kinds: Sequence[str], number: int, shapes: int, seed: int
) -> tuple[list[Prop], NDArray[np.uint8]]:
    """Toys to learn from and a picture of each; the kinds take turns.

    Args:
        number: Of the block; the same number gives the same block, whatever else was made.
        shapes: How many shapes a block has; it has `PER_SHAPE` pictures of each.
    """
    toys: list[Prop] = []
    taken: list[NDArray[np.uint8]] = []
    for shape in range(number * shapes, (number + 1) * shapes):
        draw = np.random.default_rng(catalog.digest(seed, SEED, "learn", shape))
        model: Model | None = None
        for _ in range(PER_SHAPE):
            toy = drawn_toy(kinds[shape % len(kinds)], "train", draw)
            model = model.repainted(toy) if model else Model(toy)
            toys.append(toy)
            taken.append(picture(model, drawn_shot(draw)))
    return toys, np.stack(taken)


def heldout(
    kinds: Sequence[str], per_kind: int, views: int, seed: int
) -> Iterator[tuple[Prop, NDArray[np.uint8]]]:
    """Held-out toys, each with pictures from `views` sides evenly around it."""
    for kind in kinds:
        for number in range(per_kind):
            draw = np.random.default_rng(catalog.digest(seed, SEED, "judge", kind, number))
            toy = drawn_toy(kind, "heldout", draw)
            model = Model(toy)
            start = draw.uniform(0, 360)
            shots = [
                replace(drawn_shot(draw), azimuth_deg=start + 360 * view / views)
                for view in range(views)
            ]
            yield toy, np.stack([picture(model, shot) for shot in shots])


def picture(model: Model, shot: Shot) -> NDArray[np.uint8]:
    """Premultiplied sRGB and alpha, (64, 64, 4)."""
    origin, directions, pixels = _rays(shot)
    seen, color, normal = model.surface(origin, directions)
    samples = np.zeros((len(directions), 4), dtype=np.float32)
    samples[seen, :3] = encoded(color * _light(normal, shot)[:, None])
    samples[seen, 3] = 1
    image = np.zeros((PICTURE_PX**2, 4), dtype=np.float32)
    image[pixels] = samples.reshape(-1, SAMPLES**2, 4).mean(axis=1)
    return np.rint(image * 255).astype(np.uint8).reshape(PICTURE_PX, PICTURE_PX, 4)


def _light(normal: NDArray[np.float32], shot: Shot) -> NDArray[np.float32]:
    """Linear: ambient, darker from below, and a key light that wraps around by a third."""
    if not shot.strength:
        return np.full(len(normal), shot.ambient, dtype=np.float32)
    wrapped = np.clip((normal @ shot.key.astype(np.float32) + 0.33) / 1.33, 0, 1)
    return shot.ambient * (0.85 + 0.15 * normal[:, 1]) + shot.strength * wrapped


def _direction(azimuth_deg: float, elevation_deg: float) -> Vector:
    """Unit vector; see `stages/geometry/orbit.py`."""
    azimuth, elevation = math.radians(azimuth_deg), math.radians(elevation_deg)
    return np.array(
        [
            math.cos(elevation) * math.sin(azimuth),
            math.sin(elevation),
            math.cos(elevation) * math.cos(azimuth),
        ]
    )


def _rays(shot: Shot) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.intp]]:
    """Camera position, 2x2 rays per pixel, and the pixels that the toy's ball reaches."""
    backward = _direction(shot.azimuth_deg, shot.elevation_deg)
    right = _direction(shot.azimuth_deg + 90, 0)
    up = np.cross(backward, right)
    roll = math.radians(shot.roll_deg)
    right, up = (
        math.cos(roll) * right + math.sin(roll) * up,
        math.cos(roll) * up - math.sin(roll) * right,
    )
    reach = math.tan(math.asin(catalog.OBJECT_RADIUS_M / shot.distance_m))
    step = 2 / PICTURE_PX
    line = (np.arange(PICTURE_PX) + 0.5) * step - 1
    x, y = (axis.ravel() for axis in np.meshgrid(line - shot.shift[0], -line - shot.shift[1]))
    pixels = np.flatnonzero(np.hypot(x, y) < shot.fill + step)
    fine = ((np.arange(SAMPLES) + 0.5) / SAMPLES - 0.5) * step
    across, along = (axis.ravel() for axis in np.meshgrid(fine, fine))
    x = ((x[pixels, None] + across).ravel() * (reach / shot.fill))[:, None]
    y = ((y[pixels, None] + along).ravel() * (reach / shot.fill))[:, None]
    directions = x * right + y * up - backward
    return (shot.distance_m * backward).astype(np.float32), directions.astype(np.float32), pixels
