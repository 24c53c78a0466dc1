"""Colors that turn with the Gaussians.

The color of Gaussian i towards direction d is f_i(d) = sum_k sh_ik Y_k(d). Turned by R_i it becomes
f_i(R_i^T d). While an edit is being found, colors are evaluated that way and handed to the renderer
as degree 0; at its end the coefficients themselves are turned, exactly, by the quadrature of
`scene/harmonics.py` with one rotation per Gaussian.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from ...renderers import sh
from ...renderers.projection import rotation_matrices, view_directions
from ...renderers.scene import Cameras
from ..scene.harmonics import quadrature


def constant(colors: Float[Tensor, "n 3"]) -> Float[Tensor, "n 1 3"]:
    """Degree-0 coefficients of the given colors."""
    return ((colors - 0.5) / sh.C0)[:, None]


def seen_colors(
    coefficients: Float[Tensor, "n coefficient 3"],
    means: Float[Tensor, "n 3"],
    turns: Float[Tensor, "n 4"],
    camera: Cameras,
) -> Float[Tensor, "n 3"]:
    """Colors towards a camera after the Gaussians were turned."""
    if coefficients.shape[1] == 1:
        return (sh.C0 * coefficients[:, 0] + 0.5).clamp(min=0)
    directions = view_directions(means, camera)[0]
    back = torch.einsum("nji,nj->ni", rotation_matrices(turns), directions)
    weights = sh.basis(back, coefficients.shape[1])
    return (torch.einsum("nk,nkc->nc", weights, coefficients) + 0.5).clamp(min=0)


def turned(
    coefficients: Float[Tensor, "n coefficient 3"], turns: Float[Tensor, "n 4"]
) -> Float[Tensor, "n coefficient 3"]:
    """The coefficients after one rotation each. Degree 0 stays bit for bit."""
    count = coefficients.shape[1]
    if count == 1:
        return coefficients.clone()
    directions, weights = (torch.from_numpy(part).to(coefficients) for part in quadrature())
    matrices = rotation_matrices(turns.to(coefficients))
    back = torch.einsum("nji,qj->nqi", matrices, directions)
    values = torch.einsum("nqk,nkc->nqc", sh.basis(back, count), coefficients)
    onto = sh.basis(directions, count) * weights[:, None]
    out = torch.einsum("qk,nqc->nkc", onto, values)
    out[:, 0] = coefficients[:, 0]
    return out
