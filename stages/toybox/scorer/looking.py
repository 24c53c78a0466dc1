"""From pictures of any size to log-probabilities of every fact."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from ....pipeline.errors import InputError
from .files import Scorer
from .pictures import PICTURE_PX

GRAYS = (0.3, 0.75)
"""What is put behind pictures with alpha; a toy as gray as one stands out from the other."""


@torch.no_grad()
def look(
    scorer: Scorer, pictures: Float[np.ndarray, "view height width channel"]
) -> dict[str, Float[Tensor, "view value"]]:
    """Log-probabilities per fact, view, value.

    Args:
        pictures: sRGB in 0..1, square; three channels, or four with alpha, then premultiplied.
            Those with alpha are seen before a dark and a light gray, and the two answers'
            log-probabilities are averaged (and normalized again).
    """
    height, width, channels = pictures.shape[1:]
    if channels not in (3, 4) or height != width:
        raise InputError(
            f"Pictures of {width} x {height} x {channels}: expected squares with 3 or 4 channels."
        )
    x = torch.from_numpy(np.ascontiguousarray(pictures, dtype=np.float32)).permute(0, 3, 1, 2)
    if not bool(((x >= -1e-3) & (x <= 1 + 1e-3)).all()):
        raise InputError("Pictures must have finite values from 0 to 1.")
    x = functional.interpolate(
        x, size=(PICTURE_PX, PICTURE_PX), mode="bilinear", antialias=True, align_corners=False
    )
    if channels == 3:
        return scorer.network(x)
    answers = [scorer.network(x[:, :3] + (1 - x[:, 3:]) * gray) for gray in GRAYS]
    return {
        name: torch.stack([answer[name] for answer in answers]).mean(0).log_softmax(-1)
        for name in scorer.facts
    }
