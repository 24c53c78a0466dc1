"""The start from sampled pictures: whose picture counts where, and that it is painted so."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import trimesh
from splatworks.stages.encoding import field_files, uses
from splatworks.stages.geometry.components import Surface
from splatworks.stages.text_texture.object import Object
from splatworks.stages.text_texture.sampled import GRAZING, _inside, _owners, sides
from splatworks.stages.text_texture.stage import paint
from splatworks.stages.text_texture.surface import coverage, look

from . import striped_ball
from .distill_setup import Killed, context
from .test_text_texture import SMALL, ball, inputs, oracle, psnr_db, results, subject, wanted

__all__ = ["inputs", "oracle"]  # Fixtures.

SAMPLED = replace(SMALL, start="sampled", iterations=2)


def test_sides_go_from_the_front_to_the_back_and_say_what_they_show() -> None:
    words = striped_ball.WORDS
    planned = sides(words, "a red ball")
    assert len(planned) == 16
    assert [side.azimuth_deg for side in planned[:4]] == [0, 315, 45, 270]
    assert planned[7].azimuth_deg == 180 and planned[0].elevation_deg == 5.0
    assert planned[8].azimuth_deg == 0 and planned[8].elevation_deg == 40.0
    for side in planned:
        color = "black" if sum(side.background) < 1 else "white"
        assert side.caption == words.text(
            "a red ball", side.azimuth_deg, side.elevation_deg, background=color
        )


def eyes(cameras) -> np.ndarray:
    pose = cameras.world_to_camera.double()
    return -(pose[:, :3, :3].transpose(1, 2) @ pose[:, :3, 3:])[..., 0].numpy()


def test_each_place_belongs_to_the_side_that_faces_it_best() -> None:
    """On a ball, where nothing hides anything: by closed form."""
    what = subject(ball(4))
    angles = [(0.0, 5.0), (90.0, 5.0), (180.0, 5.0), (270.0, 5.0), (45.0, 60.0)]
    cameras = striped_ball.cameras(angles, 48)
    for k in range(len(angles)):
        one = striped_ball.cameras(angles[k : k + 1], 48)
        seen = look(what.surface, what.normals, one, 1)
        owner = _owners(what, cameras, k, seen)
        points, normals = seen.points.numpy(), seen.normals.numpy()
        away = eyes(cameras)[:, None] - points
        cosine = (away * normals).sum(-1) / np.linalg.norm(away, axis=-1)
        order = np.sort(cosine, axis=0)
        clear = (order[-1] > GRAZING + 0.02) & (order[-1] > order[-2] + 0.01)
        clear &= _inside(seen) | (cosine.argmax(axis=0) != k)
        assert clear.mean() > 0.8
        assert np.array_equal(owner[clear], cosine.argmax(axis=0)[clear])
        rim = (owner == -1) & (cosine[k] > GRAZING) & (cosine.argmax(axis=0) == k)
        assert not (rim & _inside(seen)).any()


def test_what_is_hidden_from_a_side_is_not_its() -> None:
    """A wall stands before a sheet; the camera behind the wall faces the sheet squarely."""
    sheet = trimesh.creation.box((0.6, 0.6, 0.02))
    wall = trimesh.creation.box((0.8, 0.8, 0.02))
    wall.apply_translation((0, 0, 0.3))
    both = trimesh.util.concatenate([sheet, wall])
    flat = np.repeat(both.face_normals[:, None], 3, axis=1)
    what = Object(Surface(np.asarray(both.vertices), np.asarray(both.faces)), flat)
    angles = [(75.0, 0.0), (0.0, 0.0)]
    cameras = striped_ball.cameras(angles, 96)
    seen = look(what.surface, what.normals, striped_ball.cameras(angles[:1], 96), 1)
    owner = _owners(what, cameras, 0, seen)
    front = seen.points.numpy()
    behind = (np.abs(front[:, 2] - 0.01) < 1e-3) & (np.abs(front[:, 0]) < 0.25)
    assert behind.sum() > 20 and not (owner[behind] == 1).any()
    on_wall = (np.abs(front[:, 2] - 0.31) < 1e-3) & (np.abs(front[:, :2]) < 0.3).all(axis=1)
    assert on_wall.sum() > 20 and (owner[on_wall] == 1).all()


def test_the_rim_of_a_silhouette_is_left_out() -> None:
    what = subject(ball(4))
    seen = look(what.surface, what.normals, striped_ball.cameras([(30.0, 10.0)], 40), 2)
    inner = _inside(seen)
    whole = (coverage(seen)[0] == 1).numpy()
    for pixel, within in zip(seen.pixel.numpy(), inner, strict=True):
        row, column = divmod(int(pixel), 40)
        around = whole[max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2]
        assert within == bool(around.all())
    assert 0.6 < inner.mean() < 1


def test_the_pictures_of_the_sides_come_onto_the_mesh(inputs, tmp_path) -> None:
    """The model's pictures are up to 7.5 degrees off its words, so they cannot fit better."""
    config = replace(SAMPLED, iterations=1, rate=1e-6, samples=2)
    done = paint(inputs, config, context(tmp_path))
    field = field_files.load(done.field.path)
    points = np.asarray(ball(4).vertices)
    shown = points[:, 1] > -0.2  # No side looks from below.
    found = uses.values(field, points[shown].astype(np.float32))
    quality = psnr_db(found, wanted(points[shown]))
    assert quality > 17, quality
    mirrored = points[shown] * [-1, 1, 1]
    assert quality > psnr_db(found, wanted(mirrored)) + 6


def test_stopped_between_sides_it_goes_on_to_the_same_bytes(inputs, tmp_path) -> None:
    paint(inputs, SAMPLED, context(tmp_path / "whole"))
    with pytest.raises(Killed):
        paint(inputs, SAMPLED, context(tmp_path / "cut", stop_at=11))
    assert len(list((tmp_path / "cut" / "scratch").glob("side-*"))) == 11
    paint(inputs, SAMPLED, context(tmp_path / "cut"))
    assert results(tmp_path / "cut") == results(tmp_path / "whole")
    assert torch.get_num_threads() == 1
