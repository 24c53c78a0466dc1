"""One iteration of distillation onto the field, as a loss that `encoding/training.py` can follow.

The guidance model gives a gradient by the pictures, g, which is held fixed. Its way back to the
field is that of sum(g * pictures), a sum whose value means nothing: the returned loss has that
gradient and the value of the model's own loss.
"""

import json
import math
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from ...pipeline.contract import Context, replacing
from ...pipeline.errors import InputError
from ...renderers.scene import Cameras
from ..distill.clip import ClipReport
from ..distill.judge import Answer, Question, Rules, answer, first_not_finite
from ..distill.opinion import Manner
from ..distill.questions import Task, questions
from ..encoding.field import Field
from ..guidance.control import follows_hints, hinted
from ..guidance.protocol import Condition
from ..randomness import generator
from . import Config
from .depth import hints
from .object import Object
from .surface import Seen, compose, lit, look

CALIBRATION_STEPS = 20
BAD_PIXEL_SHARE = 0.1
"""A step with more non-finite pixels than this is skipped."""
BAD_STEPS_IN_ROW = 10
LOG_COLUMNS = ("loss", "clipped_share", "nonfinite_share", "skipped")


@dataclass(slots=True)
class Lesson:
    """What all iterations share. Calls of it are losses."""

    task: Task
    config: Config
    subject: Object
    conditions: Mapping[str, Condition]
    spread: Callable[[Callable[[tuple], Answer], Sequence[tuple]], list[Answer]]
    ctx: Context
    threshold: float = math.inf
    """Of clipping."""
    bad_in_row: int = 0

    def __call__(self, painted: Field, iteration: int) -> Tensor:
        """The loss of one iteration."""
        pictures, answers = self._asked(painted, iteration)
        report = sum((a.clip for a in answers), start=ClipReport(0, 0, 0))
        value = sum(a.loss for a in answers) / len(answers)
        bad = first_not_finite(
            [("picture", pictures.detach()), *(check for a in answers for check in a.checks())]
        )
        if not bad and report.nonfinite_share > BAD_PIXEL_SHARE:
            bad = "gradient of the picture"
        row = (value, report.clipped_share, report.nonfinite_share, float(bool(bad)))
        _note(self.ctx.scratch, iteration, row)
        if bad:
            return self._skipped(pictures, bad, iteration)
        self.bad_in_row = 0
        gradient = torch.cat([a.gradient for a in answers]).to(pictures)
        surrogate = (gradient * pictures).sum()
        return surrogate - surrogate.detach() + value

    def calibrate(self, painted: Field) -> float:
        """The clipping threshold: the median over the first `CALIBRATION_STEPS` iterations, asked
        without moving the field, of the length below which the given share of gradients lies."""
        clip, path = self.config.clip, self.ctx.scratch / "threshold.json"
        if not clip.calibrate:
            return clip.threshold
        if path.is_file():
            return float(json.loads(path.read_text("utf-8"))["threshold"])
        found, steps = [], min(CALIBRATION_STEPS, self.config.iterations)
        with torch.no_grad(), self.ctx.progress("calibrate", steps) as bar:
            for iteration in range(steps):
                found += [a.percentile for a in self._asked(painted, iteration)[1]]
                bar.advance()
        positive = [length for length in found if 0 < length < math.inf]
        threshold = statistics.median(positive) if positive else clip.threshold
        with replacing(path) as temporary:
            temporary.write_text(json.dumps({"threshold": threshold}), "utf-8")
        return threshold

    def _asked(self, painted: Field, iteration: int) -> tuple[Tensor, list[Answer]]:
        """The pictures of an iteration, with their way back to the field, and what is said."""
        asked = questions(self.task, iteration, self.conditions, self._aims())
        cameras = _joined([question.cameras for question in asked])
        seen = look(self.subject.surface, self.subject.normals, cameras, self.config.samples)
        colors = painted(seen.points)
        lamps = self._lamps(seen, cameras, iteration)
        pictures = compose(
            seen, lit(colors, lamps), torch.cat([question.backgrounds for question in asked])
        )
        groups = pictures.detach().split([len(question.timesteps) for question in asked])
        asked, rules = self._told(asked, seen, cameras), self._rules()

        def ask(pair: tuple[Question, Tensor]) -> Answer:
            question, shown = pair
            with torch.enable_grad():
                return answer(shown, question, rules, self.task.guidance)

        return pictures, self.spread(ask, list(zip(asked, groups, strict=True)))

    def _told(self, asked: list[Question], seen: Seen, cameras: Cameras) -> list[Question]:
        """The questions with the depth of their views."""
        strength, guidance = self.config.depth_hint, self.task.guidance
        if strength == 0 or not follows_hints(guidance):
            return asked
        pictures = hints(seen, cameras).to(self.task.device)
        groups = pictures.split([len(question.timesteps) for question in asked])
        return [_hinted(*pair, strength) for pair in zip(asked, groups, strict=True)]

    def _rules(self) -> Rules:
        config = self.config
        return Rules(
            manner=Manner(config.loss, config.weight, config.guide, config.inversion),
            image=config.image,
            clip=config.clip,
            clip_threshold=self.threshold,
        )

    def _aims(self) -> Float[Tensor, "face 3"]:
        """Where close-ups may look: the middles of the faces."""
        surface = self.subject.surface
        return torch.from_numpy(surface.positions[surface.faces].mean(axis=1)).float()

    def _lamps(self, seen: Seen, cameras: Cameras, iteration: int) -> Float[Tensor, " point"]:
        """What each point's linear color is multiplied by; about 1 in the mean of a lit view."""
        light, places = self.config.light, []
        for view, pose in enumerate(cameras.world_to_camera.double()):
            random = generator(self.task.seed, iteration, view, "lamp")
            on = float(torch.rand((), generator=random)) < light.share
            eye = -pose[:3, :3].T @ pose[:3, 3]
            away = torch.randn(3, generator=random, dtype=torch.float64)
            place = eye + away * light.spread * eye.norm() / STANDARD_DISTANCE_M
            places.append(torch.cat([place, torch.tensor([float(on)], dtype=torch.float64)]))
        lamp = torch.stack(places).float()[seen.view]
        toward = torch.nn.functional.normalize(lamp[:, :3] - seen.points, dim=1)
        cosine = (seen.normals * toward).sum(dim=1).clamp(min=0)
        shaded = light.ambient + (1 - light.ambient) * cosine / MEAN_COSINE
        return torch.where(lamp[:, 3] > 0, shaded, 1.0)

    def _skipped(self, pictures: Tensor, bad: str, iteration: int) -> Tensor:
        self.bad_in_row += 1
        self.ctx.log.warning("iteration %d skipped: %s is not finite.", iteration, bad)
        if self.bad_in_row >= BAD_STEPS_IN_ROW:
            raise InputError(
                f"texture: {self.bad_in_row} steps in a row were not finite ({bad}). Check the "
                f"guidance model, or lower guide.scale and the rate."
            )
        return torch.nan_to_num(pictures).sum() * 0


def _hinted(
    question: Question, pictures: Float[Tensor, "view 3 height width"], strength: float
) -> Question:
    avoided = question.negatives and replace(
        question.negatives,
        conditions=[hinted(each, pictures, strength) for each in question.negatives.conditions],
    )
    return replace(
        question,
        text=hinted(question.text, pictures, strength),
        unconditional=hinted(question.unconditional, pictures, strength),
        negatives=avoided,
    )


STANDARD_DISTANCE_M = 1.8
MEAN_COSINE = 2 / 3
"""Of a ball that is lit from the eye, over its disc."""


def _joined(parts: Sequence[Cameras]) -> Cameras:
    first = parts[0]
    return Cameras(
        torch.cat([part.world_to_camera for part in parts]),
        torch.cat([part.focal_px for part in parts]),
        torch.cat([part.center_px for part in parts]),
        first.width_px,
        first.height_px,
    )


def _note(scratch: Path, iteration: int, row: Sequence[float]) -> None:
    """One line per iteration, at once: what was logged before an interruption stays."""
    with (scratch / "log.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps([iteration, *row]) + "\n")


def logged(scratch: Path, iterations: int) -> dict[str, Float[Tensor, " iteration"]]:
    """The columns of the log. An iteration that was repeated after an interruption counts once."""
    rows = dict(_lines(scratch / "log.jsonl"))
    table = [rows.get(k, [math.nan] * len(LOG_COLUMNS)) for k in range(iterations)]
    columns = torch.tensor(table, dtype=torch.float64).T
    return dict(zip(LOG_COLUMNS, columns.contiguous(), strict=True))


def _lines(path: Path) -> Iterator[tuple[int, list[float]]]:
    for line in path.read_text("utf-8").splitlines():
        try:
            number, *row = json.loads(line)
        except ValueError:
            continue  # Cut off by an interruption; that iteration was done again.
        yield int(number), row
