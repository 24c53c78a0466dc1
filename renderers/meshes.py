"""Triangle meshes on the CPU, by casting rays through Open3D's Embree scene.

A ray starts at the camera's centre and runs through a point (u, v) of the picture,
    direction = Rᵀ ((u - cx) / fx, (v - cy) / fy, 1),
so that the ray parameter of a hit is its view-space z. Cameras and pixel centres are those of the
splat renderers.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from .open3d_import import open3d
from .scene import Cameras

Shading = Literal["flat", "lit"]

LIGHT_DIRECTION = np.array([0.35, 0.75, 0.56], np.float32)
"""To the light, in the world: from the front, above, a little from the object's left."""
AMBIENT = 0.35
BARE_COLOR = 0.5
"""Linear gray of a mesh without texture and colors."""


@dataclass(frozen=True, slots=True)
class MeshScene:
    """Triangles and what lies on them, as in a GLB."""

    vertices: Float[np.ndarray, "vertex 3"]
    faces: Int[np.ndarray, "face 3"]
    """Counter-clockwise seen from outside."""
    uvs: Float[np.ndarray, "vertex 2"] | None = None
    """From the top left corner of the texture, v down (glTF); repeats outside of [0, 1]."""
    texture: UInt8[np.ndarray, "height width channel"] | None = None
    """sRGB, row 0 at the top; a fourth channel is ignored."""
    vertex_colors: Float[np.ndarray, "vertex 3"] | None = None
    """Linear, 0 to 1; multiplied with the texture."""
    normals: Float[np.ndarray, "vertex 3"] | None = None
    """For smooth shading; without them every face is flat."""


@dataclass(frozen=True, slots=True)
class MeshFrames:
    """Pictures of a mesh. rgb, alpha and normal are means over the rays of a pixel; the others
    belong to the one ray through its centre, never mixed across an edge."""

    rgb: Float[Tensor, "camera height width 3"]
    """sRGB, premultiplied by `alpha`."""
    alpha: Float[Tensor, "camera height width 1"]
    """Covered share of the pixel."""
    depth: Float[Tensor, "camera height width 1"]
    """View-space z in metres; 0 where nothing is hit."""
    normal: Float[Tensor, "camera height width 3"]
    """World space, as wound (not turned to the camera), premultiplied by `alpha`."""
    face_id: Int[Tensor, "camera height width"]
    """-1 where nothing is hit."""
    barycentric: Float[Tensor, "camera height width 3"]
    """Weights of the face's three vertices; 0 where nothing is hit."""


def render(
    scene: MeshScene,
    cameras: Cameras,
    *,
    supersample: int = 2,
    shading: Shading = "flat",
    nthreads: int = 1,
) -> MeshFrames:
    """Render with `supersample` squared rays per pixel.

    `flat` shows the base color as it is; `lit` adds one distant light that is fixed to the world
    (Lambert, in linear light, on the side of a face that is seen). Not differentiable.
    """
    _check(scene, cameras, supersample)
    caster = open3d().t.geometry.RaycastingScene(nthreads=nthreads)
    core = open3d().core
    caster.add_triangles(
        core.Tensor(np.ascontiguousarray(scene.vertices, np.float32)),
        core.Tensor(np.ascontiguousarray(scene.faces, np.uint32)),
    )
    surface = _surface(scene)
    frames = [
        _picture(caster, surface, cameras, k, supersample, shading, nthreads)
        for k in range(len(cameras.world_to_camera))
    ]
    return MeshFrames(*(torch.stack(parts) for parts in zip(*frames, strict=True)))


@dataclass(frozen=True, slots=True)
class _Surface:
    """A scene made ready for lookups: what is needed per corner of a face, texture in linear."""

    face_normals: np.ndarray
    corner_normals: np.ndarray | None
    corner_uvs: np.ndarray | None
    corner_colors: np.ndarray | None
    texture: np.ndarray | None


@dataclass(frozen=True, slots=True)
class _Hits:
    """Rays that hit, flat: which rays, and where."""

    mask: np.ndarray
    depth: np.ndarray
    face: np.ndarray
    weights: np.ndarray
    direction: np.ndarray
    """From the camera, not normalized."""


def _check(scene: MeshScene, cameras: Cameras, supersample: int) -> None:
    n = len(scene.vertices)
    if supersample < 1:
        raise ValueError(f"renderers.meshes: supersample must be at least 1, got {supersample}.")
    if len(cameras.world_to_camera) == 0 or cameras.width_px < 1 or cameras.height_px < 1:
        raise ValueError("renderers.meshes: at least one camera and one pixel are needed.")
    if len(scene.faces) == 0:
        raise ValueError("renderers.meshes: the mesh has no faces.")
    if scene.faces.min() < 0 or scene.faces.max() >= n:
        raise ValueError(
            f"renderers.meshes: faces point at vertices {scene.faces.min()} to"
            f" {scene.faces.max()}, but there are {n}."
        )
    for name in ("uvs", "vertex_colors", "normals"):
        values = getattr(scene, name)
        if values is not None and len(values) != n:
            raise ValueError(
                f"renderers.meshes: {name} has {len(values)} rows, expected one per vertex ({n})."
            )
    if scene.texture is not None and scene.uvs is None:
        raise ValueError("renderers.meshes: a texture needs uvs.")


def _surface(scene: MeshScene) -> _Surface:
    def corners(values: np.ndarray | None) -> np.ndarray | None:
        return None if values is None else values[scene.faces].astype(np.float32)

    a, b, c = np.moveaxis(scene.vertices[scene.faces].astype(np.float64), 1, 0)
    texture = scene.texture
    return _Surface(
        face_normals=_unit(np.cross(b - a, c - a)).astype(np.float32),
        corner_normals=corners(scene.normals),
        corner_uvs=None if texture is None else corners(scene.uvs),
        corner_colors=corners(scene.vertex_colors),
        texture=None if texture is None else _LINEAR[texture[..., :3]],
    )


def _picture(
    caster,
    surface: _Surface,
    cameras: Cameras,
    k: int,
    supersample: int,
    shading: Shading,
    nthreads,
) -> tuple[Tensor, ...]:
    height, width = cameras.height_px, cameras.width_px
    fine = _cast(caster, cameras, k, supersample, nthreads)
    center = fine if supersample == 1 else _cast(caster, cameras, k, 1, nthreads)
    normal = _normals(surface, fine)
    color = _srgb(_base_color(surface, fine) * _light(normal, fine, shading))

    def mean(values: np.ndarray) -> Tensor:
        full = np.zeros((len(fine.mask), values.shape[-1]), np.float32)
        full[fine.mask] = values
        split = full.reshape(height, supersample, width, supersample, -1)
        return torch.from_numpy(split.mean(axis=(1, 3)))

    def whole(values: np.ndarray, missing: int = 0) -> Tensor:
        full = np.full((len(center.mask), *values.shape[1:]), missing, values.dtype)
        full[center.mask] = values
        return torch.from_numpy(full).reshape(height, width, *values.shape[1:])

    return (
        mean(color),
        mean(np.ones((len(fine.depth), 1), np.float32)),
        whole(center.depth[:, None]),
        mean(normal),
        whole(center.face, -1),
        whole(center.weights),
    )


def _cast(caster, cameras: Cameras, k: int, supersample: int, nthreads: int) -> _Hits:
    matrix = cameras.world_to_camera[k].detach().double().cpu().numpy()
    focal, middle = (
        t[k].detach().double().cpu().numpy() for t in (cameras.focal_px, cameras.center_px)
    )
    u = (np.arange(cameras.width_px * supersample) + 0.5) / supersample
    v = (np.arange(cameras.height_px * supersample) + 0.5) / supersample
    x, y = np.meshgrid((u - middle[0]) / focal[0], (v - middle[1]) / focal[1])
    directions = np.stack([x, y, np.ones_like(x)], axis=-1).reshape(-1, 3) @ matrix[:3, :3]
    rays = np.empty((len(directions), 6), np.float32)
    rays[:, :3] = -matrix[:3, :3].T @ matrix[:3, 3]
    rays[:, 3:] = directions
    found = caster.cast_rays(open3d().core.Tensor(rays), nthreads=nthreads)
    depth = found["t_hit"].numpy()
    mask = np.isfinite(depth)
    second_third = found["primitive_uvs"].numpy()[mask]
    first = 1 - second_third.sum(axis=-1, keepdims=True)
    return _Hits(
        mask=mask,
        depth=depth[mask],
        face=found["primitive_ids"].numpy()[mask].astype(np.int64),
        weights=np.concatenate([first, second_third], axis=-1),
        direction=rays[mask, 3:],
    )


def _interpolate(corners: np.ndarray, hits: _Hits) -> np.ndarray:
    return np.einsum("rk,rkj->rj", hits.weights, corners[hits.face])


def _normals(surface: _Surface, hits: _Hits) -> np.ndarray:
    if surface.corner_normals is None:
        return surface.face_normals[hits.face]
    return _unit(_interpolate(surface.corner_normals, hits))


def _base_color(surface: _Surface, hits: _Hits) -> np.ndarray:
    """Linear."""
    color = np.ones((len(hits.face), 3), np.float32)
    if surface.corner_colors is not None:
        color = _interpolate(surface.corner_colors, hits)
    if surface.texture is not None:
        color = color * sample(surface.texture, _interpolate(surface.corner_uvs, hits))
    elif surface.corner_colors is None:
        color = color * BARE_COLOR
    return color


def sample(
    texture: Float[np.ndarray, "height width channel"], uvs: Float[np.ndarray, "point 2"]
) -> Float[np.ndarray, "point channel"]:
    """Bilinear, repeating. (0, 0) is the top left corner of the picture, texel centres at +0.5."""
    height, width = texture.shape[:2]
    position = uvs * np.array([width, height]) - 0.5
    whole = np.floor(position).astype(np.int64)
    fx, fy = (position - whole).T[..., None].astype(texture.dtype)
    x0, y0 = whole[:, 0] % width, whole[:, 1] % height
    x1, y1 = (x0 + 1) % width, (y0 + 1) % height
    top = texture[y0, x0] * (1 - fx) + texture[y0, x1] * fx
    bottom = texture[y1, x0] * (1 - fx) + texture[y1, x1] * fx
    return top * (1 - fy) + bottom * fy


def _light(normal: np.ndarray, hits: _Hits, shading: Shading) -> np.ndarray | float:
    if shading == "flat":
        return 1.0
    towards_light = LIGHT_DIRECTION / np.linalg.norm(LIGHT_DIRECTION)
    seen_from_behind = (normal * hits.direction).sum(axis=-1) > 0
    cosine = np.where(seen_from_behind, -1, 1) * (normal @ towards_light)
    return (AMBIENT + (1 - AMBIENT) * cosine.clip(min=0))[:, None]


def _unit(vectors: np.ndarray) -> np.ndarray:
    """Zero stays zero."""
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.where(length > 0, length, 1)


def _decode(values: np.ndarray) -> np.ndarray:
    """sRGB to linear (IEC 61966-2-1)."""
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


_LINEAR = _decode(np.arange(256) / 255).astype(np.float32)


def _srgb(linear: np.ndarray) -> np.ndarray:
    """Linear to sRGB."""
    power = 1.055 * np.maximum(linear, 0.0031308) ** (1 / 2.4) - 0.055
    return np.where(linear <= 0.0031308, 12.92 * linear, power).astype(np.float32)
