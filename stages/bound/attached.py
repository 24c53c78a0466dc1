"""From a binding and its triangles to splats."""

import math

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ..formats.bindings import Binding
from ..formats.splats import RawSplats
from . import frames
from .frames import Places


def rest_corners(binding: Binding) -> Float[Tensor, "face 3 3"]:
    """The triangles as they were bound, in float64."""
    return binding.vertices.double()[binding.faces.long()]


def splats_of(
    binding: Binding,
    corners: Float[Tensor, "face 3 3"],
    rotations: Float[Tensor, "face 3 3"],
) -> RawSplats:
    """The Gaussians on triangles that lie at `corners`, in frames `rotations`; sums in float64."""
    places = Places(binding.owner.long(), binding.barycentrics)
    flat = torch.full((len(binding.owner), 1), math.log(binding.thickness), dtype=torch.float32)
    turned = frames.orientations(rotations, places.owner, binding.turns.double())
    return RawSplats(
        means=_numbers(frames.centers(corners, places)),
        log_scales=_numbers(torch.cat([binding.log_scales, flat], dim=1)),
        logit_opacities=_numbers(binding.logit_opacities),
        quaternions=_numbers(turned),
        sh=_numbers(binding.sh),
        sidecar=binding.sidecar,
    )


def _numbers(values: Tensor) -> np.ndarray:
    return np.ascontiguousarray(values.float().numpy())
