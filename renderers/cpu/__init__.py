"""Tiled differentiable splat rasterizer, compiled with numba.

    project.py    Gaussians -> ellipses           bins.py   ellipses -> tile lists in depth order
    blend.py      lists -> pictures, gradients    simd.py   sixteen floats at once

Importing this does not import numba; the first call does, and compiles once per machine.
"""

from .renderer import render as render
