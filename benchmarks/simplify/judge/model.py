"""A textured mesh as the judge sees it: everything per face, any number of materials."""

from dataclasses import dataclass

import numpy as np

WRAPS = {33071: "clamp", 33648: "mirror", 10497: "repeat"}


@dataclass(frozen=True)
class Material:
    """Base color only; both sides of a face are seen whatever the file says."""

    pixels: np.ndarray | None
    """(height, width, 4), uint8, sRGB and alpha, row 0 at the top."""
    factor: tuple[float, float, float, float] = (1.0, 1.0, 1.0, 1.0)
    """Linear."""
    wrap: tuple[str, str] = ("repeat", "repeat")
    cutout: float = 0.0
    """What has less alpha is not there. Blended materials count as cut out at one half."""


@dataclass(frozen=True)
class Model:
    """Triangles in world space. Vertices may be split where attributes differ."""

    positions: np.ndarray
    """(vertex, 3), float64."""
    faces: np.ndarray
    """(face, 3), int64, counter-clockwise seen from outside."""
    uvs: np.ndarray
    """(face, 3, 2), v down; 0 where there are none."""
    colors: np.ndarray
    """(face, 3, 4), linear; 1 where there are none."""
    material: np.ndarray
    """(face,), int64."""
    materials: tuple[Material, ...]
    unit: bool = True
    """All texture coordinates lie in [0, 1]."""

    @property
    def diagonal(self) -> float:
        """Of the bounding box of what the faces use."""
        return float(np.linalg.norm(np.ptp(self.positions[self.faces.ravel()], axis=0)))


def bare(positions: np.ndarray, faces: np.ndarray) -> Model:
    """Gray triangles."""
    count = len(faces)
    return Model(
        positions=np.asarray(positions, np.float64),
        faces=np.asarray(faces, np.int64).reshape(-1, 3),
        uvs=np.zeros((count, 3, 2)),
        colors=np.ones((count, 3, 4)),
        material=np.zeros(count, np.int64),
        materials=(Material(None, (0.5, 0.5, 0.5, 1.0)),),
    )


def weld(positions: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Merge vertices at the same place (float32). Faces keep their number and order."""
    rounded = positions.astype(np.float32) + np.float32(0)  # -0 and 0 are one place
    places, index = np.unique(rounded, axis=0, return_inverse=True)
    return places.astype(np.float64), index.reshape(-1)[faces]
