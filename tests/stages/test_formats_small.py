"""Prompts, cameras, pictures and tensors."""

import json
import math
import subprocess
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from splatworks.pipeline.errors import InputError
from splatworks.renderers.scene import Cameras
from splatworks.stages.formats import cameras, pictures, prompts, tensors
from splatworks.stages.geometry.orbit import look_at_origin


def test_a_prompt_comes_back(tmp_path: Path) -> None:
    prompt = prompts.Prompt("ein Pilz, “rot” 🍄", "blurry")
    assert prompts.load(prompts.save(prompt, tmp_path / "p.json")) == prompt


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"text": ""}', "prompt is empty"),
        ('{"text": " \\n"}', "prompt is empty"),
        (json.dumps({"text": "x" * 10_000}), "has 10000 characters; at most 1000"),
        (json.dumps({"text": "x", "negative": "y" * 1001}), "negative prompt has 1001"),
        ('{"text": "a\\u0000b"}', "control characters"),
        ('{"text": 3}', "must be text, got int"),
        ('{"text": "a", "seed": 1}', "unknown entry 'seed'"),
        ("[]", "must be a JSON object"),
        ("{", "no readable JSON"),
    ],
)
def test_a_bad_prompt_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "p.json").write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        prompts.load(tmp_path / "p.json")
    assert str(tmp_path / "p.json") in str(caught.value)
    with pytest.raises(InputError, match="no such file"):
        prompts.load(tmp_path / "none.json")


def some_cameras(dtype: torch.dtype = torch.float32) -> Cameras:
    views = look_at_origin(
        [0, 77, 200], [5, -33, 88], distance_m=1.8, fovy_deg=40, size_px=(64, 48), dtype=dtype
    )
    focal = views.focal_px * torch.tensor([1.0, 1.01], dtype=dtype)
    center = views.center_px + torch.tensor([0.3, -1.7], dtype=dtype)
    return Cameras(views.world_to_camera, focal, center, 64, 48)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_cameras_come_back_bit_for_bit(tmp_path: Path, dtype: torch.dtype) -> None:
    before = some_cameras(dtype)
    after = cameras.load(cameras.save(before, tmp_path / "c.json"), dtype)
    for name in ("world_to_camera", "focal_px", "center_px"):
        assert torch.equal(getattr(before, name), getattr(after, name))
    assert (after.width_px, after.height_px) == (64, 48)


def test_the_file_holds_opengl_poses(tmp_path: Path) -> None:
    """Azimuth 90 stands on +X and looks along -X, up is +Y: columns right, up, backward."""
    view = look_at_origin([90], [0], distance_m=2, fovy_deg=40, size_px=(8, 8))
    document = json.loads(cameras.save(view, tmp_path / "c.json").read_text())
    pose = np.reshape(document["camera_path"][0]["camera_to_world"], (4, 4))
    expected = [[0, 0, 1, 2], [0, 1, 0, 0], [-1, 0, 0, 0], [0, 0, 0, 1]]
    np.testing.assert_allclose(pose, expected, atol=1e-6)
    assert document["camera_path"][0]["fov"] == pytest.approx(40)
    assert document["camera_path"][0]["aspect"] == 1
    document = json.loads(cameras.save(some_cameras(), tmp_path / "c.json", fps=12).read_text())
    assert document["seconds"] == 0.25, "three pictures, twelve a second"
    assert document["camera_path"][0]["aspect"] == 64 / 48


def test_a_pose_may_be_written_in_rows(tmp_path: Path) -> None:
    path = cameras.save(some_cameras(), tmp_path / "c.json")
    document = json.loads(path.read_text())
    for entry in document["camera_path"]:
        entry["camera_to_world"] = np.reshape(entry["camera_to_world"], (4, 4)).tolist()
    path.write_text(json.dumps(document))
    assert torch.equal(cameras.load(path).world_to_camera, some_cameras().world_to_camera)


def test_a_nerfstudio_path_is_read(tmp_path: Path) -> None:
    expected = some_cameras()
    path = cameras.save(expected, tmp_path / "c.json")
    document = json.loads(path.read_text())
    for entry in document["camera_path"]:
        for name in ("focal_px", "center_px", "world_to_camera"):
            del entry[name]
    path.write_text(json.dumps(document))
    after = cameras.load(path)
    torch.testing.assert_close(after.world_to_camera, expected.world_to_camera)
    torch.testing.assert_close(after.focal_px[:, 1], expected.focal_px[:, 1])
    torch.testing.assert_close(after.focal_px[:, 0], after.focal_px[:, 1])
    assert after.center_px.tolist() == [[32, 24]] * 3
    # nerfstudio: focal = height / 2 / tan(fov / 2), fov vertical.
    fov = math.radians(document["camera_path"][0]["fov"])
    assert after.focal_px[0, 1].item() == pytest.approx(24 / math.tan(fov / 2), rel=1e-6)


def set_first(name: str, value: object):
    return lambda document: document["camera_path"][0].update({name: value})


def nudge(document: dict) -> None:
    """By a millimetre, as by hand."""
    document["camera_path"][0]["camera_to_world"][3] += 1e-3


def widen(document: dict) -> None:
    document["camera_path"][0] |= {"fov": 200}
    del document["camera_path"][0]["focal_px"]


MIRRORED = [-1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 2, 0, 0, 0, 1]
CAMERA_FAULTS = {
    "scaled": (set_first("camera_to_world", [2, *[0] * 15]), "camera 0: .* no rotation"),
    "mirrored": (set_first("camera_to_world", MIRRORED), "camera 0: .* no rotation"),
    "larger": (
        set_first("camera_to_world", np.diag([1.01, 1.01, 1.01, 1]).flatten().tolist()),
        "camera 0: .* no rotation",
    ),
    "projective": (
        set_first("camera_to_world", np.diag([1.0, 1, 1, 2]).flatten().tolist()),
        "camera 0: .* no rotation",
    ),
    "nudged": (nudge, "disagree by 0.001"),
    "fov": (widen, "between 0 and 180"),
    "short": (set_first("camera_to_world", [1, 2]), "must be 16 finite numbers"),
    "nan": (set_first("camera_to_world", [math.nan] * 16), "must be 16 finite numbers"),
    "edited": (
        set_first("camera_to_world", np.eye(4).flatten().tolist()),
        "camera_to_world and world_to_camera disagree",
    ),
    "focal": (set_first("focal_px", [1, -1]), "focal_px must be positive"),
    "size": (lambda document: document.update(render_width=0), "render_width"),
    "empty": (lambda document: document.update(camera_path=[]), "is empty"),
    "no path": (lambda document: document.pop("camera_path"), "no camera path"),
    "fisheye": (lambda document: document.update(camera_type="fisheye"), "only perspective"),
}


@pytest.mark.parametrize("name", CAMERA_FAULTS)
def test_a_bad_camera_file_is_refused(tmp_path: Path, name: str) -> None:
    change, message = CAMERA_FAULTS[name]
    path = cameras.save(some_cameras(), tmp_path / "c.json")
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))
    with pytest.raises(InputError, match=message) as caught:
        cameras.load(path)
    assert str(caught.value).startswith(str(path))


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_eight_bit_pictures_come_back(tmp_path: Path, channels: int) -> None:
    values = np.random.default_rng(0).integers(0, 256, (5, 7, channels))
    picture = (values / 255).astype(np.float32)
    after = pictures.load(pictures.save(picture, tmp_path / "p.png"))
    assert after.shape == (5, 7, max(channels, 3))
    np.testing.assert_array_equal(after, np.broadcast_to(picture, after.shape))


def test_pictures_are_rounded_and_clipped_never_bent(tmp_path: Path) -> None:
    picture = np.float32([[[-0.5, 0.4999 / 255, 0.5001 / 255], [1.5, 254.4 / 255, 254.6 / 255]]])
    with Image.open(pictures.save(picture, tmp_path / "p.png")) as image:
        assert np.asarray(image).tolist() == [[[0, 0, 1], [255, 254, 255]]]
    with pytest.raises(ValueError, match="1 values that are not finite"):
        pictures.save(np.full((1, 1, 1), np.nan, np.float32), tmp_path / "q.png")
    (tmp_path / "r.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(InputError, match="no readable picture"):
        pictures.load(tmp_path / "r.png")


def test_transparency_of_a_palette_becomes_alpha(tmp_path: Path) -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([255, 0, 0, 0, 255, 0])
    image.putdata([0, 1])
    image.save(tmp_path / "p.png", transparency=1)
    found = pictures.load(tmp_path / "p.png")
    assert found.tolist() == [[[1, 0, 0, 1], [0, 1, 0, 0]]]


def moving(count: int = 6, size: tuple[int, int] = (33, 47)) -> list[np.ndarray]:
    frames = [np.zeros((*size, 3), np.float32) for _ in range(count)]
    for index, frame in enumerate(frames):
        frame[:, : size[1] // 2] = (index / count, 0.5, 0.2)
        frame[: size[0] // 2, size[1] // 2 :] = (0.9, 0.1, 0.1)
    return frames


@pytest.mark.parametrize("suffix", [".gif", ".webp"])
def test_animations_hold_every_frame(tmp_path: Path, suffix: str) -> None:
    frames = moving()
    path = pictures.save_animation(frames, tmp_path / f"a{suffix}", fps=10)
    first = path.read_bytes()
    assert pictures.save_animation(frames, path, fps=10).read_bytes() == first
    with Image.open(path) as image:
        assert (image.n_frames, image.size, image.info["loop"]) == (6, (47, 33), 0)
        for index, frame in enumerate(frames):
            image.seek(index)
            found = np.asarray(image.convert("RGB")) / 255
            assert np.abs(found - frame).mean() < 0.02
        if suffix == ".gif":
            assert image.info["duration"] == 100
    with pytest.raises(ValueError, match=r"ends in \.gif or \.webp"):
        pictures.save_animation(frames, tmp_path / "a.apng")


def test_a_video_is_whole_even_sized_and_the_same_twice(tmp_path: Path) -> None:
    frames = moving()
    path = pictures.save_video(frames, tmp_path / "v.mp4", fps=12)
    first = path.read_bytes()
    assert pictures.save_video(frames, path, fps=12).read_bytes() == first
    assert b"ftyp" in first[:16]
    count, seconds = imageio_ffmpeg.count_frames_and_secs(str(path))
    assert count == 6 and seconds == pytest.approx(0.5, abs=0.02)
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", str(path)]
    command += ["-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    raw = subprocess.run(command, capture_output=True, check=True).stdout
    whole = np.frombuffer(raw, np.uint8).reshape(6, 34, 48, 3) / 255
    assert np.abs(whole[:, :33, :47] - np.stack(frames)).mean() < 0.03
    # 33 x 47 is made even: the last row and column once more.
    assert np.abs(whole[:, 33] - whole[:, 32]).mean() < 0.03
    assert np.abs(whole[:, :, 47] - whole[:, :, 46]).mean() < 0.03
    with pytest.raises(ValueError, match="one size"):
        pictures.save_video([frames[0], frames[0][:5]], path)
    with pytest.raises(ValueError, match="positive fps"):
        pictures.save_video(frames, path, fps=0)


def test_labels_and_sheets() -> None:
    gray = np.full((64, 80, 3), 0.5, np.float32)
    named = pictures.label(gray, "front-left")
    assert named.shape == gray.shape and (gray == 0.5).all()
    assert named[:14].max() > 0.95 and named[:14].min() < 0.25, "white letters on a dark strip"
    np.testing.assert_allclose(named[24:], 0.5, atol=0.5 / 255)
    tiles = [np.full((4, 6, 3), index / 10, np.float32) for index in range(5)]
    page = pictures.sheet(tiles, columns=2, gap_px=2)
    assert page.shape == (16, 14, 3)
    for row, values in ((0, (0.0, 0.1)), (7, (0.2, 0.3)), (13, (0.4, 1.0)), (4, (1.0, 1.0))):
        across = np.repeat([values[0], 1.0, values[1]], [6, 2, 6])
        np.testing.assert_array_equal(page[row, :, 0], across.astype(np.float32))


def test_tensors_come_back_with_their_metadata(tmp_path: Path) -> None:
    values = {"b": torch.randn(3, 2, generator=torch.Generator().manual_seed(0)).T}
    values["a"] = torch.arange(4)
    metadata = {"iteration": 3, "schedule": [1, 2.5], "name": "x"}
    path = tensors.save(values, tmp_path / "t.safetensors", metadata)
    first = path.read_bytes()
    found, header = tensors.load(path, ["a", "b"])
    assert header == metadata
    for name, value in values.items():
        assert found[name].dtype == value.dtype and torch.equal(found[name], value)
    shuffled = dict(reversed(values.items())), path, dict(reversed(metadata.items()))
    assert tensors.save(*shuffled).read_bytes() == first
    found, _ = tensors.load(path)
    path.write_bytes(b"\0" * len(first))
    assert found["a"].tolist() == [0, 1, 2, 3], "a copy, not a view into the file"


def test_foreign_and_trained_tensors_are_taken(tmp_path: Path) -> None:
    """Metadata that somebody else wrote, as they are; of a parameter, its values."""
    path = tmp_path / "t.safetensors"
    save_file({"a": torch.ones(2)}, path, metadata={"format": "pt", "x": "1"})
    assert tensors.load(path)[1] == {"format": "pt", "x": "1"}
    weight = torch.nn.Parameter(torch.arange(3.0))
    found, header = tensors.load(tensors.save({"w": weight}, path))
    assert found["w"].tolist() == [0, 1, 2] and not found["w"].requires_grad
    assert header == {}


def test_bad_tensors_are_refused(tmp_path: Path) -> None:
    path = tensors.save({"a": torch.ones(9)}, tmp_path / "t.safetensors")
    with pytest.raises(InputError, match=r"lacks the tensors \[\]; does not expect \['a'\]"):
        tensors.load(path, [])
    with pytest.raises(InputError, match=r"lacks the tensors \['b'\]; does not expect \['a'\]"):
        tensors.load(path, ["b"])
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(InputError, match="cut short"):
        tensors.load(path)
    with pytest.raises(InputError, match="no such file"):
        tensors.load(tmp_path / "none")
