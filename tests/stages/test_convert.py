"""Splats through every format: what stays, what is lost, and which way is up."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from splatworks.pipeline.cli import main
from splatworks.pipeline.errors import InputError, MissingError
from splatworks.renderers import cpu
from splatworks.stages.convert.convert import read, upright
from splatworks.stages.formats import dot_splat, gsply_files, splats
from splatworks.stages.formats.splats import RawSplats, Sidecar
from splatworks.stages.geometry.activation import activate

from . import striped_ball
from .splat_objects import sphere


def scene(count: int = 300, degree: int = 3) -> RawSplats:
    """A sphere with colors that depend on the view."""
    made = sphere(count, 0.4, (0.1, -0.05, 0.2), opacity=0.8)
    rng = np.random.default_rng(0)
    rest = 0.15 * rng.normal(size=(count, (degree + 1) ** 2 - 1, 3))
    turns = rng.normal(size=(count, 4))
    return replace(
        made,
        sh=np.concatenate([made.sh, rest], axis=1).astype(np.float32),
        quaternions=turns.astype(np.float32),
        log_scales=(made.log_scales + 0.3 * rng.normal(size=(count, 3))).astype(np.float32),
    )


def pictures(of: RawSplats) -> torch.Tensor:
    views = striped_ball.cameras([(20, 10), (200, 40)], 64)
    return cpu.render(activate(of), views).rgb.clamp(0, 1)


def psnr(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(-10 * torch.log10((a - b).square().mean()))


def test_dot_splat_by_hand(tmp_path) -> None:
    one = RawSplats(
        means=np.array([[1, 2, 3]], np.float32),
        log_scales=np.log([[0.1, 0.2, 0.4]]).astype(np.float32),
        logit_opacities=np.array([0.0], np.float32),
        quaternions=np.array([[0, 2, 0, 0]], np.float32),
        sh=np.array([[[0.0, 1.0, -1.0]]], np.float32),
    )
    data = dot_splat.save(one, tmp_path / "a.splat").read_bytes()
    assert len(data) == 32
    assert np.frombuffer(data[:12], "<f4").tolist() == [1, 2, 3]
    np.testing.assert_allclose(np.frombuffer(data[12:24], "<f4"), [0.1, 0.2, 0.4], rtol=1e-6)
    # 0.5 and 0.5 +- 0.2821 in 255 steps; half opaque; x = 1 saturates at 255.
    assert list(data[24:]) == [128, 199, 56, 128, 128, 255, 128, 128]


def test_dot_splat_keeps_what_it_can_and_sorts(tmp_path) -> None:
    before = scene(degree=0)
    after = dot_splat.load(dot_splat.save(before, tmp_path / "a.splat"))
    size = np.exp(after.log_scales.sum(axis=1)) / (1 + np.exp(-after.logit_opacities))
    assert (np.diff(size) <= 1e-3 * size[:-1]).all()
    assert psnr(pictures(before), pictures(after)) > 40


@pytest.mark.parametrize("writer, ending", [("save_spz", ".spz"), ("save_compressed", ".ply")])
def test_compressed_formats_look_the_same(tmp_path, writer, ending) -> None:
    before = scene()
    path = getattr(gsply_files, writer)(before, tmp_path / f"a{ending}")
    assert path.stat().st_size < 4 * 62 * 300 and list(tmp_path.iterdir()) == [path]
    after = read(path)
    assert len(after) == 300 and after.sh.shape == before.sh.shape
    assert psnr(pictures(before), pictures(after)) > 33
    assert np.abs(np.sort(after.means, axis=0) - np.sort(before.means, axis=0)).max() < 2e-3


def test_turning_upright_turns_what_cameras_see() -> None:
    """A camera that turns along sees the same picture, view dependence included."""
    before = replace(scene(), sidecar=Sidecar(up_axis="-y"))
    after = upright(before, "+y")
    views = striped_ball.cameras([(20, 10)], 64)
    turn = torch.diag(torch.tensor([1.0, -1.0, -1.0, 1.0]))
    place = np.linalg.lstsq(
        before.means.astype(np.float64), after.means.astype(np.float64), rcond=None
    )[0].T
    turn[:3, :3] = torch.from_numpy(place).float()
    assert np.allclose(place @ [0, -1, 0], [0, 1, 0], atol=1e-5) and np.linalg.det(place) > 0.99
    moved = replace(views, world_to_camera=views.world_to_camera @ turn.T)
    one, two = (
        cpu.render(activate(each), at).rgb for each, at in ((before, views), (after, moved))
    )
    assert psnr(one, two) > 60
    assert upright(before, "-y") is before


def test_spz_files_are_upright(tmp_path) -> None:
    down = replace(scene(), sidecar=Sidecar(up_axis="-y"))
    with pytest.raises(ValueError, match=r"\+Y up"):
        gsply_files.save_spz(down, tmp_path / "a.spz")
    splats.save(down, tmp_path / "a.ply")
    assert main(["convert", str(tmp_path / "a.ply"), "--out", str(tmp_path / "b.spz")]) == 0
    found = read(tmp_path / "b.spz")
    expected = upright(down, "+y")
    assert np.abs(np.sort(found.means, axis=0) - np.sort(expected.means, axis=0)).max() < 2e-3
    assert psnr(pictures(found), pictures(expected)) > 33


@pytest.mark.parametrize("name", ["b.splat", "b.spz", "b.compressed.ply", "b.ply"])
def test_the_command_there_and_back(tmp_path, capsys, name) -> None:
    source = splats.save(scene(), tmp_path / "a.ply")
    assert main(["convert", str(source), "--out", str(tmp_path / name)]) == 0
    assert capsys.readouterr().out.strip().endswith(name)
    assert main(["convert", str(tmp_path / name), "--out", str(tmp_path / "c.ply")]) == 0
    back = splats.load(tmp_path / "c.ply")
    assert len(back) == 300
    if name == "b.ply":
        assert (tmp_path / "c.ply").read_bytes() == source.read_bytes()
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]


def test_up_is_written_beside_a_ply(tmp_path) -> None:
    source = splats.save(scene(), tmp_path / "a.ply")
    words = [
        "convert",
        str(source),
        "--out",
        str(tmp_path / "b.ply"),
        "--from-up",
        "-y",
        "--up",
        "+z",
    ]
    assert main(words) == 0
    assert splats.load(tmp_path / "b.ply").sidecar.up_axis == "+z"


@pytest.mark.parametrize(
    "name, said",
    [
        ("b.obj", "must end in"),
        ("a.ply", "is the scene itself"),
        ("nowhere/b.ply", "there is no directory"),
    ],
)
def test_bad_targets_are_one_line(tmp_path, capsys, name, said) -> None:
    source = splats.save(scene(degree=0), tmp_path / "a.ply")
    before = source.read_bytes()
    assert main(["convert", str(source), "--out", str(tmp_path / name)]) == 2
    text = capsys.readouterr().err
    assert said in text and "Traceback" not in text and source.read_bytes() == before


def test_broken_files_are_refused(tmp_path) -> None:
    def refused(path: Path, said: str) -> None:
        with pytest.raises(InputError, match=said):
            read(path)

    (tmp_path / "a.splat").write_bytes(b"x" * 33)
    refused(tmp_path / "a.splat", "no multiple of 32")
    (tmp_path / "b.splat").write_bytes(b"\xff" * 64)
    refused(tmp_path / "b.splat", "2 of 2 Gaussians have no finite place")
    (tmp_path / "c.txt").write_bytes(b"x")
    refused(tmp_path / "c.txt", "end in .ply, .splat or .spz")
    for name in ("d.spz", "e.ply"):
        (tmp_path / name).write_bytes(b"ply\nelement chunk 4\n" + b"x" * 50)
        refused(tmp_path / name, "no readable file")


def test_without_gsply_it_is_said(tmp_path, monkeypatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "gsply", None)
    with pytest.raises(MissingError, match=r"pip install 'splatworks\[spz\]'"):
        gsply_files.save_spz(scene(degree=0), tmp_path / "a.spz")
