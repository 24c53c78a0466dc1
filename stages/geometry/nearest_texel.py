"""For every texel of a picture the nearest one that is valid, as far as a mip level reaches."""

import numpy as np

from ...renderers.cpu.compiled import lean_kernel

FAR = 1 << 28
"""Steps to a valid texel of the column where there is none."""


def nearest_valid(valid: np.ndarray, reach_px: float) -> np.ndarray:
    """(row, column) bool to (row, column) int32.

    Of each texel: row · width + column of the nearest valid one, itself if it is; -1 where none
    is within `reach_px`. Of equally near ones that in the nearest column counts, then the left,
    then the upper one."""
    if valid.size >= 1 << 31:
        raise ValueError(f"a picture of {valid.shape} texels.")
    up, found = np.full(valid.shape, FAR, np.int32), np.full(valid.shape, -1, np.int32)
    _find_nearest(np.ascontiguousarray(valid), float(reach_px), up, found)
    return found


def complete(picture: np.ndarray, nearest: np.ndarray, rest: np.ndarray) -> None:
    """Give every texel of a (row, column, channel) picture the value of its nearest valid one, in
    place; without one, `rest`."""
    _complete(picture.reshape(-1, picture.shape[2]), nearest.reshape(-1), rest)


@lean_kernel
def _find_nearest(valid, reach, up, found):
    """In columns first, then along rows over what the columns found."""
    height, width = valid.shape
    far = FAR
    for row in range(height):
        for column in range(width):
            if valid[row, column]:
                up[row, column] = 0
            elif row > 0:
                up[row, column] = min(up[row - 1, column] + 1, far)
    # Steps to the nearest valid texel of the column: upwards positive, downwards negative.
    for row in range(height - 2, -1, -1):
        for column in range(width):
            below = up[row + 1, column]
            down = 1 - below if below <= 0 else far
            if down < up[row, column]:
                up[row, column] = -down
    most = int(reach)
    for row in range(height):
        for column in range(width):
            if valid[row, column]:
                found[row, column] = row * width + column
                continue
            least = reach * reach
            for step in range(most + 1):
                if step * step > least:
                    break
                for side in range(2 if step else 1):
                    other = column + step if side else column - step
                    if other < 0 or other >= width:
                        continue
                    steps = up[row, other]
                    square = np.float64(step * step) + np.float64(steps) * steps
                    first = found[row, column] < 0 and square == least
                    if square < least or first:
                        least = square
                        found[row, column] = (row - steps) * width + other


@lean_kernel
def _complete(picture, nearest, rest):
    for texel in range(len(nearest)):
        source = nearest[texel]
        if source == texel:
            continue
        for channel in range(picture.shape[1]):
            picture[texel, channel] = picture[source, channel] if source >= 0 else rest[channel]
