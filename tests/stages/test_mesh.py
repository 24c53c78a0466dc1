"""The mesh stage on a sphere of splats."""

import logging
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from splatworks.pipeline.errors import InputError
from splatworks.stages import mesh
from splatworks.stages.artifacts import SplatsFile
from splatworks.stages.formats import gltf, splats
from splatworks.stages.geometry.components import Surface, report

from .splat_objects import RADIUS_M, context, joined, raw, saved, sphere

SMALL = mesh.Config(views=16, render_size_px=96, resolution=56, max_faces=4000)
VOXEL_M = 2 * 0.44 / 56


def run(scene: splats.RawSplats, folder: Path, config=SMALL, threads: int = 1) -> gltf.Mesh:
    folder.mkdir(exist_ok=True)
    inputs = mesh.Inputs(saved(scene, folder / "splats.ply"))
    return gltf.load(mesh.run(inputs, config, context(folder / "run", threads)).mesh.path)


def floaters() -> splats.RawSplats:
    """Three compact clumps around the sphere."""
    rng = np.random.default_rng(2)
    means = np.repeat([[0.52, 0.1, 0], [0, 0.54, 0.1], [-0.3, -0.4, 0.2]], 40, axis=0)
    count = len(means)
    return raw(
        means + rng.normal(size=means.shape) * 0.008,
        np.full((count, 3), 0.008),
        np.tile([1.0, 0, 0, 0], (count, 1)),
        np.full(count, 0.9),
        np.full((count, 3), 0.5),
    )


def test_a_sphere_of_splats_becomes_a_closed_sphere(tmp_path, caplog) -> None:
    with caplog.at_level(logging.INFO):
        found = run(sphere(), tmp_path)
    about = report(Surface(found.positions, found.faces))
    assert about.watertight and about.components == 1
    assert len(found.faces) <= SMALL.max_faces
    radii = np.linalg.norm(found.positions, axis=1)
    assert abs(radii.mean() - RADIUS_M) < VOXEL_M
    assert radii.std() < 0.15 * VOXEL_M
    assert about.volume_m3 == pytest.approx(4 / 3 * math.pi * radii.mean() ** 3, rel=0.01)
    outward = (found.normals * found.positions).sum(axis=1) / radii
    assert outward.min() > 0.95
    assert "silhouette overlap by level" in caplog.text and "watertight" in caplog.text


def test_without_fitting_the_surface_lies_at_the_median_depth(tmp_path) -> None:
    found = run(sphere(), tmp_path, replace(SMALL, fit_silhouettes=False))
    radii = np.linalg.norm(found.positions, axis=1)
    width = RADIUS_M * math.sqrt(4 * math.pi / 2500)  # a splat's standard deviation
    assert 0 < radii.mean() - RADIUS_M < 0.5 * width


def test_floaters_are_removed_and_said_so(tmp_path, caplog) -> None:
    with caplog.at_level(logging.INFO):
        found = run(
            joined(sphere(), floaters()), tmp_path, replace(SMALL, resolution=80, blur_voxels=1.0)
        )
    assert report(Surface(found.positions, found.faces)).components == 1
    assert np.linalg.norm(found.positions, axis=1).max() < RADIUS_M + 2 * VOXEL_M
    assert "3 floating or hidden parts removed" in caplog.text


def test_a_bald_patch_is_closed(tmp_path) -> None:
    """Splats missing within 6 degrees of +X: half a voxel of light gets in, no hole is left."""
    whole = sphere()
    kept = whole.means[:, 0] < RADIUS_M * math.cos(math.radians(6))
    parts = (getattr(whole, n)[kept] for n in splats.RawSplats.__slots__[:5])
    found = run(splats.RawSplats(*parts), tmp_path)
    assert report(Surface(found.positions, found.faces)).watertight


def test_a_handle_survives_a_low_number_of_faces(tmp_path) -> None:
    """A thin ring through the sphere: closed all the way round, where collapses would cut it."""
    turn = 2 * math.pi * np.arange(300) / 300
    ring = np.stack([0.5 + 0.25 * np.cos(turn), 0.25 * np.sin(turn), 0 * turn], axis=1)
    count = len(ring)
    handle = raw(
        ring, np.full((count, 3), 0.02), np.tile([1.0, 0, 0, 0], (count, 1)),
        np.full(count, 0.95), np.full((count, 3), 0.5),
    )  # fmt: skip
    few = replace(SMALL, max_faces=60)
    found = run(joined(sphere(), handle), tmp_path, few)
    assert report(Surface(found.positions, found.faces)).watertight
    edges = len(found.faces) * 3 // 2
    assert len(found.positions) - edges + len(found.faces) == 0  # of genus one


def test_size_and_place_do_not_matter(tmp_path) -> None:
    center = np.array([5.0, -2.0, 1.0])
    found = run(sphere(radius_m=0.05, center=center), tmp_path)
    radii = np.linalg.norm(found.positions - center, axis=1)
    assert abs(radii.mean() / 0.05 - 1) < VOXEL_M / RADIUS_M
    assert report(Surface(found.positions, found.faces)).watertight


def test_bytes_do_not_depend_on_threads(tmp_path) -> None:
    run(sphere(), tmp_path / "one", threads=1)
    run(sphere(), tmp_path / "two", threads=2)
    first, second = (tmp_path / name / "run/out/mesh.glb" for name in ("one", "two"))
    assert first.read_bytes() == second.read_bytes()


def test_faint_splats_are_explained(tmp_path) -> None:
    with pytest.raises(InputError, match="too faint"):
        faint = sphere(opacity=0.1)
        run(replace(faint, log_scales=faint.log_scales - 1.5), tmp_path)


def test_garbage_is_an_input_error(tmp_path) -> None:
    for name, content in {"empty.ply": b"", "text.ply": b"hello\n" * 100}.items():
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(InputError, match=name):
            mesh.run(mesh.Inputs(SplatsFile(path)), SMALL, context(tmp_path / path.stem))


def test_another_up_axis_is_refused_not_ignored(tmp_path) -> None:
    scene = replace(sphere(), sidecar=splats.Sidecar(up_axis="-y"))
    with pytest.raises(InputError, match="up is -y"):
        run(scene, tmp_path)


@pytest.mark.parametrize(
    ("field", "value"),
    [("views", 3), ("resolution", 8), ("alpha_threshold", 0.2), ("min_views", 0),
     ("blur_voxels", -1.0), ("max_faces", 3), ("truncation_voxels", float("nan"))],
)  # fmt: skip
def test_settings_out_of_range_are_named(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=field):
        mesh.Config(**{field: value})
