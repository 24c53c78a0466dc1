"""The texture as a fitted field: what the views show, and what becomes of it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import trimesh
from splatworks.stages import texture
from splatworks.stages.artifacts import MeshFile, SplatsFile
from splatworks.stages.formats import gltf, splats
from splatworks.stages.texture import learn
from splatworks.stages.texture.blend import Rules
from splatworks.stages.texture.views import around, depth_maps

from .painted import as_mesh, context, cover, stripes

RADIUS = 0.45
BALL = trimesh.creation.icosphere(4, radius=RADIUS)
CONFIG = texture.Config(
    method="field", texture_size_px=192, views=10, render_size_px=128, edge_px=2.0
)
RULES = Rules(
    sharpness=2.0, min_cosine=0.3, min_alpha=0.9, edge_px=2.0, outlier=0.2, tolerance_m=0.005
)


def test_pixels_become_points_of_the_surface() -> None:
    """Of a ball: at its radius, colored by alpha, weighted by the angle to their view."""
    cameras, _ = around(BALL.vertices.astype(np.float32), 5, 40.0, (64, 64))
    depths = depth_maps(as_mesh(BALL), cameras, 1)
    shots = np.full((5, 64, 64, 4), 0.5, np.float32)
    shots[..., 3] = 1.0
    shots[2, ..., 3] = 0.8  # Too faint: this view shows nothing.
    shots[0, ..., :3], shots[0, ..., 3] = 0.57, 0.95  # Premultiplied.
    seen = learn.observe(shots, depths, cameras, RULES)
    assert np.abs(np.linalg.norm(seen.points, axis=1) - RADIUS).max() < 0.004
    np.testing.assert_allclose(np.unique(seen.colors.round(4)), (0.5, 0.6), atol=1e-6)
    eyes = -np.einsum("vij,vi->vj", *(cameras.world_to_camera.numpy()[:, :3, k] for k in (
        slice(3), 3)))  # fmt: skip
    toward = eyes[None] - seen.points[:, None]
    cosines = np.einsum("pj,pvj->pv", seen.points / RADIUS, toward)
    cosines /= np.linalg.norm(toward, axis=2)
    best = cosines[:, [0, 1, 3, 4]].max(axis=1)
    assert best.min() > 0.25
    far = seen.weights > 0.5  # Away from the outline, where the weight is the cosine's square.
    errors = np.abs(cosines[far] ** 2 - seen.weights[far, None]).min(axis=1)
    assert np.median(errors) < 0.03
    with_nothing = learn.observe(shots * 0, depths, cameras, RULES)
    assert len(with_nothing.points) == 0


def test_the_baked_field_has_the_true_colors(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(learn, "ITERATIONS", 150)
    monkeypatch.setattr(learn, "BATCH", 1 << 12)
    inputs = texture.Inputs(
        MeshFile(gltf.save(as_mesh(BALL), tmp_path / "mesh.glb")),
        SplatsFile(splats.save(cover(BALL, 8_000), tmp_path / "splats.ply")),
    )
    error = {}
    for method in ("field", "blend"):
        outputs = texture.run(inputs, replace(CONFIG, method=method), context(tmp_path / method))
        found = gltf.load(outputs.textured.path)
        middles = found.positions[found.faces].mean(axis=1)
        columns, rows = np.floor(found.uvs[found.faces].mean(axis=1) * 192).astype(int).T
        got = found.base_color[rows, columns] / 255
        error[method] = np.abs(got - stripes(middles)).mean()
    assert error["field"] < 0.03
    assert error["field"] < 1.5 * error["blend"]


def test_a_mesh_that_no_view_shows_stays_gray(tmp_path: Path) -> None:
    raw = cover(BALL, 500)
    hidden = replace(raw, logit_opacities=np.full(500, -9.0, np.float32))
    inputs = texture.Inputs(
        MeshFile(gltf.save(as_mesh(BALL), tmp_path / "mesh.glb")),
        SplatsFile(splats.save(hidden, tmp_path / "splats.ply")),
    )
    outputs = texture.run(inputs, CONFIG, context(tmp_path))
    assert set(np.unique(gltf.load(outputs.textured.path).base_color)) <= {127, 128}


def test_methods_are_two() -> None:
    with pytest.raises(ValueError, match="method"):
        texture.Config(method="guess")  # type: ignore[arg-type]
