"""The distillation stage on an oracle, and on a tiny real pipeline."""

import math
import os
import signal
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from splatworks.pipeline.errors import InputError
from splatworks.renderers import cpu
from splatworks.stages import distill
from splatworks.stages.distill import captions, checkpoint
from splatworks.stages.distill.questions import questions
from splatworks.stages.distill.ramp import Ramp
from splatworks.stages.distill.settings import Clipping, Density, Guide, Looks, Noise
from splatworks.stages.formats import splats
from splatworks.stages.formats import tensors as tensor_files
from splatworks.stages.geometry.activation import activate

from . import striped_ball, tiny_pipeline
from .distill_setup import (
    SMALL,
    Killed,
    context,
    make_task,
    write_inputs,
)

UNSEEN = [(22.5 + 45 * k, (-2.5, 22.5)[k % 2]) for k in range(8)]


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
        guide=Guide(scale=1.0),
        noise=Noise(max=Ramp(start=0.7, stop=0.2), min=Ramp(start=0.2, stop=0.02)),
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
    assert metadata["clipped_share"] == pytest.approx(log["clipped_share"][20:].mean())
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
from tests.stages import distill_setup as t
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


def test_a_fixed_threshold_holds_from_the_start(inputs, tmp_path) -> None:
    config = replace(SMALL, iterations=3, clip=Clipping(calibrate=False, threshold=1e-9))
    done = distill.run(inputs, config, context(tmp_path))
    log, metadata = tensor_files.load(done.log.path)
    assert (log["clipped_share"] > 0.3).all()  # All but the plain background.
    assert metadata["clipped_share"] == pytest.approx(log["clipped_share"].mean())


def test_clipping_that_does_nothing_is_said(inputs, tmp_path, caplog) -> None:
    caplog.set_level("INFO")
    config = replace(SMALL, iterations=3, clip=Clipping(calibrate=False, threshold=1e9))
    high = distill.run(inputs, config, context(tmp_path / "high"))
    assert "clipped 0.00 % of the pixels: so few that clipping changed nothing" in caplog.text
    config = replace(SMALL, iterations=3, clip=Clipping(norm="none", threshold=1e-9))
    none = distill.run(inputs, config, context(tmp_path / "none"))
    assert caplog.text.count("of the pixels") == 1  # Nothing to say where it is off.
    assert high.splats.path.read_bytes() == none.splats.path.read_bytes()


def test_without_view_words_the_model_is_not_told_the_side(inputs, tmp_path) -> None:
    config = replace(SMALL, iterations=2, views=Looks(name_sides=False))
    done = distill.run(inputs, config, context(tmp_path))
    _, metadata = tensor_files.load(done.conditions.path)
    assert all("view" not in text for text in metadata["texts"])


# --- a real pipeline ---


@pytest.mark.parametrize(
    "loss, method, norm",
    [
        ("sds", "cfg", "l2"),
        ("x0", "apg", "linf"),
        ("x0", "rescale", "linf"),
        ("csd", "cfg", "linf"),
        ("ism", "cfg", "linf"),
        ("sdi", "cfg", "linf"),
        ("vsd", "cfg", "linf"),
    ],
)
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
        SMALL, iterations=3, guide=Guide(scale=7.5, method=method), loss=loss,
        views=Looks(close_up_share=0.5),
        clip=Clipping(norm=norm),
    )  # fmt: skip
    one, two = tmp_path / "one", tmp_path / "two"
    distill.run(inputs, config, context(one))
    assert "does not know: striped, ball" in caplog.text
    distill.run(inputs, config, context(two, threads=2))
    assert results(one) == results(two)
    log, _ = tensor_files.load(one / "out" / "log.safetensors")
    assert torch.isfinite(log["loss"]).all() and (log["loss"] > 0).all()


def test_what_cannot_fit_is_refused_with_the_figures(tmp_path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = tiny_pipeline.build(tmp_path / "model")
    ctx = replace(context(tmp_path / "run"), memory_bytes=10_000)
    with pytest.raises(InputError, match=r"needs about 0.1 GB .* 0.1 GB are free") as caught:
        distill.run(write_inputs(tmp_path, model), SMALL, ctx)
    assert "views.per_step" in str(caught.value) and "\n" not in str(caught.value)
    assert not list((tmp_path / "run" / "out").iterdir())


def test_the_conditions_of_all_texts_are_kept(inputs, whole) -> None:
    tensors, metadata = tensor_files.load(whole / "out" / "conditions.safetensors")
    texts = metadata["texts"]
    assert "" in texts and len(texts) == len(set(texts)) == len(tensors)
    assert any(text.startswith("a striped ball") for text in texts)


@pytest.mark.parametrize("perp_neg, method", [(False, "rescale"), (True, "cfg")])
def test_every_text_that_is_asked_about_was_embedded(perp_neg, method) -> None:
    """The loop looks conditions up; a text that is missing would stop it in the middle."""
    guidance = striped_ball.oracle(16, per_word=1)
    config = replace(SMALL, guide=Guide(scale=2.0, method=method, perp_neg=perp_neg))
    task, aims = make_task(guidance, config), torch.zeros(1, 3)
    known = {text: guidance.embed([text]) for text in captions.captions_of(task)}
    for iteration in range(config.iterations):
        for question in questions(task, iteration, known, aims):
            assert (question.negatives is not None) == perp_neg
