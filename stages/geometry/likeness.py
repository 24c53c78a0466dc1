"""How alike a mesh and the splats it was made of look: one set of cameras, one figure.

Both are moved so that the middle of the mesh's bounding box is the origin. The cameras stand
evenly around it, in turn at the height of `ELEVATIONS_DEG`, so far away that its bounding sphere
fits. The figure is the PSNR of the mesh's pictures against those of the splats, on white, over all
pixels of all of them.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Float32

from ...renderers import meshes
from ...renderers.choose import named
from ...renderers.scene import Cameras, Gaussians
from ..formats.gltf import Mesh
from .concurrency import in_order
from .orbit import look_at_origin

ELEVATIONS_DEG = (15.0, 45.0, 15.0, -15.0)
"""The sides a little from above; between them in turn from far above and from below."""
FOVY_DEG = 40.0
MARGIN = 1.05
"""How much wider than the bounding sphere a picture is."""
SUPERSAMPLE = 3
"""Squared, the rays per pixel of the mesh's pictures."""
CEILING_DB = 100.0
"""Stands for infinity where two pictures are the same."""

Picture = Float32[np.ndarray, "height width 4"]
"""Premultiplied sRGB and alpha."""
Color = Float[np.ndarray, "height width 4"]
"""The same, of any precision."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Splats and mesh, moved to the origin."""

    splats: Gaussians
    mesh: meshes.MeshScene
    radius_m: float
    """Of the mesh's bounding sphere around the origin."""


@dataclass(frozen=True, slots=True)
class Likeness:
    """What `likeness` finds."""

    psnr_db: float
    """The figure. Outlines count, where splats are wider than what they cover by the renderer's
    own blur of 0.55 px."""
    inner_psnr_db: float | None
    """Only where both are opaque; `None` without such pixels."""
    color_error_255: tuple[float, float, float] | None
    """Splats minus mesh there, mean per channel."""
    silhouette_overlap: float
    """Intersection over union of alpha > 0.5; 1 where nothing is seen of either."""


def pair(splats: Gaussians, mesh: Mesh) -> Pair:
    """Move both by minus the middle of the mesh."""
    center = middle(mesh)
    radius = float(np.linalg.norm(mesh.positions - center, axis=1).max())
    return Pair(
        splats=replace(splats, means=splats.means - torch.from_numpy(center)),
        mesh=mesh_scene(mesh, center),
        radius_m=max(radius, 1e-6),
    )


def middle(mesh: Mesh) -> Float[np.ndarray, "3"]:
    """Of the bounding box."""
    return (mesh.positions.min(axis=0) + mesh.positions.max(axis=0)) / 2


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


def directions(views: int) -> list[tuple[float, float]]:
    """(azimuth, elevation) of each view in degrees, the front first."""
    return [
        (360.0 * view / views, ELEVATIONS_DEG[view % len(ELEVATIONS_DEG)]) for view in range(views)
    ]


def around(toward: Sequence[tuple[float, float]], radius_m: float, size_px: int) -> Cameras:
    """One camera per (azimuth, elevation) that sees a ball of `radius_m` around the origin."""
    return look_at_origin(
        [azimuth for azimuth, _ in toward],
        [elevation for _, elevation in toward],
        distance_m=MARGIN * radius_m / math.sin(math.radians(FOVY_DEG) / 2),
        fovy_deg=FOVY_DEG,
        size_px=(size_px, size_px),
    )


def one_by_one(cameras: Cameras) -> list[Cameras]:
    """Each camera by itself."""
    return [
        replace(
            cameras,
            world_to_camera=cameras.world_to_camera[view : view + 1],
            focal_px=cameras.focal_px[view : view + 1],
            center_px=cameras.center_px[view : view + 1],
        )
        for view in range(len(cameras.world_to_camera))
    ]


def splat_picture(scene: Gaussians, camera: Cameras) -> Picture:
    """The splats through one camera."""
    with torch.no_grad():
        frames = named("cpu")(scene, camera)
    assert frames.rgb is not None and frames.alpha is not None
    return torch.cat([frames.rgb, frames.alpha], dim=-1)[0].numpy()


def mesh_picture(
    scene: meshes.MeshScene, camera: Cameras
) -> tuple[Picture, Float32[np.ndarray, "height width 3"]]:
    """The mesh with its own colors through one camera, and its world normals times alpha."""
    frames = meshes.render(scene, camera, supersample=SUPERSAMPLE)
    return torch.cat([frames.rgb, frames.alpha], dim=-1)[0].numpy(), frames.normal[0].numpy()


def compare(scene: Pair, *, views: int, size_px: int, threads: int) -> Likeness:
    """Render both from around and compare."""

    def look(camera: Cameras) -> tuple[Picture, Picture]:
        return splat_picture(scene.splats, camera), mesh_picture(scene.mesh, camera)[0]

    cameras = one_by_one(around(directions(views), scene.radius_m, size_px))
    return likeness(in_order(look, cameras, threads=threads))


def likeness(pairs: Iterable[tuple[Color, Color]]) -> Likeness:
    """Compare pictures, each two (of the splats, of the mesh) from one camera."""
    pixels = inside = both = either = 0
    square, inner_square, inner_error = 0.0, 0.0, np.zeros(3)
    for splats, mesh in pairs:
        error = over(splats, 1.0) - over(mesh, 1.0)
        inner = error[(splats[..., 3] > 0.99) & (mesh[..., 3] > 0.99)]
        pixels += error.size // 3
        inside += len(inner)
        square += float((error**2).sum())
        inner_square += float((inner**2).sum())
        inner_error += inner.sum(axis=0)
        both += int(((splats[..., 3] > 0.5) & (mesh[..., 3] > 0.5)).sum())
        either += int(((splats[..., 3] > 0.5) | (mesh[..., 3] > 0.5)).sum())
    red, green, blue = (255 * inner_error / max(inside, 1)).tolist()
    return Likeness(
        psnr_db=_psnr_db(square / (3 * pixels)),
        inner_psnr_db=_psnr_db(inner_square / (3 * inside)) if inside else None,
        color_error_255=(red, green, blue) if inside else None,
        silhouette_overlap=both / either if either else 1.0,
    )


def over(picture: Color, background: float) -> Float[np.ndarray, "height width 3"]:
    """Composite on gray, in float64."""
    picture = picture.astype(np.float64)
    return picture[..., :3] + (1 - picture[..., 3:]) * background


def _psnr_db(mean_square: float) -> float:
    """Of values from 0 to 1."""
    return min(-10 * math.log10(mean_square), CEILING_DB) if mean_square > 0 else CEILING_DB
