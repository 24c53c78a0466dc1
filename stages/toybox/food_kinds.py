"""Toys to eat or to water: cake, ice cream, apple, pear, carrot, cactus, flower."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np

from . import solids
from .recipe import Parts, Recipe, Vary
from .solids import Points, Solid


def cake(vary: Vary) -> Parts:
    """A round cake: icing that runs down from the top, cherries and one candle on it."""
    r, h = vary(0.44), vary(0.54)
    body = [(0, 0), (0.94 * r, 0), (0.985 * r, 0.015), (r, 0.05), (r, 0.5 * h), (r, h)]
    body += [(r, h), (0, h)]
    foot = [(r - 0.05, 0), (r, -0.02), (r + 0.04, 0), (r + 0.058, 0.04), (r + 0.04, 0.08)]
    foot += [(r, 0.10), (r - 0.05, 0.08)]
    icing = [(0, 0.045), (0.86 * r, 0.045), (r, 0.028), (r + 0.03, -0.015), (r + 0.036, -0.05)]
    icing += [(r + 0.018, -0.085), (r - 0.03, -0.07), (r - 0.03, -0.07), (r - 0.03, -0.03)]
    icing += [(r - 0.03, -0.03), (0, -0.03)]
    iced = _dripping(solids.turned(icing, segments=80), level=-0.03, depth=vary(0.10), drops=9)
    parts: Parts = [
        ("main", solids.turned(body)),
        ("part", solids.ring(foot)),
        ("part", solids.moved(iced, (0, h, 0))),
    ]
    berry = vary(0.085)
    for index in range(7):
        cherry = solids.moved(solids.ball((berry,) * 3, segments=20), (0, h + 0.09, 0.74 * r))
        parts.append(("base", solids.turned_by(cherry, (0, 1, 0), 360 / 7 * index)))
    thick, tall = vary(0.064), vary(0.24)
    candle = [(0, 0), (thick, 0), (thick, 0), (thick, tall - 0.01), (0.8 * thick, tall), (0, tall)]
    flame = [(0, 0), (0.042, 0.02), (0.060, 0.055), (0.044, 0.10), (0.018, 0.14), (0, 0.165)]
    candle_top = h + tall + 0.015
    parts.append(("base", solids.moved(solids.turned(candle, segments=24), (0, h + 0.03, 0))))
    parts.append(("orange", solids.moved(solids.turned(flame, segments=24), (0, candle_top, 0))))
    return parts


def ice_cream(vary: Vary) -> Parts:
    """A big scoop, a wafer stuck in it, on a waffle cone that stands on its tip."""
    r, tall = vary(0.37), vary(0.64)
    wide = 0.86 * r
    cone = [(0, 0), (0.035, 0.01), (0.06, 0.06), (0.78 * wide, 0.78 * tall)]
    cone += [(0.78 * wide, 0.78 * tall), (1.02 * wide, 0.79 * tall), (1.06 * wide, 0.82 * tall)]
    cone += [(1.12 * wide, tall - 0.03), (1.10 * wide, tall), (0.98 * wide, tall), (0, tall)]
    scoop = [(0, 1.0), (0.40, 0.92), (0.72, 0.70), (0.94, 0.35), (1.0, 0.0), (0.99, -0.22)]
    scoop += [(1.06, -0.34), (1.08, -0.44), (0.98, -0.52), (0.80, -0.48), (0, -0.45)]
    points, faces = solids.turned(cone, segments=96, smooth=8)
    turn, climb = np.arctan2(points[:, 0], points[:, 2]), 30 * points[:, 1]
    groove = np.maximum(np.cos(8 * turn + climb), np.cos(8 * turn - climb)) ** 8
    groove *= np.clip(6 * (0.74 * tall - points[:, 1]), 0, 1)
    points[:, [0, 2]] *= (1 - 0.15 * groove)[:, None]
    ball = solids.turned([(r * x, r * y) for x, y in scoop], segments=80)
    ball = _dripping(ball, level=-0.26 * r, depth=0.26 * r, drops=8)
    wafer = solids.cylinder(0.072, vary(0.40), bevel=0.012, segments=24)
    wafer = solids.turned_by(solids.moved(wafer, (0, 0.20, 0)), (0, 0, 1), -36)
    return [
        ("part", (points, faces)),
        ("main", solids.moved(ball, (0, tall + 0.15, 0))),
        ("part", solids.moved(wafer, (0.06, tall + 0.15 + 0.5 * r, -0.05))),
    ]


def apple(vary: Vary) -> Parts:
    """A round body, dimpled above and below, a thick stem with one leaf."""
    r, h = vary(0.45), vary(0.78)
    body = [(0, 0.09), (0.14, 0.05), (0.34, 0.0), (0.58, 0.03), (0.80, 0.17), (0.95, 0.40)]
    body += [(1.0, 0.64), (0.92, 0.85), (0.72, 0.97), (0.46, 1.0), (0.24, 0.94), (0.10, 0.84)]
    body += [(0, 0.80)]
    points, faces = solids.turned([(r * x, h * y) for x, y in body])
    low = np.clip(0.35 - points[:, 1] / h, 0, 1)
    turn = np.arctan2(points[:, 0], points[:, 2])
    points[:, [0, 2]] *= (1 + 0.25 * low * np.cos(5 * turn))[:, None]
    return [("main", (points, faces)), *_stem_and_leaf(vary, 0.80 * h, 0.32, 0.34)]


def pear(vary: Vary) -> Parts:
    """A wide belly that narrows upward to a round head, a stem with one leaf."""
    r, h, head = vary(0.40), vary(0.90), vary(0.165)
    body = [(0, 0.03 * h), (0.32 * r, 0.0), (0.64 * r, 0.03 * h), (0.91 * r, 0.15 * h)]
    body += [(r, 0.30 * h), (0.92 * r, 0.46 * h), (0.5 * (0.74 * r + head), 0.62 * h)]
    body += [
        (1.08 * head, 0.77 * h),
        (0.90 * head, 0.89 * h),
        (0.56 * head, 0.97 * h),
        (0, 0.99 * h),
    ]
    return [("main", solids.turned(body)), *_stem_and_leaf(vary, 0.97 * h, 0.23, 0.23)]


def carrot(vary: Vary) -> Parts:
    """A thick root that tapers downward, with a tuft of leaves on top."""
    r, h, tuft = vary(0.29), vary(0.82), vary(0.19)
    steps = [(0, 0), (0.16, 0.015), (0.25, 0.06), (0.46, 0.26), (0.455, 0.29), (0.52, 0.32)]
    steps += [(0.71, 0.54), (0.705, 0.57), (0.78, 0.60), (0.93, 0.80), (1.0, 0.90)]
    steps += [(0.93, 0.975), (0.62, 1.0), (0, 0.99)]
    parts: Parts = [("main", solids.turned([(r * x, h * y) for x, y in steps]))]
    for index in range(6):
        size, lean = (1.0, 35) if index else (1.25, 0)
        leaf = _leaf(0.095 * size, 2 * tuft * size, 0.075 * size)
        leaf = solids.turned_by(leaf, (1, 0, 0), lean)
        leaf = solids.turned_by(leaf, (0, 1, 0), 72 * index)
        parts.append(("part", solids.moved(leaf, (0, h - 0.05, 0))))
    return parts


def cactus(vary: Vary) -> Parts:
    """A ribbed column with a raised arm at each side, in a pot."""
    r, h, low = vary(0.17), vary(0.66), 0.32
    column = [(0, 0), (r, 0), (r, 0), (1.03 * r, 0.5 * h), (r, h - 0.9 * r)]
    column += [(0.82 * r, h - 0.40 * r), (0.48 * r, h - 0.09 * r), (0, h)]
    points, faces = solids.turned(column, segments=72)
    turn = np.arctan2(points[:, 0], points[:, 2])
    points[:, [0, 2]] *= (1 + 0.055 * np.cos(9 * turn))[:, None]
    parts: Parts = [("main", solids.moved((points, faces), (0, low, 0)))]
    reach, rise = vary(0.175), vary(0.19)
    for side, start, length in ((1, 0.36 * h, rise), (-1, 0.22 * h, 1.15 * rise)):
        arm = [(0, start), (r, start), (r + 0.55 * reach, start + 0.015)]
        arm += [(r + 0.92 * reach, start + 0.09), (r + reach, start + 0.18)]
        arm += [(r + reach, start + 0.18 + length)]
        path = np.insert(solids.smoothed(arm, 4), 2, 0, axis=1) * (side, 1, 1)
        parts.append(("main", solids.moved(_finger(path, 0.092), (0, low, 0))))
    wide = vary(0.27)
    pot = [(0, 0), (0.70 * wide, 0), (0.72 * wide, 0.01), (0.90 * wide, 0.23)]
    pot += [(0.90 * wide, 0.23), (1.04 * wide, 0.23), (1.04 * wide, 0.23), (1.07 * wide, 0.36)]
    pot += [(1.07 * wide, 0.36), (0.92 * wide, 0.36), (0.92 * wide, 0.36), (0.90 * wide, 0.30)]
    pot += [(0.90 * wide, 0.30), (0, 0.30)]
    soil = solids.cylinder(0.92 * wide, 0.05)
    parts.append(("part", solids.turned(pot, smooth=1)))
    parts.append(("wood", solids.moved(soil, (0, 0.30, 0))))
    return parts


def flower(vary: Vary) -> Parts:
    """A big blossom that looks to +Z and a little up, on a stem with two leaves."""
    long, wide, tall = vary(0.205), vary(0.125), vary(0.56)
    center = vary(0.145)
    parts: Parts = []
    blossom: Parts = []
    for index in range(7):
        petal = solids.moved(solids.ball((wide, long, 0.07), segments=24), (0, 0.55 * long, 0))
        petal = solids.turned_by(petal, (1, 0, 0), 7)
        petal = solids.moved(petal, (0, 0.14, 0))
        blossom.append(("main", solids.turned_by(petal, (0, 0, 1), 360 / 7 * index)))
    disc = solids.ball((center, center, 0.095), segments=32)
    blossom.append(("part", solids.moved(disc, (0, 0, 0.045))))
    cup = solids.ball((0.13, 0.13, 0.10), segments=24)
    blossom.append(("stalk", solids.moved(cup, (0, 0, -0.03))))
    for role, solid in blossom:
        parts.append((role, solids.moved(solids.turned_by(solid, (1, 0, 0), -24), (0, tall, 0.13))))
    share = np.linspace(0, 1, 13)
    height = (tall - 0.03) * share
    bend = 0.07 * share**2 - 0.12 * np.sin(np.pi * share)
    stem = np.stack([np.zeros(13), height, bend], axis=1)
    parts.append(("stalk", solids.tube(stem, np.full(13, 0.052))))
    spread = vary(0.36)
    for side in (-1, 1):
        leaf = solids.turned_by(_leaf(0.095, spread, 0.05), (0, 1, 0), 20 * side)
        leaf = solids.turned_by(leaf, (0, 0, 1), -58 * side)
        parts.append(("leaf", solids.moved(leaf, (0, 0.06, -0.02))))
    return parts


def _dripping(solid: Solid, *, level: float, depth: float, drops: int) -> Solid:
    """What lies below a level runs further down, in tongues of uneven length around +Y."""
    points, faces = solid
    turn = np.arctan2(points[:, 0], points[:, 2])
    tongue = 0.5 + 0.5 * np.cos(drops * turn)
    tongue = tongue**1.3 * (0.78 + 0.32 * np.sin(2 * turn + 0.7) * np.cos(3 * turn))
    share = np.clip((level - points[:, 1]) / (level - points[:, 1].min()), 0, 1)
    share = np.minimum(1.6 * share, 1) * (np.hypot(points[:, 0], points[:, 2]) > 1e-6)
    points[:, 1] -= depth * share * tongue
    return points, faces


def _leaf(half_wide: float, long: float, half_thick: float) -> Solid:
    """A thick leaf from the origin along +Y, pointed at its far end, flat sides at +Z and -Z."""
    points, faces = solids.ball((half_wide, long / 2, half_thick), segments=24)
    along = points[:, 1] / long + 0.5
    points[:, [0, 2]] *= (1 - 0.5 * np.clip(along - 0.45, 0, 1) ** 0.9)[:, None]
    return solids.moved((points, faces), (0, long / 2, 0))


def _finger(path: Points, radius: float) -> Solid:
    """A tube of one thickness, rounded at its far end."""
    toward = path[-1] - path[-2]
    toward = toward / np.linalg.norm(toward)
    turn = np.linspace(0, np.pi / 2, 7)[1:]
    tip = path[-1] + radius * np.sin(turn)[:, None] * toward
    radii = np.r_[np.full(len(path), radius), radius * np.maximum(np.cos(turn), 0.05)]
    return solids.tube(np.concatenate([path, tip]), radii, sides=20)


def _stem_and_leaf(vary: Vary, height: float, tall: float, long: float) -> Parts:
    """A bent wooden stem that starts at a height on the axis, and a leaf toward +X."""
    tall = vary(tall)
    path: Sequence[tuple[float, float]] = [(0, -0.05), (0.0, 0.4 * tall), (0.05, tall)]
    stem = np.insert(solids.smoothed(path, 5), 2, 0, axis=1)
    thick = np.linspace(0.036, 0.048, len(stem))
    leaf = solids.turned_by(_leaf(0.11, vary(long), 0.05), (0, 1, 0), 55)
    leaf = solids.turned_by(leaf, (0, 0, 1), -62)
    return [
        ("wood", solids.moved(solids.tube(stem, thick), (0, height, 0))),
        ("leaf", solids.moved(leaf, (0.0, height + 0.45 * tall, 0))),
    ]


RECIPES: Mapping[str, Recipe] = MappingProxyType(
    {
        "cake": Recipe(build=cake, part_color=(0.97, 0.93, 0.86), sectors=16),
        "ice cream": Recipe(build=ice_cream, part_color=(0.86, 0.62, 0.33), sectors=12),
        "apple": Recipe(build=apple, sectors=14),
        "pear": Recipe(build=pear, sectors=14),
        "carrot": Recipe(build=carrot, part_color=(0.22, 0.52, 0.14), sectors=10),
        "cactus": Recipe(build=cactus, part_color=(0.74, 0.38, 0.24)),
        "flower": Recipe(build=flower, part_color=(0.80, 0.54, 0.10)),
    }
)
"""Every kind of this file."""
