"""Groups of settings that `Config` is made of. Imports nothing heavy."""

import math
from dataclasses import dataclass, field
from typing import Literal

from .ramp import Ramp

Norm = Literal["linf", "l2", "value", "global", "pngd_channel", "pngd_pixel", "none"]
"""How a pixel's gradient is bounded; formulas in `clip.py`."""
Loss = Literal["sds", "x0", "csd", "ism", "sdi", "vsd"]
"""What the difference between the picture and the model's opinion is; formulas in `losses.py`."""
Weight = Literal["one", "sigma2", "alpha_sigma2", "sigma_over_alpha"]
Method = Literal["cfg", "apg", "rescale"]
Schedule = Literal["uniform", "linear", "dreamtime"]
"""How the noise level of a view is drawn; formulas in `schedule.py`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Guide:
    """How strongly the text pulls, and how that is kept from over-saturating."""

    scale: float = 7.5
    """uncond + scale * (text - uncond); 1 is none, and saves half the network's time."""
    method: Method = "apg"
    """`cfg` is classifier-free guidance as it is; `apg` projects it, `rescale` scales its result,
    so that high scales do not over-saturate."""
    rescale_share: float = 0.7
    """How much of the rescaled result is taken by `rescale`."""
    perp_neg: bool = False
    """Push away from the words of the neighboring sides (Perp-Neg); twice the network's time."""

    def __post_init__(self) -> None:
        if not math.isfinite(self.scale):
            raise ValueError(f"scale must be finite, got {self.scale}.")
        if not 0 <= self.rescale_share <= 1:
            raise ValueError(f"rescale_share must be in 0..1, got {self.rescale_share}.")
        if self.perp_neg and self.method != "cfg":
            raise ValueError(f"perp_neg is defined for method cfg only, got {self.method!r}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """Noise levels, as shares of the model's schedule."""

    max: Ramp = field(default=Ramp(start=0.98, stop=0.3))
    """Highest level of an iteration."""
    min: Ramp = field(default=Ramp(start=0.3, stop=0.02))
    schedule: Schedule = "uniform"
    """`uniform` draws between `min` and `max`; `linear` takes `max` itself; `dreamtime` falls
    once through the levels, slowly where content forms."""

    def __post_init__(self) -> None:
        for end in ("start", "stop"):
            low, high = getattr(self.min, end), getattr(self.max, end)
            if not 0 <= low <= high <= 1:
                raise ValueError(
                    f"noise.min.{end} and noise.max.{end} must be ordered in 0..1, "
                    f"got {low}, {high}."
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class Looks:
    """From where one iteration looks."""

    per_step: int = 4
    """Views per iteration."""
    close_up_share: float = 0.2
    """Share of the views that are close-ups, where the model has words for these."""
    elevation_weights: tuple[float, ...] = ()
    """How often each elevation word of the model is used; empty: all equally."""
    name_sides: bool = True
    """Say in the caption from which side and height the picture is taken."""

    def __post_init__(self) -> None:
        if self.per_step < 1:
            raise ValueError(f"per_step must be at least 1, got {self.per_step}.")
        if not 0 <= self.close_up_share <= 1:
            raise ValueError(f"close_up_share must be in 0..1, got {self.close_up_share}.")
        weights = self.elevation_weights
        if weights and not (min(weights) >= 0 and 0 < sum(weights) < math.inf):
            raise ValueError(f"elevation_weights must be >= 0 and not all zero, got {weights}.")


def check_sides(guide: Guide, views: Looks) -> None:
    """Refuse what cannot go together."""
    if guide.perp_neg and not views.name_sides:
        raise ValueError("perp_neg pushes away from the words of other sides: it needs name_sides.")


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageTerms:
    """What pulls at the picture itself, beside the latents. 0 switches a term off."""

    decoded: float = 0.0
    """Towards the decoded guess of the model (HiFA); costs a decoding."""
    repair: float = 0.0
    """Towards what the decoder makes of the latents after a step of this length (PixSDS, whose
    authors use 0.1); costs a decoding."""
    sparse: float = 0.0
    """Away from coverage: the root of alpha^2 + 0.01, summed over pixels."""
    opaque: float = 0.0
    """Away from half-transparency: the entropy of alpha, summed over pixels."""

    def __post_init__(self) -> None:
        for name in ("decoded", "repair", "sparse", "opaque"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be >= 0 and finite, got {getattr(self, name)}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Inversion:
    """How `ism` and `sdi` find noise that belongs to the picture."""

    steps: int = 10
    """Evaluations of the network on the way up (`sdi`); at most so many for `ism`."""
    stride: float = 0.2
    """Length of the steps up of `ism`, as a share of the schedule."""
    interval: float = 0.08
    """Last step of `ism`, between the two levels it compares."""
    scale: float = -7.5
    """Guidance on the way up of `sdi`."""
    fresh: float = 0.3
    """Share of fresh noise, by amplitude, in that of `sdi`."""

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"inversion.steps must be at least 1, got {self.steps}.")
        for name in ("stride", "interval"):
            if not 0 < getattr(self, name) <= 1:
                raise ValueError(f"inversion.{name} must be in (0, 1], got {getattr(self, name)}.")
        if not math.isfinite(self.scale):
            raise ValueError(f"inversion.scale must be finite, got {self.scale}.")
        if not 0 <= self.fresh <= 1:
            raise ValueError(f"inversion.fresh must be in 0..1, got {self.fresh}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class LowRank:
    """The learned copy of the model that `vsd` compares with."""

    rank: int = 4
    rate: float = 1e-3
    """Adam's step length. (ProlificDreamer: 1e-4 over 25 000 steps.)"""
    poseless_share: float = 0.1
    """How often the copy learns without being told where the camera stands."""

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise ValueError(f"rank must be at least 1, got {self.rank}.")
        if not 0 < self.rate < math.inf:
            raise ValueError(f"rate must be positive, got {self.rate}.")
        if not 0 <= self.poseless_share <= 1:
            raise ValueError(f"poseless_share must be in 0..1, got {self.poseless_share}.")


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

    smooth: float = 0.015
    """Weight of bends in the surface that views show (`geometry.bending`), in units of the
    length below which `clip.calibrate_percentile` of the pixels' gradients lie."""
    opacity_decay: float = 0.005
    """Logits by which each opacity falls per iteration: what no view asks for fades away."""
    needle_ratio: float = 6.0
    """Longest over middle axis from which on a Gaussian counts as a needle."""
    needle_pull: float = 0.1
    """Share of the excess (in log length) that a needle loses per iteration."""
    max_scale_m: float = 0.08
    """Hard upper bound of all standard deviations, in metres."""

    def __post_init__(self) -> None:
        if not 0 <= self.smooth < math.inf:
            raise ValueError(f"smooth must be >= 0 and finite, got {self.smooth}.")
        if not self.opacity_decay >= 0:
            raise ValueError(f"opacity_decay must not be negative, got {self.opacity_decay}.")
        if not self.needle_ratio >= 1:
            raise ValueError(f"needle_ratio must be at least 1, got {self.needle_ratio}.")
        if not 0 <= self.needle_pull <= 1:
            raise ValueError(f"needle_pull must be in 0..1, got {self.needle_pull}.")
        if not self.max_scale_m > 0:
            raise ValueError(f"max_scale_m must be positive, got {self.max_scale_m}.")
