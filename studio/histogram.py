"""A property of a layer's Gaussians, counted and drawn, and the range that two handles mean.

Scales, volumes and the like spread over many powers of ten, so their axis is logarithmic.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, UInt8

from ..pipeline.errors import InputError
from ..stages.formats.edits import Select
from ..stages.formats.regions import Property, Range, Term, Viewpoint
from ..stages.scene.layers import Layer
from ..stages.scene.measures import measured
from .gestures import Pick

BINS = 96
LOGARITHMIC: frozenset[Property] = frozenset({"scale", "thickness", "volume"})
HEIGHT_PX, BIN_PX = 96, 3
_PAPER, _INK, _CHOSEN, _SELECTED = 245, (150, 150, 150), (40, 110, 200), (255, 140, 0)


@dataclass(frozen=True, slots=True)
class Histogram:
    """Counts between the least and the greatest value."""

    name: Property
    edges: Float[np.ndarray, " bin_and_one"]
    """In the property's own unit."""
    counts: Int[np.ndarray, " bin"]
    selected: Int[np.ndarray, " bin"]
    """How many of them are selected."""
    camera: Viewpoint | None = None
    """For `depth`."""

    def value_at(self, share: float) -> float:
        """The value at a place along the axis, 0 at its left end, 1 at its right end."""
        place = np.linspace(0, 1, len(self.edges))
        return float(np.interp(share, place, self.edges))


def histogram(layer: Layer, name: Property, camera: Viewpoint | None = None) -> Histogram:
    """Of all Gaussians of the layer; `depth` needs the camera."""
    camera = camera if name == "depth" else None
    if name == "depth" and camera is None:
        raise InputError("depth needs a camera. Look at the scene first")
    values = measured(layer, name, camera)
    low, high = float(values.min()), float(values.max())
    if name in LOGARITHMIC:
        low = max(low, high * 1e-12, float(np.finfo(np.float64).tiny))
        edges = np.geomspace(low, max(high, low), BINS + 1)
    else:
        edges = np.linspace(low, high, BINS + 1)
    edges[0], edges[-1] = low, max(high, low)
    # The bins are those of the drawing, so that a value lies where its bar stands.
    index = np.searchsorted(edges, values, side="right") - 1
    index = index.clip(0, BINS - 1)
    counts = np.bincount(index, minlength=BINS)
    selected = np.bincount(index[layer.selected], minlength=BINS)
    return Histogram(name, edges, counts, selected, camera)


def select_range(found: Histogram, low: float, high: float, pick: Pick) -> Select:
    """The edit that two handles at these places mean; one at an end of the axis means no limit."""
    if low <= 0 and high >= 1:
        raise InputError("the whole range is chosen. Move a handle first")
    shape = Range(
        property=found.name,
        low=None if low <= 0 else found.value_at(low),
        high=None if high >= 1 else found.value_at(high),
        camera=found.camera,
    )
    return Select(layer=pick.layer, term=Term(shape=shape, how=pick.how))


def drawn(found: Histogram, low: float, high: float) -> UInt8[np.ndarray, "height width 3"]:
    """Bars as high as the root of the count, blue between the handles, orange what is selected."""
    out = np.full((HEIGHT_PX, BINS * BIN_PX, 3), _PAPER, np.uint8)
    most = max(int(found.counts.max()), 1)
    for bar, (count, selected) in enumerate(zip(found.counts, found.selected, strict=True)):
        middle = (bar + 0.5) / BINS
        color = _CHOSEN if low <= middle <= high else _INK
        left, right = bar * BIN_PX, (bar + 1) * BIN_PX - 1
        for value, ink in ((count, color), (selected, _SELECTED)):
            height = round((HEIGHT_PX - 4) * (value / most) ** 0.5)
            if value and height == 0:
                height = 1
            out[HEIGHT_PX - height :, left:right] = ink
    return out
