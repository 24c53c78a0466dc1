"""Pictures of toys: exact backgrounds, visible patterns, and resuming to the same bytes."""

import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from splatworks.pipeline.contract import Context
from splatworks.stages.toybox import catalog, images, props, raycast
from splatworks.stages.toybox.images import Config, plan


class Stopped(Exception):
    """Stands for a power cut."""


class Bar:
    def __init__(self, stop_after: int) -> None:
        self.left = stop_after

    def advance(self, steps: int = 1, note: str = "") -> None:
        self.left -= steps
        if self.left < 0:
            raise Stopped


def context(root: Path, stop_after: int = 10**9) -> Context:
    @contextmanager
    def progress(title: str, total: int, done: int = 0) -> Iterator[Bar]:
        yield Bar(stop_after)

    for name in ("out", "scratch"):
        (root / name).mkdir(parents=True, exist_ok=True)
    return Context(
        out=root / "out",
        scratch=root / "scratch",
        log=logging.getLogger("toys"),
        progress=progress,
        seed=3,
        device="cpu",
        threads=1,
        memory_bytes=1 << 30,
    )


def toy(kind: str, color: str, pattern: str = "none", pattern_color: str = "") -> props.Prop:
    return props.Prop(
        id=0,
        kind=kind,
        color=color,
        pattern=pattern,
        pattern_color=pattern_color,
        part_color="",
        shape_seed=5,
        split="train",
    )


def near(picture: np.ndarray, color: str) -> float:
    """Share of pixels whose hue is that of a color: angle between linear RGB vectors."""
    pixels = raycast.linear(picture.reshape(-1, 3).astype(np.float32) / 255)
    wanted = raycast.linear(np.asarray(catalog.COLORS[color], dtype=np.float32))
    lengths = np.linalg.norm(pixels, axis=1) * np.linalg.norm(wanted)
    return float((pixels @ wanted > 0.995 * np.maximum(lengths, 1e-6)).mean())


def test_stopping_at_any_block_changes_no_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images, "BLOCK_PROPS", 2)
    config = Config(views_per_prop=2, heldout_views_per_prop=1)
    settings = props.Config(kinds=("crate",), plain_props=1)
    monkeypatch.setattr(catalog, "COLORS", dict(list(catalog.COLORS.items())[:2]))
    toys = props.run(props.Inputs(), settings, context(tmp_path / "props")).props
    inputs = images.Inputs(props=toys)
    whole = images.run(inputs, config, context(tmp_path / "whole")).images.path
    for stop in (1, 3, 4):
        with pytest.raises(Stopped):
            images.run(inputs, config, context(tmp_path / "cut", stop))
    again = images.run(inputs, config, context(tmp_path / "cut")).images.path
    for name in ("images.npy", "index.jsonl"):
        assert (again / name).read_bytes() == (whole / name).read_bytes()
    entries = images.load_index(images.ToyImagesDir(whole))
    pixels = np.load(whole / "images.npy")
    assert [entry.image for entry in entries] == list(range(len(pixels)))
    for entry in entries:
        if entry.zoom == 1:
            corners = pixels[entry.image][[0, 0, -1, -1], [0, -1, 0, -1]]
            assert (corners == catalog.BACKGROUNDS[entry.background]).all()


def test_views_are_balanced_and_inside_their_words() -> None:
    entries = list(plan(toy("mug", "red"), Config(views_per_prop=16), 3, 0))
    assert set(Counter(entry.azimuth for entry in entries).values()) == {2}
    assert set(Counter(entry.background for entry in entries).values()) == {2}
    assert len({(entry.azimuth, entry.elevation) for entry in entries}) == 16
    assert min(Counter(entry.elevation for entry in entries).values()) >= 5
    for entry in entries:
        assert abs(entry.azimuth_deg - catalog.AZIMUTHS[entry.azimuth]) <= 7.5
        assert abs(entry.elevation_deg - catalog.ELEVATIONS[entry.elevation]) <= 5


@pytest.mark.parametrize("kind", catalog.KINDS)
@pytest.mark.parametrize("pattern", catalog.PATTERNS[1:])
def test_both_colors_of_a_pattern_show_from_every_side(kind: str, pattern: str) -> None:
    model = raycast.Model(toy(kind, "red", pattern, "green"))
    for azimuth in (0, 90, 180, 270):
        picture = model.picture(raycast.View(azimuth, 30), (0, 0, 255))
        assert near(picture, "red") > 0.02
        assert near(picture, "green") > 0.004


def test_the_camera_agrees_with_the_shared_one() -> None:
    """`stages/geometry/orbit.py` is what `distill` looks through."""
    from splatworks.stages.geometry.orbit import look_at_origin

    cameras = look_at_origin([50.0], [20.0], distance_m=1.8, fovy_deg=40.0, size_px=(128, 128))
    point = np.array([0.2, 0.1, -0.3])
    pose = cameras.world_to_camera[0].double().numpy()
    x, y, z = pose[:3, :3] @ point + pose[:3, 3]
    focal = float(cameras.focal_px[0, 0])
    origin, axes = raycast._camera(raycast.View(50.0, 20.0))
    right, up, forward = axes @ (point - origin)
    half = np.tan(np.radians(20.0))
    ours = [64 + 64 * right / forward / half, 64 - 64 * up / forward / half]
    np.testing.assert_allclose(ours, [64 + focal * x / z, 64 + focal * y / z], atol=1e-3)


def test_a_close_up_is_a_crop_of_the_full_picture() -> None:
    """Shrinking the close-up gives the full view's window, but for rounding and edges."""
    model = raycast.Model(toy("car", "yellow", "checks", "blue"))
    full = model.picture(raycast.View(30, 15), (255, 255, 255)).astype(float)
    near_view = raycast.View(30, 15, zoom=2.0, center=(0.25, -0.25))
    detail = model.picture(near_view, (255, 255, 255)).astype(float)
    small = detail.reshape(64, 2, 64, 2, 3).mean(axis=(1, 3))
    assert np.abs(small - full[48:112, 48:112]).mean() < 3


def test_close_ups_show_mostly_toy() -> None:
    """A mushroom fills a window at its cap: above the middle."""
    model = raycast.Model(toy("mushroom", "yellow"))
    for label in range(6):
        view = raycast.closer(model, raycast.View(40 * label, -5), 4.0, label)
        assert view.center[1] > 0
        picture = model.picture(view, (0, 0, 255))
        assert (picture == (0, 0, 255)).all(axis=2).mean() < 0.4


def test_light_and_colors_survive_the_round_trip() -> None:
    values = np.arange(256, dtype=np.float32) / 255
    back = np.rint(raycast.encoded(raycast.linear(values)) * 255)
    np.testing.assert_array_equal(back, np.arange(256))
