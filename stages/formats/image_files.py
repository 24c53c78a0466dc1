"""Pictures inside and beside meshes, from anywhere: decoded within stated limits.

A compressed picture may unfold to any size, so its header is checked before anything is decoded.
"""

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, UnidentifiedImageError

from ...pipeline.errors import InputError

LARGEST_SIDE_PX = 16_384
MOST_PIXELS = LARGEST_SIDE_PX**2
"""Of one picture: 0.8 GB when decoded."""
MOST_PIXELS_TOGETHER = 2 * MOST_PIXELS
"""Of all the pictures of one mesh."""
LARGEST_FILE_BYTES = 1 << 30
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TGA", "TIFF", "DDS", "GIF")


class Budget:
    """How many more pixels the pictures of one mesh may hold."""

    def __init__(self, pixels: int = MOST_PIXELS_TOGETHER) -> None:
        self._whole = self._left = pixels

    def take(self, pixels: int, name: str) -> None:
        self._left -= pixels
        if self._left < 0:
            raise InputError(
                f"{name}: the pictures of this mesh hold more than {self._whole} pixels together, "
                "the most that are read. Reduce them."
            )


def decode(data: bytes, name: str, budget: Budget) -> UInt8[np.ndarray, "height width channel"]:
    """RGB, or RGBA where the picture has alpha; 16-bit ones are rounded to 8 bits."""
    if len(data) > LARGEST_FILE_BYTES:
        raise InputError(
            f"{name}: a picture of {len(data)} bytes; at most {LARGEST_FILE_BYTES} are read."
        )
    try:
        with _own_limit(), Image.open(io.BytesIO(data), formats=FORMATS) as image:
            _check_size(image.size, name)
            budget.take(image.width * image.height, name)
            return _pixels(image)
    except InputError:
        raise
    except UnidentifiedImageError:
        kinds = ", ".join(FORMATS)
        raise InputError(f"{name}: no readable picture (none of {kinds}).") from None
    # Decoders raise many kinds of errors at broken files.
    except (OSError, ValueError, SyntaxError, EOFError, MemoryError, TypeError, KeyError) as error:
        said = str(error).replace("<_io.BytesIO object at", "<data at")
        raise InputError(f"{name}: no readable picture ({type(error).__name__}: {said}).") from None


def read_beside(folder: Path, reference: str, owner: Path) -> bytes:
    """The bytes of a file that `owner` names. Never reads outside of `folder`.

    Windows separators are understood, and a name whose folders do not exist here is looked for in
    `folder` itself, since exporters like to write the paths of their author's disk.
    """
    plain = reference.strip().strip('"').replace("\\", "/")
    root = folder.resolve()
    path = (root / plain).resolve() if plain else root
    inside = path.is_relative_to(root) and not plain.startswith("/")
    absolute = plain.startswith("/") or plain[1:2] == ":"
    if not inside and not absolute:
        raise InputError(
            f"{owner}: names {reference!r}, which lies outside of its folder and is not read. "
            "Copy that file beside the mesh and name it without '..'."
        )
    if absolute or not path.is_file():
        path = (root / plain.rsplit("/", 1)[-1]).resolve()
    if not path.is_relative_to(root) or not path.is_file():
        raise InputError(f"{owner}: names {reference!r}, and there is no such file in {folder}.")
    if path.stat().st_size > LARGEST_FILE_BYTES:
        raise InputError(f"{path}: larger than {LARGEST_FILE_BYTES} bytes, the most that are read.")
    return path.read_bytes()


@contextlib.contextmanager
def _own_limit() -> Iterator[None]:
    """Pillow's limit for bombs lies below textures of 16 k; ours is checked before decoding."""
    before = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = None
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = before


def _check_size(size: tuple[int, int], name: str) -> None:
    width, height = size
    if max(width, height) > LARGEST_SIDE_PX or width * height > MOST_PIXELS or not min(size):
        raise InputError(
            f"{name}: a picture of {width} x {height} px; at most {LARGEST_SIDE_PX} px on a side "
            "are read."
        )


def _pixels(image: Image.Image) -> UInt8[np.ndarray, "height width channel"]:
    image.load()
    if image.mode.startswith("I"):  # 16 bits of gray, which Pillow would clip instead of scale.
        gray = np.asarray(image).astype(np.float64)
        peak = 65535.0 if image.mode != "I" or gray.max(initial=0) > 255 else 255.0
        gray = np.rint(np.clip(gray / peak, 0, 1) * 255).astype(np.uint8)
        return np.repeat(gray[..., None], 3, axis=2)
    alpha = "A" in image.getbands() or "transparency" in image.info
    return np.asarray(image.convert("RGBA" if alpha else "RGB"))
