"""Textures from photographs: true to what was photographed, honest about what was not."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image
from splatworks.pipeline.contract import Context
from splatworks.pipeline.errors import InputError
from splatworks.stages.artifacts import CaptureDir, MeshFile, SplatsFile
from splatworks.stages.formats import gltf, splats, wild
from splatworks.stages.texture import bake
from splatworks.stages.texture.bake import work as working

from . import photographed as photos
from .painted import as_mesh, context, cover

BALL = trimesh.creation.icosphere(4, radius=0.5)
BOX = trimesh.creation.box((0.6, 0.5, 0.55))
QUICK = bake.Config(
    texture_size_px=256, views=bake.Views(render_size_px=128, virtual=12), gains="off"
)


def run(
    folder: Path,
    mesh: gltf.Mesh,
    capture: Path | None,
    config: bake.Config = QUICK,
    raw: splats.RawSplats | None = None,
    ctx: Context | None = None,
    detail: Path | None = None,
) -> tuple[gltf.Mesh, np.ndarray, dict]:
    folder.mkdir(exist_ok=True)
    inputs = bake.Inputs(
        mesh=MeshFile(gltf.save(mesh, folder / "mesh.glb")),
        capture=None if capture is None else CaptureDir(capture),
        splats=None if raw is None else SplatsFile(splats.save(raw, folder / "splats.ply")),
        detail=None if detail is None else MeshFile(detail),
    )
    made = bake.run(inputs, config, ctx or context(folder))
    mask = np.asarray(Image.open(made.unseen.path))
    return gltf.load(made.textured.path), mask, json.loads(made.report.path.read_text())


@pytest.fixture(scope="module")
def around(tmp_path_factory) -> Path:
    """The box before a wall, from all around."""
    views = photos.cameras(24)
    pictures = photos.before_wall(photos.picture(as_mesh(BOX), views))
    return photos.write(tmp_path_factory.mktemp("around") / "capture", pictures, views)


def test_unseen_views_of_the_rebuilt_mesh_are_right(tmp_path: Path, around: Path) -> None:
    """The acceptance figures: 32 dB, 99 % covered; and what refining is for."""
    aside = photos.cameras(7, 128)
    wanted = photos.picture(as_mesh(BOX), aside)
    found, mask, report = run(tmp_path / "a", as_mesh(BOX), around)
    assert report["of_the_surface"]["photographed"] >= 0.99
    assert (mask == 255).mean() < 0.01
    refined = photos.psnr_db(photos.textured(found, aside), wanted)
    plain, _, _ = run(tmp_path / "b", as_mesh(BOX), around, replace(QUICK, refine=False))
    assert refined >= 36
    assert refined > photos.psnr_db(photos.textured(plain, aside), wanted) + 1


def test_the_mask_says_what_no_photograph_sees(tmp_path: Path) -> None:
    """A ball seen from above only, where visibility is known: n · (e - p) against cos · |e - p|."""
    views = photos.cameras(12, lowest=0.3)
    pictures = photos.before_wall(photos.picture(as_mesh(BALL), views))
    capture = photos.write(tmp_path / "capture", pictures, views)
    weighing = bake.Weighing(edge_px=0.0)
    config = replace(QUICK, weighing=weighing, refine=False, close_seams=False)
    found, mask, report = run(tmp_path / "a", as_mesh(BALL), capture, config)
    layout = working.lay_out(wild.read(tmp_path / "a/mesh.glb"), 256, 8, keep_uvs=False, name="")
    inside = np.flatnonzero(layout.inside)
    points = layout.points(inside)
    turn, shift = views.world_to_camera[:, :3, :3].numpy(), views.world_to_camera[:, :3, 3].numpy()
    eyes = -np.einsum("vji,vj->vi", turn, shift)
    ways = eyes[:, None] - points.positions
    cosines = np.einsum("vpx,px->vp", ways, points.normals) / np.linalg.norm(ways, axis=2)
    best = cosines.max(axis=0)
    got = mask[layout.rows[inside], layout.columns[inside]]
    assert set(np.unique(mask)) == {0, 255}
    sure = np.abs(best - config.weighing.slanted_cosine) > 0.02
    assert ((got == 255) == (best < config.weighing.slanted_cosine))[sure].all()
    assert report["of_the_surface"]["guessed"] == pytest.approx((got == 255).mean(), abs=0.02)
    # Beneath, the picture goes on with what is nearest: no wall, no black.
    assert found.base_color[layout.rows[inside], layout.columns[inside]].min() > 15


def test_an_occluder_and_the_wall_leave_no_trace(tmp_path: Path) -> None:
    """A bright bar before every fourth photograph; masks are not even needed."""
    views = photos.cameras(24)
    pictures = photos.before_wall(photos.picture(as_mesh(BALL), views))
    pictures[::4, 40:70] = (255, 255, 0)
    capture = photos.write(tmp_path / "capture", pictures, views)
    found, _, _ = run(tmp_path / "a", as_mesh(BALL), capture)
    aside = photos.cameras(7)
    wanted = photos.picture(as_mesh(BALL), aside)
    # The best view alone decides nothing: else 16 dB.
    assert photos.psnr_db(photos.textured(found, aside), wanted) >= 30


def test_masks_are_respected(tmp_path: Path) -> None:
    """Half of every photograph is wrong, and masked."""
    views = photos.cameras(24)
    pictures = photos.before_wall(photos.picture(as_mesh(BALL), views))
    pictures[:, :, :64] = 0
    capture = photos.write(tmp_path / "capture", pictures, views)
    (capture / "masks").mkdir()
    document = json.loads((capture / "transforms.json").read_text())
    mask = np.zeros((128, 128), np.uint8)
    mask[:, 64:] = 255
    Image.fromarray(mask).save(capture / "masks/mask.png")
    for frame in document["frames"]:
        frame["mask_path"] = "masks/mask.png"
    (capture / "transforms.json").write_text(json.dumps(document))
    found, _, _ = run(tmp_path / "a", as_mesh(BALL), capture)
    aside = photos.cameras(7)
    wanted = photos.picture(as_mesh(BALL), aside)
    assert photos.psnr_db(photos.textured(found, aside), wanted) >= 33


def test_alpha_and_exposure(tmp_path: Path) -> None:
    """Cut-out pictures, each with another exposure: the gains are found, up to one for all."""
    views = photos.cameras(24)
    straight = photos.picture(as_mesh(BALL), views)
    colors = straight[..., :3] / np.maximum(straight[..., 3:], 1e-6)
    rng = np.random.default_rng(0)
    exposures = np.exp(rng.uniform(-0.25, 0.25, 24))
    linear = photos_decode(colors.clip(0, 1)) * exposures[:, None, None, None]
    dimmed = np.concatenate([photos_encode(linear), straight[..., 3:]], axis=-1)
    pixels = np.rint(dimmed * 255).astype(np.uint8)
    capture = photos.write(tmp_path / "capture", pixels, views)
    config = replace(QUICK, gains="exposure")
    found, _, report = run(tmp_path / "a", as_mesh(BALL), capture, config)
    gains = np.array([entry["gain"] for entry in report["photographs"]])
    assert (gains == gains[:, :1]).all()
    product = np.log(gains[:, 0] * exposures)
    assert product.std() < 0.02 and np.log(exposures).std() > 0.1
    aside = photos.cameras(7)
    wanted = photos.picture(as_mesh(BALL), aside)
    got = photos.textured(found, aside)
    plain, _, _ = run(tmp_path / "b", as_mesh(BALL), capture)
    assert photos.psnr_db(got, wanted) > photos.psnr_db(photos.textured(plain, aside), wanted)


def photos_decode(values: np.ndarray) -> np.ndarray:
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def photos_encode(linear: np.ndarray) -> np.ndarray:
    linear = linear.clip(0, 1)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def test_splats_stand_in_for_photographs(tmp_path: Path) -> None:
    """The lower half comes from virtual views of the splats; the mask says so."""
    views = photos.cameras(12, lowest=0.5)
    pictures = photos.before_wall(photos.picture(as_mesh(BALL), views))
    capture = photos.write(tmp_path / "capture", pictures, views)
    raw = cover(BALL, 12_000, photos.waves)
    found, mask, report = run(tmp_path / "a", as_mesh(BALL), capture, raw=raw)
    shares = report["of_the_surface"]
    assert shares["photographed"] + shares["rendered"] >= 0.99 and shares["rendered"] > 0.1
    assert (mask == 128).any() and report["virtual_views"] <= 12
    aside = photos.cameras(7)
    wanted = photos.picture(as_mesh(BALL), aside)
    assert photos.psnr_db(photos.textured(found, aside), wanted) >= 24


def test_splats_alone_and_their_colors_where_nothing_looks(tmp_path: Path) -> None:
    """Without virtual views the rest comes from the nearest Gaussians."""
    raw = cover(BALL, 12_000, photos.waves)
    config = replace(QUICK, views=bake.Views(count=3, render_size_px=128, virtual=0), refine=False)
    found, mask, report = run(tmp_path / "a", as_mesh(BALL), None, config, raw)
    assert report["of_the_surface"]["photographed"] == 0 and report["photographs"] == []
    assert 0.1 < report["of_the_surface"]["guessed"] < 0.9 and (mask == 255).any()
    aside = photos.cameras(7)
    wanted = photos.picture(as_mesh(BALL), aside)
    assert photos.psnr_db(photos.textured(found, aside), wanted) >= 20


def test_threads_and_interruptions_change_nothing(tmp_path: Path, around: Path) -> None:
    raw = cover(BOX, 3_000, photos.waves)
    ctx = context(tmp_path / "a")
    run(tmp_path / "a", as_mesh(BOX), around, raw=raw, ctx=ctx)
    first = (tmp_path / "a/out/textured.glb").read_bytes()
    kept = sorted(ctx.scratch.iterdir())
    assert len(kept) > 24
    for path in kept[5:20]:  # As if they had not been reached.
        path.unlink()
    run(tmp_path / "a", as_mesh(BOX), around, raw=raw, ctx=replace(ctx, threads=3))
    assert (tmp_path / "a/out/textured.glb").read_bytes() == first


def test_blocks_change_nothing(tmp_path: Path, around: Path, monkeypatch) -> None:
    run(tmp_path / "a", as_mesh(BOX), around)
    monkeypatch.setattr(working, "BLOCK", 5_000)
    run(tmp_path / "b", as_mesh(BOX), around)
    first, second = (tmp_path / name / "out/textured.glb" for name in "ab")
    assert first.read_bytes() == second.read_bytes()


def test_a_mesh_keeps_its_layout(tmp_path: Path, around: Path) -> None:
    first, _, _ = run(tmp_path / "a", as_mesh(BOX), around)
    bare = replace(first, base_color=None, normals=None)
    config = replace(QUICK, keep_uvs=True)
    second, _, _ = run(tmp_path / "b", bare, around, config)
    ours, theirs = (mesh.uvs[mesh.faces] for mesh in (first, second))
    np.testing.assert_array_equal(ours, theirs)
    assert np.abs(first.base_color.astype(int) - second.base_color).mean() < 0.5


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda uvs: uvs % 0.5 * 2, "faces overlap in the texture"),
        (lambda uvs: uvs + 0.3, "lie outside of"),
        (lambda uvs: uvs * 0, "no area in the texture"),
        (None, "no texture coordinates"),
    ],
)
def test_a_layout_that_is_no_atlas_is_refused(tmp_path: Path, change, told: str) -> None:
    model = wild.read(gltf.save(as_mesh(BOX), tmp_path / "box.glb"))
    atlas = working.lay_out(model, 128, 8, keep_uvs=False, name="").mesh
    uvs = None if change is None else change(atlas.uvs).astype(np.float32)
    path = gltf.save(replace(atlas, uvs=uvs), tmp_path / "bad.glb")
    with pytest.raises(InputError, match=told) as raised:
        working.lay_out(wild.read(path), 128, 8, keep_uvs=True, name="bad.glb")
    assert str(raised.value).startswith("bad.glb: ") and "--keep-uvs" in str(raised.value)


def test_normals_of_a_finer_mesh(tmp_path: Path, around: Path) -> None:
    """A ball of 80 faces lit by the normals of one of 20480: each texel's normal is the ball's."""
    coarse = trimesh.creation.icosphere(1, radius=0.5)
    fine = trimesh.creation.icosphere(5, radius=0.5)
    detail = gltf.save(as_mesh(fine), tmp_path / "fine.glb")
    views = photos.cameras(12)
    pictures = photos.before_wall(photos.picture(as_mesh(BALL), views))
    capture = photos.write(tmp_path / "capture", pictures, views)
    run(tmp_path / "a", as_mesh(coarse), capture, detail=detail)
    model = wild.read(tmp_path / "a/out/textured.glb")
    normal = model.materials[0].normal
    assert normal is not None and model.tangents is not None
    layout = working.lay_out(model, 256, 8, keep_uvs=True, name="")
    local = normal.pixels[layout.rows, layout.columns] / 127.5 - 1
    faces, weights = model.faces[layout.faces], layout.barycentrics

    def mixed(values: np.ndarray) -> np.ndarray:
        out = np.einsum("tc,tcx->tx", weights, values[faces])
        return out / np.linalg.norm(out, axis=1, keepdims=True)

    n, t = mixed(model.normals), mixed(model.tangents[:, :3])
    b = np.cross(n, t) * model.tangents[faces[:, 0], 3:]
    world = local[:, :1] * t + local[:, 1:2] * b + local[:, 2:] * n
    world /= np.linalg.norm(world, axis=1, keepdims=True)
    positions = layout.points(slice(None)).positions
    wanted = positions / np.linalg.norm(positions, axis=1, keepdims=True)
    angles = np.degrees(np.arccos(np.einsum("tx,tx->t", world, wanted).clip(-1, 1)))
    assert np.quantile(angles[layout.inside], 0.99) < 3 and np.median(angles) < 1.5


def test_what_cannot_work_is_said(tmp_path: Path, around: Path) -> None:
    around_all = trimesh.creation.box((90, 90, 90))  # Another unit: the cameras stand inside.
    with pytest.raises(InputError, match=r"none of the 24 photographs.*one frame"):
        run(tmp_path / "a", as_mesh(around_all), around)
    with pytest.raises(InputError, match="neither a capture nor splats"):
        run(tmp_path / "b", as_mesh(BOX), None)
    with pytest.raises(InputError, match="16384 px would need"):
        run(tmp_path / "c", as_mesh(BOX), around, replace(QUICK, texture_size_px=16_384))
    with pytest.raises(ValueError, match="texture_size_px must lie between 64 and 16384, got 0"):
        bake.Config(texture_size_px=0)
    broken = shutil.copytree(around, tmp_path / "broken")
    Image.new("RGB", (100, 50)).save(broken / "images/003.png")
    with pytest.raises(InputError, match=r"003\.png: 100 x 50 px, but its camera says 128 x 128"):
        run(tmp_path / "d", as_mesh(BOX), broken)
