"""The views that a texture is made of, ready to be looked at, on disk.

A view is a straightened picture of about the texture's fineness with a worth per pixel: 0 where it
does not count (a mask, thin alpha, beyond the lens), else 1 to 255, falling towards outlines of the
mesh, edges of masks and the border of the picture. They lie in the scratch directory, so that
memory holds one at a time, and an interrupted run goes on from them.
"""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, UInt8
from scipy.ndimage import distance_transform_edt
from torch.nn import functional

from ....pipeline.contract import Context
from ...formats import tensors
from ...formats.photos import Photo, load_all
from ...formats.shots import Shot
from . import Config
from .caster import Caster, Eye

FAINTEST = 0.02
"""Of a weight is left right at an edge: better than nothing where there is nothing else."""
EDGE_TOLERANCES = 3.0
"""Neighboring depths this many tolerances apart make an outline."""
OUTLINE_SIDE_PX = 800
"""Outlines are looked for in depth maps of at most this side."""


@dataclass(frozen=True, slots=True)
class View:
    """One picture with its camera."""

    name: str
    eye: Eye
    pixels: UInt8[np.ndarray, "height width 3"]
    """sRGB, straight."""
    worth: UInt8[np.ndarray, "height width"]
    virtual: bool
    """A render of the splats."""


class Album:
    """Views by number, in files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __contains__(self, number: int) -> bool:
        return self._path(number).exists()

    def put(self, number: int, view: View) -> None:
        eye = view.eye
        told = {
            "name": view.name,
            "world_to_camera": eye.world_to_camera.reshape(-1).tolist(),
            "focal_px": eye.focal_px,
            "center_px": eye.center_px,
            "virtual": view.virtual,
        }
        values = {
            "pixels": torch.from_numpy(np.ascontiguousarray(view.pixels)),
            "worth": torch.from_numpy(np.ascontiguousarray(view.worth)),
        }
        tensors.save(values, self._path(number), told)

    def load(self, number: int) -> View:
        values, told = tensors.load(self._path(number), ["pixels", "worth"])
        height, width = values["worth"].shape
        eye = Eye(
            world_to_camera=np.array(told["world_to_camera"]).reshape(4, 4),
            focal_px=(told["focal_px"][0], told["focal_px"][1]),
            center_px=(told["center_px"][0], told["center_px"][1]),
            width_px=width,
            height_px=height,
        )
        pixels, worth = values["pixels"].numpy(), values["worth"].numpy()
        return View(told["name"], eye, pixels, worth, told["virtual"])

    def some(self, numbers: range) -> Iterator[tuple[int, View]]:
        """One after another; those that show nothing of the mesh are left out."""
        for number in numbers:
            view = self.load(number)
            if view.worth.any():
                yield number, view

    def _path(self, number: int) -> Path:
        return self._folder / f"view-{number:05d}.safetensors"


@dataclass(frozen=True, slots=True)
class Scale:
    """What is near and what is fine, in metres."""

    tolerance_m: float
    texel_m: float
    """Of a typical texel."""


def prepare(
    album: Album,
    shots: list[Shot],
    frame: Float[np.ndarray, "4 4"],
    caster: Caster,
    scale: Scale,
    config: Config,
    ctx: Context,
) -> None:
    """Put all photographs into the album, except those that are there.

    Args:
        frame: From the capture's world to the mesh's: turn, shift and scale.
    """
    numbers = [number for number in range(len(shots)) if number not in album]
    done = len(shots) - len(numbers)
    missing = [shots[number] for number in numbers]
    photos = load_all(missing, config.views.max_side_px, ctx.log)
    with ctx.progress("bake: photographs", len(shots), done=done) as bar:
        for number, photo in zip(numbers, photos, strict=True):
            album.put(number, _prepared(photo, frame, caster, scale, config))
            bar.advance()


def _prepared(
    photo: Photo, frame: Float[np.ndarray, "4 4"], caster: Caster, scale: Scale, config: Config
) -> View:
    lens = photo.lens
    eye = Eye(
        moved(photo.world_to_camera.double().numpy(), frame),
        lens.focal_px, lens.center_px, lens.width_px, lens.height_px,
    )  # fmt: skip
    outline, nearest_m = _outline(eye, caster, scale.tolerance_m)
    if not np.isfinite(nearest_m):
        return _blank(photo.name, eye)
    # Finer than the texels it would only be picked from here and there.
    step = max(1, int(scale.texel_m * min(eye.focal_px) / nearest_m))
    step = min(step, eye.width_px, eye.height_px)
    pixels, counts, eye = _reduced(photo, eye, step, config.weighing.min_alpha)
    worth = _worth(counts, outline, config.weighing.edge_px)
    return View(photo.name, eye, pixels, worth, virtual=False)


def rendered(
    name: str,
    eye: Eye,
    picture: Float32[np.ndarray, "height width 4"],
    caster: Caster,
    scale: Scale,
    config: Config,
) -> View:
    """A render of the splats, premultiplied color and alpha, as a view."""
    outline, _ = _outline(eye, caster, scale.tolerance_m)
    counts = picture[..., 3] >= config.weighing.min_alpha
    color = picture[..., :3] / np.maximum(picture[..., 3:], 1e-6)
    pixels = np.rint(np.clip(color, 0, 1) * 255).astype(np.uint8)
    return View(name, eye, pixels, _worth(counts, outline, config.weighing.edge_px), virtual=True)


def moved(
    world_to_camera: Float[np.ndarray, "4 4"], frame: Float[np.ndarray, "4 4"]
) -> Float[np.ndarray, "4 4"]:
    """The camera in a world that `frame` (a similarity) leads to; again a rigid motion."""
    scale = np.cbrt(np.linalg.det(frame[:3, :3]))
    pose = world_to_camera @ np.linalg.inv(frame)
    pose[:3] *= scale
    return pose


def _blank(name: str, eye: Eye) -> View:
    """Of a camera that does not look at the mesh."""
    nothing = np.zeros((1, 1), np.uint8)
    small = dataclasses.replace(eye, width_px=1, height_px=1)
    return View(name, small, np.zeros((1, 1, 3), np.uint8), nothing, virtual=False)


def _reduced(
    photo: Photo, eye: Eye, step: int, min_alpha: float
) -> tuple[UInt8[np.ndarray, "height width 3"], Bool[np.ndarray, "height width"], Eye]:
    """Means over blocks of `step` x `step` pixels, freed from alpha, and which of them count. What
    is over at the far sides is cut off."""
    height, width = eye.height_px // step, eye.width_px // step
    planes = photo.pixels[None, :, : height * step, : width * step].float()
    alpha = torch.full_like(planes[:, :1], 255.0)
    if photo.alpha is not None:
        alpha = photo.alpha[None, :, : height * step, : width * step].float()
    if step > 1:
        planes, alpha = functional.avg_pool2d(planes, step), functional.avg_pool2d(alpha, step)
    straight = (planes * 255 / alpha.clamp(min=1)).clamp(0, 255).round().byte()
    counts = alpha[0, 0] >= 255 * min_alpha
    if photo.counts is not None:
        whole = photo.counts[None, :, : height * step, : width * step].float()
        counts &= functional.avg_pool2d(whole, step)[0, 0] > 0.999
    smaller = Eye(
        eye.world_to_camera,
        (eye.focal_px[0] / step, eye.focal_px[1] / step),
        (eye.center_px[0] / step, eye.center_px[1] / step),
        width,
        height,
    )
    return straight[0].permute(1, 2, 0).numpy(), counts.numpy(), smaller


def _outline(
    eye: Eye, caster: Caster, tolerance_m: float
) -> tuple[Bool[np.ndarray, "height width"], float]:
    """Where the depth of the mesh jumps, at a reduced size, and a near depth of it (inf: none)."""
    share = min(1.0, OUTLINE_SIDE_PX / max(eye.width_px, eye.height_px))
    width, height = max(1, round(eye.width_px * share)), max(1, round(eye.height_px * share))
    x, y = width / eye.width_px, height / eye.height_px
    small = Eye(
        eye.world_to_camera,
        (eye.focal_px[0] * x, eye.focal_px[1] * y),
        (eye.center_px[0] * x, eye.center_px[1] * y),
        width,
        height,
    )
    depth = caster.depths(small)
    finite = np.isfinite(depth)
    if not finite.any():
        return np.zeros(depth.shape, bool), np.inf
    nearest = float(np.quantile(depth[finite], 0.25))
    edges = np.zeros(depth.shape, bool)
    filled = np.where(finite, depth, 1e6)
    for axis in (0, 1):
        jumps = np.abs(np.diff(filled, axis=axis)) > EDGE_TOLERANCES * tolerance_m
        first, second = [slice(None)] * 2, [slice(None)] * 2
        first[axis], second[axis] = slice(None, -1), slice(1, None)
        edges[tuple(first)] |= jumps
        edges[tuple(second)] |= jumps
    return edges, nearest


def _worth(
    counts: Bool[np.ndarray, "height width"],
    outline: Bool[np.ndarray, "small small2"],
    edge_px: float,
) -> UInt8[np.ndarray, "height width"]:
    """255 far from all edges, falling linearly over `edge_px` pixels; 0 where nothing counts."""
    height, width = counts.shape
    rows = np.arange(height) * outline.shape[0] // height
    columns = np.arange(width) * outline.shape[1] // width
    step = height / outline.shape[0]
    blocked = outline | ~_smallest(counts, outline.shape)
    distance = np.full(outline.shape, np.inf)
    if blocked.any():
        distance = distance_transform_edt(~blocked) * step
    row, column = np.arange(height) + 0.5, np.arange(width) + 0.5
    border = np.minimum.outer(np.minimum(row, height - row), np.minimum(column, width - column))
    distance = np.minimum(distance[np.ix_(rows, columns)], border)
    fade = np.clip(distance / edge_px, FAINTEST, 1) if edge_px > 0 else np.ones(counts.shape)
    return np.where(counts, np.maximum(np.rint(255 * fade), 1), 0).astype(np.uint8)


def _smallest(
    counts: Bool[np.ndarray, "height width"], shape: tuple[int, ...]
) -> Bool[np.ndarray, "small small2"]:
    """Whether all pixels of each block count."""
    if counts.all():
        return np.ones(shape, bool)
    bad = torch.from_numpy(~counts)[None, None].float()
    return (functional.adaptive_max_pool2d(bad, shape)[0, 0] == 0).numpy()
