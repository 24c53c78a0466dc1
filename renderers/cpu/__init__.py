"""Tiled differentiable splat rasterizer, compiled with numba.

    project.py    Gaussians -> ellipses           bins.py   ellipses -> tile lists in depth order
    blend.py      lists -> pictures, gradients    simd.py   sixteen floats at once

Importing this imports neither numba nor torch, so that whoever only compiles kernels
(`compiled.py`) need not wait for torch. The first call compiles, once per machine.
"""

from typing import Any


def __getattr__(name: str) -> Any:
    if name == "render":
        from .renderer import render

        return render
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
