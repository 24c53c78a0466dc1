"""Pictures of the splats and of the mesh from the same cameras.

Both are moved so that the middle of the mesh's bounding box is the origin; the distance is such
that its bounding sphere fits.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Float32

from ...pipeline.contract import Context
from ...renderers import meshes
from ...renderers.choose import named
from ...renderers.scene import Cameras, Gaussians
from ..formats.gltf import Mesh
from ..geometry.concurrency import in_order
from ..geometry.orbit import look_at_origin

MARGIN = 1.05
"""How much wider than the bounding sphere a picture is."""
SUPERSAMPLE = 3
"""Squared, the rays per pixel of the mesh's pictures."""

Picture = Float32[np.ndarray, "height width 4"]
"""Premultiplied sRGB and alpha."""


@dataclass(frozen=True, slots=True)
class Stage:
    """Splats and mesh, moved to the origin."""

    splats: Gaussians
    mesh: meshes.MeshScene
    radius_m: float


@dataclass(frozen=True, slots=True)
class Shot:
    """One camera's pictures."""

    splats: Picture
    mesh: Picture
    clay: Picture
    """The bare surface under a light that goes with the camera."""


def stage(splats: Gaussians, mesh: Mesh) -> Stage:
    """Move both to the middle of the mesh."""
    center = (mesh.positions.min(axis=0) + mesh.positions.max(axis=0)) / 2
    radius = float(np.linalg.norm(mesh.positions - center, axis=1).max())
    return Stage(
        splats=replace(splats, means=splats.means - torch.from_numpy(center)),
        mesh=mesh_scene(mesh, center),
        radius_m=max(radius, 1e-6),
    )


def mesh_scene(mesh: Mesh, center: Float[np.ndarray, "3"]) -> meshes.MeshScene:
    """What the ray caster takes, moved by minus `center`."""
    return meshes.MeshScene(
        vertices=mesh.positions - center,
        faces=mesh.faces,
        uvs=mesh.uvs,
        texture=mesh.base_color,
        vertex_colors=mesh.colors,
        normals=mesh.normals,
    )


def orbit(
    azimuths_deg: list[float], elevation_deg: float, radius_m: float, fovy_deg: float, size_px: int
) -> Cameras:
    """Cameras around the origin that see a ball of `radius_m`."""
    return look_at_origin(
        azimuths_deg,
        [elevation_deg] * len(azimuths_deg),
        distance_m=MARGIN * radius_m / math.sin(math.radians(fovy_deg) / 2),
        fovy_deg=fovy_deg,
        size_px=(size_px, size_px),
    )


def shoot(scene: Stage, cameras: Cameras, ctx: Context, title: str) -> list[Shot]:
    """One shot per camera, several at a time."""
    count = len(cameras.world_to_camera)
    shots = []
    with ctx.progress(title, count) as bar:
        views = [_one(cameras, view) for view in range(count)]
        for shot in in_order(lambda view: _shot(scene, view), views, threads=ctx.threads):
            shots.append(shot)
            bar.advance()
    return shots


def mesh_picture(scene: meshes.MeshScene, camera: Cameras) -> tuple[Picture, Picture]:
    """The mesh with its own colors, and its surface as clay."""
    frames = meshes.render(scene, camera, supersample=SUPERSAMPLE)
    flat = torch.cat([frames.rgb, frames.alpha], dim=-1)[0].numpy()
    return flat, clay(frames.normal[0].numpy(), flat[..., 3], camera)


def clay(
    normal: Float32[np.ndarray, "height width 3"],
    alpha: Float32[np.ndarray, "height width"],
    camera: Cameras,
) -> Picture:
    """Shade world normals (premultiplied) by a key light up left of the camera and a fill light.

    Faces seen from behind, which a closed mesh does not show, come out dark red.
    """
    seen = normal.astype(np.float64) @ camera.world_to_camera[0, :3, :3].double().numpy().T
    key = np.array([-0.45, -0.65, -0.61])
    fill = np.array([0.7, 0.1, -0.7])
    light = 0.22 * alpha
    light += 0.62 * (seen @ (key / np.linalg.norm(key))).clip(min=0)
    light += 0.25 * (seen @ (fill / np.linalg.norm(fill))).clip(min=0)
    rgb = light.clip(max=alpha)[..., None] * np.array([1.0, 0.985, 0.96])
    behind = (seen[..., 2] > 0.5 * alpha) & (alpha > 0)
    rgb[behind] = alpha[behind, None] * np.array([0.5, 0.1, 0.1])
    return np.concatenate([rgb, alpha[..., None]], axis=-1).astype(np.float32)


def _shot(scene: Stage, camera: Cameras) -> Shot:
    with torch.no_grad():
        frames = named("cpu")(scene.splats, camera)
    assert frames.rgb is not None and frames.alpha is not None
    seen = torch.cat([frames.rgb, frames.alpha], dim=-1)[0].numpy()
    flat, bare = mesh_picture(scene.mesh, camera)
    return Shot(splats=seen, mesh=flat, clay=bare)


def _one(cameras: Cameras, view: int) -> Cameras:
    pick = slice(view, view + 1)
    return replace(
        cameras,
        world_to_camera=cameras.world_to_camera[pick],
        focal_px=cameras.focal_px[pick],
        center_px=cameras.center_px[pick],
    )
