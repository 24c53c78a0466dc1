"""How good bound Gaussians are on views that were kept aside."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ..geometry.psnr import psnr_db
from ..geometry.ssim import ssim
from ..reconstruct.exposures import both
from ..reconstruct.loss import composed
from .learned import State, gaussians
from .loop import Task
from .views import View


@dataclass(frozen=True, slots=True)
class Score:
    psnr_db: float
    ssim: float


@torch.no_grad()
def seen(
    task: Task, state: State, view: View
) -> tuple[Float[Tensor, "3 height width"], Float[Tensor, "3 height width"], Score]:
    """The view as the picture's exposure would show it, the wanted one, and how alike they are
    over the pixels that count."""
    target = view.target(task.device)
    white = task.white_behind and target.alpha is not None
    background = torch.full((3,), float(white), device=task.device)
    scene, _ = gaussians(state.values, task.bond, state.values.sh.shape[1])
    rendered = composed(task.renderer(scene, target.cameras), background)
    picture, truth = both(view.exposure, rendered, target, background)
    if target.counts is not None:
        truth = torch.where(target.counts > 0.5, truth, 0.0)
        picture = torch.where(target.counts > 0.5, picture, 0.0)
    likeness = ssim(picture, truth)
    if target.counts is not None:
        likeness = likeness[:, target.counts[0] > 0.5]
    return picture, truth, Score(psnr_db(picture, truth, target.counts), float(likeness.mean()))


def mean(scores: Sequence[Score]) -> tuple[float | None, float | None]:
    """PSNR in dB and SSIM; None of nothing."""
    if not scores:
        return None, None
    count = len(scores)
    return sum(s.psnr_db for s in scores) / count, sum(s.ssim for s in scores) / count
