"""Structural similarity of two pictures.

Wang et al. 2004: a Gaussian window of standard deviation 1.5 px over 11 x 11 px, C1 = 0.01^2 and
C2 = 0.03^2 for values in [0, 1], channel by channel:

    SSIM = (2 m_a m_b + C1) (2 s_ab + C2) / ((m_a^2 + m_b^2 + C1) (s_a^2 + s_b^2 + C2))

Beyond the borders all is zero in both pictures, as in the reference 3DGS, whose loss this is; or
the window is cut off there and counts for what is left of it.
"""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

WINDOW_PX = 11
SIGMA_PX = 1.5
C1, C2 = 0.01**2, 0.03**2


def ssim(
    a: Float[Tensor, "channel height width"],
    b: Float[Tensor, "channel height width"],
    *,
    cut_off: bool = False,
) -> Float[Tensor, "channel height width"]:
    """Of each pixel and channel; 1 where the surroundings are alike. Differentiable by both.

    Args:
        cut_off: At the borders, the window's weights inside of the picture add up to one.
    """
    blurred = _blur(torch.cat([a, b, a * a, b * b, a * b]))
    if cut_off:
        blurred = blurred / _blur(a.new_ones(1, *a.shape[1:]))
    m_a, m_b, a_a, b_b, a_b = blurred.chunk(5)
    s_aa, s_bb, s_ab = a_a - m_a * m_a, b_b - m_b * m_b, a_b - m_a * m_b
    upper = (2 * m_a * m_b + C1) * (2 * s_ab + C2)
    return upper / ((m_a * m_a + m_b * m_b + C1) * (s_aa + s_bb + C2))


def _blur(planes: Float[Tensor, "plane height width"]) -> Float[Tensor, "plane height width"]:
    """Rows, then columns. One group per plane: on a CPU far faster than planes as a batch."""
    offset = torch.arange(WINDOW_PX).to(planes) - WINDOW_PX // 2
    line = torch.exp(-offset.square() / (2 * SIGMA_PX**2))
    line = (line / line.sum()).expand(len(planes), 1, 1, -1)
    rows = functional.conv2d(planes[None], line, padding=(0, WINDOW_PX // 2), groups=len(planes))
    columns = line.transpose(2, 3)
    return functional.conv2d(rows, columns, padding=(WINDOW_PX // 2, 0), groups=len(planes))[0]
