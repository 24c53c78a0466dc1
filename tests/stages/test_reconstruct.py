"""Training on photographs, whole: what comes out, interruption, threads, refusals, the command."""

import json
import logging
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from splatworks.pipeline.cli import main
from splatworks.pipeline.contract import Context
from splatworks.pipeline.errors import InputError
from splatworks.stages import reconstruct
from splatworks.stages.artifacts import CaptureDir
from splatworks.stages.formats import cameras, splats
from splatworks.stages.reconstruct.settings import Density, Rates, Start, Views

from . import photo_folders as made

SMALL = reconstruct.Config(
    iterations=60,
    sh_degree=1,
    sh_every=20,
    views=Views(hold_out_every=6, coarse_levels=1, coarse_share=0.3),
    start=Start(gaussians=300, outside_share=0.0),
    rates=Rates(means=2e-3, means_final=2e-4, log_scales=0.02, quaternions=0.01, sh=0.03),
    density=Density(every=10, first=10, max_gaussians=360, gradient=1e-5, reset_every=0),
    checkpoint_every_s=0.0,
    evaluate_every=20,
)


class Killed(Exception):
    """Stands for anything that ends a process."""


def context(folder: Path, *, threads: int = 1, stop_at: int = -1) -> Context:
    for name in ("out", "scratch"):
        (folder / name).mkdir(parents=True, exist_ok=True)

    @contextmanager
    def opened(title: str, total: int, done: int = 0):
        class Bar:
            position = done

            def advance(self, steps: int = 1, note: str = "") -> None:
                self.position += steps
                if self.position == stop_at:
                    raise Killed

        yield Bar()

    return Context(
        out=folder / "out", scratch=folder / "scratch", log=logging.getLogger("reconstruct"),
        progress=opened, seed=5, device="cpu", threads=threads, memory_bytes=2**31,
    )  # fmt: skip


@pytest.fixture(scope="module")
def capture(tmp_path_factory) -> reconstruct.Inputs:
    torch.set_num_threads(1)
    return reconstruct.Inputs(CaptureDir(made.nerfstudio(tmp_path_factory.mktemp("c") / "n", 36)))


@pytest.fixture(scope="module", params=["densify", "mcmc"])
def strategy(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def config(strategy) -> reconstruct.Config:
    return replace(SMALL, density=replace(SMALL.density, strategy=strategy))


@pytest.fixture(scope="module")
def whole(capture, config, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    reconstruct.run(capture, config, context(folder))
    return folder / "out"


def results(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_what_comes_out(whole, strategy) -> None:
    assert set(results(whole)) == {
        "splats.ply", "splats.json", "cameras.json", "report.json", "preview.png",
        "exposures.json",
    }  # fmt: skip
    made_of = splats.load(whole / "splats.ply")
    assert made_of.sidecar.up_axis == "+z" and made_of.sh.shape[1] == 4
    assert 32 <= len(made_of) <= 360
    report = json.loads((whole / "report.json").read_text())
    assert report["photographs"] == 30 and len(report["kept_aside"]) == 6
    assert report["kept_aside"][0]["name"] == "000.png" and report["missing"] == []
    assert report["psnr_db"] > 17 and 0 < report["ssim"] <= 1
    assert len(cameras.load(whole / "cameras.json").world_to_camera) == 30
    if strategy == "mcmc":
        assert len(made_of) == 346  # 300 times 1.05, three times, rounded down.


def test_two_threads_give_the_same_bytes_as_one(capture, config, whole, tmp_path) -> None:
    reconstruct.run(capture, config, context(tmp_path, threads=2))
    assert results(tmp_path / "out") == results(whole)


@pytest.mark.parametrize("stop_at", [1, 31, 60])
def test_interrupted_and_continued_gives_the_same(
    capture, config, whole, tmp_path, stop_at
) -> None:
    with pytest.raises(Killed):
        reconstruct.run(capture, config, context(tmp_path, stop_at=stop_at))
    assert not list((tmp_path / "out").iterdir())
    reconstruct.run(capture, config, context(tmp_path))
    assert results(tmp_path / "out") == results(whole)


def test_how_often_it_is_judged_changes_nothing(capture, config, whole, tmp_path) -> None:
    calm = replace(config, evaluate_every=0, checkpoint_every_s=1e9)
    reconstruct.run(capture, calm, context(tmp_path))
    assert results(tmp_path / "out") == results(whole)


def test_longer_training_is_better_on_photographs_never_seen(tmp_path, capture) -> None:
    found = []
    for count in (20, 240):
        config = replace(SMALL, iterations=count, evaluate_every=0)
        reconstruct.run(capture, config, context(tmp_path / str(count)))
        report = json.loads((tmp_path / str(count) / "out" / "report.json").read_text())
        found.append(report["psnr_db"])
    assert found[1] > found[0] + 3 and found[1] > 20


@pytest.mark.parametrize("kind", ["blender", "colmap"])
def test_every_kind_of_capture_is_trained_on(tmp_path, kind) -> None:
    if kind == "blender":
        folder = made.blender(tmp_path / "c", 26)
    else:
        folder = made.colmap(tmp_path / "c", binary=True, count=26)
    config = replace(
        SMALL, iterations=40, evaluate_every=0, views=replace(SMALL.views, background="random")
    )
    reconstruct.run(reconstruct.Inputs(CaptureDir(folder)), config, context(tmp_path))
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert len(report["kept_aside"]) == (2 if kind == "blender" else 5)
    assert report["psnr_db"] > 13


@pytest.mark.parametrize("kind", ["nerfstudio", "colmap"])
def test_the_cap_holds_from_the_beginning(tmp_path, kind) -> None:
    """At random, and with 60 points given."""
    folder = tmp_path / "c"
    made.colmap(folder, binary=True) if kind == "colmap" else made.nerfstudio(folder, 9)
    tight = replace(SMALL.density, max_gaussians=40)
    config = replace(SMALL, iterations=1, evaluate_every=0, density=tight)
    reconstruct.run(reconstruct.Inputs(CaptureDir(folder)), config, context(tmp_path))
    assert len(splats.load(tmp_path / "out" / "splats.ply")) == 40


def test_missing_photographs_are_said_once(tmp_path, caplog) -> None:
    folder = made.nerfstudio(tmp_path / "c", 9)
    for k in range(1, 8):
        (folder / "images" / f"{k:03d}.png").unlink()
    (folder / "images" / "007.png").unlink(missing_ok=True)
    config = replace(SMALL, iterations=1, views=Views(hold_out_every=0), evaluate_every=0)
    reconstruct.run(reconstruct.Inputs(CaptureDir(folder)), config, context(tmp_path))
    said = [r.message for r in caplog.records if "not there" in r.message]
    assert len(said) == 1 and "7 of 9 listed photographs" in said[0] and "and 2 more" in said[0]
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["psnr_db"] is None and len(report["missing"]) == 7


def test_what_cannot_fit_is_refused_with_the_figures(capture, tmp_path) -> None:
    tight = replace(context(tmp_path), memory_bytes=1_000_000)
    with pytest.raises(InputError, match=r"up to 0\.\d GB, 0\.0 GB may be used") as caught:
        reconstruct.run(capture, SMALL, tight)
    assert "max_side_px" in str(caught.value) and "max_gaussians" in str(caught.value)


def test_the_command(tmp_path, capsys) -> None:
    folder = made.nerfstudio(tmp_path / "c", 9)
    words = [
        "reconstruct", str(folder), "--out", str(tmp_path / "run"), "--iterations", "12",
        "--max-gaussians", "200", "--set", "reconstruct.start.gaussians=150", "--threads", "1",
    ]  # fmt: skip
    assert main(words) == 0
    said = capsys.readouterr().out
    assert "Gaussians from 7 photographs" in said and "on 2 kept aside" in said
    assert "with exposures evened" in said
    assert (tmp_path / "run" / "latest" / "reconstruct" / "splats.ply").is_file()
    assert main(words) == 0
    assert "reused" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words, said",
    [
        (["nothing", "--out", "run"], "nothing: no such directory"),
        (["c", "--out", "c/run"], "lies inside the capture"),
        (["c", "--out", "run", "--iterations", "0"], "iterations must be at least 1"),
        (["empty", "--out", "run"], "no capture"),
    ],
)
def test_bad_input_is_one_line(tmp_path, monkeypatch, capsys, words, said) -> None:
    made.nerfstudio(tmp_path / "c", 4)
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    assert main(["reconstruct", *words]) == 2
    text = capsys.readouterr().err
    assert said in text and "Traceback" not in text
