"""Which of a model's backgrounds to put a prompt on."""

from collections.abc import Iterator, Sequence

import numpy as np
from PIL import ImageColor

from .view_words import Background

SHADES = np.linspace(0, 1, 21)
"""Shares of its color that a surface shows, from deep shade to full light."""


def contrasting(backgrounds: Sequence[Background], prompt: str) -> Background | None:
    """The background farthest (in sRGB) from all that the object may show before it.

    That is every shade of each color that the prompt names, and of white, as an object has parts of
    which the prompt does not speak, and most of these are some gray. The distance is the largest of
    the channels, as it is for silhouettes.
    """
    if not backgrounds:
        return None
    colors = np.array([(1.0, 1.0, 1.0), *_named(prompt)])
    shades = np.outer(SHADES, colors).reshape(-1, 3)
    return max(backgrounds, key=lambda b: float(np.abs(shades - b.rgb).max(-1).min()))


def _named(prompt: str) -> Iterator[tuple[float, ...]]:
    for word in prompt.lower().replace(",", " ").split():
        try:
            yield tuple(value / 255 for value in ImageColor.getrgb(word)[:3])
        except ValueError:
            continue
