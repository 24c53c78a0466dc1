"""Points to learned features: the module that fields are built on."""

import math
from types import MappingProxyType
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..randomness import generator
from . import compiled_backend, torch_backend, triton_backend
from .settings import Settings, levels

Backend = Literal["auto", "torch", "compiled", "triton"]
Outside = Literal["error", "clamp"]

_BACKENDS = MappingProxyType(
    {
        "torch": torch_backend.encode,
        "compiled": compiled_backend.encode,
        "triton": triton_backend.encode,
    }
)


class SimplexHashEncoding(nn.Module):
    """Multiresolution features of points in the unit cube [0, 1]^n (see `settings.py`).

    The table is one parameter, `row feature`, all levels one after the other. Gradients reach the
    table and the points; `torch` differentiates twice, and the others fall back to it where a
    gradient is itself to be differentiated.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        backend: Backend = "auto",
        outside: Outside = "error",
        threads: int = 1,
        seed: int = 0,
    ) -> None:
        """
        Args:
            backend: `auto` takes `compiled` for float32 on the CPU, `triton` for float32 on CUDA
                where triton is installed, and `torch` for all else.
            outside: What becomes of points outside of the unit cube: an error, or the value at
                the nearest point inside (with no gradient in the directions that were clamped).
            threads: Of the compiled backend. Does not change the result.
            seed: Of the table's first values, uniform in +-1e-4.
        """
        super().__init__()
        for name, value, kinds in (("backend", backend, Backend), ("outside", outside, Outside)):
            if value not in get_args(kinds):
                raise ValueError(f"{name} must be one of {get_args(kinds)}, got {value!r}.")
        if threads < 1:
            raise ValueError(f"threads must be at least 1, got {threads}.")
        self.settings = settings or Settings()
        self.levels = levels(self.settings)
        self.backend: Backend = backend
        self.outside: Outside = outside
        self.threads = threads
        rows = self.levels[-1].start + self.levels[-1].rows
        values = torch.rand(rows, self.settings.features, generator=generator(seed, "table"))
        self.table = nn.Parameter((2 * values - 1) * 1e-4)

    def forward(
        self, points: Float[Tensor, "point dim"], window: float | None = None
    ) -> Float[Tensor, "point width"]:
        """Features, level after level.

        Args:
            window: Share of the levels that take part, coarse to fine, the last of them fading in
                over a cosine (Park et al. 2021). None is all.

        Raises:
            ValueError: Wrong shape, or a coordinate that is NaN or (unless clamped) outside.
        """
        points = self._inside(points)
        encode = _BACKENDS[self.chosen(points)]
        found = encode(points, self.table, self.settings, self.levels, threads=self.threads)
        return found if window is None else found * self._weights(window).to(found)

    def chosen(self, points: Tensor) -> str:
        """The backend that `points` are encoded by."""
        if self.backend != "auto":
            return self.backend
        if not points.dtype == self.table.dtype == torch.float32:
            return "torch"
        if points.device.type == "cpu":
            return "compiled"
        return "triton" if points.is_cuda and triton_backend.is_installed() else "torch"

    def _inside(self, points: Tensor) -> Tensor:
        if points.ndim != 2 or points.shape[1] != self.settings.dims:
            raise ValueError(
                f"expected points of shape (count, {self.settings.dims}), got "
                f"{tuple(points.shape)}."
            )
        if not len(points):
            return points
        low, high = (float(end) for end in points.detach().aminmax())
        if math.isnan(low) or math.isnan(high):
            bad = torch.nonzero(points.isnan().any(dim=1))[:, 0]
            raise ValueError(f"{len(bad)} points have NaN coordinates (first: point {bad[0]}).")
        if low >= 0 and high <= 1:
            return points
        if self.outside == "clamp":
            return points.clamp(0, 1)
        bad = torch.nonzero(((points < 0) | (points > 1)).any(dim=1))[:, 0]
        raise ValueError(
            f"{len(bad)} points lie outside of the unit cube (first: point {bad[0]}, "
            f"{points[bad[0]].tolist()}). Scale them into it, or build the encoding with "
            "outside='clamp'."
        )

    def _weights(self, window: float) -> Float[Tensor, " width"]:
        if not 0 <= window <= 1:
            raise ValueError(f"window must lie between 0 and 1, got {window}.")
        number = torch.arange(self.settings.levels, dtype=torch.float64)
        rise = (window * self.settings.levels - number).clamp(0, 1)
        return ((1 - torch.cos(math.pi * rise)) / 2).repeat_interleave(self.settings.features)
