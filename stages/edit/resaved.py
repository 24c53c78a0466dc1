"""The scene's own picture as the edited one was saved, so that its saving is not taken for an edit.

A paint program that saves JPEG or WebP changes every pixel that is not flat, and one that rescales
blurs them all. Both are done to the own picture as well, and the two are compared after that. How
strongly a picture was compressed is found by trying: a compression counts if it explains the pixels
that changed least. What a person has painted is explained by none.
"""

import io
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from PIL import Image, JpegImagePlugin
from scipy import ndimage

STEP = 5
QUALITIES = range(95, 14, -STEP)
"""All between are tried next to the best of these."""
SUBSAMPLINGS = (0, 2)
"""Of JPEG: none, and both ways by two."""
DETAIL, NEAR_PX = 0.03, 9
"""A pixel is not flat if the picture varies by so much within such a square around it."""
ROUNDING = 1 / 255
"""What differs less was not compressed."""
QUIET = 0.25
"""Differences are compared over that share of the detailed pixels which differs least; the others
may be edited."""
EXPLAINED = 0.75
"""A compression is believed if it leaves at most this share of the difference."""

Picture = Float[np.ndarray, "height width 3"]


def as_saved(own: Picture, edited: Picture, data: bytes) -> Picture:
    """What `own` had become, had it been saved as `edited` was, of which `data` is the file.

    Both of the file's size, 0 to 1. `own` itself where nothing explains the difference better.
    """
    detailed = _detailed(own)
    before = _typical(edited - own, detailed)
    if before <= ROUNDING:
        return own
    pixels = Image.fromarray(np.rint(own.clip(0, 1) * 255).astype(np.uint8))
    best = Try(own, {}, EXPLAINED * before)
    for options in _compressions(data):
        best = min(best, _tried(pixels, options, edited, detailed), key=_off)
    if "quality" in best.options:
        for quality in range(best.options["quality"] - STEP + 1, best.options["quality"] + STEP):
            options = {**best.options, "quality": quality}
            best = min(best, _tried(pixels, options, edited, detailed), key=_off)
    return best.picture


@dataclass(frozen=True, slots=True)
class Try:
    """A picture saved and read again."""

    picture: Picture
    options: dict[str, Any]
    """Of saving."""
    off: float
    """How far it is from the edited one."""


def _off(one: Try) -> float:
    return one.off


def _tried(
    pixels: Image.Image,
    options: dict[str, Any],
    edited: Picture,
    detailed: Bool[np.ndarray, "height width"],
) -> Try:
    file = io.BytesIO()
    pixels.save(file, **options)
    with Image.open(file) as image:
        again = np.asarray(image.convert("RGB")).astype(np.float32) / 255
    return Try(again, options, _typical(edited - again, detailed))


def _compressions(data: bytes) -> Iterator[dict[str, Any]]:
    """The file's own, then all that are usual; a PNG may have been a JPEG before."""
    with Image.open(io.BytesIO(data)) as image:
        if isinstance(image, JpegImagePlugin.JpegImageFile) and image.mode == "RGB":
            subsampling = JpegImagePlugin.get_sampling(image)
            if subsampling >= 0:
                yield {"format": "JPEG", "qtables": image.quantization, "subsampling": subsampling}
        webp = image.format == "WEBP"
    for quality in QUALITIES:
        if webp:
            yield {"format": "WEBP", "quality": quality}
            continue
        for subsampling in SUBSAMPLINGS:
            yield {"format": "JPEG", "quality": quality, "subsampling": subsampling}


def _detailed(picture: Picture) -> Bool[np.ndarray, "height width"]:
    """Pixels that saving changes: those that are not flat all around."""
    size = (NEAR_PX, NEAR_PX, 1)
    span = ndimage.maximum_filter(picture, size) - ndimage.minimum_filter(picture, size)
    return span.max(axis=-1) > DETAIL


def _typical(change: Picture, detailed: Bool[np.ndarray, "height width"]) -> float:
    """Mean over the `QUIET` share of the detailed pixels."""
    off = np.sort(np.abs(change).max(axis=-1)[detailed])
    quiet = off[: math.ceil(QUIET * len(off))]
    return float(quiet.mean()) if len(quiet) else 0.0
