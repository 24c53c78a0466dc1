"""Groups of settings that `Config` is made of. Imports nothing heavy."""

from dataclasses import dataclass
from typing import Literal

Norm = Literal["linf", "l2", "value", "global", "pngd_channel", "pngd_pixel"]
"""How a pixel's gradient is bounded; formulas in `clip.py`."""
Loss = Literal["sds", "x0"]
Weight = Literal["one", "sigma2", "alpha_sigma2"]
Method = Literal["cfg", "apg"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Clipping:
    """Pixel-wise gradient clipping."""

    norm: Norm = "linf"
    calibrate: bool = True
    """Find the threshold from the first iterations, which are not clipped: it depends on the
    guidance model, the loss and the noise levels."""
    calibrate_percentile: float = 99.0
    """The threshold is the length below which so many percent of the pixels lay."""
    threshold: float = 0.1
    """Used without `calibrate`: units of d loss / d sRGB, loss summed over views."""

    def __post_init__(self) -> None:
        if not self.threshold > 0:
            raise ValueError(f"threshold must be positive, got {self.threshold}.")
        if not 0 < self.calibrate_percentile <= 100:
            raise ValueError(
                f"calibrate_percentile must be in (0, 100], got {self.calibrate_percentile}."
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """Adam's step lengths at the start: about what one iteration can change."""

    means_m: float = 0.004
    """Metres."""
    log_scales: float = 0.02
    quaternions: float = 0.02
    logit_opacities: float = 0.1
    sh: float = 0.03
    final_share: float = 0.1
    """All of them fall exponentially to this share at the end."""

    def __post_init__(self) -> None:
        for name in ("means_m", "log_scales", "quaternions", "logit_opacities", "sh"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}.")
        if not 0 < self.final_share <= 1:
            raise ValueError(f"final_share must be in (0, 1], got {self.final_share}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Density:
    """When Gaussians are added and removed."""

    max_gaussians: int = 12_000
    every: int = 40
    """Iterations between two changes; 0 leaves the number alone."""
    from_share: float = 0.1
    until_share: float = 0.75
    """Changes happen between these shares of all iterations."""
    grow_share: float = 0.2
    """This share of the Gaussians, those with the longest image-plane gradients, is doubled."""
    split_above_m: float = 0.02
    """From this standard deviation on a Gaussian is split, below it is cloned."""
    min_opacity: float = 0.02
    """Below it a Gaussian is removed."""
    reset_every: int = 0
    """Iterations between two resets of the opacities to at most 0.05; 0: never."""

    def __post_init__(self) -> None:
        if self.max_gaussians < 1:
            raise ValueError(f"max_gaussians must be at least 1, got {self.max_gaussians}.")
        for name in ("every", "reset_every"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}.")
        if not 0 <= self.from_share <= self.until_share <= 1:
            raise ValueError(
                f"from_share and until_share must be ordered in 0..1, got {self.from_share}, "
                f"{self.until_share}."
            )
        for name in ("grow_share", "min_opacity"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be in [0, 1), got {getattr(self, name)}.")
        if not self.split_above_m > 0:
            raise ValueError(f"split_above_m must be positive, got {self.split_above_m}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """Strengths of the regularizers."""

    opacity_decay: float = 0.005
    """Logits by which each opacity falls per iteration: what no view asks for fades away."""
    needle_ratio: float = 6.0
    """Longest over middle axis from which on a Gaussian counts as a needle."""
    needle_pull: float = 0.1
    """Share of the excess (in log length) that a needle loses per iteration."""
    max_scale_m: float = 0.08
    """Hard upper bound of all standard deviations, in metres."""

    def __post_init__(self) -> None:
        if not self.opacity_decay >= 0:
            raise ValueError(f"opacity_decay must not be negative, got {self.opacity_decay}.")
        if not self.needle_ratio >= 1:
            raise ValueError(f"needle_ratio must be at least 1, got {self.needle_ratio}.")
        if not 0 <= self.needle_pull <= 1:
            raise ValueError(f"needle_pull must be in 0..1, got {self.needle_pull}.")
        if not self.max_scale_m > 0:
            raise ValueError(f"max_scale_m must be positive, got {self.max_scale_m}.")
