"""Groups of settings that `Config` is made of. Imports nothing heavy."""

from dataclasses import dataclass
from typing import Any, Literal

Method = Literal["sugar", "poisson", "tsdf", "tsdf-contracted", "tets", "preview"]


def check_range(owner: Any, **ranges: tuple[float, float]) -> None:
    """Raise ValueError unless each named field lies within its range, ends included."""
    for name, (low, high) in ranges.items():
        value = getattr(owner, name)
        if not low <= value <= high:
            raise ValueError(f"{name} must lie between {low:g} and {high:g}, got {value}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Views:
    """From where the splats are looked at."""

    count: int = 64
    """Around an object whose cameras are not known, evenly over a sphere."""
    size_px: int = 256
    """Width and height of these."""
    max_side_px: int = 480
    """Pictures of known cameras are reduced to this."""
    alpha_threshold: float = 0.5
    """Pixels less covered by splats than this are background."""
    outlier_share: float = 0.01
    """This share of the splats may be strays that do not count for an object's size."""

    def __post_init__(self) -> None:
        check_range(
            self, count=(4, 1024), size_px=(32, 4096), max_side_px=(32, 4096),
            alpha_threshold=(0.5, 0.99), outlier_share=(0.0, 0.5),
        )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """Points along the pixels' rays (`sugar` and `poisson`)."""

    points: int = 1_000_000
    """Pixels that are followed, all views together."""
    level: float = 0.3
    """Of the density, where `sugar` puts the surface."""
    samples: int = 21
    """Densities that are looked up along one ray."""
    reach: float = 3.0
    """On each side of the hit Gaussian, in its standard deviations along the ray."""
    neighbors: int = 16
    """Gaussians nearest to the hit one that make up the density."""
    outlier_neighbors: int = 20
    outlier_deviations: float = 20.0
    """A point is a stray if its mean distance to its neighbors is so many standard deviations above
    the mean of all points."""

    def __post_init__(self) -> None:
        check_range(
            self, points=(100, 100_000_000), level=(1e-3, 10.0), samples=(5, 201), reach=(0.5, 10),
            neighbors=(1, 64), outlier_neighbors=(1, 100), outlier_deviations=(0.1, 1e6),
        )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Poisson:
    """Screened Poisson reconstruction (`sugar` and `poisson`)."""

    depth: int | None = None
    """Of the octree. None: 10 for `sugar` as published; for `poisson` such that a cell is about as
    large as the Gaussians, in captured scenes twice as large."""
    background_reach: float = 4.0
    """How far beyond the foreground the background of a captured scene is kept."""
    drop_share: float | None = None
    """This share of the vertices, those with the fewest points around, is removed. None: 0.1 for
    captured scenes by `sugar`, as published; else 0."""

    def __post_init__(self) -> None:
        if self.depth is not None:
            check_range(self, depth=(3, 14))
        if self.drop_share is not None:
            check_range(self, drop_share=(0.0, 0.9))
        check_range(self, background_reach=(1.0, 100.0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Tsdf:
    """Truncated signed distance on a grid (`tsdf` and `tsdf-contracted`)."""

    voxels: int | None = None
    """Along the diameter of what is meshed. None: about a pixel each, at most 512."""
    truncation_voxels: float = 4.0
    """Distances are cut off here; walls thinner than this suffer."""
    min_views: int = 1
    """Voxels that fewer views measured have no surface."""

    def __post_init__(self) -> None:
        if self.voxels is not None:
            check_range(self, voxels=(16, 2048))
        check_range(self, truncation_voxels=(1.5, 32.0), min_views=(1, 1024))


@dataclass(frozen=True, slots=True, kw_only=True)
class Tets:
    """Marching tetrahedra between the Gaussians (`tets`)."""

    reach: float = 3.0
    """Corners of a Gaussian's box lie so many standard deviations from its center."""
    max_gaussians: int = 60_000
    """At most so many, those that are seen most, become pivots (nine points each)."""
    truncation: float = 1.5
    """Distances are cut off at so many typical Gaussian radii."""
    bisections: int = 8
    """Halvings of an edge until the surface's place on it is taken."""

    def __post_init__(self) -> None:
        check_range(
            self, reach=(0.5, 6.0), max_gaussians=(100, 10_000_000), truncation=(0.5, 100.0),
            bisections=(0, 40),
        )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """The density on a grid (`preview`; DreamGaussian, Tang et al. 2024)."""

    resolution: int = 128
    """Voxels along the diameter."""
    level: float = 0.5

    def __post_init__(self) -> None:
        check_range(self, resolution=(16, 512), level=(1e-3, 10.0))
