"""Distances between surfaces, by Open3D's exact closest points."""

import numpy as np
from splatworks.stages.geometry.components import Surface, face_areas
from splatworks.stages.geometry.open3d_module import open3d


def samples(surface: Surface, count: int, seed: int = 0) -> np.ndarray:
    """Evenly spread over the area."""
    rng = np.random.default_rng(seed)
    areas = face_areas(surface)
    face = rng.choice(len(areas), count, p=areas / areas.sum())
    weights = rng.dirichlet([1, 1, 1], count)
    return np.einsum("pk,pkc->pc", weights, surface.positions[surface.faces[face]])


def distances(points: np.ndarray, surface: Surface) -> np.ndarray:
    """Of each point to the surface."""
    scene = open3d().t.geometry.RaycastingScene(nthreads=1)
    tensor = open3d().core.Tensor
    scene.add_triangles(
        tensor(np.ascontiguousarray(surface.positions, np.float32)),
        tensor(np.ascontiguousarray(surface.faces, np.uint32)),
    )
    return scene.compute_distance(tensor(points.astype(np.float32))).numpy().astype(np.float64)


def apart(one: Surface, two: Surface, count: int = 20_000) -> tuple[float, float]:
    """Mean (of both directions) and largest sampled distance, in diagonals of the first."""
    there = distances(samples(one, count), two)
    back = distances(samples(two, count, 1), one)
    used = one.positions[one.faces.ravel()]
    diagonal = np.linalg.norm(np.ptp(used, axis=0))
    largest = max(there.max(), back.max())
    return float((there.mean() + back.mean()) / 2 / diagonal), float(largest / diagonal)
