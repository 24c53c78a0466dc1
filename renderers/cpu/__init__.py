"""Tiled differentiable splat rasterizer, compiled with numba.

    renderer.py      scene and cameras in, pictures out      autograd.py   the same to torch
    project.py       Gaussians -> splats, ellipses           harmonics.py  colors
    lists.py         splats -> tile lists, chunk by chunk    threads.py    who works on what
    bins.py          kernels that make the lists             simd.py       a vector of floats
    blend.py         lists -> pictures                       compiled.py   how it is compiled
    gradient.py      and back                                memory.py     loads and stores
    contributors.py  lists -> whom a pixel shows          machine_code.py  lean kernels, loaded
                                                          without numba

Backward of projection is in project_gradient.py.

How it works and how fast it is: `docs/rasterizer.md`.

Importing this imports neither numba nor torch, so that whoever only compiles kernels
(`compiled.py`) need not wait for torch. The first call compiles, once per machine.
"""

from typing import Any


def __getattr__(name: str) -> Any:
    if name == "render":
        from .renderer import render

        return render
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
