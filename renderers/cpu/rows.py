"""A few Gaussians' numbers as rows of LANES floats, one row for each coordinate, and back.

`project.py` reads and writes its Gaussians through these rows, whichever of them are seen: item k
of the list stands in lane k.
"""

from .compiled import part
from .harmonics import ZERO
from .memory import load, load_lanes, store, store_lanes
from .simd import LANES, rounded, widened


@part
def gather(rows, row, ids, count, array, width):
    """Put `count` Gaussians' items of `width` numbers into `width` rows, one item per lane."""
    for lane in range(count):
        at = load(ids, lane) * width
        for k in range(width):
            store(rows, (row + k) * LANES + lane, load(array, at + k))


@part
def wide(rows, row):
    """One row, in float64."""
    return widened(load_lanes(rows, row * LANES))


@part
def put(rows, row, value):
    """Write one row from float64."""
    store_lanes(rows, row * LANES, rounded(value))


@part
def give(array, index, value, added):
    """Set array[index], or add to it."""
    store(array, index, value + load(array, index) if added else value)


@part
def hand_out(rows, row, ids, count, array, width, added):
    """The way back from `gather`."""
    for lane in range(count):
        at = load(ids, lane) * width
        for k in range(width):
            give(array, at + k, load(rows, (row + k) * LANES + lane), added)


@part
def nothing(array, first, count, added):
    """A gradient of zero for items first..first+count-1."""
    if not added:
        for k in range(count):
            store(array, first + k, ZERO)
