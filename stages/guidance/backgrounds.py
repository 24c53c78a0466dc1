"""Which of a model's backgrounds to put a prompt on."""

from collections.abc import Sequence

import numpy as np
from PIL import ImageColor

from .view_words import Background


def contrasting(backgrounds: Sequence[Background], prompt: str) -> Background | None:
    """The background farthest (in sRGB) from every color that the prompt names."""
    named = []
    for word in prompt.lower().replace(",", " ").split():
        try:
            named.append([value / 255 for value in ImageColor.getrgb(word)[:3]])
        except ValueError:
            continue
    if not backgrounds:
        return None
    colors = np.array(named or [[0.5, 0.5, 0.5]])
    return max(backgrounds, key=lambda b: float(np.abs(colors - b.rgb).sum(-1).min()))
