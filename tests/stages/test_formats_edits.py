"""Scripts and regions on disk: every kind comes back, one line each, and nothing unknown passes."""

import json
from pathlib import Path

import numpy as np
import pytest
from splatworks.pipeline.errors import InputError, SplatworksError
from splatworks.stages.formats import documents, edits, regions, scenes

from . import scene_setup as made

CAMERA = regions.viewpoint(made.view())
SHAPES = (
    regions.All(),
    regions.Box(center=(0, 0, 0), size=(1, 2, 3), rotation=(0.5, 0.5, 0.5, 0.5)),
    regions.Sphere(center=(0, 1, 0), radius=0.5),
    regions.Plane(point=(0, 0, 0), normal=(0, 1, 0)),
    regions.Rectangle(camera=CAMERA, corner=(1, 2), opposite=(30, 40), through="visible"),
    regions.Lasso(camera=CAMERA, points=((0, 0), (5, 0), (5, 7))),
    regions.Brush(camera=CAMERA, points=((3, 4),), radius_px=2.5),
    regions.Color(color=(0.1, 0.2, 0.3), distance=0.1),
    regions.Range(property="opacity", low=0.5),
    regions.Range(property="depth", high=2.0, camera=CAMERA),
    regions.Flood(start=(0, 0, 0), radius=0.1, color_distance=0.2),
    regions.Islands(radius=0.1, below=20),
    regions.Floaters(),
    regions.indices(np.arange(20) % 3 == 0, "abc"),
    regions.masks(made.view(size=8), [np.eye(8, dtype=bool)]),
)
TERMS = tuple(regions.Term(shape=shape, how="add") for shape in SHAPES)
EDITS = (
    *(edits.Select(layer="a", term=term) for term in TERMS),
    edits.Grow(radius=0.1),
    edits.Shrink(neighbors=3),
    edits.Invert(layer="b"),
    edits.Move(translation=(1, 2, 3), rotation=(1, 1, 0, 0), scale=2, pivot=(0, 1, 0)),
    edits.Stretch(factors=(1, -2, 1), of="all"),
    edits.Delete(),
    edits.Crop(),
    edits.Duplicate(name="c"),
    edits.Separate(name="Größe 2 (neu)"),
    edits.Merge(layer="a", others=("b", "c")),
    edits.Recolor(tint=(1, 0.5, 0.5), black=0.1),
    edits.Opacity(factor=0.5),
    edits.Degree(degree=2),
    edits.Decimate(keep=0.5),
    edits.Sort(by="size"),
    edits.Ground(tolerance=0.1),
    edits.Center(at=(1, 2, 3)),
    edits.Frame(layer="a", like="b"),
    edits.Stitch(layer="a", source="b", beta=0.03, iterations=(3, 4)),
    edits.Retouch(layer="a", camera=CAMERA, png="aGVsbG8=", what="remove", background="black"),
)


def test_all_kinds_are_tested() -> None:
    assert {type(shape) for shape in SHAPES} == set(regions.SHAPES.values())
    assert {type(edit) for edit in EDITS} == set(edits.EDITS.values())


def test_scripts_come_back_one_edit_a_line(tmp_path: Path) -> None:
    script = edits.Script(("a", "b"), EDITS)
    path = edits.save(script, tmp_path / "s.json")
    assert edits.load(path) == script
    lines = path.read_text("utf-8").splitlines()
    assert sum(line.startswith('  {"edit": ') for line in lines) == len(EDITS)
    assert edits.save(edits.load(path), tmp_path / "t.json").read_bytes() == path.read_bytes()


def test_regions_come_back(tmp_path: Path) -> None:
    path = regions.save(TERMS, tmp_path / "r.json")
    assert regions.load(path) == TERMS
    assert json.loads(path.read_text("utf-8"))["kind"] == "region/1"


def test_masks_and_indices_come_back() -> None:
    mask = np.random.default_rng(0).random((8, 8)) < 0.4
    shape = regions.masks(made.view(size=8), [mask])
    assert (regions.picture_of(shape.views[0], "here") == mask).all()
    chosen = np.random.default_rng(1).random(1001) < 0.2
    assert (regions.mask_of(regions.indices(chosen, ""), "here") == chosen).all()


def test_a_camera_comes_back_as_it_was() -> None:
    before, after = made.view(), CAMERA.cameras()
    for name in ("world_to_camera", "focal_px", "center_px"):
        assert (getattr(before, name) - getattr(after, name)).abs().max() < 1e-6
    assert (after.width_px, after.height_px) == (96, 96)


SCRIPT = '{"kind": "edits/1", "scenes": ["a"], "edits": [%s]}'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "s: no readable JSON"),
        ("[" * 100_000, "no readable JSON"),
        ("[]", 'must be an object with "kind": "edits/1"'),
        ("{}", 'has "kind": null, expected "edits/1"'),
        ('{"kind": "edits/2"}', "is edits/2, written by a newer version of Splatworks"),
        ('{"kind": "region/1"}', 'has "kind": "region/1", expected "edits/1"'),
        ('{"kind": "edits/1", "kind": "edits/1"}', "'kind' stands twice"),
        ('{"kind": "edits/1", "edits": []}', '"scenes" must be a list of names'),
        ('{"kind": "edits/1", "scenes": [], "edits": []}', "scenes must be names, each once"),
        ('{"kind": "edits/1", "scenes": ["a", "a"], "edits": []}', "each once"),
        ('{"kind": "edits/1", "scenes": ["../a"], "edits": []}', "can not name a layer"),
        ('{"kind": "edits/1", "scenes": ["a"], "edits": {}}', '"edits" must be a list'),
        ('{"kind": "edits/1", "scenes": ["a"], "edits": [], "x": 1}', "unknown entry 'x'"),
        (SCRIPT % "3", "s: edit 1: must be an object, got int"),
        (SCRIPT % '{"edit": "mvoe"}', "edit 1: no edit 'mvoe'. Did you mean 'move'?"),
        (SCRIPT % '{"edit": "move", "rotate": [1]}', "edit 1 (move).rotate is not a setting"),
        (SCRIPT % '{"edit": "move", "scale": 0}', "edit 1 (move): scale must be positive"),
        (SCRIPT % '{"edit": "move", "scale": NaN}', "NaN is no number"),
        (SCRIPT % '{"edit": "move", "scale": 1e999}', "expected a finite number"),
        (SCRIPT % '{"edit": "move", "scale": "2"}', 'found "2", expected a number'),
        (SCRIPT % '{"edit": "move", "rotation": [0, 0, 0, 0]}', "must be a quaternion"),
        (SCRIPT % '{"edit": "stretch", "factors": [1, 0, 1]}', "factors must not be zero"),
        (SCRIPT % '{"edit": "grow"}', "give either radius or neighbors"),
        (SCRIPT % '{"edit": "duplicate", "name": "../../x"}', "can not name a layer"),
        (SCRIPT % '{"edit": "decimate", "keep": 1.5}', "keep must lie between 0 and 1"),
        (SCRIPT % '{"edit": "degree", "degree": 4}', "expected one of 0, 1, 2, 3"),
        (SCRIPT % '{"edit": "select", "shape": "cube"}', "no shape 'cube'"),
        (SCRIPT % '{"edit": "select", "shape": "all", "how": "xor"}', "how must be one of set"),
        (SCRIPT % '{"edit": "select", "shape": "all", "layer": 3}', "layer must be a name"),
        (SCRIPT % '{"edit": "select", "shape": "all", "radius": 3}', "(all).radius is not a"),
        (SCRIPT % '{"edit": "select", "shape": "range", "property": "x"}', "low or high must be"),
    ],
)  # fmt: skip
def test_anything_wrong_in_a_script_is_said(text: str, said: str) -> None:
    with pytest.raises(SplatworksError) as caught:
        edits.parse(text, "s")
    assert said in str(caught.value)
    assert str(caught.value).startswith("s")


@pytest.mark.parametrize(
    "name",
    [
        "",
        "..",
        "../a",
        "a/b",
        "a\\b",
        ".hidden",
        "-o",
        "con",
        "NUL.x",
        "a\n",
        "a.",
        "x" * 81,
        "a:b",
    ],
)
def test_names_that_can_not_be_files_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="can not name a layer"):
        edits.check_name(name)
    text = documents.text_of("scenes/1", {}, "scenes", [{"name": name}])
    (tmp_path / "index.json").write_text(text, "utf-8")
    with pytest.raises(InputError, match=r"scene 1: .* can not name a layer"):
        scenes.scene_paths(tmp_path)


@pytest.mark.parametrize("name", ["a", "horse 2", "naïve", "дом", "家", "v1.2_(a)+b", "conny"])
def test_other_names_are_fine(name: str) -> None:
    edits.check_name(name)


def test_a_missing_and_a_binary_file_are_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        regions.load(tmp_path / "r.json")
    (tmp_path / "r.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="can not be read as text"):
        regions.load(tmp_path / "r.json")


def test_cameras_in_regions_are_rigid() -> None:
    scaled = tuple(2 * value for value in CAMERA.camera_to_world)
    with pytest.raises(ValueError, match="no rotation and shift"):
        regions.Viewpoint(camera_to_world=scaled, focal_px=(1, 1), center_px=(0, 0), size_px=(1, 1))
