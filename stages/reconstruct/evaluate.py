"""How good the Gaussians are on photographs that were kept aside."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from ..formats.photos import Photo, target_of
from ..geometry.activation import activate
from ..geometry.psnr import psnr_db
from ..geometry.ssim import ssim
from .checkpoint import State
from .loss import composed, wanted

if TYPE_CHECKING:
    from .loop import Task


@dataclass(frozen=True, slots=True)
class Score:
    psnr_db: float
    ssim: float


@torch.no_grad()
def seen(
    task: "Task", state: State, photo: Photo
) -> tuple[Float[Tensor, "3 height width"], Float[Tensor, "3 height width"], Score]:
    """The rendered view, the photograph, and how alike they are; on a fixed background."""
    target = target_of(photo, 0, task.device)
    white = task.white_behind and photo.alpha is not None
    background = torch.full((3,), float(white), device=task.device)
    frames = task.renderer(
        activate(state.population.values), target.cameras, frozenset({"rgb", "alpha"})
    )
    picture, truth = composed(frames, background), wanted(target, background)
    likeness = ssim(picture, truth)
    if target.counts is not None:
        likeness = likeness[:, target.counts[0] > 0.5]
    score = Score(psnr_db(picture, truth, target.counts), float(likeness.mean()))
    return picture, truth, score


def mean_score(task: "Task", state: State) -> Score:
    """Over all photographs kept aside."""
    scores = [seen(task, state, photo)[2] for photo in task.kept_aside]
    return Score(
        sum(score.psnr_db for score in scores) / len(scores),
        sum(score.ssim for score in scores) / len(scores),
    )
