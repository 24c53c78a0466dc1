"""Pictures of the splats and of the mesh from the same cameras."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from ...pipeline.contract import Context
from ...renderers.meshes import MeshScene
from ...renderers.scene import Cameras
from ..geometry.concurrency import in_order
from ..geometry.likeness import Pair, Picture, mesh_picture, one_by_one, splat_picture


@dataclass(frozen=True, slots=True)
class Shot:
    """One camera's pictures."""

    splats: Picture
    mesh: Picture
    clay: Picture
    """The bare surface under a light that goes with the camera."""


def shoot(scene: Pair, cameras: Cameras, ctx: Context, title: str) -> list[Shot]:
    """One shot per camera, several at a time."""
    views = one_by_one(cameras)
    shots = []
    with ctx.progress(title, len(views)) as bar:
        for shot in in_order(lambda view: _shot(scene, view), views, threads=ctx.threads):
            shots.append(shot)
            bar.advance()
    return shots


def mesh_pictures(scene: MeshScene, camera: Cameras) -> tuple[Picture, Picture]:
    """The mesh with its own colors, and its surface as clay."""
    flat, normal = mesh_picture(scene, camera)
    return flat, clay(normal, flat[..., 3], camera)


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


def _shot(scene: Pair, camera: Cameras) -> Shot:
    flat, bare = mesh_pictures(scene.mesh, camera)
    return Shot(splats=splat_picture(scene.splats, camera), mesh=flat, clay=bare)
