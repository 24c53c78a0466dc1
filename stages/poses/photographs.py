"""Photographs in a folder, and reduced copies of them that COLMAP can read whatever they are.

The copies are as the pixels are stored, not turned by EXIF: cameras are found for the files.
"""

import math
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from ...pipeline.contract import replacing
from ...pipeline.errors import InputError
from ..formats.photos import eight_bit, open_picture

ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp")
FEWEST = 2
EXIF_IFD, FOCAL_LENGTH, FOCAL_LENGTH_35MM, CAMERA = 0x8769, 0x920A, 0xA405, 0x0110
FULL_FRAME_DIAGONAL_MM = math.hypot(36, 24)


@dataclass(frozen=True, slots=True)
class Photograph:
    """One file, and what its header says of the camera."""

    name: str
    """Relative to the folder of photographs, with forward slashes."""
    path: Path
    size_px: tuple[int, int]
    copy_px: tuple[int, int]
    """Size of the reduced copy."""
    camera: str
    """Equal for photographs that may share one camera."""
    focal_px: float | None
    """From EXIF's focal length in 35 mm film, at full size."""


def list_photographs(folder: Path) -> list[tuple[str, Path]]:
    """Names and files by name: of `images/` with what is below it, else of the folder alone.

    Raises InputError for fewer than two.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such directory. Photographs are given as a folder.")
    within = folder / "images"
    files = within.rglob("*") if within.is_dir() else folder.glob("*")
    found = [path for path in files if path.suffix.lower() in ENDINGS and path.is_file()]
    if len(found) < FEWEST:
        place = within if within.is_dir() else folder
        raise InputError(
            f"{place}: {len(found)} photographs ({', '.join(ENDINGS)}); cameras need at least "
            f"{FEWEST}, and some 20 that overlap to be worth it."
        )
    root = within if within.is_dir() else folder
    return sorted((path.relative_to(root).as_posix(), path) for path in found)


def reduce(name: str, path: Path, max_side_px: int, copy: Path) -> Photograph:
    """Describe one photograph and write its copy, three colors of 8 bits, unless it is there.

    What alpha leaves out is black. Raises InputError if it is no readable picture.
    """
    with open_picture(path) as image:
        size = image.size
        scale = min(1.0, max_side_px / max(size))
        reduced = (max(1, round(size[0] * scale)), max(1, round(size[1] * scale)))
        if not copy.is_file():
            plain = Image.fromarray(eight_bit(image))
            if plain.mode == "RGBA":
                plain = Image.alpha_composite(Image.new("RGBA", plain.size, "black"), plain)
            plain = plain.convert("RGB").resize(reduced, Image.Resampling.BOX)
            with replacing(copy) as temporary:
                plain.save(temporary, "PNG", compress_level=1)
        camera, focal_px = _from_exif(image)
    width, height = size
    return Photograph(name, path, size, reduced, f"{width} x {height} {camera}".strip(), focal_px)


def _from_exif(image: Image.Image) -> tuple[str, float | None]:
    """Camera and focal length in words, and the latter in pixels of the stored picture.

    A focal length "in 35 mm film" keeps the angle across the diagonal (CIPA DCG-001).
    """
    try:
        tags = image.getexif()
        inner = tags.get_ifd(EXIF_IFD)
        camera = str(tags.get(CAMERA, "")).strip("\0 ")
        focal_mm, film_mm = (_positive(inner.get(t)) for t in (FOCAL_LENGTH, FOCAL_LENGTH_35MM))
    except (ValueError, TypeError, SyntaxError, OSError, KeyError, ArithmeticError):
        return "", None  # A header that cannot be read says nothing.
    words = [camera, *(f"{mm:g} mm" for mm in (focal_mm, film_mm) if mm is not None)]
    focal_px = film_mm and film_mm * math.hypot(*image.size) / FULL_FRAME_DIAGONAL_MM
    return " ".join(word for word in words if word), focal_px


def _positive(value: object) -> float | None:
    number = float(value) if value is not None else 0.0  # type: ignore[arg-type]
    return number if 0 < number < math.inf else None
