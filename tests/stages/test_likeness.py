"""The one figure for how alike mesh and splats look, and that both stages state the same."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import trimesh
from splatworks.stages import export, preview
from splatworks.stages.artifacts import LodsDir, SplatsFile, TexturedMeshFile
from splatworks.stages.formats import gltf, splats
from splatworks.stages.geometry.activation import activate
from splatworks.stages.geometry.likeness import (
    CEILING_DB,
    Likeness,
    around,
    compare,
    directions,
    likeness,
    over,
    pair,
)

from .painted import as_mesh, context, cover, stripes

SHAPE = trimesh.creation.icosphere(3, radius=0.4)


def psnr_by_loop(pairs: list[tuple[np.ndarray, np.ndarray]]) -> float:
    """The definition, one number at a time: all values of all pictures, on white."""
    squares = [
        ((a + 1 - first[row, column, 3]) - (b + 1 - second[row, column, 3])) ** 2
        for first, second in pairs
        for row in range(first.shape[0])
        for column in range(first.shape[1])
        for a, b in zip(first[row, column, :3], second[row, column, :3], strict=True)
    ]
    return 10 * math.log10(len(squares) / sum(squares))


def random_picture(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    alpha = rng.integers(0, 4, (7, 9, 1)) / 3
    return np.concatenate([rng.random((7, 9, 3)) * alpha, alpha], axis=-1)


def plain(red: float, alpha: float = 1.0) -> np.ndarray:
    return np.tile([red * alpha, 0.5 * alpha, 0.5 * alpha, alpha], (7, 9, 1))


def test_it_is_the_definition_over_all_pictures_at_once() -> None:
    pairs = [(random_picture(0), random_picture(1)), (random_picture(2), plain(1.0))]
    found = likeness(pairs)
    assert found.psnr_db == pytest.approx(psnr_by_loop(pairs), abs=1e-9)
    flat = [np.concatenate([p[which] for p in pairs]).reshape(-1, 4) for which in (0, 1)]
    solid = (flat[0][:, 3] > 0.99) & (flat[1][:, 3] > 0.99)
    assert 0 < solid.sum() < 40
    inner = psnr_by_loop([(flat[0][solid][None], flat[1][solid][None])])
    assert found.inner_psnr_db == pytest.approx(inner, abs=1e-9)
    seen = [picture[:, 3] > 0.5 for picture in flat]
    overlap = (seen[0] & seen[1]).sum() / (seen[0] | seen[1]).sum()
    assert found.silhouette_overlap == pytest.approx(overlap)


def test_known_pairs() -> None:
    found = likeness([(plain(0.5), plain(0.6))])
    third = 10 * math.log10(3)  # One channel of three is off by 0.1.
    assert found.psnr_db == found.inner_psnr_db == pytest.approx(20 + third)
    assert found.color_error_255 == pytest.approx((-25.5, 0, 0)), "splats minus mesh"
    # The same pair once right and once wrong: half the error.
    halved = likeness([(plain(0.5), plain(0.6)), (plain(0.5), plain(0.5))])
    assert halved.psnr_db == pytest.approx(20 + third + 10 * math.log10(2))
    nothing = plain(0.0, alpha=0.0)
    missing = likeness([(plain(0.5), nothing)])
    assert missing.psnr_db == pytest.approx(-20 * math.log10(0.5)), "against white"
    assert (missing.inner_psnr_db, missing.color_error_255) == (None, None)
    assert missing.silhouette_overlap == 0
    assert likeness([(nothing, nothing)]) == Likeness(CEILING_DB, None, None, 1.0)
    np.testing.assert_allclose(over(nothing, 0.3), 0.3)


def test_the_cameras_stand_around_above_and_below_and_see_everything() -> None:
    toward = directions(8)
    assert toward[0] == (0.0, 15.0), "the front first"
    assert [azimuth for azimuth, _ in toward] == [45.0 * k for k in range(8)]
    assert min(e for _, e in toward) < 0 < 40 < max(e for _, e in toward)
    scene = pair(activate(cover(SHAPE, 2_000)), as_mesh(SHAPE))
    assert scene.radius_m == pytest.approx(0.4, rel=0.01)
    views = around(toward, scene.radius_m, 100)
    for pose, focal, center in zip(
        views.world_to_camera, views.focal_px, views.center_px, strict=True
    ):
        seen = scene.mesh.vertices @ pose[:3, :3].numpy().T + pose[:3, 3].numpy()
        places = seen[:, :2] / seen[:, 2:] * focal.numpy() + center.numpy()
        assert places.min() > 0 and places.max() < 100
        assert places.max() - places.min() > 80, "and not from too far"


def figure(mesh: gltf.Mesh, raw: splats.RawSplats, threads: int = 1) -> Likeness:
    return compare(pair(activate(raw), mesh), views=4, size_px=128, threads=threads)


def test_what_is_alike_scores_high_wherever_it_lies_and_what_is_not_scores_low() -> None:
    colored = replace(as_mesh(SHAPE), colors=linear(stripes(SHAPE.vertices)))
    raw = cover(SHAPE, 20_000)
    good = figure(colored, raw)
    assert good.psnr_db > 19 and good.inner_psnr_db is not None and good.inner_psnr_db > 27
    assert good.silhouette_overlap > 0.94
    shift = np.array([2, -1, 0.5], np.float32)
    moved = figure(
        replace(colored, positions=colored.positions + shift),
        replace(raw, means=raw.means + shift),
    )
    assert moved.psnr_db == pytest.approx(good.psnr_db, abs=0.05)
    assert figure(colored, raw, threads=2) == good, "whatever the number of threads"
    assert figure(as_mesh(SHAPE), raw).psnr_db < good.psnr_db - 3, "gray instead of stripes"
    aside = replace(raw, means=raw.means + np.float32(0.1))
    assert figure(colored, aside).psnr_db < good.psnr_db - 3


def linear(srgb: np.ndarray) -> np.ndarray:
    return (((srgb + 0.055) / 1.055) ** 2.4).astype(np.float32)


def test_export_and_preview_state_the_same_figure(tmp_path: Path) -> None:
    """Of the same size; and by default they are."""
    assert export.Config().compare_views == preview.Config().views
    assert export.Config().compare_size_px == preview.Config().size_px
    mesh = TexturedMeshFile(gltf.save(as_mesh(SHAPE), tmp_path / "mesh.glb"))
    file = SplatsFile(splats.save(cover(SHAPE, 2_000), tmp_path / "splats.ply"))
    (tmp_path / "lods").mkdir()
    (tmp_path / "lods" / "index.json").write_text('{"lods": []}')
    exported = export.run(
        export.Inputs(mesh, LodsDir(tmp_path / "lods"), file),
        export.Config(formats=("glb",), compare_views=3, compare_size_px=48),
        context(tmp_path / "export", threads=2),
    ).export.path
    shown = preview.run(
        preview.Inputs(file, mesh),
        preview.Config(views=3, size_px=48, frames=0, background=0.2, elevation_deg=60),
        context(tmp_path / "preview"),
    ).preview.path
    first, second = (
        json.loads((folder / "index.json").read_text())["likeness"] for folder in (exported, shown)
    )
    assert first == second
    assert (first["views"], first["size_px"]) == (3, 48) and 5 < first["psnr_db"] < 40
