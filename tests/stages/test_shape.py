"""The shape stage on an oracle that knows two balls."""

import logging
import math
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from splatworks.pipeline.contract import Context
from splatworks.renderers.choose import splat_renderer
from splatworks.stages import shape
from splatworks.stages.artifacts import GuidanceDir, PromptFile
from splatworks.stages.formats import pictures, prompts, splats
from splatworks.stages.geometry.activation import activate
from splatworks.stages.geometry.orbit import look_at_origin
from splatworks.stages.guidance.backgrounds import contrasting
from splatworks.stages.guidance.load import load
from splatworks.stages.guidance.oracle import OracleGuidance
from splatworks.stages.guidance.view_words import Background, ViewWords, Word
from splatworks.stages.shape.blob import SH_DC
from splatworks.stages.shape.fit import pictures_of
from splatworks.stages.shape.start import _agreed, _carved
from splatworks.stages.shape.views import Seen, plan_views

from . import balls

WORDS = ViewWords(
    template="{prompt}, {azimuth} view, {elevation}",
    azimuth=tuple(Word(f"{45 * k} degrees", 45.0 * k) for k in range(8)),
    elevation=(Word("level", 15.0), Word("overhead", 45.0)),
    jitter_deg=5.0,
    background_template="{prompt}, {background} background",
    backgrounds=(Background("white", (1, 1, 1)), Background("gray", (0.5, 0.5, 0.5))),
)


@contextmanager
def silent(title: str, total: int, done: int = 0):
    class Bar:
        def advance(self, steps: int = 1, note: str = "") -> None: ...

    yield Bar()


def context(tmp_path: Path, threads: int = 1) -> Context:
    out = tmp_path / f"out{threads}"
    out.mkdir()
    return Context(
        out=out,
        scratch=tmp_path,
        log=logging.getLogger("test"),
        progress=silent,
        seed=7,
        device="cpu",
        threads=threads,
        memory_bytes=2**30,
    )


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> shape.Inputs:
    folder = tmp_path_factory.mktemp("shape")
    azimuths = [word.center_deg for word in WORDS.azimuth] * 2
    elevations = [15.0] * 8 + [45.0] * 8
    views = look_at_origin(azimuths, elevations, distance_m=1.8, fovy_deg=40, size_px=(64, 64))
    rgba = (balls.pictures(views).permute(0, 3, 1, 2) * 255).round().byte()
    model = OracleGuidance(rgba, torch.tensor(azimuths), torch.tensor(elevations), WORDS)
    model.save(folder / "oracle")
    prompts.save(prompts.Prompt("a red ball and a blue ball"), folder / "prompt.json")
    return shape.Inputs(PromptFile(folder / "prompt.json"), GuidanceDir(folder / "oracle"))


def test_the_hull_has_the_form_and_colors_of_the_object(inputs, tmp_path: Path) -> None:
    config = shape.Config(sampling_steps=4, guidance_scale=1.0, disagreeing_views=0, fit_steps=0)
    made = shape.run(inputs, config, context(tmp_path))
    found = splats.load(made.splats.path)
    points = torch.from_numpy(found.means)
    assert balls.signed_distance(points).abs().mean() < 0.02
    top = points[:, 1] > 0.3
    color = found.sh[top.numpy(), 0].mean(0) * SH_DC + 0.5
    assert color[2] > 0.7 and color[0] < 0.3
    understood = pictures.load(made.understood.path)
    assert understood.shape[1] > 8 * 64 and understood.std() > 0.05


def test_fitting_and_drawing_again_bring_it_nearer_to_the_object(inputs, tmp_path: Path) -> None:
    """From a hull that is much too fat, as one of views that disagree is."""
    views = look_at_origin([20, 130, 250], [25] * 3, distance_m=1.8, fovy_deg=40, size_px=(64, 64))
    gray = torch.full((3, 3), 0.5)
    true = balls.over(balls.pictures(views), gray[0])

    def error(folder: str, **settings: object) -> float:
        config = shape.Config(sampling_steps=4, guidance_scale=1.0, resolution=24, **settings)
        (tmp_path / folder).mkdir()
        made = shape.run(inputs, config, context(tmp_path / folder))
        gaussians = activate(splats.load(made.splats.path))
        return float(
            (pictures_of(gaussians, gray, views, splat_renderer("cpu")) - true).abs().mean()
        )

    start = error("hull", fit_steps=0)
    once = error("once", fit_steps=30, redraw_above=1.0)
    twice = error(
        "twice", fit_steps=30, redraw_above=0.0, redraw_level=0.5, redraw_scale=1.0, redraw_steps=4
    )
    assert once < 0.6 * start
    assert twice < once


def test_what_is_drawn_again_is_what_is_fitted_next(inputs, tmp_path: Path) -> None:
    """The first pictures have a green tint; the model, asked again, draws what it knows."""
    guidance = load(inputs.guidance.path)
    views = plan_views(WORDS, "two balls")
    cameras = views.cameras(WORDS, 64)
    rgba = balls.pictures(cameras)
    truth = balls.over(rgba, torch.ones(3))
    green = truth.clone()
    green[rgba[..., 3] > 0] *= torch.tensor([0.7, 1.0, 0.7])
    green[rgba[..., 3] > 0] += torch.tensor([0.0, 0.3, 0.0])
    seen = Seen(views, cameras, green, torch.ones(16, 3))
    config = shape.Config(
        redraw_above=0.0, redraw_scale=1.0, fit_steps=40, redraw_level=1.0, resolution=24
    )
    carved = _carved(seen, 0.5, config, context(tmp_path))
    assert carved is not None
    made, then = _agreed(guidance, "", carved, seen, config, context(tmp_path, 2))
    assert (then.images - truth).abs().mean() < 0.02
    shown = pictures_of(made, then.backgrounds, cameras, splat_renderer("cpu"))
    ball = rgba[..., 3] > 0
    assert (shown - truth)[ball].abs().mean() < 0.5 * (shown - green)[ball].abs().mean()


def test_colors_can_be_left_to_the_fit(inputs, tmp_path: Path) -> None:
    few = {"sampling_steps": 2, "resolution": 24, "fit_steps": 4, "redraw_steps": 2}
    made = []
    for run, wanted in enumerate((False, True), start=1):
        config = shape.Config(**few, recolor=wanted)
        made.append(splats.load(shape.run(inputs, config, context(tmp_path, run)).splats.path))
    assert abs(made[0].sh - made[1].sh).mean() > 0.01


def test_threads_do_not_change_the_result(inputs, tmp_path: Path) -> None:
    config = shape.Config(sampling_steps=2, resolution=24, fit_steps=6, redraw_steps=2)
    one = shape.run(inputs, config, context(tmp_path, 1)).splats.path.read_bytes()
    two = shape.run(inputs, config, context(tmp_path, 2)).splats.path.read_bytes()
    assert one == two


def test_the_cap_holds_and_a_blob_is_a_blob(inputs, tmp_path: Path) -> None:
    config = shape.Config(sampling_steps=2, max_gaussians=500, fit_steps=2, redraw_steps=1)
    made = shape.run(inputs, config, context(tmp_path, 1))
    assert len(splats.load(made.splats.path)) == 500
    config = shape.Config(method="blob", sampling_steps=1, blob_gaussians=300)
    made = shape.run(inputs, config, context(tmp_path, 2))
    means = splats.load(made.splats.path).means
    assert len(means) == 300
    assert (means**2).sum(1).max() <= (0.8 * 0.5) ** 2 + 1e-6


def test_the_background_contrasts_with_the_colors_of_the_prompt() -> None:
    red, sky = Background("red", (1.0, 0.1, 0.1)), Background("sky", (0.6, 0.8, 0.95))
    assert contrasting((red, sky), "a red mug") is sky
    assert contrasting((red, sky), "a skyblue mug") is red
    assert contrasting((), "a mug") is None


def test_no_background_that_a_shade_of_the_object_could_have() -> None:
    """Fins of a rocket are gray in any color, and white is gray in the shade."""
    pale = Background("pale", (0.6, 0.7, 0.7))
    assert contrasting((*WORDS.backgrounds, pale), "a red rocket with white stripes") is pale
    maroon = Background("maroon", (0.5, 0.02, 0.02))
    assert contrasting((maroon, pale), "a red mug") is pale


@pytest.mark.parametrize(
    "wrong",
    [
        {"sampling_steps": 0},
        {"redraw_steps": 0},
        {"resolution": 8},
        {"disagreeing_views": -1},
        {"fit_steps": -1},
        {"smooth": math.inf},
        {"redraw_level": 1.1},
        {"redraw_level": 0.0},
        {"redraw_above": -0.1},
        {"redraw_scale": -1.0},
        {"max_gaussians": 1},
    ],
)
def test_settings_out_of_range_are_refused(wrong: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        shape.Config(**wrong)
