"""PNG files, read back by Pillow."""

import io

import numpy as np
import pytest
from PIL import Image
from splatworks.stages.formats.png import png


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (2, "LA"), (3, "RGB"), (4, "RGBA")])
@pytest.mark.parametrize("size", [(1, 1), (1, 7), (13, 5), (64, 64)])
def test_every_pixel_comes_back(channels: int, mode: str, size: tuple[int, int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (*size, channels), np.uint8)
    for compression in (0, 4, 9):
        with Image.open(io.BytesIO(png(pixels, compression))) as image:
            image.load()
            assert image.mode == mode and image.format == "PNG"
            np.testing.assert_array_equal(np.asarray(image).reshape(pixels.shape), pixels)


def test_views_are_written_as_they_look() -> None:
    pixels = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    for view in (pixels[::-1], pixels[:, ::2], pixels.transpose(1, 0, 2)):
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(png(view)))), view)


def test_what_no_png_holds_is_refused() -> None:
    for bad in (np.zeros((2, 2, 5), np.uint8), np.zeros((0, 2, 3), np.uint8)):
        with pytest.raises(ValueError, match="no PNG"):
            png(bad)
