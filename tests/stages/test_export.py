"""What leaves the package: every file, read by somebody else."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import trimesh
from splatworks.pipeline.errors import InputError, StorageError
from splatworks.stages import export
from splatworks.stages.artifacts import LodsDir, SplatsFile, TexturedMeshFile
from splatworks.stages.export import write
from splatworks.stages.formats import gltf, splats
from splatworks.stages.geometry.atlas import atlas, texels
from splatworks.stages.geometry.bake import bake, fill

from .painted import as_mesh, context, cover, stripes

SHAPE = trimesh.creation.icosphere(3, radius=0.4)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> export.Inputs:
    folder = tmp_path_factory.mktemp("inputs")
    (folder / "lods").mkdir()
    made = atlas(as_mesh(SHAPE), 256, 4)
    maps = bake(texels(made), lambda p, n, f: (stripes(p).astype(np.float32), p[:, 0] < 9))
    picture = np.rint(fill(maps, 3) * 255).astype(np.uint8)
    mesh = replace(made.mesh, base_color=picture)
    for index in range(2):
        gltf.save(mesh, folder / "lods" / f"lod{index}.glb")
    levels = [{"file": f"lod{index}.glb", "faces": 1280} for index in range(2)]
    (folder / "lods" / "index.json").write_text(json.dumps({"lods": levels}))
    return export.Inputs(
        TexturedMeshFile(gltf.save(mesh, folder / "mesh.glb")),
        LodsDir(folder / "lods"),
        SplatsFile(splats.save(cover(SHAPE, 20_000), folder / "splats.ply")),
    )


def test_all_files_are_there_and_the_index_is_true(tmp_path: Path, inputs: export.Inputs) -> None:
    out = export.run(inputs, export.Config(), context(tmp_path)).export.path
    index = json.loads((out / "index.json").read_text())
    names = {"asset.glb", "asset.ply", "splats.ply", "lods/lod0.glb", "lods/lod1.glb"}
    assert set(index["files"]) == names
    on_disk = {str(p.relative_to(out)) for p in out.rglob("*") if p.is_file()}
    assert on_disk == names | {"index.json"}
    for name, entry in index["files"].items():
        data = (out / name).read_bytes()
        assert entry["bytes"] == len(data)
        assert entry["sha256"] == hashlib.sha256(data).hexdigest()
    asset = index["files"]["asset.glb"]
    assert (asset["faces"], asset["watertight"], asset["components"]) == (1280, True, 1)
    assert asset["texture_px"] == [256, 256]
    np.testing.assert_allclose(asset["bounds_m"], [[-0.4] * 3, [0.4] * 3], atol=0.01)
    assert index["files"]["splats.ply"]["sh_degree"] == 0
    assert index["likeness"]["psnr_db"] > 22 and index["likeness"]["inner_psnr_db"] > 28
    assert np.abs(index["likeness"]["color_error_255"]).max() < 2
    # Nothing was scaled, so the splats leave as they came.
    assert (out / "splats.ply").read_bytes() == inputs.splats.path.read_bytes()


def test_trimesh_opens_the_asset_with_its_texture(tmp_path: Path, inputs: export.Inputs) -> None:
    out = export.run(inputs, export.Config(compare_views=0), context(tmp_path)).export.path
    (part,) = trimesh.load_scene(out / "asset.glb").dump()
    middles = part.triangles_center
    uvs = part.visual.uv[part.faces].mean(axis=1)
    picture = part.visual.material.baseColorTexture
    colors = trimesh.visual.color.uv_to_color(uvs, picture)[:, :3] / 255
    assert np.abs(colors - stripes(middles)).max() < 0.08
    assert part.merge_vertices(merge_tex=True, merge_norm=True) or part.is_watertight
    colored = trimesh.load(out / "asset.ply", process=False)
    assert colored.is_watertight and colored.volume > 0
    colors = colored.visual.vertex_colors[:, :3] / 255
    assert np.abs(colors - stripes(colored.vertices)).max() < 0.05


def test_scale_is_applied_to_everything(tmp_path: Path, inputs: export.Inputs) -> None:
    config = export.Config(scale=10.0, compare_size_px=128)
    out = export.run(inputs, config, context(tmp_path)).export.path
    before, after = splats.load(inputs.splats.path), splats.load(out / "splats.ply")
    np.testing.assert_allclose(after.means, 10 * before.means, rtol=1e-6)
    np.testing.assert_allclose(np.exp(after.log_scales), 10 * np.exp(before.log_scales), rtol=1e-5)
    np.testing.assert_array_equal(after.logit_opacities, before.logit_opacities)
    expected = np.diag([10.0, 10, 10, 1]).flatten()
    np.testing.assert_array_equal(after.sidecar.source_transform, expected)
    for name in ("asset.glb", "lods/lod1.glb", "asset.ply"):
        assert gltf.load(out / name).positions.max() == pytest.approx(4, rel=0.02)
    index = json.loads((out / "index.json").read_text())
    assert "splats.json" in index["files"]
    assert index["likeness"]["inner_psnr_db"] > 25, "both grew alike"


def test_only_what_was_asked_for(tmp_path: Path, inputs: export.Inputs) -> None:
    config = export.Config(formats=("splats",))
    out = export.run(inputs, config, context(tmp_path)).export.path
    assert sorted(p.name for p in out.iterdir()) == ["index.json", "splats.ply"]
    assert "likeness" not in json.loads((out / "index.json").read_text())


def test_it_is_the_same_twice(tmp_path: Path, inputs: export.Inputs) -> None:
    config = export.Config(compare_size_px=64)
    first, second = (
        export.run(inputs, config, context(tmp_path / name)).export.path for name in "ab"
    )
    for path in first.rglob("*.*"):
        assert path.read_bytes() == (second / path.relative_to(first)).read_bytes()


def test_a_file_that_reads_back_differently_is_an_error(
    tmp_path: Path, inputs: export.Inputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    true_load = gltf.load

    def bent(path: Path) -> gltf.Mesh:
        mesh = true_load(path)
        return replace(mesh, uvs=mesh.uvs + 1) if "out" in str(path) else mesh

    monkeypatch.setattr(write.gltf, "load", bent)
    with pytest.raises(StorageError, match=r"asset\.glb: uvs reads back differently"):
        export.run(inputs, export.Config(compare_views=0), context(tmp_path))


@pytest.mark.parametrize(
    "text", ["{}", '{"lods": [{"faces": 1}]}', '{"lods": [{"file": "../../etc/passwd"}]}', "["]
)
def test_a_bad_lod_index_is_refused(tmp_path: Path, inputs: export.Inputs, text: str) -> None:
    (tmp_path / "index.json").write_text(text)
    wrong = replace(inputs, lods=LodsDir(tmp_path))
    with pytest.raises(InputError, match=r"index\.json"):
        export.run(wrong, export.Config(), context(tmp_path))


@pytest.mark.parametrize(
    "bad",
    [
        {"formats": ("glb", "fbx")},
        {"formats": ()},
        {"formats": ("glb", "glb")},
        {"scale": 0.0},
        {"compare_views": -1},
        {"compare_size_px": 1},
    ],
)
def test_a_bad_setting_is_named(bad: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(bad))):
        export.Config(**bad)
