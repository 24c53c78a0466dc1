"""The vessels: bottle, vase, teapot."""

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from . import solids
from .recipe import Parts, Recipe, Vary


def bottle(vary: Vary) -> Parts:
    """A plump body with round shoulders, a neck, a ribbed cap."""
    r, h, neck = vary(0.25), vary(0.52), vary(0.098)
    shoulder, throat = vary(0.17), vary(0.13)
    top = h + shoulder + throat
    body = [(0, 0.02), (0.80 * r, 0), (0.95 * r, 0.015), (r, 0.06), (r, 0.5 * h), (r, h)]
    body += [(0.90 * r, h + 0.38 * shoulder), (0.5 * (0.72 * r + neck), h + 0.72 * shoulder)]
    body += [(1.06 * neck, h + shoulder), (neck, h + shoulder + 0.4 * throat), (neck, top)]
    body += [(neck, top), (0, top)]
    wide, tall = neck + 0.028, 0.13
    cap = [(0, -0.01), (wide, -0.01), (wide, -0.01), (wide, tall - 0.03), (wide - 0.02, tall)]
    cap += [(wide - 0.04, tall + 0.004), (0, tall + 0.004)]
    points, faces = solids.turned(cap, segments=64)
    turn = np.arctan2(points[:, 0], points[:, 2])
    points[:, [0, 2]] *= (1 + 0.03 * np.cos(16 * turn))[:, None]
    return [
        ("main", solids.turned(body)),
        ("part", solids.moved((points, faces), (0, top - 0.02, 0))),
    ]


def vase(vary: Vary) -> Parts:
    """A round belly on a foot, a narrow neck, a rim that flares; dark inside."""
    r, h, neck, rim = vary(0.36), vary(0.60), vary(0.15), vary(0.27)
    top = h + vary(0.32)
    outer = [(0.05, 0), (0.19, 0), (0.205, 0.03), (0.17, 0.085), (0.62 * r, 0.17 * h)]
    outer += [(0.92 * r, 0.36 * h), (r, 0.56 * h), (0.90 * r, 0.77 * h), (0.62 * r, 0.93 * h)]
    outer += [
        (1.02 * neck, h + 0.04),
        (neck, h + 0.11),
        (0.5 * (1.25 * neck + 0.75 * rim), top - 0.09),
    ]
    outer += [(rim, top - 0.015), (rim - 0.01, top + 0.012), (rim - 0.05, top + 0.005)]
    inner = [(neck - 0.01, top - 0.12), (neck - 0.05, h + 0.08), (0.05, 0.5 * h)]
    lining = [(0, 0.5 * h), (neck - 0.04, h + 0.02), (neck - 0.035, h + 0.08)]
    lining += [(neck + 0.005, top - 0.12), (rim - 0.052, top - 0.006), (0, top - 0.11)]
    return [("main", solids.ring([*outer, *inner])), ("inside", solids.turned(lining))]


def teapot(vary: Vary) -> Parts:
    """A round belly, its spout at +X and its handle at -X, a lid with a knob."""
    r, h = vary(0.42), vary(0.64)
    belly = [(0, 0.02), (0.56, 0), (0.62, 0.0), (0.66, 0.06), (0.86, 0.20), (1.0, 0.46)]
    belly += [(0.95, 0.68), (0.78, 0.87), (0.58, 0.98), (0.52, 1.0), (0, 1.0)]
    parts: Parts = [("main", solids.turned([(r * x, h * y) for x, y in belly]))]
    reach = vary(0.25)
    curve = [(0.6 * r, 0.32 * h), (0.95 * r, 0.36 * h), (r + 0.48 * reach, 0.56 * h)]
    curve += [(r + 0.70 * reach, 0.80 * h), (r + reach, 0.98 * h)]
    path = np.insert(solids.smoothed(curve, 5), 2, 0, axis=1)
    radii = np.interp(np.linspace(0, 1, len(path)), [0, 0.35, 0.75, 1], [0.16, 0.125, 0.08, 0.078])
    parts.append(("base", solids.tube(path, radii, sides=24)))
    toward = (path[-1] - path[-2]) / np.linalg.norm(path[-1] - path[-2])
    mouth = path[-3:] + 0.008 * toward
    parts.append(("inside", solids.tube(mouth, [0.05] * 3, sides=24)))
    turn = np.radians(np.linspace(-80, 80, 25))
    out, rise = vary(0.21), vary(0.20)
    across = -(0.86 * r + out * np.cos(turn))
    handle = np.stack([across, 0.53 * h + rise * np.sin(turn), np.zeros(25)], axis=1)
    parts.append(("base", solids.tube(handle, np.full(25, 0.06))))
    wide, dome = 0.62 * r, vary(0.115)
    lid = [
        (0, -0.02),
        (wide, -0.02),
        (wide + 0.012, 0.0),
        (wide, 0.025),
        (0.86 * wide, 0.50 * dome),
    ]
    lid += [(0.52 * wide, 0.88 * dome), (0.055, dome), (0.055, dome + 0.02), (0.09, dome + 0.065)]
    lid += [(0.082, dome + 0.115), (0.045, dome + 0.15), (0, dome + 0.155)]
    parts.append(("part", solids.moved(solids.turned(lid), (0, 0.985 * h, 0))))
    return parts


RECIPES: Mapping[str, Recipe] = MappingProxyType(
    {
        "bottle": Recipe(build=bottle, part_color=(0.13, 0.13, 0.14), sectors=12),
        "vase": Recipe(build=vase, sectors=14),
        "teapot": Recipe(build=teapot, sectors=16),
    }
)
"""Every kind of this file."""
