"""The list of toys: what is held out, and what every shape must be."""

import subprocess
import sys

import numpy as np
import pytest
import trimesh
from splatworks.stages.toybox import catalog, shapes
from splatworks.stages.toybox.props import Config, Prop, make, split_of

ALL = list(make(Config(), seed=1))


def combination(prop: Prop) -> tuple[str, str, str, str]:
    return prop.kind, prop.color, prop.pattern, prop.part_color


def test_the_same_seed_makes_the_same_toys() -> None:
    assert list(make(Config(), seed=1)) == ALL
    other = list(make(Config(), seed=2))
    assert [combination(prop) for prop in other] == [combination(prop) for prop in ALL]
    assert all(a.shape_seed != b.shape_seed for a, b in zip(ALL, other, strict=True))


def test_a_fifth_of_the_combinations_is_held_out_whatever_the_seed() -> None:
    splits = {combination(prop): prop.split for prop in ALL}
    heldout = sum(split == "heldout" for split in splits.values()) / len(splits)
    assert 0.16 < heldout < 0.24
    assert all(splits[combination(prop)] == prop.split for prop in ALL)
    assert all(prop.split == splits[combination(prop)] for prop in make(Config(), seed=7))


def test_no_kind_loses_a_color_or_a_pattern_to_the_judges() -> None:
    """Every pair of words is trained somewhere: only their combination is new."""
    trained = [prop for prop in ALL if prop.split == "train"]
    for kind in catalog.KINDS:
        colors = {p.color for p in trained if p.kind == kind}
        patterns = {p.pattern for p in trained if p.kind == kind}
        assert colors - set(catalog.MATERIALS) == set(catalog.COLORS)
        assert patterns == set(catalog.PATTERNS)
    assert {(p.color, p.pattern) for p in trained} == {
        *((color, pattern) for color in catalog.COLORS for pattern in catalog.PATTERNS),
        *((material, "none") for material in catalog.MATERIALS),
    }


def test_the_color_of_a_part_is_a_part_of_the_combination() -> None:
    for kind in catalog.PARTS:
        mixed = {
            (p.color, p.pattern, p.split) for p in ALL if p.kind == kind and p.pattern == "none"
        }
        assert len(mixed) > len(catalog.COLORS), "all parts' colors share one split"


def test_the_promised_prompt_is_trained() -> None:
    assert split_of("mushroom", "red", "dots", "") == "train"
    assert any(combination(p) == ("mushroom", "red", "dots", "") for p in ALL)


@pytest.mark.parametrize(
    "wrong", [{"kinds": ("dragon",)}, {"plain_props": 0}, {"heldout_fraction": 1.0}]
)
def test_a_wrong_setting_is_named(wrong: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Config(**wrong)


@pytest.mark.parametrize("stage", ["props", "images", "captions"])
def test_the_faces_import_nothing_heavy(stage: str) -> None:
    code = f"import splatworks.stages.toybox.{stage}, sys; print(*sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"numpy", "torch", "open3d", "trimesh"} & set(out.stdout.split())


@pytest.mark.parametrize("kind", catalog.KINDS)
def test_parts_are_closed_and_fill_the_standard_frame(kind: str) -> None:
    shape = shapes.build(kind, seed=5)
    length = np.linalg.norm(shape.vertices, axis=1)
    assert length.max() == pytest.approx(catalog.OBJECT_RADIUS_M, abs=1e-5)
    np.testing.assert_allclose(np.linalg.norm(shape.normals[shape.faces], axis=2), 1, atol=1e-4)
    for part in range(shape.parts.max() + 1):
        mesh = trimesh.Trimesh(shape.vertices, shape.faces[shape.parts == part], process=False)
        mesh.merge_vertices(merge_norm=True, merge_tex=True)
        assert mesh.is_watertight, f"part {part} has holes"
        assert mesh.is_winding_consistent
        assert mesh.volume > 0, f"part {part} is inside out"


@pytest.mark.parametrize("kind", catalog.KINDS)
def test_proportions_differ_by_little_and_correspond(kind: str) -> None:
    one, other = shapes.build(kind, seed=5), shapes.build(kind, seed=6)
    np.testing.assert_array_equal(one.faces, other.faces)
    apart = np.linalg.norm(one.vertices - other.vertices, axis=1)
    assert 0 < apart.max() < 0.2


@pytest.mark.parametrize(
    ("kind", "role"),
    [
        ("duck", "orange"),
        ("car", "lamp"),
        ("house", "brass"),
        ("rocket", "glass"),
        ("barrel", "wood"),
        ("table", "brass"),
        ("flower", "part"),
        ("bird", "orange"),
        ("fish", "trim"),
        ("penguin", "orange"),
        ("cat", "brass"),
        ("snowman", "orange"),
        ("robot", "lamp"),
        ("truck", "lamp"),
        ("plane", "brass"),
        ("tower", "wood"),
        ("chest", "brass"),
        ("shield", "brass"),
        ("book", "trimming"),
    ],
)
def test_fronts_face_plus_z(kind: str, role: str) -> None:
    shape = shapes.build(kind, seed=5)
    faces = shape.faces[shape.roles == shape.role_names.index(role)]
    assert shape.vertices[faces][..., 2].mean() > 0.12


def test_the_back_of_a_chair_is_at_its_back() -> None:
    shape = shapes.build("chair", seed=5)
    assert shape.vertices[shape.vertices[:, 1] > 0.1][:, 2].max() < -0.1
