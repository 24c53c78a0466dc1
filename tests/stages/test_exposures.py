"""Photographs exposed differently: the fit, the file, what training learns, who takes it up."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from splatworks.pipeline.cli import main
from splatworks.pipeline.errors import InputError
from splatworks.stages import evaluate, reconstruct
from splatworks.stages.artifacts import CaptureDir, ExposuresFile, MeshFile, SplatsFile
from splatworks.stages.formats import exposures, gltf
from splatworks.stages.formats.photos import Target
from splatworks.stages.geometry.exposure import Exposure, fitted
from splatworks.stages.reconstruct import checkpoint
from splatworks.stages.reconstruct import exposures as ours
from splatworks.stages.reconstruct.settings import Exposures
from splatworks.stages.texture import bake

from . import photo_folders as made
from . import photographed as photos
from .painted import as_mesh
from .painted import context as baking
from .test_photo_bake import BALL, QUICK
from .test_reconstruct import SMALL, context

TAUGHT = 240
GAIN, OFFSET = torch.tensor([1.3, 0.8, 1.1]), torch.tensor([0.05, -0.02, 0.0])


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


# --- the transform and its fit ---


def test_the_fit_is_the_transform_where_there_is_one_and_looks_only_at_what_counts() -> None:
    picture = 0.1 + 0.5 * noise(3, 20, 30)
    photo = Exposure(GAIN, OFFSET).of(picture)
    counts = torch.ones(1, 20, 30)
    counts[:, :7] = 0
    photo[:, :7] = noise(3, 7, 30, seed=1)
    found = fitted(picture, photo, counts)
    torch.testing.assert_close(found.gain, GAIN, rtol=1e-5, atol=0)
    torch.testing.assert_close(found.offset, OFFSET, rtol=0, atol=1e-6)
    everywhere = fitted(picture, photo, None)
    assert (everywhere.gain - GAIN).abs().max() > 0.01


def test_a_gain_is_positive_even_where_the_picture_is_upside_down() -> None:
    found = fitted(noise(3, 9, 11), 1 - noise(3, 9, 11), None)
    assert (found.gain == 0.25).all()


def test_no_other_transform_is_nearer() -> None:
    picture = noise(3, 9, 11)
    photo = 0.5 * picture + 0.4 * noise(3, 9, 11, seed=2)
    found = fitted(picture, photo, None)
    least = (found.of(picture) - photo).square().mean()
    for change in (torch.eye(3)[0], torch.eye(3)[2]):
        for way in (-1e-2, 1e-2):
            gained = Exposure(found.gain + way * change, found.offset).of(picture)
            raised = Exposure(found.gain, found.offset + way * change).of(picture)
            for other in (gained, raised):
                assert (other - photo).square().mean() > least


def test_without_contrast_only_the_offset_is_fitted_and_without_pixels_nothing() -> None:
    flat, photo = torch.full((3, 4, 5), 0.25), torch.full((3, 4, 5), 0.75)
    found = fitted(flat, photo, None)
    assert found.gain.tolist() == [1, 1, 1]
    torch.testing.assert_close(found.offset, torch.full((3,), 0.5))
    nothing = fitted(flat, photo, torch.zeros(1, 4, 5))
    assert nothing.gain.tolist() == [1, 1, 1] and nothing.offset.tolist() == [0, 0, 0]


def test_a_composited_picture_is_changed_as_its_colors_and_its_background_are() -> None:
    colors, alpha, behind = noise(3, 4, 5), noise(1, 4, 5, seed=1), noise(3, 1, 1, seed=2)
    one = Exposure(GAIN, OFFSET)
    whole = one.of(alpha * colors + (1 - alpha) * behind)
    parts = alpha * one.of(colors) + (1 - alpha) * one.of(behind)
    torch.testing.assert_close(whole, parts)


def test_an_exact_scene_and_its_photograph_are_the_same_on_any_background() -> None:
    colors, alpha, behind = noise(3, 4, 5), noise(1, 4, 5, seed=1), noise(3, seed=2)
    one = Exposure(GAIN, OFFSET)
    target = Target(made.cameras(1), alpha * one.of(colors), alpha, None)
    picture = alpha * colors + (1 - alpha) * behind[:, None, None]
    torch.testing.assert_close(*ours.both(one, picture, target, behind))


# --- the file ---


def test_the_file_keeps_them_bit_for_bit(tmp_path) -> None:
    some = {"a/1.jpg": Exposure(GAIN, OFFSET)}
    aside = {"0.jpg": Exposure(GAIN / 3, OFFSET / 7)}
    path = exposures.save(exposures.Exposures(some, aside), tmp_path / "exposures.json")
    found = exposures.load(path)
    assert list(found.trained) == ["a/1.jpg"] and list(found.kept_aside) == ["0.jpg"]
    for name, one in (some | aside).items():
        again = found.of(name)
        assert again is not None and torch.equal(again.gain, one.gain)
        assert torch.equal(again.offset, one.offset)
    assert found.of("2.jpg") is None
    with pytest.raises(TypeError):
        found.trained["b"] = some["a/1.jpg"]  # type: ignore[index]


@pytest.mark.parametrize(
    "change, told",
    [
        (lambda d: d.update(kind="camera/1"), 'expected "exposures/1"'),
        (lambda d: d.update(photographs={}), "not exposures/1"),
        (lambda d: d["photographs"].append(3), 'photograph 1: must be an object with a "name"'),
        (lambda d: d["photographs"].append(d["photographs"][0]), "'1.jpg' is listed twice"),
        (lambda d: d["photographs"][0].update(gain=[1, 1]), '"gain" must be three finite'),
        (lambda d: d["photographs"][0].update(gain=[1, 0, 1]), "gains must be positive"),
        (lambda d: d["photographs"][0].update(offset=[1, float("nan"), 1]), "NaN is no number"),
        (lambda d: d["photographs"][0].pop("offset"), '"offset" must be three finite'),
    ],
)
def test_a_file_that_says_something_else_is_refused(tmp_path, change, told) -> None:
    entry = {"name": "1.jpg", "gain": [1, 1, 1], "offset": [0, 0, 0]}
    document = {"kind": "exposures/1", "photographs": [entry]}
    change(document)
    path = tmp_path / "exposures.json"
    path.write_text(json.dumps(document))
    with pytest.raises(InputError, match=told) as caught:
        exposures.load(path)
    assert str(path) in str(caught.value)


def test_no_file_and_no_json_are_refused(tmp_path) -> None:
    with pytest.raises(InputError, match="no such file"):
        exposures.load(tmp_path / "nothing.json")
    (tmp_path / "torn.json").write_text('{"kind"')
    with pytest.raises(InputError, match="no readable JSON"):
        exposures.load(tmp_path / "torn.json")


# --- what training learns ---


def cost(a, b, picture, photo, counts, hold: float) -> float:
    """What is minimized, as the module says it, one channel at a time."""
    total = 0.0
    there = counts[0] > 0.5
    for c in range(3):
        x, y = picture[c][there].double(), photo[c][there].double()
        changed = x + a[c] * (x - 0.5) + b[c]
        total += float((changed - y).square().mean()) + hold * float((a[c] / 4) ** 2 + b[c] ** 2)
    return total


@pytest.mark.parametrize("hold", [1e-6, 0.01, 3.0])
def test_the_best_gain_and_offset_are_a_minimum(hold) -> None:
    picture, counts = noise(3, 9, 11), torch.ones(1, 9, 11)
    photo = 0.6 * picture + 0.3 * noise(3, 9, 11, seed=1)
    counts[:, :, :4] = 0
    picture[:, :, :4] = 1
    a, b = ours.fitted(picture, photo, counts, hold).double()
    least = cost(a, b, picture, photo, counts, hold)
    for change in torch.eye(3, dtype=torch.float64) * 1e-3:
        for way in (-1, 1):
            assert cost(a + way * change, b, picture, photo, counts, hold) > least
            assert cost(a, b + way * change, picture, photo, counts, hold) > least


def test_what_the_pictures_do_not_decide_stays() -> None:
    """A flat picture has no gain; without pixels nothing changes."""
    flat, photo = torch.full((3, 4, 5), 0.5), torch.full((3, 4, 5), 0.75)
    a, b = ours.fitted(flat, photo, None, 0.01)
    assert a.tolist() == [0, 0, 0]
    torch.testing.assert_close(b, torch.full((3,), 0.25 / 1.01))
    assert not ours.fitted(flat, photo, torch.zeros(1, 4, 5), 0.01).any()
    upside_down = ours.exposure(ours.fitted(noise(3, 6, 7), 1 - noise(3, 6, 7), None, 1e-3))
    assert (upside_down.gain == 0.25).all(), "a gain is positive"


def test_one_photograph_moves_a_part_of_the_way_and_the_mean_of_all_stays() -> None:
    picture, behind = 0.1 + 0.5 * noise(3, 6, 7), torch.tensor([0.9, 0.1, 0.4])
    alpha = torch.ones(1, 6, 7)
    alpha[:, 0], alpha[:, 1] = 0.5, 0.0
    changed = Exposure(GAIN, OFFSET).of(picture)
    changed[:, :2] = 0  # Not opaque: says nothing.
    table, settings = 0.1 * noise(4, 2, 3, seed=5), Exposures(step=0.25, hold=1e-9)
    target = Target(made.cameras(1), changed, alpha, None)
    found = ours.moved(table, 2, picture, target, behind, settings)
    true = torch.stack([GAIN - 1, OFFSET + 0.5 * (GAIN - 1)])
    wanted = table.clone()
    wanted[2] += 0.25 * (true - table[2])
    torch.testing.assert_close(found, wanted - wanted.mean(dim=0), rtol=0, atol=1e-5)
    torch.testing.assert_close(ours.exposure(true).gain, GAIN)
    torch.testing.assert_close(ours.exposure(true).offset, OFFSET, rtol=0, atol=1e-7)


def test_the_hold_falls_as_they_spread() -> None:
    """Held in half at the spread that tells photographs that are alike from others."""
    picture, settings = noise(3, 6, 7), Exposures(step=1.0, hold=0.5)
    photo = (picture + 0.1).clamp(0, 1)
    target = Target(made.cameras(1), photo, None, None)
    for start, hold in ((0.0, 0.5), (0.015, 0.25), (0.03, 0.5 / 17)):
        table = torch.zeros(50, 2, 3)
        table[::2, 1], table[1::2, 1] = start, -start
        found = ours.moved(table, 7, picture, target, torch.zeros(3), settings)
        wanted = table.clone()
        wanted[7] = ours.fitted(picture, photo, None, hold)
        torch.testing.assert_close(found, wanted - wanted.mean(dim=0))


def test_they_are_found_after_a_share_of_the_iterations() -> None:
    settings = Exposures(from_share=0.1)
    assert [ours.due(settings, k, 70) for k in (0, 6, 7, 69)] == [False, False, True, True]


def test_a_checkpoint_holds_them(tmp_path) -> None:
    state = checkpoint.start(splats_like())
    state.exposures = noise(5, 2, 3)
    checkpoint.save(state, tmp_path, "s")
    found = checkpoint.load(tmp_path, "s", "cpu")
    assert found is not None and found.exposures is not None
    assert torch.equal(found.exposures, state.exposures)


def splats_like():
    from splatworks.stages.geometry.activation import Parameters

    return Parameters(
        means=noise(4, 3), log_scales=noise(4, 3), logit_opacities=noise(4),
        quaternions=noise(4, 4), sh=noise(4, 1, 3),
    )  # fmt: skip


def exposed_capture(folder: Path, changes: list[Exposure]) -> CaptureDir:
    """The ball on gray, one change per photograph."""
    made.nerfstudio(folder, len(changes), behind=0.4)
    for k, one in enumerate(changes):
        path = folder / "images" / f"{k:03d}.png"
        straight = torch.from_numpy(np.asarray(Image.open(path)).copy()).permute(2, 0, 1) / 255
        soft = 0.25 + 0.5 * straight  # Nothing is clipped.
        changed = (one.of(soft).clamp(0, 1) * 255).round().byte()
        Image.fromarray(changed.permute(1, 2, 0).numpy()).save(path)
    return CaptureDir(folder)


def trained(capture: CaptureDir, folder: Path, mode: str) -> tuple[dict, Path]:
    config = replace(
        SMALL, iterations=TAUGHT, evaluate_every=0, exposures=Exposures(mode=mode)  # type: ignore[arg-type]
    )  # fmt: skip
    reconstruct.run(reconstruct.Inputs(capture), config, context(folder))
    return json.loads((folder / "out" / "report.json").read_text()), folder / "out"


@pytest.fixture(scope="module")
def changes() -> list[Exposure]:
    """Of 36 photographs; the mean over those trained on is none."""
    rows = 0.5 * (noise(36, 2, 3, seed=3) - 0.5) * torch.tensor([[1.0], [0.4]])
    taught = [k for k in range(36) if k % 6]
    return [ours.exposure(row - rows[taught].mean(dim=0)) for row in rows]


@pytest.fixture(scope="module")
def contradictory(tmp_path_factory, changes) -> CaptureDir:
    return exposed_capture(tmp_path_factory.mktemp("e") / "c", changes)


@pytest.fixture(scope="module")
def learned(contradictory, tmp_path_factory) -> tuple[dict, Path]:
    return trained(contradictory, tmp_path_factory.mktemp("learned"), "affine")


def test_exposures_are_found_and_leave_a_better_scene(
    contradictory, learned, changes, tmp_path
) -> None:
    report, out = learned
    found = exposures.load(out / "exposures.json")
    assert len(found.trained) == 30 and len(found.kept_aside) == 6
    assert set(found.kept_aside) == {f"images/{k:03d}.png" for k in range(0, 36, 6)}
    # How a middle gray comes out, of photographs trained on and of those kept aside.
    gray = torch.full((3,), 0.45)
    for some in (found.trained, found.kept_aside):
        true = torch.stack([changes[int(name[-7:-4])].of(gray) for name in some])
        off = torch.stack([one.of(gray) for one in some.values()]) - true
        assert off.square().mean() < 0.35 * (true - gray).square().mean()
    plain, without = trained(contradictory, tmp_path, "off")
    assert not (without / "exposures.json").exists()
    assert report["evened_psnr_db"] > plain["evened_psnr_db"] + 1
    assert report["evened_psnr_db"] > report["psnr_db"] + 3


def test_where_all_photographs_are_alike_nothing_is_lost(tmp_path) -> None:
    none = Exposure(torch.ones(3), torch.zeros(3))
    capture = exposed_capture(tmp_path / "c", [none] * 36)
    with_them, out = trained(capture, tmp_path / "a", "affine")
    without, _ = trained(capture, tmp_path / "b", "off")
    assert with_them["psnr_db"] > without["psnr_db"] - 0.15
    gray = torch.full((3,), 0.45)
    found = exposures.load(out / "exposures.json").trained.values()
    assert max(float((one.of(gray) - gray).abs().max()) for one in found) < 0.02


def test_photographs_with_alpha_are_compared_on_their_own_background(tmp_path) -> None:
    """Cut-outs of one brightness each: the background of the comparison changes with them."""
    folder = made.blender(tmp_path / "c", 26)
    for k in range(24):
        path = folder / "train" / f"r_{k}.png"
        pixels = np.asarray(Image.open(path)).copy()
        pixels[..., :3] = np.rint(pixels[..., :3] * (0.6 if k // 2 % 2 else 1.0))
        Image.fromarray(pixels).save(path)
    config = replace(
        SMALL, iterations=240, evaluate_every=0, views=replace(SMALL.views, background="random")
    )
    reconstruct.run(reconstruct.Inputs(CaptureDir(folder)), config, context(tmp_path))
    found = exposures.load(tmp_path / "out" / "exposures.json").trained
    gray = torch.full((3,), 0.5)
    for k in range(0, 24, 4):
        dark, bright = found[f"train/r_{k + 2}.png"].of(gray), found[f"train/r_{k}.png"].of(gray)
        assert 0.5 < (dark / bright).mean() < 0.75


# --- who takes them up ---


def listed(path: Path, names: list[str], changes: list[Exposure]) -> ExposuresFile:
    found = dict(zip(names, changes, strict=True))
    return ExposuresFile(exposures.save(exposures.Exposures(found, {}), path))


def test_baking_takes_photographs_back_to_one_exposure(tmp_path, caplog) -> None:
    views = photos.cameras(24)
    clean = photos.before_wall(photos.picture(as_mesh(BALL), views)).astype(np.float32) / 255
    rows = [ours.exposure(0.3 * (noise(2, 3, seed=k) - 0.5)) for k in range(24)]
    soft = 0.2 + 0.6 * torch.from_numpy(clean[..., :3]).permute(0, 3, 1, 2)
    changed = torch.stack([row.of(picture) for row, picture in zip(rows, soft, strict=True)])
    assert changed.min() > 0 and changed.max() < 1
    folders, names = [], []
    for name, pictures in (("clean", soft), ("changed", changed)):
        pixels = (pictures * 255).round().byte().permute(0, 2, 3, 1).numpy()
        folders.append(photos.write(tmp_path / name, pixels, views))
    names = sorted(p.relative_to(folders[1]).as_posix() for p in folders[1].rglob("*.png"))
    whole = listed(tmp_path / "exposures.json", names, rows)
    textures = {}
    for name, folder, given, gains in (
        ("clean", folders[0], None, "off"),
        ("evened", folders[1], whole, "exposure"),
        ("ignored", folders[1], whole, "off"),
    ):
        at = tmp_path / f"run {name}"
        at.mkdir()
        mesh = MeshFile(gltf.save(as_mesh(BALL), at / "mesh.glb"))
        inputs = bake.Inputs(mesh, CaptureDir(folder), exposures=given)
        settings = replace(QUICK, gains=gains, texture_size_px=128)
        done = bake.run(inputs, settings, baking(at))
        found = gltf.load(done.textured.path).base_color
        assert found is not None
        textures[name] = found.astype(np.float64)
        report = json.loads(done.report.path.read_text())["photographs"][0]
        assert ("exposure_gain" in report) == (name == "evened")

    def apart(name: str) -> float:
        return float(np.abs(textures[name] - textures["clean"]).mean())

    assert apart("evened") < 1.0 < 4 < apart("ignored")
    few = listed(tmp_path / "few.json", names[:20], rows[:20])
    at = tmp_path / "few"
    at.mkdir()
    mesh = MeshFile(gltf.save(as_mesh(BALL), at / "mesh.glb"))
    quick = replace(QUICK, gains="exposure", texture_size_px=128, refine=False)
    bake.run(bake.Inputs(mesh, CaptureDir(folders[1]), exposures=few), quick, baking(at))
    assert any("does not list 4 of 24" in record.getMessage() for record in caplog.records)
    with pytest.raises(InputError, match="lists none of the photographs"):
        other = listed(tmp_path / "other.json", ["x.png"], rows[:1])
        bake.run(bake.Inputs(mesh, CaptureDir(folders[1]), exposures=other), quick, baking(at))


def test_evaluating_takes_known_exposures(contradictory, learned, tmp_path) -> None:
    report, out = learned
    folder = tmp_path / "judged"
    (folder / "out").mkdir(parents=True)
    inputs = evaluate.Inputs(
        SplatsFile(out / "splats.ply"),
        capture=contradictory,
        exposures=ExposuresFile(out / "exposures.json"),
    )
    settings = evaluate.Config(hold_out_every=6)
    done = evaluate.run(inputs, settings, replace(context(folder), out=folder / "out"))
    found = json.loads(done.report.path.read_text())["photographs"]
    assert found["psnr_db"] == pytest.approx(report["psnr_db"], abs=0.01)
    assert all(one["exposure"] is None for one in found["each"])
    assert found["exposed_psnr_db"] > found["psnr_db"] + 3
    stranger = listed(tmp_path / "s.json", ["x.png"], [Exposure(GAIN, OFFSET)])
    with pytest.raises(InputError, match="lists none of the photographs"):
        evaluate.run(replace(inputs, exposures=stranger), settings, context(folder))


def test_commands_take_what_lies_beside_the_splats(
    contradictory, learned, tmp_path, capsys
) -> None:
    splats, capture = str(learned[1] / "splats.ply"), str(contradictory.path)
    words = ["evaluate", splats, "--capture", capture, "--out", str(tmp_path / "e")]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert f"exposures of the photographs: {learned[1] / 'exposures.json'}" in said
    mesh = gltf.save(as_mesh(BALL), tmp_path / "mesh.glb")
    words = [
        "bake", str(mesh), "--capture", capture, "--splats", splats, "--texture-size", "64",
        "--set", "bake.gutter_px=2", "--set", "bake.views.virtual=0", "--out", str(tmp_path / "b"),
    ]  # fmt: skip
    assert main(words) == 0
    assert "exposures of the photographs" in capsys.readouterr().out
    report = json.loads((tmp_path / "b" / "latest" / "bake" / "report.json").read_text())
    assert all("exposure_gain" in one for one in report["photographs"])
    assert main([*words[:-1], str(tmp_path / "off"), "--gains", "off"]) == 0
    assert "exposures of the photographs" not in capsys.readouterr().out


@pytest.mark.parametrize("command", ["bake", "evaluate"])
def test_exposures_without_photographs_are_refused(command, learned, tmp_path, capsys) -> None:
    mesh = gltf.save(as_mesh(BALL), tmp_path / "mesh.glb")
    words = [command, str(mesh), "--exposures", str(tmp_path / "x"), "--out", str(tmp_path / "o")]
    if command == "bake":
        words += ["--splats", str(learned[1] / "splats.ply")]
    assert main(words) == 2
    assert "--exposures are of photographs; give --capture" in capsys.readouterr().err
    made.nerfstudio(tmp_path / "c", 4)
    assert main([*words, "--capture", str(tmp_path / "c")]) == 2
    assert "x: no such file" in capsys.readouterr().err


@pytest.mark.parametrize(
    "settings", [{"from_share": 1.5}, {"step": 0.0}, {"step": 1.5}, {"hold": 0.0}]
)
def test_settings_out_of_range_are_refused(settings) -> None:
    with pytest.raises(ValueError, match="exposures"):
        Exposures(**settings)
