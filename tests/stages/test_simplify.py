"""Levels of detail: counts, closedness, and looks that survive a new atlas."""

import json
from pathlib import Path

import numpy as np
import pytest
import trimesh
from splatworks.pipeline.errors import InputError
from splatworks.stages import simplify
from splatworks.stages.artifacts import TexturedMeshFile
from splatworks.stages.formats import gltf, pictures
from splatworks.stages.geometry.atlas import atlas, texels
from splatworks.stages.geometry.bake import bake, fill
from splatworks.stages.geometry.components import Surface, report, weld
from splatworks.stages.simplify.distance import Distances

from .splat_objects import context

CONFIG = simplify.Config(ratios=(1.0, 0.5, 0.2, 0.05), min_texture_px=64)


def colored(positions: np.ndarray) -> np.ndarray:
    """A color for every place: smooth, and different in each corner of space."""
    return (positions * 0.45 + 0.5).astype(np.float32)


def textured(shape: trimesh.Trimesh, size_px: int = 256) -> gltf.Mesh:
    bare = gltf.Mesh(np.asarray(shape.vertices, np.float32), np.asarray(shape.faces, np.int64))
    unwrapped = atlas(bare, size_px)
    maps = bake(texels(unwrapped), lambda p, n, f: (colored(p), np.ones(len(p), bool)))
    return gltf.Mesh(
        unwrapped.mesh.positions,
        unwrapped.mesh.faces,
        normals=unwrapped.mesh.normals,
        uvs=unwrapped.mesh.uvs,
        base_color=pictures.to_bytes(fill(maps, 4)),
    )


@pytest.fixture(scope="module")
def chain(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("chain")
    gltf.save(textured(trimesh.creation.icosphere(4)), folder / "fine.glb")
    inputs = simplify.Inputs(TexturedMeshFile(folder / "fine.glb"))
    return simplify.run(inputs, CONFIG, context(folder)).lods.path


def levels(chain: Path) -> list[dict]:
    index = json.loads((chain / "index.json").read_text())
    assert index["kind"] == "lods/1"
    return index["lods"]


def test_counts_fall_and_meet_their_targets(chain) -> None:
    found = levels(chain)
    assert [entry["ratio"] for entry in found] == [1.0, 0.5, 0.2, 0.05]
    for entry in found:
        mesh = gltf.load(chain / entry["file"])
        assert len(mesh.faces) == entry["faces"]
        assert len(mesh.positions) == entry["vertices"]
        assert entry["faces"] == pytest.approx(5120 * entry["ratio"], abs=2)
        assert entry["watertight"] and report(weld(Surface(mesh.positions, mesh.faces))).watertight
        assert max(mesh.base_color.shape) == entry["texture_px"]
    sizes = [entry["texture_px"] for entry in found]
    assert sizes == [256, 256, 256, 128]


def test_the_finest_level_is_the_mesh_as_it_came(chain) -> None:
    assert (chain / "lod0.glb").read_bytes() == (chain.parent.parent / "fine.glb").read_bytes()


def test_every_level_keeps_the_colors(chain) -> None:
    """Looked up in the level's own texture at its own face middles."""
    for entry, worst in zip(levels(chain), (0.02, 0.03, 0.04, 0.09), strict=True):
        mesh = gltf.load(chain / entry["file"])
        places = mesh.positions[mesh.faces].mean(axis=1)
        uvs = mesh.uvs[mesh.faces].mean(axis=1)
        size = mesh.base_color.shape[0]
        columns, rows = np.floor(uvs * size).astype(int).T
        found = mesh.base_color[rows, columns, :3] / 255
        wanted = colored(places / np.linalg.norm(places, axis=1, keepdims=True))
        error = np.abs(found - wanted)
        assert error.mean() < worst / 4 and np.quantile(error, 0.99) < worst, entry["file"]


def test_errors_rise_and_distances_are_those_of_the_surfaces(chain) -> None:
    found = levels(chain)
    for name in ("mean_distance_m", "error_m"):
        values = [entry[name] for entry in found]
        assert values[0] == 0 and values == sorted(values) and values[-1] > 0
    for entry in found[1:]:
        assert entry["max_distance_m"] < 8 * entry["error_m"]
    big, small = (trimesh.creation.icosphere(4, radius) for radius in (1.0, 0.9))
    surfaces = [
        Surface(np.asarray(s.vertices), np.asarray(s.faces, np.int64)) for s in (big, small)
    ]
    mean, most = Distances(surfaces[0]).to(surfaces[1])
    assert mean == pytest.approx(0.1, abs=0.001) and most == pytest.approx(0.1, abs=0.002)


def test_normals_look_outward(chain) -> None:
    mesh = gltf.load(chain / "lod3.glb")
    assert ((mesh.normals * mesh.positions).sum(axis=1) > 0.95).all()


def test_a_cap_and_a_floor_on_faces(tmp_path) -> None:
    gltf.save(textured(trimesh.creation.icosphere(3), 128), tmp_path / "fine.glb")
    config = simplify.Config(
        ratios=(1.0, 0.5, 0.01), max_faces=800, min_faces=100, min_texture_px=64
    )
    inputs = simplify.Inputs(TexturedMeshFile(tmp_path / "fine.glb"))
    found = levels(simplify.run(inputs, config, context(tmp_path)).lods.path)
    assert [entry["faces"] for entry in found] == [800, 400]


def test_vertex_colors_are_kept_where_there_is_no_texture(tmp_path) -> None:
    shape = trimesh.creation.icosphere(3)
    positions = np.asarray(shape.vertices, np.float32)
    gltf.save(
        gltf.Mesh(positions, np.asarray(shape.faces, np.int64), colors=colored(positions)),
        tmp_path / "fine.glb",
    )
    inputs = simplify.Inputs(TexturedMeshFile(tmp_path / "fine.glb"))
    lods = simplify.run(inputs, simplify.Config(ratios=(1.0, 0.3)), context(tmp_path)).lods.path
    coarse = gltf.load(lods / "lod1.glb")
    assert coarse.base_color is None
    np.testing.assert_allclose(coarse.colors, colored(coarse.positions), atol=0.02)


def test_levels_for_errors_stay_within_them(tmp_path) -> None:
    gltf.save(textured(trimesh.creation.icosphere(4), 128), tmp_path / "fine.glb")
    inputs = simplify.Inputs(TexturedMeshFile(tmp_path / "fine.glb"))
    wanted = (0.0005, 0.002, 0.01)
    config = simplify.Config(errors=wanted, texture_px=64, min_texture_px=64, measure=False)
    found = levels(simplify.run(inputs, config, context(tmp_path)).lods.path)
    assert len(found) == 3
    for entry, error in zip(found, wanted, strict=True):
        assert 0.5 * error < entry["error_share"] <= error
        assert entry["mean_distance_m"] is None
    counts = [entry["faces"] for entry in found]
    assert counts == sorted(counts, reverse=True)
    diagonal = np.linalg.norm(np.ptp(gltf.load(tmp_path / "fine.glb").positions, axis=0))
    metres = simplify.Config(
        errors=(0.002 * float(diagonal),), error_unit="m", texture_px=64, measure=False
    )
    (tmp_path / "again").mkdir()
    (single,) = levels(simplify.run(inputs, metres, context(tmp_path / "again")).lods.path)
    # Alone the run stops at the error itself, in a chain at the last kept level before it.
    assert single["error_share"] <= 0.002 and 0.9 * counts[1] < single["faces"] <= counts[1]


def test_garbage_is_an_input_error(tmp_path) -> None:
    for name in ("empty.glb", "noise.glb"):
        (tmp_path / name).write_bytes(b"" if name == "empty.glb" else b"glTF" + b"\1" * 50)
        with pytest.raises(InputError, match=name):
            inputs = simplify.Inputs(TexturedMeshFile(tmp_path / name))
            simplify.run(inputs, simplify.Config(), context(tmp_path / name[:4]))


@pytest.mark.parametrize(
    "settings",
    [{"ratios": ()}, {"ratios": (0.5, 0.5)}, {"ratios": (1.0, 0.0)}, {"max_faces": 3},
     {"min_faces": 0}, {"gutter_px": 0}, {"min_texture_px": 8}, {"faces": (10, 20)},
     {"faces": (0,)}, {"errors": (0.1, 0.01)}, {"errors": (0.0,)}, {"texture_px": 8},
     {"vertex_colors": True, "keep_uvs": True}],
)  # fmt: skip
def test_settings_out_of_range_are_named(settings: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        simplify.Config(**settings)
