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
    web.vertices[:, PART] = labels
    _sum_areas(web)
    web.parts[:, NOW] = web.parts[:, WHOLE]
    web.parts[:, SHARE] /= max(web.parts[:, SHARE].sum(), 1e-300)
    web.parts[web.parts[:, SHARE].argmax(), SHARE] = -1


@strict_kernel
def _sum_areas(web: Web) -> None:
    """Of each part the whole area, and as its share the area that is not transparent."""
    for face in range(len(web.faces)):
        a, b, c = web.faces[face, 0], web.faces[face, 1], web.faces[face, 2]
        area, part = area_of(web.reals, web.faces, face), web.vertices[a, PART]
        seen = web.reals[a, SHOWN] + web.reals[b, SHOWN] + web.reals[c, SHOWN]
        web.parts[part, WHOLE] += area
        web.parts[part, SHARE] += area * seen / 3


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
