"""Levels of detail: counts, closedness, and colors that survive a new atlas."""

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
from splatworks.stages.simplify.chain import texture_size
from splatworks.stages.simplify.lookup import TexturedSurface

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
        assert entry["faces"] == pytest.approx(5120 * entry["ratio"], rel=0.05)
        assert entry["watertight"] and report(weld(Surface(mesh.positions, mesh.faces))).watertight
        assert max(mesh.base_color.shape) == entry["texture_px"]
    counts = [entry["faces"] for entry in found]
    assert counts == sorted(counts, reverse=True)
    assert [entry["texture_px"] for entry in found] == [256, 256, 128, 64]


def test_the_finest_level_is_the_mesh_as_it_came(chain) -> None:
    fine, first = (gltf.load(p) for p in (chain.parent.parent / "fine.glb", chain / "lod0.glb"))
    for name in ("positions", "faces", "normals", "uvs", "base_color"):
        assert np.array_equal(getattr(fine, name), getattr(first, name)), name


def test_every_level_keeps_the_colors(chain) -> None:
    """Looked up in the level's own texture at its own corners and face middles."""
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


def test_distances_are_those_of_the_surfaces(chain) -> None:
    means = [entry["mean_distance_m"] for entry in levels(chain)]
    assert means[0] == 0 and means == sorted(means) and means[-1] > 0
    big, small = (trimesh.creation.icosphere(4, radius) for radius in (1.0, 0.9))
    target = Surface(np.asarray(small.vertices), np.asarray(small.faces, np.int64))
    mean, most = TexturedSurface(textured(big)).distance_to(target)
    assert mean == pytest.approx(0.1, abs=0.001) and most == pytest.approx(0.1, abs=0.002)


def test_normals_look_outward(chain) -> None:
    mesh = gltf.load(chain / "lod3.glb")
    assert ((mesh.normals * mesh.positions).sum(axis=1) > 0.95).all()


def test_a_thin_wall_keeps_its_two_colors() -> None:
    """A plate of 2 mm, color by side; asked 1.2 mm too deep, so that the wrong side is nearer."""
    plate = trimesh.creation.box([1.0, 0.002, 1.0])
    surface = textured(plate)
    top = np.zeros((256, 256, 3), np.uint8)
    places = texels(atlas(gltf.Mesh(surface.positions, surface.faces), 256))
    assert len(places.rows)
    up = np.where(_texel_normals(surface)[..., 1:2] > 0.5, [[[255, 0, 0]]], [[[0, 0, 255]]])
    top[:] = up
    surface = gltf.Mesh(
        surface.positions, surface.faces, normals=surface.normals, uvs=surface.uvs, base_color=top
    )
    rng = np.random.default_rng(0)
    points = np.zeros((50, 3), np.float32)
    points[:, [0, 2]] = rng.uniform(-0.4, 0.4, (50, 2))
    points[:, 1] = 0.001 - 0.0012
    normals = np.tile(np.float32([0, 1, 0]), (50, 1))
    lookup = TexturedSurface(surface)
    red, valid = lookup.colors(points, normals, texture_px=256)
    assert valid.all() and (red[:, 0] > 0.9).all() and (red[:, 2] < 0.1).all()
    blue, _ = lookup.colors(-points, -normals, texture_px=256)
    assert (blue[:, 2] > 0.9).all()


def _texel_normals(mesh: gltf.Mesh) -> np.ndarray:
    """Face normals painted over the mesh's own uvs, nearest face everywhere."""
    corners = mesh.positions[mesh.faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    out = np.zeros((256, 256, 3))
    for normal, triangle in zip(normals, mesh.uvs[mesh.faces] * 256, strict=True):
        low, high = (
            np.floor(triangle.min(axis=0)).astype(int) - 1,
            np.ceil(triangle.max(axis=0)) + 1,
        )
        columns, rows = np.meshgrid(*(np.arange(a, b) for a, b in zip(low, high, strict=True)))
        a, b, c = triangle
        points = np.stack([columns, rows], axis=-1) + 0.5
        area = np.cross(b - a, c - a)
        inside = np.ones(columns.shape, bool)
        for p, q in ((a, b), (b, c), (c, a)):
            inside &= np.cross(q - p, points - p) * np.sign(area) > -2 * np.linalg.norm(q - p)
        keep = inside & (rows >= 0) & (rows < 256) & (columns >= 0) & (columns < 256)
        out[rows[keep].astype(int), columns[keep].astype(int)] = normal
    return out


def test_a_halved_texture_is_averaged_first() -> None:
    """Fine stripes come out gray in a small texture instead of black or white."""
    mesh = textured(trimesh.creation.icosphere(2), 128)
    stripes = np.zeros((128, 128, 3), np.uint8)
    stripes[:, ::2] = 255
    lookup = TexturedSurface(
        gltf.Mesh(
            mesh.positions, mesh.faces, normals=mesh.normals, uvs=mesh.uvs, base_color=stripes
        )
    )
    small, _ = lookup.colors(mesh.positions, mesh.normals, texture_px=64)
    np.testing.assert_allclose(small, 0.5, atol=1e-6)
    large, _ = lookup.colors(mesh.positions, mesh.normals, texture_px=128)
    assert large.std() > 0.1


@pytest.mark.parametrize(
    ("ratio", "size"), [(1.0, 1024), (0.5, 1024), (0.25, 512), (0.1, 512), (0.01, 128)]
)
def test_textures_shrink_with_the_faces(ratio: float, size: int) -> None:
    assert texture_size(1024, ratio, 128) == size


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


def test_garbage_is_an_input_error(tmp_path) -> None:
    for name in ("empty.glb", "noise.glb"):
        (tmp_path / name).write_bytes(b"" if name == "empty.glb" else b"glTF" + b"\1" * 50)
        with pytest.raises(InputError, match=name):
            inputs = simplify.Inputs(TexturedMeshFile(tmp_path / name))
            simplify.run(inputs, simplify.Config(), context(tmp_path / name[:4]))


@pytest.mark.parametrize(
    "settings",
    [{"ratios": ()}, {"ratios": (0.5, 0.5)}, {"ratios": (1.0, 0.0)}, {"max_faces": 3},
     {"min_faces": 2}, {"gutter_px": 0}, {"min_texture_px": 8}],
)  # fmt: skip
def test_settings_out_of_range_are_named(settings: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        simplify.Config(**settings)
