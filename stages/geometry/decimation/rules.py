"""The switches of a decimation."""

import math
from dataclasses import dataclass
from typing import Literal

Reach = Literal["off", "local", "global"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """How a mesh is simplified. The defaults won over all test meshes."""

    virtual_edges: Reach = "off"
    """Let components that nearly touch be joined. `global` takes half the median edge length as
    the radius around every triangle, `local` half the median edge length around each."""
    boundary_area: bool = True
    """Keep borders in place by the area that a collapse would sweep there."""
    border_weight: float = 1.0
    """Factor on that area term."""
    seam_weight: float = 0.1
    """Factor on the squared distances to the planes that stand on the seams between charts."""
    line_weight: float = 1e-4
    """Factor on the squared distances to the lines along the vertex normals, which even out the
    triangles of flat regions (Liu et al. 2025)."""
    placement_pull: float = 1e-5
    """How strongly a new vertex is drawn to the middle of its edge where nothing else decides."""
    placement_reach: float = 1.0
    """How far from the middle of its edge a new vertex may lie, in lengths of the edge; beyond it
    the best of ends and middle is taken."""
    flip_penalty: float = 1.0
    """Price of turning a triangle over, in units of its area times the edge's squared length."""
    sliver_penalty: float = 0.1
    """Price of a new sliver, in the same unit."""
    bend_penalty: float = 0.3
    """Price of turning normals, in units of area times 1 - cos times the edge's squared length."""
    vanish_penalty: float = 1.0
    """Price of the last faces of a part, in units of twice their squared area."""
    shrink_penalty: float = 0.1
    """Price of area that is lost elsewhere, in units of twice its square."""
    grow_penalty: float = 0.3
    """Price of area that is gained at a border, in the same unit."""
    part_floor: float = 0.45
    """Share of its area that a part keeps, unless it is the largest, while anything else can go."""
    part_share: float = 0.02
    """Parts of a smaller share of the whole area have no floor."""
    part_faces: float = 2.5
    """A part has a floor while its share of the faces left, by area, is at least this many."""
    keep_topology: bool = False
    """Collapse only what keeps holes, handles and components; the target may then be missed."""
    lock_borders: bool = False
    """Leave the vertices of border edges where they are; the target may then be missed."""
    prune_share: float = 0.0
    """Components with a bounding-box diagonal below this share of the whole one's go first."""

    def __post_init__(self) -> None:
        if self.virtual_edges not in ("off", "local", "global"):
            raise ValueError(
                f"virtual_edges must be off, local or global, got {self.virtual_edges!r}."
            )
        for name in (
            "border_weight", "seam_weight", "line_weight", "placement_pull", "placement_reach",
            "flip_penalty", "sliver_penalty", "bend_penalty", "vanish_penalty", "shrink_penalty",
            "grow_penalty", "part_faces",
        ):  # fmt: skip
            value = getattr(self, name)
            if not (value >= 0 and math.isfinite(value)):
                raise ValueError(f"{name} must be finite and not negative, got {value}.")
        for name in ("prune_share", "part_floor", "part_share"):
            value = getattr(self, name)
            if not 0 <= value < 1:
                raise ValueError(f"{name} must be in [0, 1), got {value}.")
