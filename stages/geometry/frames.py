"""Directions in the tangent frames that a viewer interpolates: what a normal map holds.

A viewer takes normal n and tangent t of a pixel from the corners by barycentrics, makes them unit
long, and sets b = w (n x t); a texel (x, y, z) then stands for the direction x t + y b + z n
(glTF 2.0, 3.9.3). Between vertices t and n are not quite perpendicular, so the frame is inverted,
not transposed.
"""

import numpy as np
from jaxtyping import Float, Float32, Int

from ...renderers.cpu.compiled import lean_kernel

FLATTEST = 0.05
"""Smallest z of a texel: a normal map knows no surface seen from behind."""


def to_frames(
    directions: Float32[np.ndarray, "point 3"],
    tangents: Float32[np.ndarray, "face 3 4"],
    normals: Float32[np.ndarray, "face 3 3"],
    faces: Int[np.ndarray, " point"],
    barycentrics: Float[np.ndarray, "point 3"],
) -> Float32[np.ndarray, "point 3"]:
    """Unit world directions at points on faces, as unit (x, y, z) of the frames there."""
    out = np.empty((len(faces), 3), np.float32)
    _to_frames(
        np.ascontiguousarray(directions), np.ascontiguousarray(tangents),
        np.ascontiguousarray(normals), np.ascontiguousarray(faces, np.int64),
        np.ascontiguousarray(barycentrics, np.float64), FLATTEST, out,
    )  # fmt: skip
    return out


@lean_kernel
def _to_frames(directions, tangents, normals, faces, barycentrics, flattest, out):
    for point in range(len(faces)):
        face = faces[point]
        tx = ty = tz = nx = ny = nz = 0.0
        for corner in range(3):
            weight = barycentrics[point, corner]
            tx += weight * tangents[face, corner, 0]
            ty += weight * tangents[face, corner, 1]
            tz += weight * tangents[face, corner, 2]
            nx += weight * normals[face, corner, 0]
            ny += weight * normals[face, corner, 1]
            nz += weight * normals[face, corner, 2]
        length = np.sqrt(tx * tx + ty * ty + tz * tz) + 1e-30
        tx, ty, tz = tx / length, ty / length, tz / length
        length = np.sqrt(nx * nx + ny * ny + nz * nz) + 1e-30
        nx, ny, nz = nx / length, ny / length, nz / length
        w = -1.0 if tangents[face, 0, 3] < 0 else 1.0
        bx, by, bz = w * (ny * tz - nz * ty), w * (nz * tx - nx * tz), w * (nx * ty - ny * tx)
        # Cramer's rule for x t + y b + z n = direction.
        cx, cy, cz = by * nz - bz * ny, bz * nx - bx * nz, bx * ny - by * nx
        volume = tx * cx + ty * cy + tz * cz
        dx, dy, dz = directions[point, 0], directions[point, 1], directions[point, 2]
        x = y = 0.0
        z = 1.0
        if abs(volume) > 1e-6:
            x = (dx * cx + dy * cy + dz * cz) / volume
            y = (
                dx * (ny * tz - nz * ty) + dy * (nz * tx - nx * tz) + dz * (nx * ty - ny * tx)
            ) / volume
            z = (
                dx * (ty * bz - tz * by) + dy * (tz * bx - tx * bz) + dz * (tx * by - ty * bx)
            ) / volume
        z = max(z, flattest)
        length = np.sqrt(x * x + y * y + z * z)
        out[point, 0], out[point, 1], out[point, 2] = x / length, y / length, z / length
