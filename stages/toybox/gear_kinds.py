"""Things of a hero's tale: chest, book, sword, shield, hammer."""

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from . import solids
from .recipe import Parts, Recipe, Vary
from .solids import Solid


def chest(vary: Vary) -> Parts:
    """A treasure chest: arched lid, iron bands, a brass lock at +Z."""
    wide, high, deep = vary(0.86), vary(0.46), vary(0.58)
    rise = vary(0.21)
    parts: Parts = [
        ("main", solids.box((wide, high, deep), 0.03, center=(0, high / 2, 0))),
        ("dark", solids.box((wide - 0.05, 0.10, deep - 0.05), 0.01, center=(0, high + 0.01, 0))),
        ("part", _vault(wide + 0.04, deep + 0.05, rise, (0, high + 0.038, 0))),
    ]
    for x in (-0.34, 0.34):
        band = (0.095, high + 0.01, deep + 0.035)
        parts.append(("iron", solids.box(band, 0.015, center=(x * wide, high / 2 - 0.01, 0))))
        hoop = _vault(0.095, deep + 0.09, rise + 0.022, (x * wide, high + 0.04, 0))
        parts.append(("iron", hoop))
    lock = solids.box((0.17, 0.20, 0.07), 0.025, center=(0, high - 0.03, deep / 2 + 0.015))
    parts.append(("brass", lock))
    hole = solids.turned_by(solids.cylinder(0.032, 0.03, segments=20), (1, 0, 0), 90)
    parts.append(("dark", solids.moved(hole, (0, high - 0.035, deep / 2 + 0.05))))
    parts.append(
        ("dark", solids.box((0.03, 0.075, 0.03), 0.006, center=(0, high - 0.07, deep / 2 + 0.05)))
    )
    return parts


def book(vary: Vary) -> Parts:
    """A thick standing book: its title plate at +Z, its spine at -X, white pages elsewhere."""
    wide, high, thick = vary(0.66), vary(0.92), vary(0.34)
    board = 0.075
    parts: Parts = []
    for side in (-1, 1):
        place = (0, high / 2, side * (thick - board) / 2)
        parts.append(("main", solids.box((wide, high, board), 0.02, center=place)))
    turn = np.linspace(-np.pi / 2, np.pi / 2, 17)
    loop = np.stack(
        [-0.10 * np.cos(turn), np.zeros(17), (thick / 2 - 0.012) * np.sin(turn)], axis=1
    )
    loop = np.concatenate([loop, [[0.05, 0, thick / 2 - 0.012], [0.05, 0, 0.012 - thick / 2]]])
    spine = solids.moved(solids.prism(loop, (0, high, 0)), (0.02 - wide / 2, 0, 0))
    parts.append(("main", spine))
    leaves = (wide - 0.10, high - 0.11, thick - 1.6 * board)
    parts.append(("white", solids.box(leaves, 0.015, center=(-0.02, high / 2, 0))))
    front = thick / 2
    plate = (0.62 * wide, 0.25 * high, 0.03)
    parts.append(("brass", solids.box(plate, 0.012, center=(0.02, 0.70 * high, front))))
    inner = (0.62 * wide - 0.08, 0.25 * high - 0.08, 0.04)
    parts.append(("trimming", solids.box(inner, 0.012, center=(0.02, 0.70 * high, front))))
    for level in (0.14, 0.86):
        band = solids.prism(loop * [1.2, 0, 1.15], (0, 0.07, 0))
        parts.append(("brass", solids.moved(band, (0.02 - wide / 2, level * high - 0.03, 0))))
    return parts


def sword(vary: Vary) -> Parts:
    """A toy sword, broad blade up, its flat toward +Z, over a guard, a grip and a pommel."""
    half, thick, long = vary(0.165), vary(0.058), vary(0.84)
    guard, grip = vary(0.45), vary(0.19)
    around = np.array([[1, 0.45], [0.4, 1], [-0.4, 1], [-1, 0.45], [-1, -0.45], [-0.4, -1]])
    around = np.concatenate([around, [[0.4, -1], [1, -0.45]]])
    sections = []
    for y, width, depth in ((0, 0.92, 1), (0.40, 1, 1), (0.78, 1.04, 1), (0.86, 0.92, 1)):
        x, z = (around * [half * width, thick * depth]).T
        sections.append(np.stack([x, np.full(8, grip + y * long), z], axis=1))
    x, z = (around * [0.10 * half, 0.55 * thick]).T
    sections.append(np.stack([x, np.full(8, grip + long), z], axis=1))
    bar = solids.box((guard, 0.095, 0.16), 0.04)
    parts: Parts = [
        ("main", solids.loft(np.array(sections), creased=True)),
        ("part", solids.moved(bar, (0, grip, 0))),
        ("part", solids.moved(solids.cylinder(0.058, grip, segments=24), (0, grip / 2, 0))),
        ("part", solids.ball((0.095, 0.085, 0.095), segments=24)),
    ]
    for side in (-1, 1):
        end = solids.ball((0.075, 0.075, 0.085), segments=20)
        parts.append(("part", solids.moved(end, (side * guard / 2, grip, 0))))
    return parts


def shield(vary: Vary) -> Parts:
    """A heater shield bent around its owner: face and boss at +Z, wood and a strap behind."""
    wide, top, tip = vary(0.40), vary(0.42), vary(0.58)
    bend = vary(0.45)
    edge = _heater(wide, top, tip)
    parts: Parts = [
        ("main", _bent(_slab(edge, -0.11, 0.075), bend)),
        ("part", _bent(solids.moved(_rim(0.90 * edge, 0.055), (0, 0, 0.075)), bend)),
        ("wood", _bent(_slab(0.64 * edge, -0.145, -0.085), bend)),
    ]
    boss = solids.ball((0.12, 0.12, 0.11), segments=28)
    parts.append(("brass", solids.moved(boss, (0, 0.06, 0.095))))
    turn = np.radians(np.linspace(0, 180, 15))
    path = np.stack([0.16 * np.cos(turn), np.full(15, 0.06), -0.135 - 0.11 * np.sin(turn)], axis=1)
    parts.append(("dark", solids.tube(path, np.full(15, 0.04))))
    return parts


def hammer(vary: Vary) -> Parts:
    """A mallet: a big round head along X, with an iron ring at each end, on a thick handle."""
    r, long, high = vary(0.20), vary(0.72), vary(0.74)
    grip = vary(0.07)
    log = [(0, -0.5), (0.94, -0.5), (1.0, -0.44), (1.0, -0.44), (1.06, 0)]
    log = [(r * a, long * y) for a, y in [*log, *((a, -y) for a, y in log[-2::-1])]]
    head = solids.turned_by(solids.turned(log, segments=40, smooth=2), (0, 0, 1), 90)
    parts: Parts = [("main", solids.moved(head, (0, high, 0)))]
    for side in (-1, 1):
        a, b = 1.05 * r, 0.82 * r
        hoop = [(b, -0.04), (a, -0.04), (a, 0.04), (b, 0.04)]
        hoop = [point for point in hoop for _ in range(2)]
        turned = solids.turned_by(solids.ring(hoop, segments=40, smooth=1), (0, 0, 1), 90)
        parts.append(("iron", solids.moved(turned, (side * 0.36 * long, high, 0))))
    stick = [(0, 0), (1.2, 0), (1.35, 0.03), (1.35, 0.09), (1.0, 0.18), (0.95, 0.5)]
    stick = [(grip * a, y * high) for a, y in stick]
    stick += [(grip, high + r), (grip, high + r + 0.05), (grip, high + r + 0.05)]
    parts.append(("part", solids.turned([*stick, (0, high + r + 0.05)], segments=28)))
    return parts


def _vault(wide: float, deep: float, rise: float, place: tuple[float, float, float]) -> Solid:
    """A lid along X, round above a low upright edge."""
    turn = np.linspace(0, np.pi, 19)
    bow = np.stack([0.05 + rise * np.sin(turn), deep / 2 * np.cos(turn)], axis=1)
    outline = np.concatenate([[[0, -deep / 2], [0, deep / 2]], bow])
    lid = np.c_[np.full(len(outline), -wide / 2), outline]
    return solids.moved(_soft_prism(lid, (wide, 0, 0)), place)


def _soft_prism(outline: np.ndarray, offset: tuple[float, float, float]) -> Solid:
    """A prism whose walls are shaded smoothly; corners are doubled here."""
    first, second = outline[:1], outline[1:2]
    loop = np.concatenate([first, first, second, second, outline[2:3], outline[2:]])
    loop = np.concatenate([loop, outline[-1:]])
    return solids.loft(np.stack([loop, loop + np.asarray(offset)]))


def _heater(wide: float, top: float, tip: float) -> np.ndarray:
    """(x, y) around a heater shield, counter-clockwise from the tip."""
    down = np.linspace(1, 0, 13)[1:]
    flank = np.stack([wide * (1 - down**2.1), 0.08 - (tip + 0.08) * down], axis=1)
    side = np.concatenate([flank, [[wide, 0.5 * top], [wide, 0.85 * top], [0.95 * wide, top]]])
    lid = [[0.6 * wide, 0.98 * top], [0.3 * wide, 0.99 * top]]
    right = np.concatenate([side, lid])
    middle = [[0.0, 1.02 * top]]
    return np.concatenate([[[0.0, -tip]], right, middle, right[::-1] * [-1, 1]])


def _slab(edge: np.ndarray, low: float, high: float) -> Solid:
    """A plate of the given outline between two depths, with rings of vertices that can bend."""
    sections = [
        np.c_[size * edge, np.full(len(edge), z)]
        for z, sizes in ((high, (0.02, 0.35, 0.7, 1.0)), (low, (1.0, 0.7, 0.35, 0.02)))
        for size in sizes
    ]
    return solids.loft(np.array(sections))


def _rim(edge: np.ndarray, radius: float) -> Solid:
    """A round bar along an outline."""
    along = np.roll(edge, -1, axis=0) - np.roll(edge, 1, axis=0)
    out = np.stack([along[:, 1], -along[:, 0]], axis=1)
    out /= np.linalg.norm(out, axis=1, keepdims=True)
    turn = np.arange(12) * (np.pi / 6)
    shift = radius * np.cos(turn)[None, :, None] * out[:, None]
    flat = edge[:, None] + shift
    depth = np.broadcast_to(radius * np.sin(turn)[None, :, None], (len(edge), 12, 1))
    return solids.grid(np.concatenate([flat, depth], axis=2), wrap_rows=True, wrap_columns=True)


def _bent(solid: Solid, bend: float) -> Solid:
    """The solid with its sides drawn back toward -Z."""
    vertices, faces = solid
    return vertices - np.outer(vertices[:, 0] ** 2, [0, 0, bend]), faces


RECIPES: Mapping[str, Recipe] = MappingProxyType(
    {
        "chest": Recipe(build=chest),
        "book": Recipe(build=book),
        "sword": Recipe(build=sword, part_color=(0.82, 0.64, 0.24)),
        "shield": Recipe(build=shield, part_color=(0.72, 0.73, 0.76)),
        "hammer": Recipe(build=hammer, part_color=(0.47, 0.29, 0.15)),
    }
)
"""Every kind of this file."""
