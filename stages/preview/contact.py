"""Laying pictures out on one sheet with captions."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from PIL import Image, ImageDraw, ImageFont

INK = (40, 40, 44)
FAINT = (120, 120, 126)
GAP_PX = 6

Cell = Float[np.ndarray, "height width 3"]


@dataclass(frozen=True, slots=True)
class Row:
    """One row of pictures of one size."""

    title: str
    """May have several lines."""
    pictures: Sequence[Cell]
    captions: Sequence[str] = ()
    """One per picture, below it; may be empty."""


def contact_sheet(
    rows: Sequence[Row], columns: Sequence[str], heading: str, footer: str, background: float
) -> Cell:
    """Rows under column titles, a heading on top, a line of figures at the bottom."""
    side = rows[0].pictures[0].shape[0]
    text = max(11, side // 14)
    margin, line = 2 * text, round(1.7 * text)
    longest = max(len(line) for row in rows for line in row.title.split("\n"))
    left = margin + round(0.62 * text * longest) + text
    wide = max(len(row.pictures) for row in rows)
    width = max(left + wide * (side + GAP_PX) + margin, 40 * text)
    heights = [side + (line if any(row.captions) else GAP_PX) for row in rows]
    top = margin + 2 * line + line // 2
    image = Image.new("RGB", (width, top + sum(heights) + 2 * line), (round(background * 255),) * 3)
    write = _writer(image, text)
    write(margin, margin, heading, INK, 1.35)
    for column, name in enumerate(columns):
        write(left + column * (side + GAP_PX) + side // 2, top - line, name, FAINT, 1.0, "mt")
    y = top
    for row, height in zip(rows, heights, strict=True):
        write(margin, y + side // 2, row.title, INK, 1.0, "lm")
        for column, picture in enumerate(row.pictures):
            x = left + column * (side + GAP_PX)
            image.paste(Image.fromarray(_bytes(picture)), (x, y))
            if column < len(row.captions):
                write(x + side // 2, y + side + 2, row.captions[column], FAINT, 0.95, "mt")
        y += height
    write(margin, y + line // 2, footer, FAINT, 1.0)
    return np.asarray(image).astype(np.float32) / np.float32(255)


def beside(left: Cell, right: Cell, titles: tuple[str, str]) -> Cell:
    """Two pictures next to each other with their names on top of them."""
    both = np.concatenate([left, right], axis=1)
    image = Image.fromarray(_bytes(both))
    text = max(10, left.shape[0] // 18)
    write = _writer(image, text)
    for place, title in enumerate(titles):
        write(place * left.shape[1] + text // 2, text // 2, title, FAINT, 1.0)
    return np.asarray(image).astype(np.float32) / np.float32(255)


def _bytes(picture: Cell) -> np.ndarray:
    return np.rint(np.clip(picture, 0, 1) * 255).astype(np.uint8)


def _writer(image: Image.Image, text: int):
    draw = ImageDraw.Draw(image)
    fonts = {}

    def write(x, y, words, color, scale, anchor="lt"):
        size = round(text * scale)
        font = fonts.setdefault(size, ImageFont.load_default(size))
        draw.text((x, y), words, fill=color, font=font, anchor=anchor)

    return write
