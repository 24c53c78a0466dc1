"""A retouched picture as an edit of a script: the same bits as the stage gives, and replayable."""

import base64
import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from splatworks.pipeline.cli import main
from splatworks.pipeline.errors import InputError
from splatworks.stages.apply.performing import performing
from splatworks.stages.artifacts import CameraFile, PictureFile
from splatworks.stages.edit import Config, Inputs, run
from splatworks.stages.edit import retouch as retouch_module
from splatworks.stages.formats import cameras, edits, regions, splats
from splatworks.stages.scene.layers import baked

from . import scene_setup as made
from .edit_setup import camera, picture, two_balls
from .splat_objects import context, saved

SCENE = two_balls(150)


def recolored() -> np.ndarray:
    """The right half of the picture with red and blue exchanged, on black."""
    pixels = picture(SCENE, camera(48), background=0.0)
    pixels[:, 24:] = pixels[:, 24:, ::-1]
    return np.rint(pixels.clip(0, 1) * 255).astype(np.uint8)


def retouch(pixels: np.ndarray, what: str = "texture") -> edits.Retouch:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, format="PNG")
    return edits.Retouch(
        layer="balls", camera=regions.viewpoint(camera(48)), what=what, background="black",
        png=base64.b64encode(out.getvalue()).decode("ascii"),
    )  # fmt: skip


def test_an_edit_gives_the_bits_of_the_stage(tmp_path: Path) -> None:
    scene = made.after(
        made.scene_of(balls=SCENE, other=made.cloud(30)), edits.Invert(layer="balls")
    )
    edit = retouch(recolored())
    outcome = performing(context(tmp_path / "edit"))(scene, edit)
    (tmp_path / "picture.png").write_bytes(base64.b64decode(edit.png))
    view = edit.camera.cameras()
    stage = run(
        Inputs(
            splats=saved(SCENE, tmp_path / "in.ply"),
            camera=CameraFile(cameras.save(view, tmp_path / "c.json")),
            image=PictureFile(tmp_path / "picture.png"),
        ),
        Config(what="texture", background="black"),
        replace(context(tmp_path / "stage"), seed=0),
    )
    after = splats.load(stage.splats.path)
    layer = baked(outcome.scene.layer("balls"))
    assert made.same_bits(layer.values, after)
    assert outcome.scene.layer("other") is scene.layer("other")
    assert layer.selected.all() or len(after) != len(SCENE)
    assert outcome.said.startswith("balls retouched:") and "untouched" in outcome.said
    before = picture(SCENE, camera(48), background=0.0)
    wanted = recolored() / 255
    found = picture(after, camera(48), background=0.0)
    assert np.abs(found - wanted).mean() < 0.3 * np.abs(before - wanted).mean()


@pytest.mark.parametrize(
    "what", ["texture", pytest.param("geometry", marks=pytest.mark.slow), "remove"]
)
def test_it_is_shown_whole_as_it_forms_and_that_changes_nothing(
    what: str, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr(retouch_module, "SHOW_EVERY_S", 0.0)
    own = picture(SCENE, camera(48), background=0.0)
    pixels = np.rint(own.clip(0, 1) * 255).astype(np.uint8)
    if what == "texture":
        pixels = recolored()
    elif what == "geometry":
        pixels = np.roll(pixels, 2, axis=1)
    else:
        pixels[:, 24:] = 0
    wanted, shown = pixels / 255, []
    edit, scene = retouch(pixels, what), made.scene_of(balls=SCENE)

    def show(forming, stage: str) -> None:
        shown.append(forming.numpy().copy())

    watched = performing(context(tmp_path / "watched"), show)(scene, edit).scene
    alone = performing(context(tmp_path / "alone"))(scene, edit).scene
    assert made.same_bits(baked(watched.layer("balls")).values, baked(alone.layer("balls")).values)
    assert len(shown) >= 2 and all(one.shape == own.shape for one in shown)
    errors = [np.abs(one - wanted).mean() for one in shown]
    assert errors[-1] < 0.6 * np.abs(own - wanted).mean() and errors[-1] <= errors[0]
    edited = np.abs(own - wanted).max(axis=2) > 0.02
    far = np.ones_like(edited)
    rows, columns = np.nonzero(edited)
    far[max(0, rows.min() - 16) : rows.max() + 17, max(0, columns.min() - 16) :] = False
    assert np.abs(shown[-1] - own)[far].max(initial=0) < 1e-6


def test_an_untouched_picture_changes_nothing(tmp_path: Path) -> None:
    pixels = picture(SCENE, camera(48), background=0.0)
    edit = retouch(np.rint(pixels.clip(0, 1) * 255).astype(np.uint8), "auto")
    outcome = performing(context(tmp_path))(made.scene_of(balls=SCENE), edit)
    assert "nothing has changed" in outcome.said
    assert made.same_bits(baked(outcome.scene.layer("balls")).values, SCENE)


def test_a_script_with_it_is_replayed_by_apply(tmp_path: Path) -> None:
    source = splats.save(SCENE, tmp_path / "balls.ply")
    script = edits.Script(("balls",), (retouch(recolored()),))
    path = edits.save(script, tmp_path / "script.json")
    assert edits.load(path) == script
    out = tmp_path / "out.ply"
    assert main(["apply", str(path), str(source), "--out", str(out), "--threads", "1"]) == 0
    expected = performing(context(tmp_path / "direct"))(made.scene_of(balls=SCENE), script.edits[0])
    layer = baked(expected.scene.layer("balls"))
    assert made.same_bits(splats.load(out), layer.values)


def test_a_broken_picture_is_said(tmp_path: Path) -> None:
    scene = made.scene_of(balls=SCENE)
    cases = (("!", "no PNG in base64"), (base64.b64encode(b"x" * 20).decode(), "picture"))
    for number, (png, said) in enumerate(cases):
        with pytest.raises(InputError, match=said):
            performing(context(tmp_path / str(number)))(
                scene, replace(retouch(recolored()), png=png)
            )
