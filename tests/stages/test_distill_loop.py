"""The loop of distillation: what it asks, what it makes of the answers, what goes wrong."""

import math
import threading
from concurrent.futures import CancelledError
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from splatworks.pipeline.errors import InputError
from splatworks.renderers import reference
from splatworks.stages.distill import checkpoint, loop, workers
from splatworks.stages.distill.judge import Question, Rules, judge
from splatworks.stages.distill.losses import weight_of
from splatworks.stages.distill.opinion import Manner
from splatworks.stages.distill.questions import questions
from splatworks.stages.distill.ramp import Ramp
from splatworks.stages.distill.settings import (
    Clipping,
    Density,
    Guide,
    ImageTerms,
    Inversion,
    Looks,
    Noise,
    Rates,
)
from splatworks.stages.geometry.activation import Parameters, activate, deactivate
from splatworks.stages.geometry.bending import bending
from splatworks.stages.guidance.oracle import OracleGuidance
from splatworks.stages.guidance.protocol import Condition, Prediction
from splatworks.stages.shape.blob import blob

from . import striped_ball
from .closed_form import Exact
from .distill_setup import (
    NAMES,
    SMALL,
    Embedded,
    context,
    make_state,
    make_task,
    make_work,
)

AIMS = torch.zeros(1, 3)

# --- what the loop asks ---


def test_the_words_of_each_view_are_really_passed() -> None:
    """The condition of each question is that of a caption made from its camera's pose."""
    guidance = striped_ball.oracle(16, per_word=1)
    task = make_task(guidance)
    for iteration in range(20):
        for question in questions(task, iteration, Embedded(guidance), AIMS):
            for k, pose in enumerate(question.cameras.world_to_camera):
                x, y, z = (-(pose[:3, :3].T @ pose[:3, 3])).tolist()
                azimuth = math.degrees(math.atan2(x, z))
                elevation = math.degrees(math.asin(y / 1.8))
                white = bool(question.backgrounds[k].sum() > 1)
                caption = guidance.view_words.text(
                    "a striped ball", azimuth, elevation, background="white" if white else "black"
                )
                expected = guidance.embed([caption]).tensors["view"][0]
                assert question.text.tensors["view"][k].tolist() == expected.tolist()


def test_noise_levels_stay_between_the_ramps() -> None:
    guidance = striped_ball.oracle(16, per_word=1)
    config = replace(
        SMALL,
        iterations=11,
        noise=Noise(max=Ramp(start=0.9, stop=0.5), min=Ramp(start=0.3, stop=0)),
    )
    task = make_task(guidance, config)
    for iteration, low, high in ((0, 0.3, 0.9), (5, 0.15, 0.7), (10, 0.0, 0.5)):
        found = []
        for seed in range(40):
            asked = questions(replace(task, seed=seed), iteration, Embedded(guidance), AIMS)
            found += [t for question in asked for t in question.timesteps.tolist()]
        assert round(low * 999) <= min(found) <= round(low * 999) + 30
        assert round(high * 999) - 30 <= max(found) <= round(high * 999)


def test_views_are_grouped_by_two_whatever_the_threads() -> None:
    guidance = striped_ball.oracle(16, per_word=1)
    config = replace(SMALL, views=Looks(per_step=5))
    asked = questions(make_task(guidance, config), 0, Embedded(guidance), AIMS)
    assert [len(question.timesteps) for question in asked] == [2, 2, 1]


class Fixed(Exact):
    """It always wants the same picture."""

    def __init__(self, target: torch.Tensor) -> None:
        super().__init__()
        self.target = target

    def predict(self, z_t, t, condition) -> Prediction:
        a = self.alphas_cumprod[t].view(-1, 1, 1, 1)
        x0 = self.target.expand_as(z_t)
        return Prediction(eps=(z_t - a.sqrt() * x0) / (1 - a).sqrt(), x0=x0)


def make_question(size_px: int, seed: int = 0) -> Question:
    cameras = striped_ball.cameras([(30.0, 10.0), (200.0, 40.0)], size_px)
    return Question(
        cameras=replace(
            cameras,
            world_to_camera=cameras.world_to_camera.double(),
            focal_px=cameras.focal_px.double(),
            center_px=cameras.center_px.double(),
        ),
        backgrounds=torch.tensor([[0.2, 0.4, 0.6], [1.0, 0.0, 0.5]], dtype=torch.float64),
        text=Condition({"x": torch.zeros(2)}),
        unconditional=Condition({"x": torch.zeros(2)}),
        timesteps=torch.tensor([30, 60]),
        noise=torch.randn(
            2, 3, size_px, size_px, generator=torch.Generator().manual_seed(seed),
            dtype=torch.float64,
        ),
    )  # fmt: skip


def make_rules(threshold: float = math.inf, **changes) -> Rules:
    manner = {
        "loss": "x0",
        "weight": "sigma2",
        "guide": Guide(scale=1.0, method="cfg"),
        "inversion": Inversion(),
    }
    image, smooth = changes.pop("image", ImageTerms()), changes.pop("smooth", 0.0)
    return Rules(Manner(**manner | changes), image, Clipping(), threshold, smooth)


def make_values(count: int = 12) -> Parameters:
    start = deactivate(blob(count, 0.5, seed=3))
    return Parameters(*(getattr(start, name).double() for name in NAMES))


@pytest.mark.parametrize("name", NAMES)
def test_the_gradient_agrees_with_finite_differences(name) -> None:
    """The x0 gradient is that of 0.5 w |encode(render) - x0|^2: the whole way, in float64."""
    size = 8
    target = torch.rand(1, 3, size, size, dtype=torch.float64)
    guidance, question, values = Fixed(target), make_question(size), make_values()
    weight = weight_of("sigma2", guidance.alphas_cumprod[question.timesteps]).view(2, 1, 1, 1)

    def loss(at: Parameters) -> float:
        frames = reference.render(activate(at), question.cameras, frozenset({"rgb", "alpha"}))
        image = frames.rgb + (1 - frames.alpha) * question.backgrounds[:, None, None, :]
        z = guidance.encode(image.permute(0, 3, 1, 2))
        return float((0.5 * weight * (z - target).square()).sum())

    verdict = judge(values, question, make_rules(), guidance, reference.render)
    got = getattr(verdict.gradients, name)
    rng = torch.Generator().manual_seed(1)
    for _ in range(3):
        direction = torch.randn(got.shape, generator=rng, dtype=torch.float64)
        h = 1e-5
        ahead, behind = (
            loss(replace(values, **{name: getattr(values, name) + s * h * direction}))
            for s in (1, -1)
        )
        assert (ahead - behind) / (2 * h) == pytest.approx(
            float((got * direction).sum()), rel=1e-4, abs=1e-7
        )


def test_sds_and_x0_differ_by_sigma_over_alpha_only() -> None:
    guidance, values = Fixed(torch.rand(1, 3, 8, 8, dtype=torch.float64)), make_values()
    question = replace(make_question(8), timesteps=torch.tensor([50, 50]))
    a = guidance.alphas_cumprod[50]
    sds = judge(values, question, make_rules(loss="sds"), guidance, reference.render)
    x0 = judge(values, question, make_rules(loss="x0"), guidance, reference.render)
    ratio = float(((1 - a) / a).sqrt())
    torch.testing.assert_close(x0.gradients.sh, ratio * sds.gradients.sh)


def test_the_image_gradient_is_clipped_on_its_way() -> None:
    """With a threshold close to zero all pixels pull alike; the report says so."""
    guidance, values = Fixed(torch.rand(1, 3, 8, 8, dtype=torch.float64)), make_values()
    question = make_question(8)
    free = judge(values, question, make_rules(), guidance, reference.render)
    tight = judge(values, question, make_rules(1e-6), guidance, reference.render)
    assert free.clip.clipped == 0 and tight.clip.clipped == 128
    assert tight.gradients.sh.abs().max() < 1e-3 * free.gradients.sh.abs().max()
    assert free.percentile == tight.percentile > 1e-6
    assert tight.loss == free.loss


def test_terms_on_the_picture_come_on_top() -> None:
    """Against all as one loss: x0 on latents, the decoded guess, and both terms of alpha."""
    size = 8
    target = 0.5 * torch.rand(1, 3, size, size, dtype=torch.float64)
    guidance, question, values = Fixed(target), make_question(size), make_values()
    terms = ImageTerms(decoded=0.3, sparse=0.2, opaque=0.05)
    verdict = judge(values, question, make_rules(image=terms), guidance, reference.render)
    weight = weight_of("sigma2", guidance.alphas_cumprod[question.timesteps]).view(2, 1, 1, 1)

    def loss(at: Parameters) -> float:
        frames = reference.render(activate(at), question.cameras, frozenset({"rgb", "alpha"}))
        a = frames.alpha.clamp(1e-12, 1 - 1e-12)
        image = frames.rgb + (1 - frames.alpha) * question.backgrounds[:, None, None, :]
        image = image.permute(0, 3, 1, 2)
        total = (0.5 * weight * (guidance.encode(image) - target).square()).sum()
        total = total + 0.15 * (image - guidance.decode(target)).square().sum()
        total = total + 0.2 * (a.square() + 0.01).sqrt().sum()
        # The slope is held inside a margin; no pixel here is outside it but empty ones.
        inside = (a > 1e-3) & (a < 1 - 1e-3)
        entropy = -(a * a.log() + (1 - a) * torch.log1p(-a))
        return float(total + 0.05 * entropy[inside].sum())

    rng = torch.Generator().manual_seed(1)
    got = verdict.gradients.sh
    direction = torch.randn(got.shape, generator=rng, dtype=torch.float64)
    h = 1e-5
    ahead, behind = (loss(replace(values, sh=values.sh + s * h * direction)) for s in (1, -1))
    assert (ahead - behind) / (2 * h) == pytest.approx(float((got * direction).sum()), rel=1e-4)
    plain = judge(values, question, make_rules(), guidance, reference.render)
    changed = verdict.gradients.logit_opacities - plain.gradients.logit_opacities
    assert changed.abs().max() > 1e-3


def test_bends_pull_in_units_of_the_clipped_percentile() -> None:
    """What a weight adds is the gradient of the bends alone, times the percentile."""
    size = 12
    guidance, question = (
        Fixed(torch.rand(1, 3, size, size, dtype=torch.float64)),
        make_question(size),
    )
    values = make_values(80)
    values = replace(values, logit_opacities=values.logit_opacities + 4)
    plain = judge(values, question, make_rules(), guidance, reference.render)
    smooth = judge(values, question, make_rules(smooth=0.7), guidance, reference.render)
    leaf = values.means.clone().requires_grad_()
    frames = reference.render(
        activate(replace(values, means=leaf)), question.cameras, frozenset({"alpha", "depth"})
    )
    bends = bending(frames.depth, frames.alpha, question.cameras.focal_px)
    (alone,) = torch.autograd.grad(bends, leaf)
    assert alone.abs().max() > 1e-3
    torch.testing.assert_close(
        smooth.gradients.means - plain.gradients.means, 0.7 * plain.percentile * alone
    )


def test_repair_looks_one_step_ahead_of_the_latents() -> None:
    """With a decoder that undoes the encoder the added direction is that of descent itself."""
    guidance, values = Fixed(0.5 * torch.rand(1, 3, 8, 8, dtype=torch.float64)), make_values()
    question = make_question(8)
    plain = judge(values, question, make_rules(), guidance, reference.render)
    rules = make_rules(image=ImageTerms(repair=1e-3))
    mended = judge(values, question, rules, guidance, reference.render)
    one, two = plain.gradients.sh.flatten(), mended.gradients.sh.flatten()
    # atanh' is positive: each channel keeps its sign, each pixel about doubles.
    assert torch.nn.functional.cosine_similarity(one, two, dim=0) > 0.9
    assert 1.5 < float(two.norm() / one.norm()) < 2.5


def test_clipping_comes_after_the_terms() -> None:
    guidance, values = Fixed(torch.rand(1, 3, 8, 8, dtype=torch.float64)), make_values()
    rules = make_rules(1e-6, image=ImageTerms(decoded=1e3))
    tight = judge(values, make_question(8), rules, guidance, reference.render)
    free = judge(values, make_question(8), make_rules(), guidance, reference.render)
    assert tight.clip.clipped == 128
    assert tight.gradients.sh.abs().max() < 1e-3 * free.gradients.sh.abs().max()


def test_seen_and_score_come_from_the_views() -> None:
    values = make_values(3)
    behind = torch.tensor([[0.0, 0, 0], [0, 0, 5.0], [0, 5.0, 0]], dtype=torch.float64)
    values = replace(values, means=behind)
    guidance = Fixed(torch.rand(1, 3, 8, 8, dtype=torch.float64))
    verdict = judge(values, make_question(8), make_rules(), guidance, reference.render)
    assert verdict.seen[0] == 2 and verdict.seen[1] <= 1
    assert verdict.score[0] > 0 and verdict.score[verdict.seen == 0].sum() == 0


def test_views_add_up() -> None:
    """Two views at once give the sum of each by itself: nothing is divided by their number."""
    guidance, values = Fixed(torch.rand(1, 3, 8, 8, dtype=torch.float64)), make_values()
    both = make_question(8)

    def only(k: int) -> Question:
        row = slice(k, k + 1)
        cameras = replace(
            both.cameras,
            world_to_camera=both.cameras.world_to_camera[row],
            focal_px=both.cameras.focal_px[row],
            center_px=both.cameras.center_px[row],
        )
        return Question(
            cameras, both.backgrounds[row], both.text, both.unconditional, both.timesteps[row],
            both.noise[row],
        )  # fmt: skip

    whole = judge(values, both, make_rules(), guidance, reference.render)
    one, two = (judge(values, only(k), make_rules(), guidance, reference.render) for k in (0, 1))
    torch.testing.assert_close(whole.score, one.score + two.score)
    torch.testing.assert_close(whole.seen, one.seen + two.seen)
    for name in NAMES:
        parts = [getattr(part.gradients, name) for part in (one, two)]
        torch.testing.assert_close(getattr(whole.gradients, name), parts[0] + parts[1])


def test_the_first_steps_are_as_long_as_the_rates_say() -> None:
    """Adam's moments start at zero, which is made up for: under a steady gradient every step is
    one rate long, times the fall over the run."""
    config = replace(SMALL, iterations=4, rates=Rates(means_m=0.1, final_share=0.001))
    state = make_state(3)
    ones = Parameters(*(torch.ones_like(getattr(state.population.values, n)) for n in NAMES))
    for state.iteration, expected in enumerate((0.1, 0.01, 0.001, 0.0001)):
        before = state.population.values.means
        state.population = loop._moved(state, ones, config)
        state.adam_steps += 1
        moved = before - state.population.values.means
        torch.testing.assert_close(moved, torch.full((3, 3), expected), rtol=1e-3, atol=1e-7)


# --- what goes wrong ---


class Spoiled(OracleGuidance):
    """An oracle that answers with NaN in some iterations."""

    bad: frozenset[int] = frozenset()
    asked = 0

    def predict(self, z_t, t, condition) -> Prediction:
        guess = super().predict(z_t, t, condition)
        iteration = self.asked // 2
        self.asked += 1
        if iteration in self.bad:
            return Prediction(guess.eps * math.nan, guess.x0 * math.nan)
        return guess


def spoiled(bad: range | tuple[int, ...]) -> Spoiled:
    whole = striped_ball.oracle(32, per_word=1)
    made = Spoiled(whole._pictures, *whole._angles.T, striped_ball.WORDS)
    made.bad = frozenset(bad)
    return made


def run_loop(guidance, folder: Path, config=SMALL, saved=None) -> checkpoint.State:
    ctx = context(folder)
    save = (lambda state: None) if saved is None else saved
    return loop.distill(
        make_work(guidance, config), Embedded(guidance), make_state(), ctx, save, lambda state: None
    )


def test_bad_steps_are_skipped_counted_and_named(tmp_path, caplog) -> None:
    state = run_loop(spoiled((3, 4, 9)), tmp_path)
    skipped = [k for k, flag in enumerate(state.log["skipped"]) if flag]
    assert skipped == [3, 4, 9] and state.adam_steps == 24 - 3
    assert state.bad_in_row == 0
    for name in NAMES:
        for part in (state.population.values, state.population.first, state.population.second):
            assert torch.isfinite(getattr(part, name)).all()
    assert "iteration 3 skipped: prediction is not finite" in caplog.text


def test_too_many_bad_steps_end_the_run_with_the_last_good_state(tmp_path) -> None:
    kept: list[checkpoint.State] = []
    config = replace(SMALL, density=Density(every=0), checkpoint_every_s=1e9)
    with pytest.raises(InputError, match="10 steps in a row were not finite") as caught:
        run_loop(spoiled(range(2, 99)), tmp_path, config, kept.append)
    assert "\n" not in str(caught.value) and str(tmp_path) in str(caught.value)
    (state,) = kept
    assert state.iteration == 12 and state.adam_steps == 2
    assert all(torch.isfinite(getattr(state.population.values, name)).all() for name in NAMES)


def test_a_single_bad_pixel_is_zeroed_and_the_step_is_kept(tmp_path) -> None:
    class OnePixel(OracleGuidance):
        def encode(self, images):
            if images.requires_grad:
                images.register_hook(self._spoil)
            return super().encode(images)

        @staticmethod
        def _spoil(g: torch.Tensor) -> torch.Tensor:
            g = g.clone()
            g[0, 1, 5, 5] = math.inf
            return g

    whole = striped_ball.oracle(32, per_word=1)
    model = OnePixel(whole._pictures, *whole._angles.T, striped_ball.WORDS)
    state = run_loop(model, tmp_path, replace(SMALL, iterations=3))
    assert state.log["nonfinite_share"] == [2 / (4 * 32 * 32)] * 3
    assert not any(state.log["skipped"])


# --- calibration, number of Gaussians, checkpoints ---


def test_the_calibrated_threshold_is_the_median_of_the_percentiles(tmp_path) -> None:
    state = run_loop(striped_ball.oracle(32, per_word=1), tmp_path)
    samples = sorted(state.clip_samples)
    assert len(samples) == 40
    assert state.clip_threshold == (samples[19] + samples[20]) / 2


@pytest.mark.parametrize("error", [KeyboardInterrupt, InputError])
def test_leaving_early_does_not_wait_for_views_in_work(error: type[BaseException]) -> None:
    begun, go_on, done = (threading.Event() for _ in range(3))

    def work(_: object) -> None:
        begun.set()
        go_on.wait(60)
        done.set()

    def ask(spread) -> None:
        # The pool may be gone before the second view is handed to it.
        with suppress(CancelledError, RuntimeError):
            spread(work, [None, None])

    with pytest.raises(error), workers.workers(2) as spread:
        caller = threading.Thread(target=ask, args=(spread,))
        caller.start()
        assert begun.wait(60)
        raise error
    assert not done.is_set()
    go_on.set()
    caller.join(60)
    assert done.wait(60)


def test_removing_stops_at_a_few(tmp_path) -> None:
    config = replace(SMALL, density=Density(every=6, min_opacity=0.99))
    state = run_loop(striped_ball.oracle(32, per_word=1), tmp_path, config)
    assert len(state.population) >= 32


def test_checkpoints_keep_every_bit(tmp_path) -> None:
    state = make_state(7)
    state.iteration, state.adam_steps, state.bad_in_row = 3, 2, 1
    state.clip_samples, state.clip_threshold = [0.1, 1 / 3], 0.2 / 3
    state.score_sum = torch.rand(7, generator=torch.Generator().manual_seed(0))
    state.log["loss"] = [1 / 3, 2.0, 1e-30]
    checkpoint.save(state, tmp_path, "x")
    again = checkpoint.load(tmp_path, "x", "cpu")
    assert again is not None
    for part in ("values", "first", "second"):
        for name in NAMES:
            old = getattr(getattr(state.population, part), name)
            assert torch.equal(old, getattr(getattr(again.population, part), name))
    assert torch.equal(again.score_sum, state.score_sum)
    for name in ("iteration", "adam_steps", "bad_in_row", "clip_samples", "clip_threshold", "log"):
        assert getattr(again, name) == getattr(state, name)
    assert checkpoint.load(tmp_path, "y", "cpu") is None
