"""The true toys that results are compared with, and the figures of the comparison."""

import itertools
import math
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from splatworks.renderers.scene import Gaussians
from splatworks.stages.formats import gltf, splats
from splatworks.stages.geometry.activation import deactivate
from splatworks.stages.toybox import captions, catalog, props, shapes

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import generating
import true_toys as toys

PROMPTS = Path(__file__).resolve().parents[2] / "docs" / "gallery_prompts.txt"
CHAIR = "a blue chair with red legs"


def shots(rgb: np.ndarray, mask: np.ndarray) -> toys.Shots:
    gray = toys.GRAY / 255
    return toys.Shots(np.where(mask[..., None], rgb, gray), mask.astype(np.float64))


def half(size: int = 8) -> np.ndarray:
    """The left half of one picture."""
    mask = np.zeros((1, size, size), bool)
    mask[:, :, : size // 2] = True
    return mask


# --- prompts ---


def test_every_prompt_of_the_toybox_names_its_toy() -> None:
    config = props.Config(plain_props=1)
    for toy in itertools.islice(props.make(config, 0), 0, None, 17):
        found = toys.named(captions.describe(toy))
        assert found is not None
        same = replace(found, id=toy.id, shape_seed=toy.shape_seed)
        assert same == toy
        assert toys.unseen(found) == (toy.split == "heldout")


@pytest.mark.parametrize("text", ["", "a dog", "red duck", "a red duck on a barrel"])
def test_other_prompts_name_none(text) -> None:
    assert toys.named(text) is None


def test_letters_and_blanks_do_not_matter() -> None:
    assert toys.named("  A  Yellow duck ") == toys.named("a yellow duck")


def test_the_lists_hold_what_they_promise() -> None:
    gallery, scoring, ablation = (
        generating.read_list(PROMPTS, name) for name in ("gallery", "scoring", "ablation")
    )
    assert len(gallery) >= 12 and len(scoring) >= 24 and len(ablation) == 8
    assert not set(gallery) & set(scoring)
    known = [toy for text in (*gallery, *scoring) if (toy := toys.named(text)) is not None]
    kinds = [toy.kind for toy in known]
    assert len(set(kinds)) == len(kinds)
    if set(catalog.KINDS) - set(kinds):  # Then every kind of the lists is in the catalog.
        raise AssertionError(f"no prompt for {sorted(set(catalog.KINDS) - set(kinds))}")
    for texts in (gallery, scoring, ablation):
        found = [toy for text in texts if (toy := toys.named(text)) is not None]
        assert 2 * sum(toys.unseen(toy) for toy in found) >= len(found)
        assert sum(bool(toy.part_color) for toy in found) >= len(found) / 5


# --- pictures ---


def test_true_toys_agree_with_their_own_mesh(tmp_path: Path) -> None:
    """Another renderer, from a file: same cameras, same frame, and not mirrored."""
    toy = toys.named(CHAIR)
    assert toy is not None
    shape = shapes.build(toy.kind, toy.shape_seed)
    mesh = gltf.Mesh(positions=shape.vertices, faces=shape.faces.astype(np.int64))
    straight = toys.of_mesh(gltf.save(mesh, tmp_path / "chair.glb"))
    truth = toys.of_toy(toy)
    assert toys.agreement(straight, truth).iou > 0.97
    quarter = shape.vertices[:, [2, 1, 0]] * np.float32([1, 1, -1])
    turned = toys.of_mesh(gltf.save(replace(mesh, positions=quarter), tmp_path / "turned.glb"))
    assert toys.agreement(turned, truth).iou < 0.9


def test_splats_are_seen_from_the_same_cameras(tmp_path: Path) -> None:
    toy = toys.named("a yellow duck")
    assert toy is not None
    shape = shapes.build(toy.kind, toy.shape_seed)
    draw = np.random.default_rng(0)
    corners = shape.vertices[shape.faces.astype(np.int64)]
    areas = np.linalg.norm(
        np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1
    )
    face = draw.choice(len(corners), 6000, p=areas / areas.sum())
    weights = draw.dirichlet((1, 1, 1), len(face)).astype(np.float32)
    points = torch.from_numpy(np.einsum("nk,nkc->nc", weights, corners[face]))
    count = len(points)
    quaternions = torch.zeros(count, 4)
    quaternions[:, 0] = 1
    raw = deactivate(
        Gaussians(
            means=points, quaternions=quaternions, scales=torch.full((count, 3), 0.006),
            opacities=torch.full((count,), 0.9), sh=torch.zeros(count, 1, 3),
        )
    )  # fmt: skip
    names = ("means", "log_scales", "logit_opacities", "quaternions", "sh")
    file = splats.RawSplats(*(getattr(raw, name).numpy() for name in names))
    made = toys.of_splats(splats.save(file, tmp_path / "chair.ply"))
    assert toys.agreement(made, toys.of_toy(toy)).iou > 0.85
    assert made.rgb.shape == (8, 128, 128, 3) and 0 <= made.rgb.min() <= made.rgb.max() <= 1


def test_premultiplied_pictures_add_up_to_those_on_gray() -> None:
    toy = toys.named("a yellow duck")
    assert toy is not None
    shown = toys.of_toy(toy, toys.VIEWS[:2])
    rgba = shown.rgba
    again = rgba[..., :3] + (1 - rgba[..., 3:]) * toys.GRAY / 255
    inside = shown.mask
    assert np.abs(again - shown.rgb)[inside].max() < 1e-12
    assert (rgba[..., :3][~inside] <= 0.5).all()


# --- figures ---


def test_a_toy_agrees_with_itself() -> None:
    toy = toys.named("a yellow duck")
    assert toy is not None
    truth = toys.of_toy(toy, toys.VIEWS[:3])
    found = toys.agreement(truth, truth)
    assert (found.iou, found.color_error_255, found.psnr_db) == (1.0, 0.0, 100.0)


def test_figures_of_known_pictures() -> None:
    """The left half off by 0.1 in one channel; the other half is what one of both misses."""
    whole = np.ones((1, 8, 8), bool)
    truth = shots(np.full((1, 8, 8, 3), 0.2), whole)
    made = shots(np.full((1, 8, 8, 3), [0.3, 0.2, 0.2]), half())
    found = toys.agreement(made, truth)
    assert found.iou == 0.5
    assert found.color_error_255 == pytest.approx(25.5 / 3)
    missed = (toys.GRAY / 255 - 0.2) ** 2
    assert found.psnr_db == pytest.approx(-10 * math.log10((0.01 / 3 + missed) / 2))


def test_nothing_in_common_is_the_worst_color() -> None:
    left, right = half(), ~half()
    colors = np.full((1, 8, 8, 3), 0.2)
    found = toys.agreement(shots(colors, left), shots(colors, right))
    assert (found.iou, found.color_error_255) == (0.0, 255.0)
    empty = toys.agreement(shots(colors, left & right), shots(colors, left))
    assert (empty.iou, empty.color_error_255) == (0.0, 255.0)


def test_the_background_does_not_count() -> None:
    """As much empty picture as one likes: the figure stays."""
    small = np.zeros((1, 16, 16), bool)
    small[:, :8, :8] = half()
    small_truth = np.zeros_like(small)
    small_truth[:, :8, :8] = True
    wide = toys.agreement(
        shots(np.full((1, 16, 16, 3), 0.3), small), shots(np.full((1, 16, 16, 3), 0.2), small_truth)
    )
    near = toys.agreement(
        shots(np.full((1, 8, 8, 3), 0.3), half()),
        shots(np.full((1, 8, 8, 3), 0.2), np.ones((1, 8, 8), bool)),
    )
    assert wide == near


def test_other_proportions_cost_something_and_another_kind_more() -> None:
    toy, other = toys.named("a yellow duck"), toys.named("a yellow chair")
    assert toy is not None and other is not None
    best = toys.ceiling(toy)
    wrong = toys.agreement(toys.of_toy(other), toys.of_toy(toy))
    assert 0.75 < best.iou < 1 and best.iou > wrong.iou + 0.2
    assert best.psnr_db > wrong.psnr_db + 3
    recolored = toys.named("a red duck")
    assert recolored is not None
    red = toys.agreement(toys.of_toy(recolored), toys.of_toy(toy))
    assert red.iou == 1 and red.color_error_255 > best.color_error_255 + 30
