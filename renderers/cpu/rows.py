"""A few Gaussians' numbers as rows of LANES floats, one row for each coordinate, and back.

`project.py` reads and writes its Gaussians through these rows, whichever of them are seen: item k
of the list stands in lane k.
"""

from .compiled import inner
from .harmonics import ZERO, give
from .memory import load, load_lanes, store, store_lanes
from .simd import LANES, rounded, widened


@inner
def gather(rows, row, ids, count, array, width):
    """Put `count` Gaussians' items of `width` numbers into `width` rows, one item per lane."""
    for lane in range(count):
        at = load(ids, lane) * width
        for k in range(width):
            store(rows, (row + k) * LANES + lane, load(array, at + k))


@inner
def wide(rows, row):
    """One row, in float64."""
    return widened(load_lanes(rows, row * LANES))


@inner
def put(rows, row, value):
    """Write one row from float64."""
    store_lanes(rows, row * LANES, rounded(value))


@inner
def hand_out(rows, row, ids, count, array, width, added):
    """The way back from `gather`."""
    for lane in range(count):
        at = load(ids, lane) * width
        for k in range(width):
            give(array, at + k, load(rows, (row + k) * LANES + lane), added)


@inner
def nothing(array, first, count, added):
    """A gradient of zero for items first..first+count-1."""
    if not added:
        for k in range(count):
            store(array, first + k, ZERO)
