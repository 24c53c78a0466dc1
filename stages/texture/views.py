"""Looking at the splats and at the mesh from the same cameras, all around."""

import math
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32

from ...pipeline.contract import Context
from ...renderers.choose import splat_renderer
from ...renderers.open3d_import import open3d
from ...renderers.scene import Cameras, Gaussians
from ..formats import tensors
from ..formats.gltf import Mesh
from ..geometry.orbit import look_at_origin

MARGIN = 1.05
"""How much wider than the mesh's bounding sphere a view is."""
CHECKPOINT_S = 20.0


def around(
    positions: Float32[np.ndarray, "vertex 3"],
    views: int,
    fovy_deg: float,
    size_px: tuple[int, int],
) -> tuple[Cameras, float]:
    """Cameras spread evenly over a sphere, each seeing the whole mesh, and the mesh's radius.

    The directions are a Fibonacci lattice: y = 1 - (2i + 1) / n, each turned by the golden angle.
    """
    center = (positions.min(axis=0) + positions.max(axis=0)).astype(np.float64) / 2
    radius = max(float(np.linalg.norm(positions - center, axis=1).max()), 1e-6)
    golden = 180.0 * (3.0 - math.sqrt(5.0))
    heights = [1 - (2 * index + 1) / views for index in range(views)]
    cameras = look_at_origin(
        [golden * index % 360.0 for index in range(views)],
        [math.degrees(math.asin(height)) for height in heights],
        distance_m=MARGIN * radius / math.sin(math.radians(fovy_deg) / 2),
        fovy_deg=fovy_deg,
        size_px=size_px,
        dtype=torch.float64,
    )
    return moved(cameras, torch.from_numpy(center)), radius


def moved(cameras: Cameras, offset: torch.Tensor) -> Cameras:
    """The same cameras, carried along by `offset` in the world; float32."""
    poses = cameras.world_to_camera.clone()
    poses[:, :3, 3] -= poses[:, :3, :3] @ offset.to(poses)
    return replace(
        cameras,
        world_to_camera=poses.float(),
        focal_px=cameras.focal_px.float(),
        center_px=cameras.center_px.float(),
    )


def one(cameras: Cameras, index: int) -> Cameras:
    """A single camera of many."""
    pick = slice(index, index + 1)
    return replace(
        cameras,
        world_to_camera=cameras.world_to_camera[pick],
        focal_px=cameras.focal_px[pick],
        center_px=cameras.center_px[pick],
    )


def render_views(
    scene: Gaussians, cameras: Cameras, ctx: Context
) -> Float32[np.ndarray, "camera height width 4"]:
    """Premultiplied color and alpha of every view, several views at a time.

    Finished views are kept in `ctx.scratch` about every 20 seconds.
    """
    renderer = splat_renderer(ctx.device)
    scene = scene_on(scene, ctx.device)
    count = len(cameras.world_to_camera)
    done = _restore(ctx.scratch, count)
    saved, last = len(done), time.monotonic()

    def shoot(index: int) -> np.ndarray:
        with torch.no_grad():
            frames = renderer(scene, cameras_on(one(cameras, index), ctx.device))
        return torch.cat([frames.rgb, frames.alpha], dim=-1)[0].float().cpu().numpy()

    with (
        ctx.progress("texture: views", count, done=len(done)) as bar,
        ThreadPoolExecutor(ctx.threads) as pool,
    ):
        for start in range(len(done), count, ctx.threads):
            batch = list(pool.map(shoot, range(start, min(start + ctx.threads, count))))
            done += batch
            bar.advance(len(batch))
            if time.monotonic() - last > CHECKPOINT_S and len(done) < count:
                _keep(done[saved:], saved, ctx.scratch)
                saved, last = len(done), time.monotonic()
    return np.stack(done)


def depth_maps(
    mesh: Mesh, cameras: Cameras, threads: int
) -> Float32[np.ndarray, "camera height width"]:
    """View-space z of the mesh at every pixel centre; inf where there is none."""
    module = open3d()
    scene = module.t.geometry.RaycastingScene(nthreads=threads)
    scene.add_triangles(
        module.core.Tensor(np.ascontiguousarray(mesh.positions, np.float32)),
        module.core.Tensor(np.ascontiguousarray(mesh.faces, np.uint32)),
    )
    out = []
    for index in range(len(cameras.world_to_camera)):
        rays = module.core.Tensor(_rays(one(cameras, index)))
        out.append(scene.cast_rays(rays, nthreads=threads)["t_hit"].numpy())
    return np.stack(out)


def _rays(camera: Cameras) -> Float32[np.ndarray, "height width 6"]:
    """Origins and directions with z = 1 in the camera, so that the ray's parameter is depth."""
    pose = camera.world_to_camera[0].double().numpy()
    fx, fy = camera.focal_px[0].tolist()
    cx, cy = camera.center_px[0].tolist()
    columns, rows = np.meshgrid(np.arange(camera.width_px) + 0.5, np.arange(camera.height_px) + 0.5)
    local = np.stack([(columns - cx) / fx, (rows - cy) / fy, np.ones_like(rows)], axis=-1)
    origin = np.broadcast_to(-pose[:3, :3].T @ pose[:3, 3], local.shape)
    return np.concatenate([origin, local @ pose[:3, :3]], axis=-1).astype(np.float32)


def scene_on(scene: Gaussians, device: str) -> Gaussians:
    """The same scene on another device."""
    names = ("means", "quaternions", "scales", "opacities", "sh")
    return replace(scene, **{name: getattr(scene, name).to(device) for name in names})


def cameras_on(cameras: Cameras, device: str) -> Cameras:
    """The same cameras on another device."""
    names = ("world_to_camera", "focal_px", "center_px")
    return replace(cameras, **{name: getattr(cameras, name).to(device) for name in names})


def _keep(views: list[np.ndarray], first: int, scratch: Path) -> None:
    stack = torch.from_numpy(np.stack(views))
    tensors.save({"views": stack}, scratch / f"views-{first:04d}.safetensors")


def _restore(scratch: Path, count: int) -> list[np.ndarray]:
    """The views that an interrupted run has finished, without gaps."""
    done: list[np.ndarray] = []
    while len(done) < count:
        path = scratch / f"views-{len(done):04d}.safetensors"
        if not path.exists():
            break
        done += list(tensors.load(path, ["views"])[0]["views"].numpy())
    return done
