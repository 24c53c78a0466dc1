"""Stitching: two ways of blending, going on after an interruption, more than two parts."""

import json
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from splatworks.pipeline.cli import main
from splatworks.renderers.choose import splat_renderer
from splatworks.stages.artifacts import SplatsFile
from splatworks.stages.formats import splats
from splatworks.stages.scene.recolor import base_colors
from splatworks.stages.stitch import Config, Inputs, harmonize, run
from splatworks.stages.stitch.checkpoint import begun
from splatworks.stages.stitch.seam import lab

from . import stitch_setup as parts
from .splat_objects import context
from .test_stitch import QUICK, small_problem

SMALL = Config(size_px=32, views=3, iterations=(20, 20), checkpoint_every_s=0)


def test_a_renderer_in_the_loop_gives_the_same(tmp_path: Path) -> None:
    """The plain loop against the weights that are made once."""
    config = replace(SMALL, **parts.PAPER)
    cached, plain = small_problem(config), small_problem(config, splat_renderer("cpu"))
    for one, two in zip(cached.views, plain.views, strict=True):
        torch.testing.assert_close(one.alpha, two.alpha, atol=2e-5, rtol=0)
        assert (one.inner != two.inner).float().mean() < 0.01
    sh = (cached.target.sh + 0.1).requires_grad_()
    slopes = [
        torch.autograd.grad(harmonize.losses(problem, sh, 1, None, config), sh)[0]
        for problem in (cached, plain)
    ]
    assert slopes[0].abs().max() > 0
    torch.testing.assert_close(*slopes, atol=1e-4 * float(slopes[0].abs().max()), rtol=0)
    ends = [
        harmonize.harmonized(p, None, config, context(tmp_path / str(k)), begun(p.start))
        for k, p in enumerate((cached, plain))
    ]
    moved = (ends[0] - cached.start).abs().mean()
    assert (ends[0] - ends[1]).abs().mean() < 0.01 * moved


def test_the_boundary_is_held_and_the_start_solves_the_rest() -> None:
    problem = small_problem(Config())
    members = problem.boundary.members
    assert (problem.start[members] == problem.wanted).all()
    assert not problem.free[members].any() and problem.free.sum() == 300 - len(members)
    change = (problem.start - problem.target.sh)[:, 0]
    assert (change.abs().sum(dim=1) > 0).float().mean() > 0.9, "carried to all that hang together"
    assert (problem.start[:, 1:] == problem.target.sh[:, 1:])[problem.free[:, 0, 0] > 0].all()
    plain = small_problem(Config(start="original"))
    assert (plain.start == plain.target.sh).all() and plain.free.all()


def test_the_settings_of_the_paper_run_through(tmp_path: Path) -> None:
    inputs = Inputs(
        SplatsFile(splats.save(parts.torus(300), tmp_path / "a.ply")),
        SplatsFile(splats.save(parts.ball(200), tmp_path / "b.ply")),
    )
    out = run(inputs, replace(SMALL, **parts.PAPER), context(tmp_path / "run"))
    report = json.loads((out.report.path / "report.json").read_text())
    assert 0 < report["seam_delta_e_after"] < 0.9 * report["seam_delta_e_before"]


def test_an_interrupted_run_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    inputs = Inputs(
        SplatsFile(splats.save(parts.torus(300), tmp_path / "a.ply")),
        SplatsFile(splats.save(parts.ball(200), tmp_path / "b.ply")),
    )
    whole = context(tmp_path / "whole")
    run(inputs, SMALL, whole)
    begins: list[int] = []

    def breaking(at: int):
        @contextmanager
        def progress(title: str, total: int, done: int = 0):
            begins.append(done)

            class Bar:
                count = done

                def advance(self, steps: int = 1, note: str = "") -> None:
                    self.count += steps
                    if self.count == at:
                        raise KeyboardInterrupt

            yield Bar()

        return progress

    cut = context(tmp_path / "cut")
    for at in (9, 31):  # Before and after the palette comes in; the bar moves before the file.
        with pytest.raises(KeyboardInterrupt):
            run(inputs, SMALL, replace(cut, progress=breaking(at)))
    run(inputs, SMALL, replace(cut, progress=breaking(-1)))
    assert begins == [0, 8, 30]
    for name in ("scene.ply", "target.ply", "report/report.json", "report/before-after.png"):
        assert (cut.out / name).read_bytes() == (whole.out / name).read_bytes(), name
    # One that is cut short, or of other settings, is not used.
    (saved,) = cut.scratch.glob("*.safetensors")
    saved.write_bytes(saved.read_bytes()[:1000])
    for folder, config in (("short", SMALL), ("other", replace(SMALL, rate=0.02))):
        begins.clear()
        again = replace(cut, out=tmp_path / folder, progress=breaking(-1))
        again.out.mkdir()
        run(inputs, config, again)
        assert begins == [0]
    assert (tmp_path / "short/scene.ply").read_bytes() == (whole.out / "scene.ply").read_bytes()


def test_more_parts_take_their_turns(tmp_path: Path, capsys) -> None:
    """A chain of balls; the last two are given in the wrong order, so that one has to wait."""

    def ball(x: float, color: tuple[float, float, float], name: str) -> Path:
        one = parts.ball(400)
        sh = np.broadcast_to((np.array(color) - 0.5) / 0.28209479177387814, one.sh.shape)
        means = one.means + np.float32([x, 0, 0])
        return splats.save(
            replace(one, means=means, sh=sh.astype(np.float32).copy()), tmp_path / f"{name}.ply"
        )

    source = ball(0, (0.8, 0.1, 0.1), "red")
    target = ball(0.45, (0.1, 0.8, 0.1), "green")
    third, last = ball(0.9, (0.1, 0.1, 0.8), "blue"), ball(1.35, (0.8, 0.8, 0.1), "yellow")
    words = ["stitch", str(target), str(source), "--then", str(last), "--then", str(third)]
    assert main([*words, *QUICK, "--tidy", "--out", str(tmp_path / "run")]) == 0
    said = capsys.readouterr().out
    assert "0 pruned" in said and " s\n" in said
    folder = tmp_path / "run/latest/stitch"
    report = json.loads((folder / "report/report.json").read_text())
    assert report["part"] == "target"
    assert [seam["part"] for seam in report["then"]] == ["part4", "part3"]
    names = [row["name"] for row in json.loads((folder / "parts/index.json").read_text())["scenes"]]
    assert names == ["target", "source", "part3", "part4"]
    red = lab(np.array([0.8, 0.1, 0.1]))
    for name in names:
        colors = base_colors(splats.load(folder / "parts" / f"{name}.ply").sh)
        assert np.linalg.norm(lab(colors).mean(axis=0) - red) < 12, name
    assert (splats.load(folder / "parts/source.ply").sh == splats.load(source).sh).all()
    assert len(splats.load(folder / "scene.ply")) == 1600
    apart = ball(9, (0.1, 0.1, 0.8), "apart")
    words = ["stitch", str(target), str(source), "--then", str(apart), *QUICK]
    assert main([*words, "--out", str(tmp_path / "none")]) == 2
    assert "part3 and source with target: target and source do not meet" in capsys.readouterr().err
    assert not list((tmp_path / "none").glob("stitch-*"))
