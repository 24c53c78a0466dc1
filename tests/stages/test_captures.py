"""Reading what other programs leave: the same cameras from every format, and clear refusals."""

import json
import struct

import numpy as np
import pytest
from splatworks.pipeline.errors import InputError
from splatworks.stages.formats import captures
from splatworks.stages.formats.capture_colmap import MODELS

from . import photo_folders as made


def expected() -> np.ndarray:
    return made.cameras(10).world_to_camera.double().numpy()


@pytest.mark.parametrize("binary", [True, False])
def test_colmap_models_give_the_cameras_that_were_written(tmp_path, binary) -> None:
    capture = captures.load(made.colmap(tmp_path / "c", binary=binary))
    assert [shot.path.name for shot in capture.shots] == [f"{k:03d}.png" for k in range(10)]
    found = np.stack([shot.world_to_camera for shot in capture.shots])
    np.testing.assert_allclose(found, expected(), atol=1e-6)
    lens = capture.shots[0].lens
    assert (lens.width_px, lens.height_px) == (40, 40) and lens.center_px == (20, 20)
    assert lens.focal_px[0] == pytest.approx(float(made.cameras(1).focal_px[0, 0]), rel=1e-6)
    assert lens.is_straight and capture.up_axis == "-y" and not capture.missing
    points = made.surface(60)
    np.testing.assert_allclose(capture.points.positions, [at for at, _ in points], atol=1e-6)
    assert capture.points.colors.tolist() == [color for _, color in points]


def test_nerfstudio_folders_give_the_same(tmp_path) -> None:
    capture = captures.load(made.nerfstudio(tmp_path / "n", 10))
    found = np.stack([shot.world_to_camera for shot in capture.shots])
    np.testing.assert_allclose(found, expected(), atol=1e-6)
    assert capture.up_axis == "+z" and capture.points is None
    assert all(shot.held_out is None for shot in capture.shots)


def test_a_blender_folder_says_what_is_kept_aside(tmp_path) -> None:
    capture = captures.load(made.blender(tmp_path / "b"))
    assert [shot.held_out for shot in capture.shots] == [True] * 2 + [False] * 6
    assert capture.white_behind and capture.shots[0].path.suffix == ".png"
    reference = float(made.cameras(1).focal_px[0, 0])
    assert capture.shots[0].lens.focal_px == pytest.approx((reference, reference), rel=1e-6)


def test_intrinsics_of_a_frame_go_before_the_shared_ones(tmp_path) -> None:
    folder = made.nerfstudio(tmp_path / "n", 4, k1=0.1, p2=0.01)
    made.edited(folder, lambda d: d["frames"][2].update(fl_x=99.0, k1=0.2))
    lenses = [shot.lens for shot in captures.load(folder).shots]
    assert lenses[2].focal_px[0] == 99 and lenses[2].radial[0] == 0.2
    assert lenses[0].radial[0] == 0.1 and lenses[0].tangential == (0.0, 0.01)


def test_points_of_a_named_ply(tmp_path) -> None:
    folder = made.nerfstudio(tmp_path / "n", 4, ply_file_path="points.ply")
    names = ("x", "y", "z", "red", "green", "blue")
    header = "ply\nformat binary_little_endian 1.0\nelement vertex 2\n"
    header += "".join(f"property float {n}\n" for n in names[:3])
    header += "".join(f"property uchar {n}\n" for n in names[3:]) + "end_header\n"
    body = struct.pack("<3f3B", 1, 2, 3, 4, 5, 6) + struct.pack("<3f3B", 1, np.nan, 3, 7, 8, 9)
    (folder / "points.ply").write_bytes(header.encode() + body)
    points = captures.load(folder).points
    assert points.positions.tolist() == [[1, 2, 3]] and points.colors.tolist() == [[4, 5, 6]]


def test_missing_photographs_are_counted_and_named(tmp_path) -> None:
    folder = made.nerfstudio(tmp_path / "n", 6)
    for k in (1, 4):
        (folder / "images" / f"{k:03d}.png").unlink()
    capture = captures.load(folder)
    assert capture.missing == ("001.png", "004.png") and len(capture.shots) == 4
    for k in (0, 2, 3):
        (folder / "images" / f"{k:03d}.png").unlink()
    refused(folder, "1 of the listed photographs", "at least 2", "000.png")


def refused(folder, *said: str) -> None:
    with pytest.raises(InputError) as caught:
        captures.load(folder)
    text = str(caught.value)
    assert "\n" not in text and all(part in text for part in said), text


@pytest.mark.parametrize(
    "change, said",
    [
        (lambda d: d.update(frames=[]), '"frames" is empty'),
        (lambda d: d.update(frames={}), '"frames" must be a list'),
        (lambda d: d["frames"][1].pop("file_path"), 'frame 1: "file_path"'),
        (lambda d: d["frames"][1].update(file_path="../../secret.png"), "lies outside of"),
        (lambda d: d["frames"][2].update(transform_matrix=[[1]]), "4 x 4 finite numbers"),
        (lambda d: d["frames"][2]["transform_matrix"][0].__setitem__(0, 9.0), "no rotation"),
        (lambda d: d["frames"][2]["transform_matrix"][0].__setitem__(3, float("nan")), "finite"),
        (lambda d: d.update(camera_model="EQUIRECTANGULAR"), "EQUIRECTANGULAR"),
        (lambda d: d.update(fl_x="12"), '"fl_x" must be a finite number'),
        (lambda d: d.update(fl_x=-3.0), "must be positive"),
        (lambda d: (d.pop("fl_x"), d.update(camera_angle_x=9.0)), "camera_angle_x"),
        (lambda d: d.update(w=40.5), '"w" must be a positive whole number'),
        (lambda d: d.update(k4=0.1), "k4 has no meaning"),
    ],
)
def test_wrong_documents_are_refused_by_name(tmp_path, change, said) -> None:
    folder = made.nerfstudio(tmp_path / "n", 4)
    made.edited(folder, change)
    refused(folder, said)


def test_what_is_no_capture(tmp_path) -> None:
    refused(tmp_path / "nothing", "no such directory")
    refused(tmp_path, "no capture", "COLMAP")
    (tmp_path / "transforms.json").write_text("{")
    refused(tmp_path, "no readable JSON")


@pytest.mark.parametrize("part", ["cameras", "images", "points3D"])
def test_half_copied_colmap_models(tmp_path, part) -> None:
    folder = made.colmap(tmp_path / "c", binary=True)
    path = folder / "sparse" / "0" / f"{part}.bin"
    path.write_bytes(path.read_bytes()[:-3])
    refused(folder, "cut short")


def test_a_colmap_folder_without_images_and_wild_claims(tmp_path) -> None:
    folder = made.colmap(tmp_path / "c", binary=True)
    model = folder / "sparse" / "0"
    whole = (model / "images.bin").read_bytes()
    (model / "images.bin").write_bytes(struct.pack("<Q", 2**40) + whole[8:])
    refused(folder, "claimed")
    (model / "images.bin").unlink()
    refused(folder, "images.bin is missing")
    (model / "images.bin").write_bytes(whole)
    data = bytearray((model / "cameras.bin").read_bytes())
    data[12:16] = struct.pack("<i", 77)
    (model / "cameras.bin").write_bytes(bytes(data))
    refused(folder, "77 is not known")


def test_colmap_text_errors(tmp_path) -> None:
    folder = made.colmap(tmp_path / "c", binary=False)
    model = folder / "sparse" / "0"
    (model / "cameras.txt").write_text("3 OPENCV 40 40 1 2 3\n")
    refused(folder, "OPENCV has 8 values, got 3")
    (model / "cameras.txt").write_text("4 PINHOLE 40 40 50 50 20 20\n")
    refused(folder, "camera 3, which is absent")
    (model / "cameras.txt").write_text("3 PINHOLE 40 40 50 50 20 20\n")
    lines = (model / "images.txt").read_text().replace("000.png", "../../../000.png")
    (model / "images.txt").write_text(lines)
    refused(folder, "lies outside of")


def test_every_colmap_model_is_understood(tmp_path) -> None:
    """Focal length, principal point and bending land where the model's definition has them."""
    folder = made.colmap(tmp_path / "c", binary=False)
    path = folder / "sparse" / "0" / "cameras.txt"
    for name, (_, count) in MODELS.items():
        values = [50.0 + k for k in range(count)]
        path.write_text(f"3 {name} 40 40 {' '.join(map(str, values))}\n")
        lens = captures.load(folder).shots[0].lens
        single = name.split("_")[0] in ("SIMPLE", "RADIAL")
        assert lens.focal_px == ((50, 50) if single else (50, 51))
        first = 1 if single else 2
        assert lens.center_px == (50 + first, 51 + first)
        rest = values[first + 2 :]
        if name in ("OPENCV", "FULL_OPENCV"):
            assert lens.tangential == tuple(rest[2:4])
            rest = rest[:2] + rest[4:]
        assert list(lens.radial) == rest and (lens.model == "fisheye") == ("FISHEYE" in name)


def test_the_shared_fox_lists_more_than_there_is() -> None:
    from .captured import SAMPLES

    if not (SAMPLES / "fox").is_dir():
        pytest.skip("the shared capture of a fox is not at hand")
    listed = json.loads((SAMPLES / "fox" / "transforms.json").read_text())["frames"]
    capture = captures.load(SAMPLES / "fox")
    assert len(listed) == 67 and len(capture.shots) == 50 and len(capture.missing) == 17
    assert not capture.shots[0].lens.is_straight
