"""How one kind of toy is made: what every file of kinds offers to `shapes` and `patterns`."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from .catalog import Rgb
from .solids import Solid

Vary = Callable[[float], float]
"""Scales a length by up to 10 %, in the order of its calls."""
Parts = list[tuple[str, Solid]]
"""Closed solids, each with its color role."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A kind's parts and how patterns run over its `main` ones.

    Roles: `main` carries the pattern, `base` the plain color, `part` the color that a caption can
    name (`catalog.PARTS`), `inside` and `trim` darker tones of the color; the rest are in
    `shapes.NATURAL`. Units are arbitrary; the result is scaled to the standard frame, and no
    number of vertices may depend on a dimension. Fronts face +Z, +Y is up.
    """

    build: Callable[[Vary], Parts]
    part_color: Rgb | None = None
    """Natural color of the part that a caption can name; None: the toy's own color."""
    sectors: int = 0
    """Checks run around +Y in this many sectors; 0: they are cubes."""
    stripes: Literal["x", "y", "z", "around"] = "y"
    """Stripes follow one another along this axis, or around +Y in `sectors`."""
