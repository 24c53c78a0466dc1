"""Leaves that are left cover what all did; nothing else grows."""

import numpy as np
import pytest
from splatworks.stages.formats.model import Material, Model, Texture
from splatworks.stages.geometry.components import Surface, face_areas
from splatworks.stages.geometry.decimation import simplify
from splatworks.stages.simplify.foliage import GROWTH, grown

from ..geometry_decimation.shapes import box, grid, moved, together

LEAF = Texture(np.full((2, 2, 4), 255, np.uint8))


def crown(
    count: int, material: Material, part: Surface | None = None, more: Surface | None = None
) -> Model:
    """`count` leaves in rows of twenty, all a little different, far from each other."""
    part = part or Surface(np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0]]), np.array([[0, 1, 2]]))
    sizes = np.random.default_rng(0).uniform(0.9, 1, count)
    leaves = [moved(part, [3.0 * (n % 20), 3.0 * (n // 20), 0], s) for n, s in enumerate(sizes)]
    one = together(*leaves, *([] if more is None else [more]))
    kinds = np.zeros(len(one.faces), np.int64)
    return Model(one.positions, one.faces, kinds, (material,))


def thinned(model: Model, faces: int, **given):
    """The level and its positions with grown leaves."""
    decimation = simplify(Surface(model.positions, model.faces), targets=[faces], **given)
    return decimation.levels[0], grown(decimation, 0, model)


CUT_OUT = Material(alpha_mode="MASK", base_color=LEAF)


def test_leaves_cover_what_all_did() -> None:
    model = crown(200, CUT_OUT)
    level, positions = thinned(model, 66)
    whole = face_areas(Surface(model.positions, model.faces)).sum()
    was = face_areas(Surface(level.positions, level.faces))
    area = face_areas(Surface(positions, level.faces))
    assert was.sum() < 0.5 * whole
    assert area.sum() == pytest.approx(whole, rel=0.15)
    # Each about its own middle, by what is gone around it.
    before, after = level.positions[level.faces], positions[level.faces]
    np.testing.assert_allclose(after.mean(axis=1), before.mean(axis=1), atol=1e-12)
    growth = np.sqrt(area / was)
    assert growth.min() < 1.4 and growth.max() > 1.8 and (growth <= GROWTH + 1e-12).all()


def test_a_card_that_has_lost_a_corner_does_not_grow_for_it() -> None:
    """Squares that are triangles by now, a third of them: about the middles of what is left."""
    level, positions = thinned(crown(200, CUT_OUT, grid(1)), 66)
    before, after = level.positions[level.faces], positions[level.faces]
    np.testing.assert_allclose(after.mean(axis=1), before.mean(axis=1), atol=1e-12)
    growth = np.ptp(after, axis=1).max(axis=1) / np.ptp(before, axis=1).max(axis=1)
    assert growth.min() < 1.4


def test_no_leaf_grows_beyond_the_limit() -> None:
    level, positions = thinned(crown(200, CUT_OUT), 6)
    area = face_areas(Surface(positions, level.faces))
    was = face_areas(Surface(level.positions, level.faces))
    np.testing.assert_allclose(area, GROWTH**2 * was, rtol=1e-9)


@pytest.mark.parametrize(
    "material",
    [
        Material(),
        Material(alpha_mode="BLEND", base_color_factor=(1.0, 1.0, 1.0, 0.3)),
        Material(alpha_mode="BLEND", base_color=Texture(LEAF.pixels[..., :3])),
        Material(base_color=LEAF),
    ],
    ids=["plain", "glass", "picture without alpha", "opaque"],
)
def test_only_cut_outs_are_leaves(material: Material) -> None:
    level, positions = thinned(crown(200, material), 100)
    np.testing.assert_array_equal(positions, level.positions)


def test_few_cards_large_sheets_and_closed_parts_stay() -> None:
    ground = moved(grid(1), [0, -90, 0], 60.0)
    for model, faces in (
        (crown(45, CUT_OUT, more=ground), 15),
        (crown(200, CUT_OUT, box()), 100),
    ):
        level, positions = thinned(model, faces)
        assert len(level.faces) < len(model.faces)
        np.testing.assert_array_equal(positions, level.positions)
    level, positions = thinned(crown(100, CUT_OUT, more=ground), 30)
    grew = (positions != level.positions).any(axis=1)
    assert grew.any() and not grew[level.positions[:, 1] < -20].any()


def test_a_few_gaps_stay() -> None:
    level, positions = thinned(crown(200, CUT_OUT), 90)
    np.testing.assert_array_equal(positions, level.positions)


def test_locked_leaves_stay() -> None:
    locked = np.arange(1200) < 120
    level, positions = thinned(crown(400, CUT_OUT), 120, locked=locked)
    assert level.locked.sum() == 120
    grew = (positions != level.positions).any(axis=1)
    assert not grew[level.locked].any() and grew[~level.locked].any()
