"""Tiled differentiable splat rasterizer, compiled with numba."""
