"""What one iteration asks the model, with everything random drawn."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from ...renderers.scene import Cameras
from ..guidance import low_rank
from ..guidance.cfg import stack
from ..guidance.perp_neg import AVOIDED, Negatives, mixed, side_of
from ..guidance.protocol import Condition, Guidance
from ..randomness import generator
from .judge import Question
from .opinion import Lesson
from .schedule import level_of
from .settings import Guide, Looks, LowRank, Noise
from .views import View, cameras_of, caption_at, draw

VIEWS_PER_CALL = 2
"""On the CPU so many views go through the networks together, whatever the number of threads."""

Conditions = Mapping[str, Condition]
"""Of each text."""


@runtime_checkable
class Plan(Protocol):
    """What a stage's settings say about asking."""

    @property
    def iterations(self) -> int: ...
    @property
    def guide(self) -> Guide: ...
    @property
    def noise(self) -> Noise: ...
    @property
    def views(self) -> Looks: ...


@dataclass(frozen=True, slots=True)
class Task:
    """What is asked about, apart from what is being made."""

    guidance: Guidance
    prompt: str
    negative: str
    config: Plan
    seed: int
    device: str


def views_of(task: Task, iteration: int) -> list[View]:
    """From where one iteration looks."""
    looks = task.config.views
    return draw(
        task.guidance.view_words,
        task.prompt,
        task.seed,
        iteration,
        count=looks.per_step,
        elevation_weights=looks.elevation_weights,
        close_up_share=looks.close_up_share,
        name_sides=looks.name_sides,
    )


@dataclass(frozen=True, slots=True)
class Pupil:
    """The copy of the model that loss `vsd` trains, as it is before an iteration."""

    values: low_rank.Values
    settings: LowRank


def questions(
    task: Task,
    iteration: int,
    conditions: Conditions,
    aims: Float[Tensor, "n 3"],
    pupil: Pupil | None = None,
) -> list[Question]:
    """The views of one iteration in fixed groups.

    Args:
        aims: Points of the object; a close-up looks at one of them.
    """
    views, out = views_of(task, iteration), []
    size = VIEWS_PER_CALL if task.device == "cpu" else len(views)
    for first in range(0, len(views), size):
        group = {k: views[k] for k in range(first, min(first + size, len(views)))}
        out.append(_question(task, iteration, conditions, aims, pupil, group))
    return out


def _question(
    task: Task,
    k: int,
    conditions: Conditions,
    aims: Float[Tensor, "n 3"],
    pupil: Pupil | None,
    views: dict[int, View],
) -> Question:
    config = task.config
    levels = len(task.guidance.alphas_cumprod)
    draws = [generator(task.seed, k, view, "noise") for view in views]
    timesteps = [
        round(
            level_of(config.noise, k, config.iterations, levels, float(torch.rand((), generator=d)))
        )
        for d in draws
    ]
    noise = torch.stack([torch.randn(task.guidance.latent_shape, generator=d) for d in draws])
    picks = [float(torch.rand((), generator=d)) for d in draws]
    words, size = task.guidance.view_words, task.guidance.image_size
    cameras = _on(
        cameras_of(list(views.values()), words.camera, size, aims.cpu(), picks), task.device
    )
    texts = [_wanted(task, view, conditions) for view in views.values()]
    return Question(
        cameras=cameras,
        backgrounds=torch.tensor([view.background for view in views.values()]).to(task.device),
        text=stack(texts),
        unconditional=stack([conditions[task.negative] for _ in views]),
        timesteps=torch.tensor(timesteps).to(task.device),
        noise=noise.to(task.device),
        negatives=_negatives(task, list(views.values()), conditions),
        lesson=_lesson(task, k, pupil, list(views), cameras),
    )


def _wanted(task: Task, view: View, conditions: Conditions) -> Condition:
    if not task.config.guide.perp_neg:
        return conditions[view.caption]
    side = side_of(task.guidance.view_words, view.azimuth_deg)
    first, second = (conditions[_caption(task, view, deg)] for deg in side.wanted_deg)
    return mixed(first, second, side.share)


def _negatives(task: Task, views: Sequence[View], conditions: Conditions) -> Negatives | None:
    if not task.config.guide.perp_neg:
        return None
    sides = [side_of(task.guidance.view_words, view.azimuth_deg) for view in views]
    avoided = [
        stack(
            [
                conditions[_caption(task, view, side.avoided_deg[i])]
                for view, side in zip(views, sides, strict=True)
            ]
        )
        for i in range(AVOIDED)
    ]
    weights = torch.tensor([[side.weights[i] for side in sides] for i in range(AVOIDED)])
    return Negatives(avoided, weights.to(task.device))


def _caption(task: Task, view: View, azimuth_deg: float) -> str:
    return caption_at(task.guidance.view_words, task.prompt, view, azimuth_deg)


def _lesson(
    task: Task, iteration: int, pupil: Pupil | None, views: Sequence[int], cameras: Cameras
) -> Lesson | None:
    """Noise of its own for the copy, at any level: it has to know all of them."""
    if pupil is None:
        return None
    draws = [generator(task.seed, iteration, view, "copy") for view in views]
    levels = len(task.guidance.alphas_cumprod)
    timesteps = [int(torch.randint(levels, (), generator=d)) for d in draws]
    noise = torch.stack([torch.randn(task.guidance.latent_shape, generator=d) for d in draws])
    told = [float(torch.rand((), generator=d)) for d in draws]
    share = pupil.settings.poseless_share
    return Lesson(
        values=pupil.values,
        timesteps=torch.tensor(timesteps).to(task.device),
        noise=noise.to(task.device),
        poses=cameras.world_to_camera[:, :3].flatten(1),
        told=torch.tensor([float(each >= share) for each in told]).to(task.device),
    )


def _on(cameras: Cameras, device: str) -> Cameras:
    return Cameras(
        cameras.world_to_camera.to(device),
        cameras.focal_px.to(device),
        cameras.center_px.to(device),
        cameras.width_px,
        cameras.height_px,
    )
