"""The distillation stage on an oracle, and on a tiny real pipeline."""

import logging
import math
import os
import signal
import subprocess
import sys
import warnings
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch
from splatworks.pipeline.contract import Context
from splatworks.pipeline.errors import InputError
from splatworks.renderers import cpu, reference
from splatworks.stages import distill
from splatworks.stages.artifacts import GuidanceDir, PromptFile, SplatsFile
from splatworks.stages.distill import checkpoint, loop
from splatworks.stages.distill.judge import Question, Rules, judge
from splatworks.stages.distill.losses import weight_of
from splatworks.stages.distill.ramp import Ramp
from splatworks.stages.distill.settings import Clipping, Density
from splatworks.stages.formats import prompts, splats
from splatworks.stages.formats import tensors as tensor_files
from splatworks.stages.geometry.activation import Parameters, activate, deactivate
from splatworks.stages.guidance.oracle import OracleGuidance
from splatworks.stages.guidance.protocol import Condition, Prediction
from splatworks.stages.shape.blob import blob

from . import striped_ball, tiny_pipeline

NAMES = [entry.name for entry in fields(Parameters)]
UNSEEN = [(22.5 + 45 * k, (-2.5, 22.5)[k % 2]) for k in range(8)]
SMALL = distill.Config(
    iterations=24,
    guidance_scale=1.0,
    noise_max=Ramp(start=0.6, stop=0.2),
    noise_min=Ramp(start=0.1, stop=0.02),
    density=Density(every=6, max_gaussians=220, grow_share=0.3),
    checkpoint_every_s=0.0,
)


class Killed(Exception):
    """Stands for anything that ends a process."""


def progress(stop_at: int = -1, seen: list[str] | None = None):
    """A bar that raises after `stop_at` iterations."""

    @contextmanager
    def opened(title: str, total: int, done: int = 0):
        class Bar:
            position = done

            def advance(self, steps: int = 1, note: str = "") -> None:
                self.position += steps
                if seen is not None:
                    seen.append(note)
                if self.position == stop_at:
                    raise Killed

        yield Bar()

    return opened


def context(folder: Path, *, threads: int = 1, stop_at: int = -1, seen=None) -> Context:
    for name in ("out", "scratch"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    return Context(
        out=folder / "out", scratch=folder / "scratch", log=logging.getLogger("distill"),
        progress=progress(stop_at, seen), seed=5, device="cpu", threads=threads,
        memory_bytes=2**30,
    )  # fmt: skip


def write_inputs(folder: Path, model: Path, gaussians: int = 150) -> distill.Inputs:
    start = deactivate(blob(gaussians, 0.5, seed=0))
    raw = splats.RawSplats(**{name: getattr(start, name).numpy() for name in NAMES})
    splats.save(raw, folder / "start.ply")
    prompts.save(prompts.Prompt("a striped ball"), folder / "prompt.json")
    return distill.Inputs(
        PromptFile(folder / "prompt.json"), GuidanceDir(model), SplatsFile(folder / "start.ply")
    )


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> distill.Inputs:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("distill")
    striped_ball.oracle(32, per_word=3).save(folder / "oracle")
    return write_inputs(folder, folder / "oracle")


@pytest.fixture(scope="module")
def whole(inputs, tmp_path_factory) -> Path:
    """An uninterrupted run."""
    folder = tmp_path_factory.mktemp("whole")
    distill.run(inputs, SMALL, context(folder))
    return folder


def results(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted((folder / "out").iterdir())}


# --- does it work ---


def test_an_object_is_recovered_without_a_prior(tmp_path) -> None:
    """At 48 pixels in 120 iterations: over 20 dB on what the object covers, from views that lie
    half way between those that the oracle has ever shown. Measured: 23.4."""
    striped_ball.oracle().save(tmp_path / "oracle")
    inputs = write_inputs(tmp_path, tmp_path / "oracle", gaussians=800)
    config = distill.Config(
        iterations=120,
        guidance_scale=1.0,
        noise_max=Ramp(start=0.7, stop=0.2),
        noise_min=Ramp(start=0.2, stop=0.02),
        density=Density(every=20, max_gaussians=2000),
    )
    done = distill.run(inputs, config, context(tmp_path))
    views = striped_ball.cameras(UNSEEN, 48)
    frames = cpu.render(activate(splats.load(done.splats.path)), views)
    made = frames.rgb + (1 - frames.alpha) * 0.5
    rgba = striped_ball.pictures(views)
    wanted = rgba[..., :3] * rgba[..., 3:] + (1 - rgba[..., 3:]) * 0.5
    covered = (frames.alpha[..., 0] > 0.05) | (rgba[..., 3] > 0)
    error = (made - wanted)[covered].square().mean().item()
    assert -10 * math.log10(error) >= 20
    outside = frames.alpha[..., 0][rgba[..., 3] == 0]
    assert outside.mean() < 0.05


def test_outputs_and_log(inputs, whole) -> None:
    made = splats.load(whole / "out" / "splats.ply")
    assert 32 <= len(made) <= 220
    log, metadata = tensor_files.load(whole / "out" / "log.safetensors")
    assert set(log) == set(checkpoint.LOG_COLUMNS)
    assert all(column.shape == (24,) for column in log.values())
    assert log["loss"][-5:].mean() < log["loss"][:5].mean()
    assert not log["skipped"].any() and not log["nonfinite_share"].any()
    assert not log["clipped_share"][:20].any()  # The calibration does not clip,
    assert 0 < log["clipped_share"][20:].mean() < 0.1  # and a hundredth is clipped after it.
    assert metadata["clip_threshold"] > 0
    assert log["gaussians"].max() <= 220 and len(log["gaussians"].unique()) > 1
    assert (whole / "out" / "preview.png").is_file()


def test_the_bar_says_how_it_goes(inputs, tmp_path) -> None:
    seen: list[str] = []
    distill.run(inputs, replace(SMALL, iterations=2), context(tmp_path, seen=seen))
    assert len(seen) == 2
    assert all(part in seen[-1] for part in ("loss", "clipped", "Gaussians", "s/it"))


# --- exactness ---


def test_two_threads_give_the_same_bytes_as_one(inputs, whole, tmp_path) -> None:
    distill.run(inputs, SMALL, context(tmp_path, threads=2))
    assert results(tmp_path) == results(whole)


@pytest.mark.parametrize("stop_at", [1, 5, 12, 20, 23])
def test_interrupted_and_continued_gives_the_same_bytes(inputs, whole, tmp_path, stop_at) -> None:
    """Before and after a change of the number, and during and after the calibration."""
    with pytest.raises(Killed):
        distill.run(inputs, SMALL, context(tmp_path, stop_at=stop_at))
    assert not (tmp_path / "out" / "splats.ply").exists()
    kept = sorted(path.name for path in (tmp_path / "scratch").glob("checkpoint-*"))
    assert kept == [f"checkpoint-{k:07d}.safetensors" for k in (stop_at - 2, stop_at - 1) if k > 0]
    seen: list[str] = []
    distill.run(inputs, SMALL, context(tmp_path, seen=seen))
    assert len(seen) == 24 - (stop_at - 1)  # It went on, it did not start again.
    assert results(tmp_path) == results(whole)


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
import pytest
from tests.stages import test_distill as t
from splatworks.stages import distill
from splatworks.stages.artifacts import GuidanceDir, PromptFile, SplatsFile

class Kill(t.Killed):
    def __init__(self):
        os.kill(os.getpid(), signal.SIGKILL)

t.Killed = Kill
inputs = distill.Inputs(*(kind(Path(path)) for kind, path in zip(
    (PromptFile, GuidanceDir, SplatsFile), {paths!r})))
distill.run(inputs, t.SMALL, t.context(Path({folder!r}), stop_at={stop_at}))
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
@pytest.mark.parametrize("stop_at", [9, pytest.param(17, marks=pytest.mark.slow)])
def test_a_killed_process_is_continued_to_the_same_bytes(inputs, whole, tmp_path, stop_at) -> None:
    root = str(Path(__file__).resolve().parents[2])
    paths = [str(inputs.prompt.path), str(inputs.guidance.path), str(inputs.splats.path)]
    script = KILLED.format(tests=root, paths=paths, folder=str(tmp_path), stop_at=stop_at)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, cwd=root)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    assert not (tmp_path / "out" / "splats.ply").exists()
    seen: list[str] = []
    distill.run(inputs, SMALL, context(tmp_path, seen=seen))
    assert len(seen) == 24 - (stop_at - 1)
    assert results(tmp_path) == results(whole)


def test_a_damaged_checkpoint_gives_way_to_the_one_before(inputs, whole, tmp_path) -> None:
    with pytest.raises(Killed):
        distill.run(inputs, SMALL, context(tmp_path, stop_at=10))
    newest = tmp_path / "scratch" / "checkpoint-0000009.safetensors"
    newest.write_bytes(newest.read_bytes()[:-50])
    seen: list[str] = []
    distill.run(inputs, SMALL, context(tmp_path, seen=seen))
    assert len(seen) == 24 - 8
    assert results(tmp_path) == results(whole)


def test_another_configurations_checkpoint_is_not_used(inputs, tmp_path) -> None:
    with pytest.raises(Killed):
        distill.run(inputs, SMALL, context(tmp_path, stop_at=10))
    seen: list[str] = []
    distill.run(inputs, replace(SMALL, iterations=3), context(tmp_path, seen=seen))
    assert len(seen) == 3


def test_the_seed_matters(inputs, whole, tmp_path) -> None:
    distill.run(inputs, SMALL, replace(context(tmp_path), seed=6))
    assert results(tmp_path)["splats.ply"] != results(whole)["splats.ply"]


# --- what the loop asks ---


def make_task(guidance, config=SMALL, prompt: str = "a striped ball") -> loop.Task:
    return loop.Task(guidance, cpu.render, prompt, "", config, seed=5, device="cpu")


def make_state(count: int = 60) -> checkpoint.State:
    return checkpoint.start(deactivate(blob(count, 0.5, seed=0)))


def test_the_words_of_each_view_are_really_passed() -> None:
    """The condition of each question is that of a caption made from its camera's pose."""
    guidance = striped_ball.oracle(16, per_word=1)
    task, state = make_task(guidance), make_state()
    for state.iteration in range(20):
        for question in loop.questions(task, state, lambda text: guidance.embed([text])):
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
        SMALL, iterations=11, noise_max=Ramp(start=0.9, stop=0.5), noise_min=Ramp(start=0.3, stop=0)
    )
    task, state = make_task(guidance, config), make_state()
    for state.iteration, low, high in ((0, 0.3, 0.9), (5, 0.15, 0.7), (10, 0.0, 0.5)):
        found = []
        for seed in range(40):
            asked = loop.questions(
                replace(task, seed=seed), state, lambda text: guidance.embed([text])
            )
            found += [t for question in asked for t in question.timesteps.tolist()]
        assert round(low * 999) <= min(found) <= round(low * 999) + 30
        assert round(high * 999) - 30 <= max(found) <= round(high * 999)


def test_views_are_grouped_by_two_whatever_the_threads() -> None:
    guidance = striped_ball.oracle(16, per_word=1)
    config = replace(SMALL, views_per_step=5)
    asked = loop.questions(
        make_task(guidance, config), make_state(), lambda text: guidance.embed([text])
    )
    assert [len(question.timesteps) for question in asked] == [2, 2, 1]


class Fixed:
    """Its pictures are latents, and it always wants the same one."""

    alphas_cumprod = torch.linspace(0.999, 0.01, 100, dtype=torch.float64)

    def __init__(self, target: torch.Tensor) -> None:
        self.target = target

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        return torch.tanh(images)

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
    values = {"loss": "x0", "weight": "sigma2", "guidance_scale": 1.0, "method": "cfg"} | changes
    return Rules(**values, clip=Clipping(), clip_threshold=threshold)


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


def test_seen_and_score_come_from_the_views() -> None:
    values = make_values(3)
    behind = torch.tensor([[0.0, 0, 0], [0, 0, 5.0], [0, 5.0, 0]], dtype=torch.float64)
    values = replace(values, means=behind)
    guidance = Fixed(torch.rand(1, 3, 8, 8, dtype=torch.float64))
    verdict = judge(values, make_question(8), make_rules(), guidance, reference.render)
    assert verdict.seen[0] == 2 and verdict.seen[1] <= 1
    assert verdict.score[0] > 0 and verdict.score[verdict.seen == 0].sum() == 0


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
    return loop.distill(make_task(guidance, config), make_state(), ctx, save, lambda state: None)


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


def test_a_fixed_threshold_holds_from_the_start(inputs, tmp_path) -> None:
    config = replace(SMALL, iterations=3, clip=Clipping(calibrate=False, threshold=1e-9))
    done = distill.run(inputs, config, context(tmp_path))
    log, _ = tensor_files.load(done.log.path)
    assert (log["clipped_share"] > 0.3).all()  # All but the plain background.


def test_the_calibrated_threshold_is_the_median_of_the_percentiles(tmp_path) -> None:
    state = run_loop(striped_ball.oracle(32, per_word=1), tmp_path)
    samples = sorted(state.clip_samples)
    assert len(samples) == 40
    assert state.clip_threshold == (samples[19] + samples[20]) / 2


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


# --- a real pipeline ---


@pytest.mark.parametrize("loss, method, norm", [("sds", "cfg", "l2"), ("x0", "apg", "linf")])
def test_a_real_pipeline_with_all_that_it_can_say(tmp_path, caplog, loss, method, norm) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = tiny_pipeline.build(
            tmp_path / "model", prediction_type="v_prediction", closed_vocabulary=True
        )
    (model / "view_words.json").write_text(
        '{"template": "{prompt}, {azimuth} view", "jitter_deg": 5, "azimuth": '
        '[{"word": "front", "center_deg": 0}, {"word": "back", "center_deg": 180}], '
        '"backgrounds": [{"name": "red", "rgb": [1, 0, 0]}], '
        '"background_template": "{prompt} {background}", "close_up_template": "a {prompt}"}'
    )
    inputs = write_inputs(tmp_path, model)
    config = replace(
        SMALL, iterations=3, guidance_scale=7.5, loss=loss, method=method, close_up_share=0.5,
        clip=Clipping(norm=norm),
    )  # fmt: skip
    one, two = tmp_path / "one", tmp_path / "two"
    distill.run(inputs, config, context(one))
    assert "does not know: striped, ball" in caplog.text
    distill.run(inputs, config, context(two, threads=2))
    assert results(one) == results(two)
    log, _ = tensor_files.load(one / "out" / "log.safetensors")
    assert torch.isfinite(log["loss"]).all() and (log["loss"] > 0).all()
