"""Proof in the real tool: Blender's own importers and Cycles, on files that we export.

Runs where `bpy` is: `pip install bpy` in this environment or, since bpy wants a NumPy of its own,
in another one whose Python SPLATWORKS_BPY_PYTHON names. SPLATWORKS_MESHES may name a folder of
further GLBs. A sheet of all pictures is left in the test's folder (`--basetemp`).
"""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from splatworks.pipeline.cli import main
from splatworks.stages.formats import gltf_model, wild

from .pictures import View, blender_python, probe, psnr_db, read
from .props import prop

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(blender_python() is None, reason="no bpy, and no SPLATWORKS_BPY_PYTHON"),
]
FURTHER = sorted(Path(os.environ.get("SPLATWORKS_MESHES", "/nonexistent")).glob("*.glb"))
FORMATS = ("glb", "obj", "fbx", "fbx+", "usdc", "usda", "usdz", "ply", "stl")
TEXTURED = ("glb", "obj", "fbx", "fbx+", "usdc", "usda", "usdz")
SIZE = 192


def seen(source: Path, folder: Path, formats=FORMATS) -> tuple[dict, dict[str, float]]:
    """What Blender reports of every format, and how alike the pictures are in dB."""
    model = wild.read(source)
    view = View(model, 35, 20, SIZE)
    ours = view.ours(model)
    files = {}
    for format in formats:
        ending = format.rstrip("+")
        path = folder / format / f"{source.stem}.{ending}"
        path.parent.mkdir()
        assert main(["export", str(source), "--for", "blender", "--out", str(path)]) == 0
        files[format] = {"path": str(path), "picture": str(folder / f"{format}.png")}
        if format == "fbx+":
            files[format]["importer"] = ".fbx+"
    found = probe(files, view, folder)
    pictures = {format: read(folder / f"{format}.png") for format in formats}
    sheet = np.concatenate([ours, *pictures.values()], axis=1)
    Image.fromarray(np.rint(sheet * 255).astype(np.uint8)).save(folder / "sheet.png")
    return found, {format: psnr_db(ours, picture) for format, picture in pictures.items()}


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("blender")
    return seen(gltf_model.save(prop(128), folder / "prop.glb"), folder)


def bounds(entry: dict) -> tuple[np.ndarray, np.ndarray]:
    return np.array(entry["low"]), np.array(entry["high"])


@pytest.mark.parametrize("format", FORMATS)
def test_it_stands_upright_in_its_size(result, format: str) -> None:
    ((name, entry),) = result[0][format]["objects"].items()
    assert name == "prop"
    low, high = bounds(entry)
    np.testing.assert_allclose(low, [-0.6, -0.7, 0.0], atol=1e-5)
    np.testing.assert_allclose(high, [0.9, 0.4, 1.7], atol=1e-5)
    assert entry["scale"] == [1, 1, 1] and entry["faces"] == 26
    volume = 1.5 * 0.2 * 1.1 + 0.5 * 1.5 * 0.7
    # The card adds the little that it spans with the origin.
    assert entry["volume"] == pytest.approx(volume, abs=0.05)
    if format != "obj":  # Blender turns OBJ files by the object.
        np.testing.assert_allclose(entry["rotation"], np.eye(3), atol=1e-6)
    if format not in ("ply", "stl"):
        assert entry["custom_normals"] and entry["uv_layers"]
    if format not in ("glb", "ply"):  # glTF and colors split vertices.
        assert entry["vertices"] == 20


@pytest.mark.parametrize("format", TEXTURED)
def test_materials_arrive(result, format: str) -> None:
    ((_, entry),) = result[0][format]["objects"].items()
    names = ["Body work/ä" if format == "glb" else "Body_work_a", "Plinth", "Card"]
    assert entry["materials"] == names
    body, plinth, card = (result[0][format]["materials"][name] for name in names)
    for name in ("Base Color", "Emission Color"):
        assert body[name]["loaded"] and body[name]["space"] == "sRGB"
        assert body[name]["size"] == [128, 128]
    # Blender's OBJ importer takes all pictures for colors; its new FBX importer skips metallic.
    plain = ("Normal", "Roughness", "Metallic")
    for name in plain[:2] if format == "fbx+" else plain:
        assert body[name]["loaded"]
        assert body[name]["space"] == ("sRGB" if format == "obj" else "Non-Color")
    assert "NORMAL_MAP" in body["Normal"]["passed"]
    assert plinth["Roughness"] == pytest.approx(0.6) and plinth["Metallic"] == 0
    assert card["Alpha"]["output"] == "Alpha"


@pytest.mark.parametrize("format", TEXTURED)
def test_cycles_shows_what_we_show(result, format: str) -> None:
    assert result[1][format] >= 30


@pytest.mark.parametrize("source", FURTHER, ids=lambda path: path.stem)
def test_meshes_from_elsewhere(source: Path, tmp_path: Path) -> None:
    found, likeness = seen(source, tmp_path, ("glb", "obj", "fbx", "fbx+", "usdc", "ply"))
    print(f"\n{source.stem}: " + ", ".join(f"{k} {v:.1f} dB" for k, v in likeness.items()))
    model = wild.read(source)
    shown = model.positions[model.faces.reshape(-1)]
    low, high = shown.min(axis=0), shown.max(axis=0)
    for format, entry in found.items():
        ((_, one),) = entry["objects"].items()
        size = float(np.ptp(shown, axis=0).max())
        np.testing.assert_allclose(one["low"], [low[0], -high[2], low[1]], atol=1e-5 * size)
        np.testing.assert_allclose(one["high"], [high[0], -low[2], high[1]], atol=1e-5 * size)
        assert one["faces"] == len(model.faces), format
        if format != "ply":
            assert likeness[format] >= 30, format


def test_levels_and_units_of_other_tools(tmp_path: Path) -> None:
    """Files for Unreal and Maya, seen by Blender, which obeys what they say of themselves."""
    source = gltf_model.save(prop(32), tmp_path / "prop.glb")
    low = gltf_model.save(prop(16, coarse=True), tmp_path / "low.glb")
    view = View(prop(), 35, 20, 16)
    files = {}
    for tool in ("unreal", "unity", "maya"):
        for ending in ("fbx", "usdc"):
            out = tmp_path / tool / f"prop.{ending}"
            words = ["export", str(source), "--for", tool, "--lods", str(low), "--out", str(out)]
            assert main(words) == 0
            files[f"{tool}.{ending}"] = {"path": str(out)}
    found = probe(files, view, tmp_path)
    for name, entry in found.items():
        finest = [one for key, one in entry["objects"].items() if "LOD1" not in key]
        (one,) = finest
        np.testing.assert_allclose(one["low"], [-0.6, -0.7, 0.0], atol=1e-4, err_msg=name)
        np.testing.assert_allclose(one["high"], [0.9, 0.4, 1.7], atol=1e-4, err_msg=name)
        assert len(entry["objects"]) == (2 if name.endswith("fbx") else 1)
