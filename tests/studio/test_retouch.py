"""A picture comes back: what it belongs to, what is refused, and that it lands in the script."""

import base64
import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from splatworks.pipeline.errors import InputError
from splatworks.stages.formats import edits
from splatworks.studio import uploads
from splatworks.studio.page import Page
from splatworks.studio.pictures import Forming, Look, Pictures
from splatworks.studio.uploads import View

from .scenes import looking, workspace

EYE = looking((96, 72))
VIEW = View("view", EYE, EYE.viewpoint(96), ("torus",))


def png(pixels: np.ndarray, form: str = "PNG") -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, format=form)
    return out.getvalue()


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    found = Page(workspace(tmp_path, 200), "127.0.0.1", 0, None)
    yield found
    found.close()


@pytest.mark.parametrize("size", [(96, 72), (192, 144)])
def test_the_picture_takes_the_size_of_the_view(size: tuple[int, int]) -> None:
    pixels = np.full((size[1], size[0], 3), 90, np.uint8)
    found = uploads.retouch("a.png", png(pixels), VIEW, "texture")
    assert found.layer == "torus" and found.camera == VIEW.camera and found.what == "texture"
    with Image.open(io.BytesIO(base64.b64decode(found.png))) as image:
        assert image.size == (96, 72) and image.mode == "RGB"
        assert np.asarray(image).tolist() == np.full((72, 96, 3), 90).tolist()


def test_what_cannot_be_taken_is_said() -> None:
    small = png(np.zeros((72, 96, 3), np.uint8))
    with pytest.raises(InputError, match="shows 2 layers"):
        uploads.retouch("a.png", small, replace(VIEW, layers=("torus", "ball")), "auto")
    with pytest.raises(InputError, match="do not crop it"):
        uploads.retouch("a.png", png(np.zeros((72, 72, 3), np.uint8)), VIEW, "auto")
    with pytest.raises(InputError, match="no picture that can be read"):
        uploads.retouch("../a.png", b"no picture", VIEW, "auto")


def test_it_lands_in_the_script_and_can_be_taken_back(page: Page) -> None:
    scene = page.workspace.scene
    look = Look(hidden=frozenset({"ball"}), tinted=False, background=0.0)
    pixels = np.array(Pictures(1).take(scene, VIEW.camera, look))
    pixels[:, :48] = pixels[:, :48, ::-1]
    panel = page.panels._views._retouch
    event = SimpleNamespace(
        target=SimpleNamespace(value=SimpleNamespace(name="a.png", content=png(pixels))),
        client=None,
    )
    panel._sent(event)  # Nothing was downloaded: refused, in the page.
    assert not page.workspace.counts[0]
    panel.add(VIEW)
    panel._what.value = "texture"
    forming, plain = [], page.show_forming

    def show(now: Forming | None) -> None:
        plain(now)
        forming.append(page.forming)

    page.show_forming = show
    panel._sent(event)
    assert len(forming) > 1 and forming[-1] is None and not panel._picture.visible
    assert all(
        one.camera == VIEW.camera and one.picture.shape == (72, 96, 3) for one in forming[:-1]
    )
    assert EYE.sees(forming[0].camera)
    (edit,) = edits.load(page.workspace.script_path).edits
    assert isinstance(edit, edits.Retouch) and edit.layer == "torus" and edit.what == "texture"
    before, after = scene.layer("torus").values, page.workspace.scene.layer("torus").values
    assert len(after) >= len(before) and not np.array_equal(before.sh, after.sh[: len(before)])
    assert page.workspace.undo() and page.workspace.scene is scene
