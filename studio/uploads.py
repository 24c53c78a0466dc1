"""Pictures that a user sends: checked before anything is done with them."""

import base64
import io
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool
from PIL import Image

from ..pipeline.errors import InputError
from ..pipeline.progress import size
from ..stages.formats import regions
from ..stages.formats.edits import Retouch, Select
from ..stages.formats.regions import Term, Viewpoint
from .gestures import Eye, Pick

LARGEST_BYTES = 32 << 20
LARGEST_PIXELS = 64_000_000
FORMATS = ("PNG", "JPEG", "WEBP")
ASPECT = 0.01
"""Largest relative difference between the shapes of a mask and of the view it is painted on."""
MASK_SIDE_PX = 768
SHARE = 0.5
What = Literal["auto", "geometry", "texture", "both", "remove"]


@dataclass(frozen=True, slots=True)
class View:
    """A view that was downloaded: what is painted over its picture can come back."""

    name: str
    eye: Eye
    camera: Viewpoint
    """Of the picture."""
    layers: tuple[str, ...]
    """What it shows."""


def check_size(name: str, count: int) -> None:
    """Refuse a file by its size alone, before it is sent."""
    if count > LARGEST_BYTES:
        raise InputError(
            f"{shown(name)}: {size(count)} are too many, at most {size(LARGEST_BYTES)} are taken."
            " Send a smaller picture."
        )


def opened(name: str, content: bytes, size_px: tuple[int, int]) -> Image.Image:
    """A picture that was sent, of the shape of the view it belongs to."""
    check_size(name, len(content))
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            width, height = image.size
            if width * height > LARGEST_PIXELS:
                raise InputError(f"{shown(name)}: {width} x {height} pixels are too many.")
            image.load()
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        raise InputError(
            f"{shown(name)}: no picture that can be read. Send a PNG, JPEG or WebP."
        ) from None
    wanted = size_px[0] / max(1, size_px[1])
    if abs(width / height / wanted - 1) > ASPECT:
        raise InputError(
            f"{shown(name)}: is {width} x {height} pixels, but the view is {size_px[0]} x"
            f" {size_px[1]}. Paint on the downloaded picture of the view, and do not crop it."
        )
    return image


def mask(name: str, content: bytes, eye: Eye) -> Bool[np.ndarray, "height width"]:
    """What is brighter than half and not transparent, no larger than `MASK_SIDE_PX`."""
    pixels = opened(name, content, eye.size_px).convert("LA")
    pixels.thumbnail((MASK_SIDE_PX, MASK_SIDE_PX))
    light, alpha = np.moveaxis(np.asarray(pixels), -1, 0)
    return (light > 127) & (alpha > 127)


def retouch(name: str, content: bytes, view: View, what: What) -> Retouch:
    """The edit that a retouched picture of a downloaded view means."""
    if len(view.layers) != 1:
        raise InputError(
            f"{view.name} shows {len(view.layers)} layers. Hide all but the one to be changed "
            f"(View), download the view again, and retouch that."
        )
    image = opened(name, content, view.camera.size_px).convert("RGB")
    if image.size != view.camera.size_px:
        image = image.resize(view.camera.size_px, Image.Resampling.LANCZOS)
    out = io.BytesIO()
    image.save(out, format="PNG", optimize=True)
    return Retouch(
        layer=view.layers[0],
        camera=view.camera,
        png=base64.b64encode(out.getvalue()).decode("ascii"),
        what=what,
        background="black",
    )


def select_mask(name: str, content: bytes, eye: Eye, pick: Pick) -> Select:
    """The edit that a painted mask over a view means."""
    inside = mask(name, content, eye)
    if not inside.any():
        raise InputError(f"{shown(name)}: nothing in it is brighter than half. Paint in white.")
    height, width = inside.shape
    camera = eye.with_size(width, height).cameras()
    shape = regions.masks(camera, [inside])
    return Select(
        layer=pick.layer,
        term=Term(shape=regions.Masks(views=shape.views, share=SHARE), how=pick.how),
    )


def shown(name: str) -> str:
    """A file's name as messages show it: its last part, without control characters."""
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    clean = "".join(letter for letter in last if letter.isprintable())
    return clean[:80] or "the file"
