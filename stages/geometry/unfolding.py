"""What lies beyond a chart's border, unfolded into the gutter.

A texel beside a border edge of one chart is taken to the other side's chart by the similarity that
brings the edge onto its counterpart. So mip levels mix in what a viewer sees next to the border,
instead of the border's own color.
"""

import numpy as np
from jaxtyping import Bool, Float, Float32

from ...renderers.cpu.compiled import kernel

REACH_PX = 8.0
"""Three mip levels see no farther."""
ALONG = 0.25
"""An edge also serves texels so much of its length beyond its ends, if no other is nearer."""


def unfolded(
    picture: Float32[np.ndarray, "row column channel"],
    known: Bool[np.ndarray, "row column"],
    edges: Float[np.ndarray, "border side corner 2"],
) -> Float32[np.ndarray, "row column channel"]:
    """A copy of a square picture whose unknown texels near borders show the surface beyond.

    Args:
        edges: Uvs of an edge's ends and of the third corner of the face, on both sides.
    """
    size = len(picture)
    out = picture.copy()
    _unfold(edges * size, picture, known, REACH_PX, ALONG, out)
    return out


@kernel
def _unfold(edges, picture, known, reach, along, out):
    size = len(picture)
    nearest = np.full((size, size), reach, np.float32)
    for border in range(len(edges)):
        for side in range(2):
            ax, ay = edges[border, side, 0]
            bx, by = edges[border, side, 1]
            cx, cy = edges[border, side, 2]
            ux, uy = edges[border, 1 - side, 0]
            vx, vy = edges[border, 1 - side, 1]
            wx, wy = edges[border, 1 - side, 2]
            dx, dy, ex, ey = bx - ax, by - ay, vx - ux, vy - uy
            square = dx * dx + dy * dy
            if square == 0 or ex * ex + ey * ey == 0:
                continue
            length = np.sqrt(square)
            # Away from the third corner here, towards it there.
            out_sign = -1.0 if dx * (cy - ay) - dy * (cx - ax) > 0 else 1.0
            in_sign = 1.0 if ex * (wy - uy) - ey * (wx - ux) > 0 else -1.0
            left = max(0, int(min(ax, bx) - reach - 1))
            right = min(size - 1, int(max(ax, bx) + reach + 1))
            top = max(0, int(min(ay, by) - reach - 1))
            bottom = min(size - 1, int(max(ay, by) + reach + 1))
            for row in range(top, bottom + 1):
                for column in range(left, right + 1):
                    if known[row, column]:
                        continue
                    px, py = column + 0.5 - ax, row + 0.5 - ay
                    share = (dx * px + dy * py) / square
                    away = out_sign * (dx * py - dy * px) / square
                    if away <= 0 or share < -along or share > 1 + along:
                        continue
                    beyond = max(0.0, max(-share, share - 1)) * length
                    distance = np.sqrt((away * length) ** 2 + beyond * beyond)
                    if distance >= nearest[row, column]:
                        continue
                    x = ux + share * ex - in_sign * away * ey - 0.5
                    y = uy + share * ey + in_sign * away * ex - 0.5
                    x0, y0 = int(np.floor(x)), int(np.floor(y))
                    if x0 < 0 or y0 < 0 or x0 >= size - 1 or y0 >= size - 1:
                        continue
                    if not (
                        known[y0, x0]
                        and known[y0, x0 + 1]
                        and known[y0 + 1, x0]
                        and known[y0 + 1, x0 + 1]
                    ):
                        continue
                    nearest[row, column] = distance
                    fx, fy = x - x0, y - y0
                    for channel in range(picture.shape[2]):
                        upper = picture[y0, x0, channel] * (1 - fx)
                        upper += picture[y0, x0 + 1, channel] * fx
                        lower = picture[y0 + 1, x0, channel] * (1 - fx)
                        lower += picture[y0 + 1, x0 + 1, channel] * fx
                        out[row, column, channel] = upper * (1 - fy) + lower * fy
