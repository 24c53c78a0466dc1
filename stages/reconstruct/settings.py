"""Groups of settings that `Config` is made of. Imports nothing heavy."""

import math
from dataclasses import dataclass
from typing import Literal

Strategy = Literal["densify", "mcmc"]
Background = Literal["black", "white", "random"]
SurfaceMode = Literal["off", "density", "sdf"]
ExposureMode = Literal["off", "affine"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Views:
    """How the photographs are used."""

    max_side_px: int = 1_600
    """Longer sides are reduced to this."""
    hold_out_every: int = 8
    """Every so many-th photograph, by name, is kept aside; 0: none."""
    coarse_levels: int = 2
    """Training begins with pictures halved so many times."""
    coarse_share: float = 0.3
    """The share of the iterations after which pictures have their full size."""
    background: Background = "black"
    """Behind photographs without alpha. Where they have alpha, the capture's own, or a random
    color, which keeps holes from being filled with it."""

    def __post_init__(self) -> None:
        if self.max_side_px < 16:
            raise ValueError(f"max_side_px must be at least 16, got {self.max_side_px}.")
        if self.hold_out_every < 0 or self.hold_out_every == 1:
            raise ValueError(f"hold_out_every must be 0 or at least 2, got {self.hold_out_every}.")
        if not 0 <= self.coarse_levels <= 4:
            raise ValueError(f"coarse_levels must be in 0..4, got {self.coarse_levels}.")
        if not 0 <= self.coarse_share <= 1:
            raise ValueError(f"coarse_share must be in 0..1, got {self.coarse_share}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """What there is before the first iteration."""

    gaussians: int = 20_000
    """Where the capture has no points: so many at random. With points: at most so many times 10."""
    opacity: float = 0.1
    outside_share: float = 0.5
    """Of the random ones, how many lie outside of the sphere that all cameras look at."""

    def __post_init__(self) -> None:
        if self.gaussians < 32:
            raise ValueError(f"start.gaussians must be at least 32, got {self.gaussians}.")
        if not 0 < self.opacity < 1:
            raise ValueError(f"start.opacity must be in (0, 1), got {self.opacity}.")
        if not 0 <= self.outside_share <= 1:
            raise ValueError(f"start.outside_share must be in 0..1, got {self.outside_share}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """Adam's step lengths, as in the reference 3DGS. Those of the means are relative to the extent
    of the cameras."""

    means: float = 1.6e-4
    means_final: float = 1.6e-6
    """Falls exponentially to this at the last iteration."""
    log_scales: float = 5e-3
    quaternions: float = 1e-3
    logit_opacities: float = 5e-2
    sh: float = 2.5e-3
    """Of the constant coefficient; the others have a twentieth."""

    def __post_init__(self) -> None:
        for name in ("means", "means_final", "log_scales", "quaternions", "logit_opacities", "sh"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"rates.{name} must be >= 0, got {getattr(self, name)}.")
        if not 0 < self.means_final <= self.means:
            raise ValueError(f"rates.means_final must be in (0, means], got {self.means_final}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Density:
    """When Gaussians are added and removed."""

    strategy: Strategy = "densify"
    """`densify` clones and splits where the picture pulls; `mcmc` moves dead ones to where others
    are, adds a little noise, and holds `max_gaussians` as its goal."""
    max_gaussians: int = 300_000
    """Never more than this."""
    every: int = 100
    first: int = 500
    """Nothing changes before this iteration."""
    until_share: float = 0.5
    """Of all iterations; after it none come or go."""
    gradient: float = 2e-4
    """`densify`: mean length of the image-plane gradient, in half pictures, above which one
    grows."""
    split_above: float = 0.01
    """`densify`: standard deviation, relative to the extent, from which one is split."""
    min_opacity: float = 0.005
    reset_every: int = 3_000
    """`densify`: iterations between two resets of the opacities; 0: never."""
    growth: float = 0.05
    """`mcmc`: how many more at each change, as a share."""
    noise: float = 5e5
    """`mcmc`: strength of the noise, relative to the means' rate."""
    wish: float = 0.01
    """`mcmc`: weight of mean opacity and of mean scale in the loss."""

    def __post_init__(self) -> None:
        if self.max_gaussians < 32:
            raise ValueError(f"max_gaussians must be at least 32, got {self.max_gaussians}.")
        for name in ("every", "first", "reset_every"):
            if getattr(self, name) < 0:
                raise ValueError(f"density.{name} must be >= 0, got {getattr(self, name)}.")
        for name in ("until_share", "min_opacity", "growth"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"density.{name} must be in 0..1, got {getattr(self, name)}.")
        for name in ("gradient", "split_above"):
            if not getattr(self, name) > 0:
                raise ValueError(f"density.{name} must be positive, got {getattr(self, name)}.")
        for name in ("noise", "wish"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"density.{name} must be >= 0, got {getattr(self, name)}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposures:
    """A gain and an offset per photograph and channel, found along with the Gaussians."""

    mode: ExposureMode = "affine"
    from_share: float = 0.05
    """Of all iterations; before, all photographs are taken as they are."""
    step: float = 0.2
    """How much of the way to its best fit a photograph's goes each time it is looked at."""
    hold: float = 0.1
    """Weight of staying as it is, where photographs hardly differ: what they do not decide stays.
    Falls as those found so far spread."""

    def __post_init__(self) -> None:
        if not 0 <= self.from_share <= 1:
            raise ValueError(f"exposures.from_share must be in 0..1, got {self.from_share}.")
        if not 0 < self.step <= 1:
            raise ValueError(f"exposures.step must be in (0, 1], got {self.step}.")
        if not 0 < self.hold < math.inf:
            raise ValueError(f"exposures.hold must be positive, got {self.hold}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Surface:
    """Terms that lay Gaussians flat on a surface (SuGaR), for meshes; and from when on."""

    mode: SurfaceMode = "off"
    """`density` compares densities and suits objects seen from all around; `sdf` compares distances
    with the rendered depth and suits scenes."""
    decide_from_share: float = 7 / 15
    """Of all iterations; from here on none come or go, and opacities are driven to 0 or 1."""
    from_share: float = 9 / 15
    """From here on the surface terms hold; faint Gaussians go at once."""
    entropy: float = 0.1
    """Weight of the opacities' mean entropy, in between."""
    min_opacity: float = 0.5
    """Fainter ones go."""
    distance: float = 0.2
    """Weight of the density's or the distance's error (SuGaR's R)."""
    normals: float = 0.2
    """Weight of the squared difference between the field's normal and the Gaussian's own."""
    flatness: float = 0.1
    """Weight of the smallest relative to the middle standard deviation, grown to evenly from 0:
    first Gaussians turn to the surface, then they are thinned (not in SuGaR)."""
    samples: int = 16_384
    """Per iteration."""

    def __post_init__(self) -> None:
        if not 0 <= self.decide_from_share <= self.from_share <= 1:
            raise ValueError(
                f"surface needs 0 <= decide_from_share <= from_share <= 1, got "
                f"{self.decide_from_share} and {self.from_share}."
            )
        if not 0 <= self.min_opacity < 1:
            raise ValueError(f"surface.min_opacity must be in [0, 1), got {self.min_opacity}.")
        for name in ("entropy", "distance", "normals", "flatness"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"surface.{name} must be >= 0, got {getattr(self, name)}.")
        if self.samples < 1:
            raise ValueError(f"surface.samples must be at least 1, got {self.samples}.")
