"""How good the Gaussians are on photographs that were kept aside."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from jaxtyping import Float
from torch import Tensor

from ..formats.photos import Photo, target_of
from ..geometry.activation import activate
from ..geometry.exposure import Exposure, fitted
from ..geometry.psnr import psnr_db
from ..geometry.ssim import ssim
from .checkpoint import State
from .loss import composed, wanted
from .task import Task


@dataclass(frozen=True, slots=True)
class Score:
    psnr_db: float
    ssim: float
    evened_psnr_db: float
    """After the gains and offsets that fit this photograph best (`geometry/exposure.py`)."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A rendered view beside its photograph, on a fixed background."""

    picture: Float[Tensor, "3 height width"]
    photo: Float[Tensor, "3 height width"]
    score: Score
    exposure: Exposure
    """What makes the picture most like the photograph."""


@torch.no_grad()
def seen(task: Task, state: State, photo: Photo) -> Seen:
    """Look at what the Gaussians are from where a photograph was taken."""
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
    exposure = fitted(picture, truth, target.counts)
    evened = exposure.of(picture.clamp(0, 1))
    score = Score(
        psnr_db=psnr_db(picture, truth, target.counts),
        ssim=float(likeness.mean()),
        evened_psnr_db=psnr_db(evened, truth, target.counts),
    )
    return Seen(picture, truth, score, exposure)


def mean_score(task: Task, state: State) -> Score:
    """Over all photographs kept aside."""
    return mean_of([seen(task, state, photo).score for photo in task.kept_aside])


def mean_of(scores: Sequence[Score]) -> Score:
    """Over at least one."""
    count = len(scores)
    return Score(*(sum(getattr(s, f.name) for s in scores) / count for f in fields(Score)))
