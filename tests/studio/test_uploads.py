"""What users send: masks that select, and everything else that they might send."""

import io

import numpy as np
import pytest
from PIL import Image
from splatworks.pipeline.errors import InputError
from splatworks.stages.formats import edits
from splatworks.stages.scene.operations import perform
from splatworks.studio import uploads
from splatworks.studio.gestures import Pick

from .scenes import looking, workspace

PICK = Pick(layer="torus")


def png(pixels: np.ndarray, form: str = "PNG") -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, format=form)
    return out.getvalue()


def half(width: int = 400, height: int = 300) -> np.ndarray:
    """White on the right."""
    out = np.zeros((height, width), np.uint8)
    out[:, width // 2 :] = 255
    return out


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("size", [(400, 300), (1600, 1200), (200, 150)])
def test_a_mask_selects_what_it_covers(tmp_path, form: str, size: tuple[int, int]) -> None:
    scene, eye = workspace(tmp_path).scene, looking()
    edit = uploads.select_mask("m.png", png(half(*size), form), eye, PICK)
    after = perform(scene, edit).scene
    layer = after.layer("torus")
    across = layer.values.means[:, 0] - 0.25  # What is wide may lie on both sides of the line,
    assert layer.selected[across < -0.08].sum() <= 4  # and what is hidden peeps out anywhere.
    assert layer.selected[across > 0.08].mean() > 0.4


def test_it_goes_through_the_script(tmp_path) -> None:
    edit = uploads.select_mask("m.png", png(half()), looking(), PICK)
    script = edits.Script(("torus",), (edit,))
    assert edits.load(edits.save(script, tmp_path / "s.json")) == script


def test_what_is_transparent_is_not_chosen() -> None:
    pixels = np.full((300, 400, 4), 255, np.uint8)
    pixels[:, :100, 3] = 0
    found = uploads.mask("m.png", png(pixels), looking())
    assert not found[:, :100].any() and found[:, 100:].all()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "no picture that can be read"),
        (b"MZ" + bytes(1000), "no picture that can be read"),
        (png(half())[:200], "no picture that can be read"),
        (png(half(), "BMP"), "no picture that can be read"),
        (png(half(400, 100)), "is 400 x 100 pixels, but the view is 400 x 300"),
        (png(np.zeros((300, 400), np.uint8)), "nothing in it is brighter"),
        (bytes(uploads.LARGEST_BYTES + 1), "33.6 MB are too many, at most 33.6 MB"),
    ],
)
def test_anything_else_is_refused_with_its_name(content: bytes, said: str) -> None:
    with pytest.raises(InputError, match=f"^x.png: .*{said}"):
        uploads.select_mask("../../\x07x.png", content, looking(), PICK)


def test_a_picture_with_too_many_pixels_is_refused_before_it_is_unpacked() -> None:
    for size, said in (((20_000, 15_000), "can be read"), ((8900, 7500), "8900 x 7500 pixels are")):
        out = io.BytesIO()
        Image.new("1", size).save(out, format="PNG")
        with pytest.raises(InputError, match=said):
            uploads.mask("bomb.png", out.getvalue(), looking())


def test_two_hundred_megabytes_are_refused_by_their_size() -> None:
    with pytest.raises(InputError, match=r"200\.0 MB are too many"):
        uploads.check_size("film.mov", 200_000_000)
