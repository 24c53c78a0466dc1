"""Photographs in memory: straightened, reduced, in three colors of 8 bits.

16-bit, gray, palette and CMYK pictures become RGB; alpha becomes a coverage of its own. What a lens
did not see after straightening, and what a mask leaves out, does not count.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from logging import Logger
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from PIL import Image, ImageOps
from torch import Tensor
from torch.nn import functional

from ...pipeline.errors import InputError
from ...renderers.scene import Cameras
from .lens import Lens, resized, straighten, straightened
from .shots import Shot

ASPECT_TOLERANCE = 0.01
FINER = 2
"""Pictures are straightened at no more than so many times their final size."""
MOST_PIXELS = 1 << 28
"""Of one photograph."""


@dataclass(frozen=True, slots=True)
class Photo:
    """One view to be matched."""

    name: str
    lens: Lens
    """A pinhole of the picture's size."""
    world_to_camera: Float[Tensor, "4 4"]
    pixels: UInt8[Tensor, "3 height width"]
    """sRGB; premultiplied where there is alpha."""
    alpha: UInt8[Tensor, "1 height width"] | None
    counts: Bool[Tensor, "1 height width"] | None
    """None: all pixels."""


@dataclass(frozen=True, slots=True)
class Target:
    """A photograph at one size of the pyramid, ready for the loss."""

    cameras: Cameras
    rgb: Float[Tensor, "3 height width"]
    alpha: Float[Tensor, "1 height width"] | None
    counts: Float[Tensor, "1 height width"] | None


def load_all(shots: Sequence[Shot], max_side_px: int, log: Logger) -> Iterator[Photo]:
    """One after another; says once what had to be done to how many."""
    said: dict[str, int] = {}
    for shot in shots:
        yield _load(shot, max_side_px, said)
    for what, count in sorted(said.items()):
        log.warning("%d of %d photographs %s.", count, len(shots), what)


def target_of(photo: Photo, halvings: int, device: str) -> Target:
    """The photograph, halved so many times by averaging. Odd rows and columns at the end are left
    out, and the camera with them."""
    step = 2**halvings
    height, width = photo.pixels.shape[1] // step * step, photo.pixels.shape[2] // step * step

    def reduced(planes: Tensor | None) -> Tensor | None:
        if planes is None:
            return None
        cut = planes[:, :height, :width].to(device).float()
        return functional.avg_pool2d(cut[None], step)[0] if halvings else cut

    rgb, alpha, counts = (reduced(part) for part in (photo.pixels, photo.alpha, photo.counts))
    assert rgb is not None
    whole = counts is None or bool((counts == 1).all())
    return Target(
        cameras=_cameras(photo, step, height // step, width // step, device),
        rgb=rgb / 255,
        alpha=None if alpha is None else alpha / 255,
        counts=None if whole else counts,
    )


def _cameras(photo: Photo, step: int, height: int, width: int, device: str) -> Cameras:
    lens = photo.lens
    return Cameras(
        world_to_camera=photo.world_to_camera[None].to(device),
        focal_px=torch.tensor([lens.focal_px], device=device) / step,
        center_px=torch.tensor([lens.center_px], device=device) / step,
        width_px=width,
        height_px=height,
    )


def _load(shot: Shot, max_side_px: int, said: dict[str, int]) -> Photo:
    picture = open_picture(shot.path)
    picture, lens = _fitting(picture, shot, said)
    planes = torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1))).float() / 255
    counts = torch.ones(1, *planes.shape[1:], dtype=torch.bool)
    if shot.mask is not None:
        counts &= _mask(shot.mask, planes.shape[2], planes.shape[1])
    if planes.shape[0] == 4:
        planes = torch.cat([planes[:3] * planes[3:], planes[3:]])
    scale = max_side_px / max(lens.width_px, lens.height_px)
    if not lens.is_straight:
        planes, counts, lens = _coarser(planes, counts, lens, int(1 / (FINER * scale)))
        planes, seen = straighten(planes, lens)
        moved, _ = straighten(counts.float(), lens)
        counts = (moved > 0.999) & seen
        lens = straightened(lens)
    scale = max_side_px / max(lens.width_px, lens.height_px)
    if scale < 1:
        size = (max(1, round(lens.height_px * scale)), max(1, round(lens.width_px * scale)))
        planes = functional.interpolate(planes[None], size, mode="area")[0]
        counts = functional.interpolate(counts[None].float(), size, mode="area")[0] > 0.999
        lens = resized(lens, size[1], size[0])
    stored = (planes.clamp(0, 1) * 255).round().to(torch.uint8)
    return Photo(
        name=shot.path.name,
        lens=lens,
        world_to_camera=torch.from_numpy(shot.world_to_camera).float(),
        pixels=stored[:3],
        alpha=stored[3:] if len(stored) == 4 else None,
        counts=None if bool(counts.all()) else counts,
    )


def _coarser(
    planes: Float[Tensor, "channel height width"],
    counts: Bool[Tensor, "1 height width"],
    lens: Lens,
    step: int,
) -> tuple[Tensor, Tensor, Lens]:
    """Averaged over `step` x `step` pixels; what is over at the far sides is cut off."""
    if step < 2:
        return planes, counts, lens
    height, width = lens.height_px // step, lens.width_px // step
    planes = planes[:, : height * step, : width * step]
    counts = counts[:, : height * step, : width * step]
    cut = replace(lens, width_px=width * step, height_px=height * step)
    return (
        functional.avg_pool2d(planes[None], step)[0],
        functional.avg_pool2d(counts[None].float(), step)[0] > 0.999,
        resized(cut, width, height),
    )


def open_picture(path: Path) -> Image.Image:
    """Loaded, not turned by its EXIF entry; at most `MOST_PIXELS`. Raises InputError otherwise."""
    try:
        image = Image.open(path)
        if image.width * image.height > MOST_PIXELS:
            raise InputError(
                f"{path}: {image.width} x {image.height} px; at most {MOST_PIXELS} pixels are read."
            )
        image.load()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file.") from None
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputError(f"{path}: no readable picture ({error}).") from None
    return image


def _fitting(
    image: Image.Image, shot: Shot, said: dict[str, int]
) -> tuple[UInt8[np.ndarray, "height width channel"], Lens]:
    """Pixels and a lens of their size.

    An EXIF turn is followed only where the camera's size asks for it: most programs that find
    cameras look at the pixels as they are stored.
    """
    lens = shot.lens
    wanted = (lens.width_px, lens.height_px)
    if image.size != wanted:
        turned = ImageOps.exif_transpose(image)
        if turned.size == wanted:
            image = turned
            _count(said, "were turned as their EXIF entry says, to fit their cameras")
    if image.size != wanted:
        width, height = image.size
        stretch = (width / wanted[0]) / (height / wanted[1])
        if abs(stretch - 1) > ASPECT_TOLERANCE:
            raise InputError(
                f"{shot.path}: {width} x {height} px, but its camera says {wanted[0]} x "
                f"{wanted[1]}. These are not the photographs that the cameras were found for."
            )
        lens = resized(lens, width, height)
        _count(said, "have another size than their cameras say; the cameras were scaled")
    return eight_bit(image), lens


def eight_bit(image: Image.Image) -> UInt8[np.ndarray, "height width channel"]:
    """Three channels of sRGB, or four with alpha, whatever the picture's mode."""
    if image.mode in ("I;16", "I;16L", "I;16B", "I"):
        values = np.asarray(image).astype(np.float64)
        gray = np.rint(values / 65535 * 255).clip(0, 255).astype(np.uint8)
        return np.repeat(gray[..., None], 3, axis=2)
    alpha = "A" in image.getbands() or "transparency" in image.info
    return np.asarray(image.convert("RGBA" if alpha else "RGB"))


def _mask(path: Path, width: int, height: int) -> Bool[Tensor, "1 height width"]:
    with open_picture(path) as image:
        gray = image.convert("L")
        if gray.size != (width, height):
            gray = gray.resize((width, height), Image.Resampling.NEAREST)
        return torch.from_numpy(np.asarray(gray) > 127)[None]


def _count(said: dict[str, int], what: str) -> None:
    said[what] = said.get(what, 0) + 1
