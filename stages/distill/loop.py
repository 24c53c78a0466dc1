"""The loop of score distillation. Time and threads never touch what it computes."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields

from torch import Tensor

from ...pipeline.contract import Context
from ...pipeline.errors import InputError
from ...renderers.scene import Renderer
from ..geometry.activation import Parameters
from ..geometry.adam import adam_step
from ..geometry.densify import Population, grow, keep_rows, reset_opacity, worth_keeping
from ..guidance.protocol import Condition
from ..randomness import generator
from . import Config, checkpoint
from .checkpoint import State
from .clip import ClipReport
from .judge import Question, Rules, Verdict, judge
from .learning import taught
from .opinion import Manner
from .questions import Pupil, Task, questions
from .regularize import regularize
from .workers import workers

CALIBRATION_STEPS = 20
MAX_RADIUS_M = 0.75
"""Gaussians further out are removed; the object's own sphere has 0.5 m."""
RESET_CEILING = 0.05
BAD_PIXEL_SHARE = 0.1
"""A step with more non-finite pixels than this is skipped."""
BAD_STEPS_IN_ROW = 10
FEWEST = 32
"""Removing never leaves fewer Gaussians than this."""
HIGHER_SH_SHARE = 1 / 20
"""Rate of the view-dependent SH coefficients, relative to the constant one (reference 3DGS)."""


@dataclass(frozen=True, slots=True)
class Work:
    """Whom to ask about what, and how to draw it."""

    task: Task
    config: Config
    renderer: Renderer


def distill(
    work: Work,
    conditions: Mapping[str, Condition],
    state: State,
    ctx: Context,
    save: Callable[[State], object],
    show: Callable[[State], object],
) -> State:
    """Run the remaining iterations.

    Args:
        conditions: Of every text that will be asked about; see `captions`.
        save: Called about every `checkpoint_every_s`, and before giving up.
        show: Called about every ten seconds, for a preview.
    """
    config = work.config
    saved = shown = time.monotonic()
    with (
        ctx.progress("distill", config.iterations, done=state.iteration) as bar,
        workers(ctx.threads) as spread,
    ):
        while state.iteration < config.iterations:
            begun = time.monotonic()
            step(work, state, conditions, spread, ctx)
            now = time.monotonic()
            bar.advance(note=_note(state, now - begun))
            if state.bad_in_row >= BAD_STEPS_IN_ROW:
                save(state)
                raise InputError(
                    f"distill: {state.bad_in_row} steps in a row were not finite (see the log); "
                    f"the last good state is kept in {ctx.scratch}. Check the guidance model and "
                    f"the start, or lower guidance_scale and the rates."
                )
            if now - saved >= config.checkpoint_every_s:
                save(state)
                saved = time.monotonic()
            if now - shown >= 10:
                show(state)
                ctx.log.info("iteration %d: %s", state.iteration, _note(state, now - begun))
                shown = time.monotonic()
    return state


def step(
    work: Work,
    state: State,
    conditions: Mapping[str, Condition],
    spread: Callable[[Callable[[Question], Verdict], Sequence[Question]], list[Verdict]],
    ctx: Context,
) -> None:
    """One iteration, in place."""
    config, values, task = work.config, state.population.values, work.task
    threshold = _threshold(config, state)
    rules = Rules(
        manner=Manner(config.loss, config.weight, config.guide, config.inversion),
        image=config.image,
        clip=config.clip,
        clip_threshold=threshold,
        smooth=config.wishes.smooth,
    )
    pupil = None if state.copy is None else Pupil(state.copy.values, config.low_rank)
    verdicts = spread(
        lambda question: judge(values, question, rules, task.guidance, work.renderer),
        questions(task, state.iteration, conditions, values.means, pupil),
    )
    report = sum((v.clip for v in verdicts), start=ClipReport(0, 0, 0))
    bad = next((v.not_finite for v in verdicts if v.not_finite), "")
    if not bad and report.nonfinite_share > BAD_PIXEL_SHARE:
        bad = "gradient of the image"
    if bad:
        state.bad_in_row += 1
        ctx.log.warning("iteration %d skipped: %s is not finite.", state.iteration, bad)
    else:
        state.bad_in_row = 0
        if config.clip.calibrate and state.iteration < CALIBRATION_STEPS:
            state.clip_samples += [v.percentile for v in verdicts]
        for verdict in verdicts:
            state.score_sum = state.score_sum + verdict.score
            state.score_count = state.score_count + verdict.seen
        state.population = _moved(state, _sum([v.gradients for v in verdicts]), config)
        if state.copy is not None:
            state.copy = taught(
                state.copy,
                [v.lesson for v in verdicts],
                steps_before=state.adam_steps,
                rate=config.low_rank.rate,
            )
        state.adam_steps += 1
    _change_number(work, state)
    row = (
        sum(v.loss for v in verdicts) / len(verdicts),
        report.clipped_share,
        report.nonfinite_share,
        len(state.population),
        float(bool(bad)),
    )
    for name, value in zip(checkpoint.LOG_COLUMNS, row, strict=True):
        state.log[name].append(value)
    state.iteration += 1


def clipped_share(state: State, config: Config) -> float:
    """Mean over the iterations that clipped: without those of the calibration."""
    column = state.log["clipped_share"][CALIBRATION_STEPS if config.clip.calibrate else 0 :]
    return statistics.fmean(column) if column else 0.0


def _threshold(config: Config, state: State) -> float:
    """c of this iteration. Fixed from the end of the calibration on."""
    if not config.clip.calibrate:
        return config.clip.threshold
    if state.iteration < CALIBRATION_STEPS:
        return float("inf")
    if state.clip_threshold is None:
        found = [sample for sample in state.clip_samples if sample > 0]
        state.clip_threshold = statistics.median(found) if found else config.clip.threshold
    return state.clip_threshold


def _sum(parts: Sequence[Parameters]) -> Parameters:
    """In order, so that the result does not depend on which thread was first."""
    total = parts[0]
    for part in parts[1:]:
        total = Parameters(
            *(getattr(total, f.name) + getattr(part, f.name) for f in fields(Parameters))
        )
    return total


def _moved(state: State, gradients: Parameters, config: Config) -> Population:
    """One step of Adam on every value, then the wishes."""
    population, rates = state.population, config.rates
    fall = rates.final_share ** (state.iteration / max(1, config.iterations - 1))
    each = {
        "means": rates.means_m,
        "log_scales": rates.log_scales,
        "quaternions": rates.quaternions,
        "logit_opacities": rates.logit_opacities,
        "sh": rates.sh,
    }
    steps = {}
    for name, rate in each.items():
        gradient = getattr(gradients, name)
        steps[name] = adam_step(
            getattr(population.values, name),
            gradient,
            getattr(population.first, name),
            getattr(population.second, name),
            steps_before=state.adam_steps,
            rate=rate * fall * (_sh_shares(gradient) if name == "sh" else 1.0),
        )
    values = Parameters(**{name: done.value for name, done in steps.items()})
    return Population(
        regularize(values, config.wishes),
        Parameters(**{name: done.first for name, done in steps.items()}),
        Parameters(**{name: done.second for name, done in steps.items()}),
    )


def _sh_shares(sh: Tensor) -> Tensor:
    shares = sh.new_full((1, sh.shape[1], 1), HIGHER_SH_SHARE)
    shares[:, 0] = 1
    return shares


def _change_number(work: Work, state: State) -> None:
    """Prune, then grow, at the iterations that the settings name."""
    density, done = work.config.density, state.iteration + 1
    share = done / work.config.iterations
    inside = density.from_share <= share <= density.until_share
    if density.every and inside and done % density.every == 0:
        state.population, state.score_sum, state.score_count = _pruned(state, work.config)
        score = state.score_sum / state.score_count.clamp(min=1)
        count = int(density.grow_share * len(score))
        if count:
            state.population = grow(
                state.population,
                score,
                threshold=float(score.sort(descending=True).values[count]),
                max_gaussians=density.max_gaussians,
                split_above_m=density.split_above_m,
                random=generator(work.task.seed, state.iteration, "grow"),
            )
        state.score_sum = score.new_zeros(len(state.population))
        state.score_count = score.new_zeros(len(state.population))
    if density.reset_every and inside and done % density.reset_every == 0:
        state.population = reset_opacity(state.population, RESET_CEILING)


def _pruned(state: State, config: Config) -> tuple[Population, Tensor, Tensor]:
    keep = worth_keeping(
        state.population.values,
        min_opacity=config.density.min_opacity,
        max_scale_m=2 * config.wishes.max_scale_m,
        max_radius_m=MAX_RADIUS_M,
    )
    if int(keep.sum()) < FEWEST:
        return state.population, state.score_sum, state.score_count
    return keep_rows(state.population, keep), state.score_sum[keep], state.score_count[keep]


def finished(state: State, config: Config) -> Parameters:
    """The Gaussians worth keeping after the last iteration."""
    return _pruned(state, config)[0].values


def _note(state: State, seconds: float) -> str:
    latest = {name: column[-1] for name, column in state.log.items()}
    return (
        f"loss {latest['loss']:.3g}, clipped {latest['clipped_share']:.1%}, "
        f"{len(state.population)} Gaussians, {seconds:.2f} s/it"
    )
