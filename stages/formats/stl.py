"""Binary STL: triangles and their normals, nothing else. No units, no colors."""

from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from ...pipeline.contract import replacing

FACET = np.dtype([("normal", "<f4", (3,)), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])


def save(
    places: Float[np.ndarray, "place 3"], faces: Int[np.ndarray, "face 3"], path: Path
) -> Path:
    """Write the file. The normals are those of the winding; without area they are 0."""
    facets = np.zeros(len(faces), FACET)
    corners = places[faces]
    facets["corners"] = corners
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    length = np.linalg.norm(normal, axis=1, keepdims=True)
    facets["normal"] = normal / np.where(length > 0, length, 1)
    with replacing(Path(path)) as temporary, temporary.open("wb") as file:
        # A header that begins with "solid" would be taken for a text file.
        file.write(b"binary STL by splatworks".ljust(80))
        file.write(np.uint32(len(faces)).astype("<u4").tobytes())
        facets.tofile(file)
    return Path(path)
