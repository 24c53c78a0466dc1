"""Real spherical harmonics of degree 0-3 with the signs of the 3D Gaussian splatting reference.

Basis function (l, m) stands at index l² + l + m. It is the real orthonormal one without the
Condon-Shortley phase times (-1)^m: in degree 1 that is (-y, z, -x) times sqrt(3 / 4π).
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

C0 = 0.28209479177387814
C1 = math.sqrt(3 / (4 * math.pi))
COUNTS = (1, 4, 9, 16)


def basis(directions: Float[Tensor, "*batch 3"], count: int) -> Float[Tensor, "*batch coefficient"]:
    """The first `count` functions at unit vectors; what is not of unit length is not normalized."""
    if count not in COUNTS:
        raise ValueError(f"SH coefficients per color must be one of {COUNTS}, got {count}.")
    x, y, z = directions.unbind(-1)
    xx, yy, zz = x * x, y * y, z * z
    out = [torch.full_like(x, C0)]
    if count > 1:
        out += [-C1 * y, C1 * z, -C1 * x]
    if count > 4:
        a, b, c = (math.sqrt(k / math.pi) / 4 for k in (60, 5, 15))
        out += [a * x * y, -a * y * z, b * (2 * zz - xx - yy), -a * x * z, c * (xx - yy)]
    if count > 9:
        a, b, c, d, e = (math.sqrt(k / math.pi) / 4 for k in (35 / 2, 105 * 4, 21 / 2, 7, 105))
        out += [
            -a * y * (3 * xx - yy),
            b * x * y * z,
            -c * y * (4 * zz - xx - yy),
            d * z * (2 * zz - 3 * xx - 3 * yy),
            -c * x * (4 * zz - xx - yy),
            e * z * (xx - yy),
            -a * x * (xx - 3 * yy),
        ]
    return torch.stack(out, dim=-1)


def colors(
    sh: Float[Tensor, "n coefficient 3"], directions: Float[Tensor, "camera n 3"]
) -> Float[Tensor, "camera n 3"]:
    """max(0, Σ_k basis_k(direction) sh_k + 0.5)."""
    weights = basis(directions, sh.shape[1])
    return (torch.einsum("cnk,nkr->cnr", weights, sh) + 0.5).clamp(min=0)
