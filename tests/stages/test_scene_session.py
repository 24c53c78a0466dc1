"""Undo, redo and replay: two hundred random edits and back, to the same bytes."""

from pathlib import Path

import numpy as np
import pytest
from splatworks.pipeline.errors import InputError
from splatworks.stages.formats import edits, regions, splats
from splatworks.stages.scene import layers, session
from splatworks.stages.scene.layers import baked
from splatworks.stages.scene.session import Session, opened, replayed

from . import scene_setup as made


def term(shape, how="set") -> regions.Term:
    return regions.Term(shape=shape, how=how)


def random_edit(rng: np.random.Generator, scene) -> edits.Edit | None:
    """Any edit but merging away the last layers; may turn out to be impossible."""
    layer = rng.choice([one.name for one in scene.layers])
    point = tuple(rng.normal(size=3) * 0.2)
    how = rng.choice(["set", "add", "remove", "intersect"])
    shapes = (
        regions.Sphere(center=point, radius=float(rng.uniform(0.1, 0.6))),
        regions.Plane(point=point, normal=tuple(rng.normal(size=3))),
        regions.Box(center=point, size=tuple(rng.uniform(0.2, 1, size=3))),
        regions.Color(color=(0.5, 0.5, 0.5), distance=0.3),
        regions.Range(property="opacity", low=0.5),
        regions.Flood(start=point, radius=0.2),
        regions.All(),
    )
    select = edits.Select(layer=layer, term=term(shapes[rng.integers(len(shapes))], str(how)))
    quaternion = tuple(rng.normal(size=4))
    of = str(rng.choice(["selection", "all"]))
    small = tuple(rng.normal(size=3) * 0.1)
    choices = (
        select,
        select,
        select,
        edits.Grow(layer=layer, neighbors=2),
        edits.Shrink(layer=layer, radius=0.05),
        edits.Invert(layer=layer),
        edits.Move(layer=layer, of=of, translation=small, rotation=quaternion, pivot=point),
        edits.Move(layer=layer, of=of, scale=float(rng.uniform(0.8, 1.25))),
        edits.Stretch(layer=layer, of=of, factors=(1.1, 0.9, -1.0), rotation=quaternion),
        edits.Recolor(layer=layer, of=of, saturation=0.9, temperature=0.1),
        edits.Opacity(layer=layer, of=of, factor=float(rng.uniform(0.8, 1.2))),
        edits.Sort(layer=layer),
        edits.Center(layer=layer),
        edits.Decimate(layer=layer, keep=0.9),
        edits.Duplicate(layer=layer, name=f"copy {rng.integers(1_000_000)}"),
        edits.Separate(layer=layer, name=f"part {rng.integers(1_000_000)}"),
        edits.Merge(layer=scene.layers[0].name, others=tuple(o.name for o in scene.layers[1:3]))
        if len(scene.layers) > 2
        else select,
        edits.Delete(layer=layer) if len(scene.layer(layer)) > 150 else select,
    )
    return choices[rng.integers(len(choices))]


def bytes_of(scene, folder: Path) -> dict[str, bytes]:
    folder.mkdir()
    return {
        layer.name: layers.save(layer, folder / f"{layer.name}.ply").read_bytes()
        for layer in scene.layers
    }


@pytest.mark.parametrize("seed", [0, 1])
def test_two_hundred_edits_undone_are_the_original_bytes(tmp_path: Path, seed: int) -> None:
    files = [
        splats.save(made.cloud(400, degree, degree), tmp_path / f"{degree}.ply")
        for degree in (1, 2)
    ]
    state = Session(opened(("one", "two"), files))
    rng = np.random.default_rng(seed)
    while len(state.edits) < 200:
        before = state.scene
        try:
            state.do(random_edit(rng, before))
        except InputError:
            assert state.scene is before
    assert len({type(edit) for edit in state.edits}) > 12
    script = edits.parse(state.save_script(tmp_path / "s.json").read_text("utf-8"), "s")
    final = bytes_of(state.scene, tmp_path / "final")
    for _ in range(90):
        assert state.undo()
    halfway = bytes_of(state.scene, tmp_path / "halfway")
    while state.undo():
        pass
    first = bytes_of(state.scene, tmp_path / "first")
    assert list(first.values()) == [file.read_bytes() for file in files]
    while state.redo():
        pass
    assert bytes_of(state.scene, tmp_path / "again") == final
    # The script on the files does the same, whole or in part.
    fresh = opened(script.scenes, files)
    assert bytes_of(replayed(fresh, script.edits), tmp_path / "replayed") == final
    assert bytes_of(replayed(fresh, script.edits[:110]), tmp_path / "prefix") == halfway


def test_a_failed_edit_changes_nothing_and_keeps_redo() -> None:
    state = Session(made.scene_of(a=made.cloud()))
    state.do(edits.Invert())
    state.undo()
    before = state.scene
    with pytest.raises(InputError, match="nothing is selected"):
        state.do(edits.Delete())
    assert state.scene is before and state.redo() and not state.redo()
    assert state.scene.layers[0].selected.all()
    state.undo()
    state.do(edits.Sort())
    assert not state.redo(), "a new edit forgets what was undone"


def test_only_some_states_are_held_and_older_ones_come_back(monkeypatch) -> None:
    monkeypatch.setattr(session, "KEPT", 3)
    state = Session(made.scene_of(a=made.cloud()))
    seen = [state.scene]
    for _ in range(12):
        state.do(edits.Move(of="all", translation=(0.1, 0, 0)))
        seen.append(state.scene)
        assert len(state._states) <= 5
    for count in reversed(range(12)):
        assert state.undo()
        assert made.same_bits(
            baked(state.scene.layers[0]).values, baked(seen[count].layers[0]).values
        )
    assert state.scene is seen[0] and not state.undo()


def test_a_file_with_normals_and_strange_properties_comes_back_whole(tmp_path: Path) -> None:
    """What we would not write ourselves is kept as long as nothing has been edited."""
    plain = splats.save(made.cloud(30), tmp_path / "a.ply")
    head, _, body = plain.read_bytes().partition(b"end_header\n")
    rows = np.frombuffer(body, "<f4").reshape(30, -1)
    rows = np.concatenate([rows, np.full((30, 1), 7, np.float32)], axis=1)
    plain.write_bytes(head + b"property float label\nend_header\n" + rows.tobytes())
    (tmp_path / "a.json").write_text('{"kind": "splats-sidecar/1", "antialiased": true }\n')
    state = Session(opened(("a",), (plain,)))
    state.do(edits.Move(of="all", scale=2))
    assert layers.save(state.scene.layers[0], tmp_path / "b.ply").read_bytes() != plain.read_bytes()
    state.undo()
    for name in ("b", "c"):
        out = layers.save(state.scene.layers[0], tmp_path / f"{name}.ply")
        assert out.read_bytes() == plain.read_bytes()
        assert out.with_suffix(".json").read_bytes() == (tmp_path / "a.json").read_bytes()


def test_a_source_that_has_changed_since_is_not_copied(tmp_path: Path) -> None:
    path = splats.save(made.cloud(30), tmp_path / "a.ply")
    scene, before = opened(("a",), (path,)), path.read_bytes()
    splats.save(made.cloud(31, seed=2), path)
    assert layers.save(scene.layers[0], tmp_path / "b.ply").read_bytes() == before


def test_what_became_infinite_is_said_and_not_written(tmp_path: Path) -> None:
    scene = made.after(made.scene_of(a=made.cloud()), edits.Move(of="all", scale=1e39))
    with pytest.raises(InputError, match="layer a: after the edits, x holds 0 NaN and 42 infinite"):
        layers.save(scene.layers[0], tmp_path / "a.ply")
    assert not list(tmp_path.iterdir())
