"""A stitch as an edit of a script: the same bits as the stage gives, undone and done again."""

from dataclasses import fields, replace
from pathlib import Path

import pytest
from splatworks.pipeline.errors import InputError
from splatworks.stages.apply.performing import performing
from splatworks.stages.formats import edits, splats
from splatworks.stages.scene.layers import baked, save
from splatworks.stages.scene.operations import perform
from splatworks.stages.scene.session import Session, replayed
from splatworks.stages.stitch import Config, Inputs, run

from . import scene_setup as made
from . import stitch_setup as parts
from .splat_objects import context, saved

QUICK = edits.Stitch(layer="torus", source="ball", iterations=(4, 4), views=3, size_px=32, seed=7)


def scene():
    return made.scene_of(torus=parts.torus(600), ball=parts.ball(600))


def test_its_settings_and_their_defaults_are_those_of_the_stage() -> None:
    stage = {field.name: field.default for field in fields(Config)}
    for field in fields(edits.Stitch):
        if field.name not in ("layer", "source", "seed"):
            assert stage[field.name] == field.default, field.name


def test_an_edit_gives_the_bits_of_the_stage(tmp_path: Path) -> None:
    moved = made.after(
        scene(), edits.Move(layer="torus", of="all", rotation=(1, 0.3, 0, 0), pivot=(0.42, 0, 0))
    )
    outcome = performing(context(tmp_path / "edit"))(moved, QUICK)
    torus = baked(moved.layer("torus")).values
    settings = {f.name: getattr(QUICK, f.name) for f in fields(QUICK) if hasattr(Config(), f.name)}
    stage = run(
        Inputs(saved(torus, tmp_path / "t.ply"), saved(parts.ball(600), tmp_path / "b.ply")),
        Config(**settings),
        replace(context(tmp_path / "stage"), seed=QUICK.seed),
    )
    after = splats.load(stage.target.path)
    assert made.same_bits(baked(outcome.scene.layer("torus")).values, after)
    assert not made.same_bits(after, torus)
    assert outcome.scene.layer("ball") is moved.layer("ball")
    assert "color difference" in outcome.said and outcome.said.startswith("torus stitched to ball")


def test_undo_and_redo_compute_nothing(tmp_path: Path) -> None:
    calls = []

    def counted(scene, edit):
        calls.append(edit)
        return performing(context(tmp_path / f"{len(calls)}"))(scene, edit)

    session = Session(scene(), perform=counted)
    session.do(QUICK)
    stitched = session.scene
    for _ in range(20):  # More than are held.
        session.do(edits.Move(layer="ball", of="all", translation=(0.01, 0, 0)))
    for _ in range(20):
        session.undo()
    assert session.scene is stitched
    session.undo()
    assert session.scene is session.start
    session.redo()
    assert session.scene is stitched and calls.count(QUICK) == 1


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (replace(QUICK, beta=-1.0), "beta must be positive"),
        (replace(QUICK, source="bag"), "no layer 'bag'"),
        (replace(QUICK, beta=1e-9), "do not meet"),
    ],
)
def test_what_cannot_be_stitched_is_said(edit: edits.Stitch, said: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"edit 1 \\(stitch\\): .*{said}"):
        replayed(scene(), (edit,), perform=performing(context(tmp_path)))
    assert not list((tmp_path / "scratch").iterdir())


def test_a_layer_is_not_stitched_to_itself_nor_while_placing() -> None:
    with pytest.raises(ValueError, match="another layer"):
        edits.Stitch(layer="a", source="a")
    with pytest.raises(InputError, match="pipeline apply"):
        perform(scene(), QUICK)


def test_apply_replays_a_stitch(tmp_path: Path) -> None:
    from splatworks.pipeline.cli import main

    for layer in scene().layers:
        save(layer, tmp_path / f"{layer.name}.ply")
    script = edits.save(edits.Script(("torus", "ball"), (QUICK,)), tmp_path / "s.edits.json")
    words = ["apply", str(script), str(tmp_path / "torus.ply"), str(tmp_path / "ball.ply")]
    out = tmp_path / "out.ply"
    assert main([*words, "--out", str(out)]) == 0
    expected = performing(context(tmp_path / "direct"))(scene(), QUICK).scene.layer("torus")
    found = splats.load(out)
    assert made.same_bits(made.some(found, slice(0, 600)), baked(expected).values)
