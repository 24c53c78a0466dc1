"""Leaves that are left cover what all did; nothing else grows."""

import numpy as np
import pytest
from splatworks.stages.formats.model import Material, Model, Texture
from splatworks.stages.geometry.components import Surface, face_areas
from splatworks.stages.geometry.decimation import simplify
from splatworks.stages.simplify.foliage import GROWTH, grown

from ..geometry_decimation.shapes import box, grid, moved, together

LEAF = Texture(np.full((2, 2, 4), 255, np.uint8))


def crown(count: int, material: Material, part: Surface | None = None) -> Model:
    """`count` squares in rows of twenty, all a little different, far from each other."""
    part = part or grid(1)
    sizes = np.random.default_rng(0).uniform(0.9, 1, count)
    one = together(
        *(moved(part, [3.0 * (n % 20), 3.0 * (n // 20), 0], s) for n, s in enumerate(sizes))
    )
    kinds = np.zeros(len(one.faces), np.int64)
    return Model(one.positions, one.faces, kinds, (material,))


def thinned(model: Model, faces: int, **given):
    """The level and its positions with grown leaves."""
    decimation = simplify(Surface(model.positions, model.faces), targets=[faces], **given)
    return decimation.levels[0], grown(decimation, 0, model)


CUT_OUT = Material(alpha_mode="MASK", base_color=LEAF)


def test_leaves_cover_what_all_did() -> None:
    model = crown(200, CUT_OUT)
    level, positions = thinned(model, 180)
    whole = face_areas(Surface(model.positions, model.faces)).sum()
    was = face_areas(Surface(level.positions, level.faces)).sum()
    area = face_areas(Surface(positions, level.faces))
    assert was < 0.5 * whole
    assert area.sum() == pytest.approx(whole, rel=0.1)
    # Each about its own middle, and not beyond the limit.
    before, after = level.positions[level.faces], positions[level.faces]
    np.testing.assert_allclose(after.mean(axis=1), before.mean(axis=1), atol=1e-12)
    growth = np.sqrt(area / face_areas(Surface(level.positions, level.faces)))
    assert (growth >= 1 - 1e-12).all() and (growth <= GROWTH + 1e-12).all()
    assert growth.min() < growth.max()


def test_no_leaf_grows_beyond_the_limit() -> None:
    level, positions = thinned(crown(200, CUT_OUT), 20)
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


def test_few_cards_closed_parts_and_whole_crowns_stay() -> None:
    for model, faces in (
        (crown(40, CUT_OUT), 20),
        (crown(200, CUT_OUT, box()), 600),
        (crown(200, CUT_OUT), 400),
    ):
        level, positions = thinned(model, faces)
        np.testing.assert_array_equal(positions, level.positions)


def test_locked_leaves_stay() -> None:
    locked = np.arange(800) < 160
    level, positions = thinned(crown(200, CUT_OUT), 200, locked=locked)
    assert level.locked.sum() == 160
    moved_by = np.abs(positions - level.positions).max(axis=1)
    assert (moved_by[level.locked] == 0).all() and (moved_by[~level.locked] > 0).any()
