"""What a pointer did becomes the edit that a person would expect."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from splatworks.pipeline.errors import InputError
from splatworks.stages.formats import regions
from splatworks.stages.scene import affine
from splatworks.stages.scene.layers import positions
from splatworks.stages.scene.operations import perform
from splatworks.studio import gestures
from splatworks.studio.gestures import Eye, Pick

from ..stages import scene_setup as made
from .scenes import looking

PICK = Pick(layer="a", through="everything", radius_px=20)


def seen_at(eye: Eye, points: np.ndarray) -> np.ndarray:
    """Fractions of the window, by the textbook, not by our cameras."""
    turn = Rotation.from_quat(np.roll(eye.rotation, -1)).as_matrix()
    x, y, z = ((points - np.asarray(eye.position)) @ turn).T
    slope = np.tan(eye.fovy_rad / 2)
    width, height = eye.size_px
    across = np.stack([x / z / slope * height / width, y / z / slope], axis=1)
    return np.where(z[:, None] > 0, 0.5 + 0.5 * across, np.nan)


@pytest.mark.parametrize("size", [(400, 300), (1920, 1080), (300, 900), (640, 640)])
def test_a_rectangle_takes_what_the_page_shows_in_it(size: tuple[int, int]) -> None:
    scene, eye = made.scene_of(a=made.cloud(500)), looking(size)
    select = gestures.rectangle(eye, (0.4, 0.45), (0.7, 0.2), PICK)
    found = perform(scene, select).scene.layers[0].selected
    places = seen_at(eye, positions(scene.layers[0]))
    inside = ((places >= [0.4, 0.2]) & (places <= [0.7, 0.45])).all(axis=1)
    rounding = np.abs(places[:, :, None] - [[0.4, 0.7], [0.2, 0.45]]).min(axis=(1, 2)) < 2e-3
    assert (found == inside)[~rounding].all() and 10 < inside.sum() < 250
    assert max(select.term.shape.camera.size_px) <= 640


def test_lasso_and_brush_take_what_the_page_shows() -> None:
    scene, eye = made.scene_of(a=made.cloud(500)), looking((1280, 960))
    places = seen_at(eye, positions(scene.layers[0]))
    corners = [(0.3, 0.3), (0.7, 0.3), (0.5, 0.8)]
    found = perform(scene, gestures.lasso(eye, corners, PICK)).scene.layers[0].selected
    x, y = places.T
    inside = (y > 0.3) & (y - 0.3 < 2.5 * (x - 0.3)) & (y - 0.3 < 2.5 * (0.7 - x))
    assert (found != inside).sum() <= 2 < inside.sum()
    wide = replace(PICK, radius_px=60.0)
    dab = perform(scene, gestures.brush(eye, [(0.35, 0.5)], wide)).scene.layers[0].selected
    near = np.linalg.norm((places - [0.35, 0.5]) * [1280, 960], axis=1) <= 60
    assert (dab == near).all() and 5 < near.sum() < 250


def test_the_gesture_says_how_and_for_which_layer() -> None:
    pick = Pick(layer="b", how="remove", through="visible")
    select = gestures.rectangle(looking(), (0, 0), (1, 1), pick)
    assert (select.layer, select.term.how, select.term.shape.through) == ("b", "remove", "visible")


def test_places_outside_of_the_page_are_held_at_its_edge() -> None:
    shape = gestures.rectangle(looking((400, 300)), (-3, 0.5), (0.5, 9), PICK).term.shape
    assert shape.corner == (0, 150) and shape.opposite == (200, 300)


def test_slips_of_the_hand_are_refused() -> None:
    with pytest.raises(InputError, match="too small"):
        gestures.rectangle(looking(), (0.5, 0.5), (0.501, 0.501), PICK)
    with pytest.raises(InputError, match="too short"):
        gestures.lasso(looking(), [(0.5, 0.5), (0.6, 0.6)], PICK)


def test_volumes_take_what_is_inside() -> None:
    scene = made.scene_of(a=made.cloud(500))
    points = positions(scene.layers[0])
    ball = perform(scene, gestures.sphere((0.1, 0, 0), 0.3, PICK)).scene.layers[0].selected
    assert (ball == (np.linalg.norm(points - [0.1, 0, 0], axis=1) <= 0.3)).all()
    turn = Rotation.from_euler("z", 30, degrees=True)
    quaternion = np.roll(turn.as_quat(), 1)
    box = gestures.box((0, 0, 0), quaternion, (0.4, 0.2, 2), PICK)
    found = perform(scene, box).scene.layers[0].selected
    own = turn.inv().apply(points)
    assert (found == (np.abs(own) <= [0.2, 0.1, 1]).all(axis=1)).all() and found.any()


def test_number_fields_turn_about_the_axes_of_the_scene_in_turn() -> None:
    scene = made.scene_of(a=made.cloud(50))
    before, pivot = positions(scene.layers[0]), np.array([0.1, 0.2, 0.3])
    edit = gestures.move(
        "a", "all", translation=(1, 2, 3), turn_deg=(90, 0, 90), scale=2.0, pivot=pivot
    )
    after = positions(perform(scene, edit).scene.layers[0])
    x, y, z = (before - pivot).T
    turned = np.stack([x, -z, y], axis=1)  # 90 degrees about x
    turned = np.stack([-turned[:, 1], turned[:, 0], turned[:, 2]], axis=1)  # then about z
    assert np.allclose(after, 2 * turned + pivot + [1, 2, 3], atol=1e-6)


@given(
    st.tuples(*[st.floats(-1, 1)] * 4).filter(lambda q: np.linalg.norm(q) > 0.1),
    st.tuples(*[st.floats(-2, 2)] * 3),
    st.tuples(*[st.floats(-2, 2)] * 3),
)
def test_what_a_gizmo_carries_goes_where_the_gizmo_goes(rotation, pivot, position) -> None:
    edit = gestures.dragged("a", "all", pivot=pivot, position=position, rotation=rotation)
    turn = affine.rotation_matrix(edit.rotation)
    matrix = affine.about(turn, edit.pivot, edit.translation)
    offset = np.array([0.1, -0.2, 0.3])
    moved = affine.carried_points((np.asarray(pivot) + offset)[None], matrix)[0]
    assert np.allclose(moved, np.asarray(position) + turn @ offset)


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=5))
def test_strokes_are_drawn_where_the_pointer_was(places) -> None:
    eye = Eye((0.6, -0.2, 0.7, 0.1), (1.0, 2.0, 3.0), np.radians(60), (900, 500))
    points = gestures.on_sphere(eye, places, 0.7)
    assert np.allclose(np.linalg.norm(points - [1, 2, 3], axis=1), 0.7)
    assert np.allclose(seen_at(eye, points), places, atol=1e-9)


def test_the_camera_is_that_of_the_window() -> None:
    eye = Eye((0.6, -0.2, 0.7, 0.1), (1.0, 2.0, 3.0), np.radians(60), (900, 500))
    view: regions.Viewpoint = eye.viewpoint(450)
    assert view.size_px == (450, 250)
    pose = np.reshape(view.camera_to_world, (4, 4))
    turn = Rotation.from_quat(np.roll(eye.rotation, -1)).as_matrix()
    assert np.allclose(pose[:3, :3], turn * [1, -1, -1]) and np.allclose(pose[:3, 3], [1, 2, 3])
    assert np.allclose(view.focal_px, 125 / np.tan(np.radians(30)))


def test_a_picture_fits_the_window_it_was_taken_in_and_no_other() -> None:
    eye = looking((900, 600))
    view = eye.viewpoint(400)
    assert view.size_px == (400, 267) and eye.sees(view)
    assert eye.sees(replace(eye, size_px=(1800, 1200)).viewpoint(400))
    for other in (
        replace(eye, size_px=(900, 500)),
        replace(eye, fovy_rad=0.9 * eye.fovy_rad),
        replace(eye, position=(0.25, 0.01, 2.0)),
        replace(eye, rotation=(0.01, 1.0, 0.0, 0.0)),
    ):
        assert not other.sees(view)
