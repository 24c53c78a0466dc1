"""Any textured mesh, as found in the wild, to a sound `Model`; or one line that says why not.

glTF is read from its own document (`wild_gltf.py`), all else through trimesh
(`wild_trimesh.py`). What comes out has triangles, finite positions and valid indices; soups,
duplicates, degenerate and non-manifold faces are let through, since simplification copes.
"""

from pathlib import Path

import numpy as np

from ...pipeline.errors import InputError
from . import wild_gltf, wild_trimesh
from .model import Model

ENDINGS = (".glb", ".gltf", ".obj", ".ply", ".stl", ".off")
LARGEST_FILE_BYTES = 1 << 32


def read(path: Path) -> Model:
    """Raises InputError for whatever is wrong with the file or what it holds."""
    path = Path(path)
    ending = path.suffix.lower()
    if not path.is_file():
        raise InputError(f"{path}: no such file.")
    if ending not in ENDINGS:
        raise InputError(f"{path}: a mesh ends in {', '.join(ENDINGS)}.")
    if path.stat().st_size > LARGEST_FILE_BYTES:
        raise InputError(f"{path}: larger than {LARGEST_FILE_BYTES} bytes, the most that are read.")
    reader = wild_gltf if ending in (".glb", ".gltf") else wild_trimesh
    model = reader.read(path)
    check(path, model)
    return model


def check(path: Path, model: Model) -> None:
    """Raise InputError unless there is a surface that can be worked on."""
    positions, faces = model.positions, model.faces
    if not len(faces) or not len(positions):
        raise InputError(f"{path}: holds no triangles.")
    low, high = int(faces.min()), int(faces.max())
    if low < 0 or high >= len(positions):
        raise InputError(
            f"{path}: a face names vertex {high if low >= 0 else low}; there are {len(positions)}."
        )
    bad = np.flatnonzero(~np.isfinite(positions).all(axis=1))
    if len(bad):
        raise InputError(
            f"{path}: {len(bad)} of {len(positions)} vertices are not finite (first: vertex "
            f"{bad[0]}, {positions[bad[0]].tolist()}). Repair the file first."
        )
    extent = float(np.ptp(positions[faces.reshape(-1)], axis=0).max())
    if not extent < 1e30:
        raise InputError(f"{path}: is {extent:.3g} m across, too large to compute with.")
    sides = positions[faces[:, 1:]] - positions[faces[:, :1]]
    areas = np.linalg.norm(np.cross(sides[:, 0], sides[:, 1]), axis=1)
    if not (areas > 1e-18 * extent * extent).any():
        raise InputError(f"{path}: all {len(faces)} faces are degenerate; there is no surface.")
    for number, uv in enumerate(model.uvs):
        if not np.isfinite(uv).all():
            raise InputError(f"{path}: texture coordinates {number} are not finite.")
