"""The extraction benchmark's goals: how far from a known surface meshes of noisy splats are."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from splatworks.stages.geometry.components import canonical, edge_counts, face_areas, report
from splatworks.stages.geometry.decimation import decimate
from splatworks.stages.surface import depths
from splatworks.stages.surface.extractors import extractor
from splatworks.stages.surface.fusing import DepthMaps

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import extraction


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    """Judge, floor, and what the views see."""
    surface = extraction.truth()
    judge = extraction.Judge(surface)
    scene = extraction.laid_splats(surface)
    task = extraction.task_of(scene, extraction.Config(), tmp_path_factory.mktemp("toy"))
    return judge, judge.row(surface, "floor", 0.0)["chamfer"], task


@pytest.fixture(scope="module")
def poisson(toy):
    return canonical(extractor("poisson")(toy[2]))


def test_ridge_and_poisson_are_within_a_tenth_of_the_floor(toy, poisson) -> None:
    judge, floor, _ = toy
    row = judge.row(poisson, "", 0.0)
    assert row["chamfer"] <= 1.10 * floor and row["watertight"]
    assert abs(row["bias"]) < 0.5, "thousandths; the level set's is 17.6"


@pytest.mark.parametrize("method", ["tsdf", pytest.param("tets", marks=pytest.mark.slow)])
def test_fused_depth_is_within_a_quarter_of_the_floor(toy, method) -> None:
    judge, floor, task = toy
    found = canonical(extractor(method)(replace(task, config=extraction.Config(method=method))))
    assert judge.row(found, "", 0.0)["chamfer"] <= 1.25 * floor


def test_median_depth_fills_in_where_the_ridge_says_nothing(toy, monkeypatch) -> None:
    _, _, task = toy
    looks = task.looks[:6]
    few = replace(task, looks=looks)
    blank = [replace(s, depth=np.where(s.depth > 0, depths.UNKNOWN, s.depth)) for s in looks]
    monkeypatch.setattr(depths, "refined", lambda _: blank)
    points = np.random.default_rng(0).uniform(-0.8, 0.8, (500, 3))
    limit = np.full(500, 0.05)
    rough, seen = DepthMaps(looks, carve=True).distances(points, limit, threads=1)
    found, counts = depths.Fused(few).distances(points, limit)
    own, carved = DepthMaps(blank, carve=True).distances(points, limit, threads=1)
    rough, seen = np.where(seen > 1, rough, 0), np.where(seen > 1, seen, 0)
    assert ((carved == 0) & (seen > 0)).sum() > 20
    assert (found == np.where(carved > 0, own, rough)).all()
    assert (counts == np.where(carved > 0, carved, seen)).all()


def test_the_floor_is_the_surface_itself(toy) -> None:
    judge, floor, _ = toy
    assert 5.2 < floor < 5.45, "thousandths, as foretold for 60000 points"
    assert np.abs(extraction.distance(judge.points)).max() < 1e-3


@pytest.mark.parametrize("target_faces", [2000, 8000])
def test_decimation_keeps_the_surface(toy, poisson, target_faces) -> None:
    judge, _, _ = toy
    before = judge.row(poisson, "", 0.0)["chamfer"]
    fewer = decimate(poisson, target_faces=target_faces)
    assert 0.98 * target_faces <= len(fewer.faces) <= target_faces
    assert judge.row(fewer, "", 0.0)["chamfer"] <= 1.10 * before
    assert report(fewer).watertight and edge_counts(fewer.faces) == (0, 0)
    assert face_areas(fewer).min() > 0
