"""Texture coordinates that a mesh came with, taken as an atlas if they are one.

An atlas has one texel for every point of the surface, so the faces may not share texels nor leave
the picture. Tiling textures and mirrored halves do; they are refused with the first pair of faces.
"""

import numpy as np
from jaxtyping import Float

from ...pipeline.errors import InputError
from ...renderers.cpu.compiled import kernel
from ..formats.gltf import Mesh
from .atlas import Atlas
from .components import Surface, face_areas
from .connected import connected

OVERLAP_SHARE = 1e-3
"""So many of the texels may have two faces: corners that cross by rounding."""
FLAT_SHARE = 0.01
"""So much of the surface may have no area in the texture."""
BORDER = 1e-5
"""Coordinates outside of [0, 1] by rounding."""
STRICT = 1e-4
"""Smallest barycentric of a texel centre that counts as inside of a face."""


def kept_atlas(mesh: Mesh, size_px: int, gutter_px: int, name: str) -> Atlas:
    """The mesh's own layout as an atlas. It must have normals and uvs.

    Raises InputError, with `name` in front, for what is none.
    """
    if mesh.uvs is None:
        raise InputError(f"{name}: has no texture coordinates to keep. Leave out --keep-uvs.")
    uvs = mesh.uvs.astype(np.float64)[mesh.faces]
    outside = int(((uvs < -BORDER) | (uvs > 1 + BORDER)).any(axis=(1, 2)).sum())
    if outside:
        raise InputError(
            f"{name}: texture coordinates of {outside} of {len(uvs)} faces lie outside of [0, 1], "
            f"so they are no atlas. Leave out --keep-uvs to have one made."
        )
    _check_flat(mesh, uvs, name)
    twice, first, second, covered = _overlaps(uvs * size_px, size_px, STRICT)
    if twice > OVERLAP_SHARE * covered:
        raise InputError(
            f"{name}: faces overlap in the texture ({twice} of {covered} texels have two, such as "
            f"faces {first} and {second}), so it is no atlas. Leave out --keep-uvs to have one "
            f"made."
        )
    charts = connected(len(mesh.positions), mesh.faces[:, [0, 1, 1, 2]].reshape(-1, 2))
    used = len(np.unique(charts[mesh.faces]))
    return Atlas(mesh, np.arange(len(mesh.positions)), size_px, gutter_px, used)


def _check_flat(mesh: Mesh, uvs: Float[np.ndarray, "face 3 2"], name: str) -> None:
    one, two = uvs[:, 1] - uvs[:, 0], uvs[:, 2] - uvs[:, 0]
    drawn = np.abs(one[:, 0] * two[:, 1] - one[:, 1] * two[:, 0])
    areas = face_areas(Surface(mesh.positions, mesh.faces))
    flat = drawn <= 1e-14
    if areas[flat].sum() > FLAT_SHARE * areas.sum():
        raise InputError(
            f"{name}: {int(flat.sum())} of {len(uvs)} faces have no area in the texture. Leave "
            f"out --keep-uvs to have an atlas made."
        )


@kernel
def _overlaps(corners, size, strict):
    """Texels whose centre lies inside of two faces, the first such pair, and texels with any."""
    owner = np.full((size, size), -1, np.int32)
    twice = covered = 0
    first = second = -1
    for face in range(len(corners)):
        ax, ay = corners[face, 0]
        bx, by = corners[face, 1]
        cx, cy = corners[face, 2]
        doubled = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        if doubled == 0:
            continue
        left = max(0, int(np.floor(min(ax, bx, cx) - 0.5)))
        right = min(size - 1, int(np.ceil(max(ax, bx, cx) - 0.5)))
        top = max(0, int(np.floor(min(ay, by, cy) - 0.5)))
        bottom = min(size - 1, int(np.ceil(max(ay, by, cy) - 0.5)))
        for row in range(top, bottom + 1):
            for column in range(left, right + 1):
                x, y = column + 0.5, row + 0.5
                wb = ((x - ax) * (cy - ay) - (y - ay) * (cx - ax)) / doubled
                wc = ((bx - ax) * (y - ay) - (by - ay) * (x - ax)) / doubled
                if wb < strict or wc < strict or 1 - wb - wc < strict:
                    continue
                if owner[row, column] < 0:
                    owner[row, column] = face
                    covered += 1
                else:
                    if twice == 0:
                        first, second = owner[row, column], face
                    twice += 1
    return twice, first, second, covered
