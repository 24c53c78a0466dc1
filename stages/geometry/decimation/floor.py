"""A floor under large parts: as long as one earns faces by its area, it keeps a share of that area.

Costs are sums of squared distances, to which small parts contribute little however much there is
to see of them: without a floor a mesh of a large part and four small ones is soon the large one.
The largest part has no floor. It has the other faces, and its area falls where it was rough.
"""

import numpy as np

from ....renderers.cpu.compiled import strict_kernel, strict_part
from .checks import area_of
from .web import FIRST_CORNER, NOW, PART, SHARE, SHOWN, WHOLE, Web, following_corner, has


def measure(web: Web, labels: np.ndarray) -> None:
    """Enter the parts, by the number of each vertex's, with their areas; what is transparent does
    not count among their shares."""
    positions, faces = web.reals[:, :3], web.faces[:, :3]
    corners = positions[faces]
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    areas = np.linalg.norm(cross, axis=1) / 2
    web.vertices[:, PART] = labels
    of_face = labels[faces[:, 0]]
    web.parts[:, WHOLE] = np.bincount(of_face, areas, minlength=len(web.parts))
    web.parts[:, NOW] = web.parts[:, WHOLE]
    there = areas * web.reals[faces, SHOWN].mean(axis=1)
    shares = np.bincount(of_face, there, minlength=len(web.parts)) / max(there.sum(), 1e-300)
    shares[shares.argmax()] = -1
    web.parts[:, SHARE] = shares


@strict_part
def below_floor(web: Web, vertex: int, lost: float, floor: float, least_share: float) -> bool:
    """Whether the part at a vertex may not lose so much area yet."""
    number = web.vertices[vertex, PART]
    if web.parts[number, SHARE] < least_share:
        return False
    return web.parts[number, NOW] - lost < floor * web.parts[number, WHOLE]


@strict_kernel
def area_around(web: Web, vertex: int, other: int) -> float:
    """Of the living faces at a vertex that do not have the other."""
    area = 0.0
    corner = web.vertices[vertex, FIRST_CORNER]
    while corner >= 0:
        face = corner // 3
        corner = following_corner(web.faces, corner)
        if web.faces[face, 0] >= 0 and not has(web.faces, face, other):
            area += area_of(web.reals, web.faces, face)
    return area
