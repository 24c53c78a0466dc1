"""Many charts into one square picture: turned, put into rectangles, packed under a skyline.

xatlas packs a few large charts more tightly, but thousands of small ones slowly; this takes
milliseconds for either. The rectangles go in by falling height, each to where its top comes to
lie lowest (Jylänki 2010, skyline bottom-left); the scale is found by bisection.
"""

import numpy as np
from jaxtyping import Float, Float32, Int

from ...renderers.cpu.compiled import lean_kernel

ANGLES = 24
"""Directions within a right angle that are tried for each chart."""
BISECTIONS = 14


def pack(
    flat: Float[np.ndarray, "vertex 2"],
    charts: Int[np.ndarray, " vertex"],
    size_px: int,
    gutter_px: int,
) -> Float32[np.ndarray, "vertex 2"] | None:
    """Uvs in [0, 1] with one scale for all charts; `None` where not even points fit.

    Args:
        flat: Every chart in its own plane, in units that all charts share.
        charts: Of each vertex.
    """
    count = int(charts.max()) + 1
    turned, sizes = np.empty(flat.shape), np.zeros((count, 2))
    room = (np.full(count, np.inf), np.zeros(count), np.zeros((3, count, 2)))
    _turn(flat.astype(np.float64), charts.astype(np.int64), turned, sizes, room)
    pad = gutter_px + 1
    order = np.lexsort((np.arange(count), -sizes[:, 0], -sizes[:, 1])).astype(np.int64)
    places = _places(sizes, order, 0.0, size_px, pad)
    if places is None:
        return None
    extent = float(max(sizes.max(), 1e-30))
    low, high = 0.0, (size_px - pad) / extent
    filled = float((sizes[:, 0] * sizes[:, 1]).sum())
    if filled > 0:
        high = min(high, size_px / np.sqrt(filled))
    best = (0.0, places)
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        places = _places(sizes, order, middle, size_px, pad)
        if places is None:
            high = middle
        else:
            low, best = middle, (middle, places)
    scale, places = best
    return ((turned * scale + places[charts] + pad / 2) / size_px).astype(np.float32)


def _places(
    sizes: np.ndarray, order: np.ndarray, scale: float, size_px: int, pad: int
) -> np.ndarray | None:
    whole = np.ceil(sizes * scale).astype(np.int64) + pad
    places = np.zeros((len(sizes), 2), np.int64)
    room = np.zeros((4, 2 * len(sizes) + 2), np.int64)
    return places if _skyline(whole, order, size_px, places, room) else None


@lean_kernel
def _turn(flat, charts, out, sizes, room):
    """Every chart turned so that its bounding box is smallest, lying, with a corner at 0."""
    best_area, best_angle, pairs = room
    corner, low, high = pairs[0], pairs[1], pairs[2]
    count = len(sizes)
    for step in range(ANGLES):
        angle = step * (np.pi / 2) / ANGLES
        c, s = np.cos(angle), np.sin(angle)
        low[:] = np.inf
        high[:] = -np.inf
        for vertex in range(len(flat)):
            chart = charts[vertex]
            x = c * flat[vertex, 0] - s * flat[vertex, 1]
            y = s * flat[vertex, 0] + c * flat[vertex, 1]
            low[chart, 0] = min(low[chart, 0], x)
            low[chart, 1] = min(low[chart, 1], y)
            high[chart, 0] = max(high[chart, 0], x)
            high[chart, 1] = max(high[chart, 1], y)
        for chart in range(count):
            width, height = high[chart, 0] - low[chart, 0], high[chart, 1] - low[chart, 1]
            if width * height < best_area[chart]:
                best_area[chart] = width * height
                # A standing box is laid down by a further quarter turn.
                best_angle[chart] = angle if width >= height else angle + np.pi / 2
                sizes[chart, 0], sizes[chart, 1] = max(width, height), min(width, height)
                if width >= height:
                    corner[chart, 0], corner[chart, 1] = low[chart, 0], low[chart, 1]
                else:
                    corner[chart, 0], corner[chart, 1] = -high[chart, 1], low[chart, 0]
    for vertex in range(len(flat)):
        chart = charts[vertex]
        c, s = np.cos(best_angle[chart]), np.sin(best_angle[chart])
        out[vertex, 0] = c * flat[vertex, 0] - s * flat[vertex, 1] - corner[chart, 0]
        out[vertex, 1] = s * flat[vertex, 0] + c * flat[vertex, 1] - corner[chart, 1]


@lean_kernel
def _skyline(sizes, order, page, places, room):
    """Put all rectangles; False where one finds no place.

    The skyline is a list of steps (left, height), from left to right.
    """
    left, top, old_left, old_top = room[0], room[1], room[2], room[3]
    steps = 1
    for which in order:
        width, height = sizes[which, 0], sizes[which, 1]
        best, best_top, best_left = -1, page + 1, 0
        for first in range(steps):
            x = left[first]
            if x + width > page:
                break
            y = 0
            step = first
            while step < steps and left[step] < x + width:
                y = max(y, top[step])
                step += 1
            if y + height <= page and y < best_top:
                best, best_top, best_left = first, y, x
        if best < 0:
            return False
        places[which, 0], places[which, 1] = best_left, best_top
        # What the rectangle covers of the skyline becomes one step at its top.
        end = best_left + width
        rest = 0
        kept = 0
        for step in range(best, steps):
            if left[step] < end:
                rest = top[step]
            else:
                old_left[kept], old_top[kept] = left[step], top[step]
                kept += 1
        left[best], top[best] = best_left, best_top + height
        steps = best + 1
        if end < page and (kept == 0 or old_left[0] > end):
            left[steps], top[steps] = end, rest
            steps += 1
        for step in range(kept):
            left[steps], top[steps] = old_left[step], old_top[step]
            steps += 1
    return True
