"""Splats from real things: textured meshes and the points of a captured garden. For tests that
are skipped where the shared samples are not at hand."""

import os
from pathlib import Path

import numpy as np
import torch
import trimesh
from scipy.spatial import cKDTree
from splatworks.renderers.scene import Cameras
from splatworks.stages.formats import gltf
from splatworks.stages.formats.splats import RawSplats

from .splat_objects import raw, turn_z_to

SAMPLES = Path(os.environ.get("SPLATWORKS_SAMPLES", Path(__file__).parents[3] / "shared/data"))
"""Not part of the repository."""


def from_mesh(path: Path, count: int, width: float = 0.6) -> RawSplats:
    """Opaque disks on a textured mesh, scaled to a bounding box of diagonal 1 about the origin."""
    mesh = gltf.load(path)
    low, high = mesh.positions.min(axis=0), mesh.positions.max(axis=0)
    places = (mesh.positions - (low + high) / 2) / np.linalg.norm(high - low)
    shape = trimesh.Trimesh(places, mesh.faces, process=False)
    points, faces = trimesh.sample.sample_surface_even(shape, count, seed=0)
    corners = shape.triangles[faces]
    weights = trimesh.triangles.points_to_barycentric(corners, points).clip(0, 1)
    size = width * np.sqrt(shape.area / len(points))
    return raw(
        means=points,
        scales=np.tile([size, size, size / 10], (len(points), 1)),
        quaternions=turn_z_to(shape.face_normals[faces]),
        opacities=np.full(len(points), 0.97),
        colors=_texels(mesh, faces, weights),
    )


def _texels(mesh: gltf.Mesh, faces: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """sRGB of the nearest texel, or gray."""
    if mesh.base_color is None or mesh.uvs is None:
        return np.full((len(faces), 3), 0.5)
    uv = np.einsum("nk,nkc->nc", weights, mesh.uvs[mesh.faces[faces]]) % 1.0
    height, width = mesh.base_color.shape[:2]
    column = (uv[:, 0] * width).astype(int).clip(0, width - 1)
    row = (uv[:, 1] * height).astype(int).clip(0, height - 1)
    texels = mesh.base_color[row, column, :3]
    return texels / 255.0 if texels.dtype == np.uint8 else texels


def garden(path: Path) -> tuple[RawSplats, Cameras]:
    """The points of the garden as round Gaussians as wide as their spacing, and its cameras."""
    with np.load(path) as data:
        points, colors = data["means3d"].astype(np.float64), data["colors"] / 255.0
        views, focal = data["viewmats"], data["Ks"]
        size = int(data["width"]), int(data["height"])
    spacing = cKDTree(points).query(points, k=4)[0][:, 1:].mean(axis=1).clip(1e-4, 0.1)
    count = len(points)
    scene = raw(
        means=points,
        scales=np.repeat(0.7 * spacing[:, None], 3, axis=1),
        quaternions=np.tile([1.0, 0, 0, 0], (count, 1)),
        opacities=np.full(count, 0.8),
        colors=colors,
    )
    cameras = Cameras(
        world_to_camera=torch.from_numpy(views),
        focal_px=torch.from_numpy(np.stack([focal[:, 0, 0], focal[:, 1, 1]], axis=1)),
        center_px=torch.from_numpy(np.ascontiguousarray(focal[:, :2, 2])),
        width_px=size[0],
        height_px=size[1],
    )
    return scene, cameras
