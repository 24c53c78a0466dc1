"""The table of scores: what is judged, what counts as wrong, and what is not judged twice."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from splatworks.stages.formats import gltf
from splatworks.stages.toybox import catalog, raycast, shapes
from splatworks.stages.toybox.scorer import facts, files
from splatworks.stages.toybox.scorer.score import score

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import score_assets

PROMPTS = ("a red mug", "a yellow car with a blue roof", "a green tree")


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scorer whose answers mean nothing, but differ."""
    folder = tmp_path_factory.mktemp("judge")
    known = facts.values()
    with torch.random.fork_rng():
        network = files.ScorerNetwork((8, 16), 16, known)
    draw = torch.Generator().manual_seed(2)
    for parameter in network.parameters():
        parameter.data.copy_(torch.randn(parameter.shape, generator=draw) * 0.3)
    share = {kind: {"per_view": 0.5, "of_all_views": 0.75} for kind in catalog.KINDS}
    ceiling = {"color": 0.9, "kinds": share}
    files.save(files.Scorer(network=network, facts=known, ceiling=ceiling), folder)
    return folder


@pytest.fixture(scope="module")
def meshes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The true shapes of the first two prompts."""
    folder = tmp_path_factory.mktemp("meshes")
    for number, kind in enumerate(("mug", "car")):
        shape = shapes.build(kind, 0)
        roles = shapes.colors(kind, "red" if kind == "mug" else "yellow", "", shape.role_names)
        corners = shape.vertices[shape.faces.ravel()]
        faces = np.arange(len(corners)).reshape(-1, 3).astype(np.int64)
        colors = raycast.linear(roles)[np.repeat(shape.roles, 3)].astype(np.float32)
        gltf.save(gltf.Mesh(corners, faces, colors=colors), folder / f"{number}-{kind}.glb")
    return folder


def options(assets: list[Path], prompts: tuple[str, ...], judge: Path, where: Path) -> list[str]:
    lines = where / "prompts.txt"
    lines.write_text("\n".join(prompts) + "\n\n")
    words = ["score_assets", *map(str, assets), "--prompts", str(lines), "--size-px", "64"]
    return [*words, "--scorer", str(judge), "--json", str(where / "scores.json")]


def run(monkeypatch: pytest.MonkeyPatch, words: list[str]) -> int:
    monkeypatch.setattr(sys, "argv", words)
    return score_assets.main()


def framed(alpha: np.ndarray) -> np.ndarray:
    """A silhouette stretched to fill 32 x 32 pixels."""
    rows, columns = (np.flatnonzero((alpha > 0.5).any(axis)) for axis in (1, 0))
    cut = alpha[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    stretched = torch.nn.functional.interpolate(
        torch.from_numpy(np.ascontiguousarray(cut))[None, None], size=(32, 32), mode="bilinear"
    )
    return stretched[0, 0].numpy() > 0.5


def test_true_toy_and_mesh_are_seen_from_the_same_sides(meshes: Path) -> None:
    """The car from each side is unlike the car from all others; likewise the mug, but for two."""
    for path, prompt in zip(sorted(meshes.glob("*.glb")), PROMPTS, strict=False):
        mesh = [framed(view) for view in score_assets.mesh_views(path, 64)[..., 3]]
        true = [framed(view) for view in score_assets.true_views(prompt)[..., 3]]
        unlike = np.array([[(a != b).mean() for b in true] for a in mesh])
        assert unlike.diagonal().max() < 0.09
        assert (unlike.argmin(axis=1) == np.arange(8)).sum() >= 6


def test_meshes_are_judged_and_nothing_is_left_out(
    meshes, judge, tmp_path, monkeypatch, capsys
) -> None:
    broken = tmp_path / "broken.glb"
    broken.write_bytes(b"glTF nothing")
    found = sorted(meshes.glob("*.glb"))
    assert run(monkeypatch, options([*found, broken], PROMPTS, judge, tmp_path)) == 0
    rows = json.loads((tmp_path / "scores.json").read_text())["rows"]
    assert [row["prompt"] for row in rows] == list(PROMPTS)
    scorer = files.load(judge)
    for path, row in zip(found, rows, strict=False):
        expected = score(score_assets.mesh_views(path, 64), row["prompt"], scorer)
        assert row["mesh"]["kind_rank"] == expected.kind_rank
        assert row["mesh"]["kind_hits"] == expected.kind_hits
        assert row["mesh"]["right"] == expected.right
    assert "mesh" not in rows[2] and "broken.glb" in rows[2]["problem"]
    hits = sum(row["mesh"]["kind_hits"] for row in rows[:2])
    true = sum(row["true"]["kind_hits"] for row in rows)
    printed = capsys.readouterr().out
    assert f"Right kind: {hits} of 24 views" in printed
    assert f"of the true toys {true} (" in printed
    assert "held-out toys in any light: 50.0%" in printed


def test_runs_are_found_by_their_prompts_and_missing_ones_count(
    meshes, judge, tmp_path, monkeypatch, capsys
) -> None:
    for path, prompt in zip(sorted(meshes.glob("*.glb")), PROMPTS[1::-1], strict=True):
        run_folder = tmp_path / "runs" / path.stem
        (run_folder / "inputs").mkdir(parents=True)
        (run_folder / "inputs" / "prompt.json").write_text(json.dumps({"text": prompt}))
        (run_folder / "latest" / "export").mkdir(parents=True)
        (run_folder / "latest" / "export" / "asset.glb").write_bytes(path.read_bytes())
    words = options([tmp_path / "runs"], PROMPTS, judge, tmp_path)
    assert run(monkeypatch, words) == 0
    rows = json.loads((tmp_path / "scores.json").read_text())["rows"]
    assert [Path(row["asset"]).parts[-4] if row["asset"] else None for row in rows] == [
        "1-car", "0-mug", None,
    ]  # fmt: skip
    assert rows[2]["problem"] == "there is no mesh"
    assert "there is no mesh" in capsys.readouterr().out


def test_what_is_known_is_not_judged_again(meshes, judge, tmp_path, monkeypatch) -> None:
    found = sorted(meshes.glob("*.glb"))
    words = options(found, PROMPTS[:2], judge, tmp_path)
    assert run(monkeypatch, words) == 0
    first = (tmp_path / "scores.json").read_bytes()
    calls: list[str] = []
    judged = score_assets.judged

    def counting(row, path, scorer):
        calls.append(row["prompt"])
        return judged(row, path, scorer)

    monkeypatch.setattr(score_assets, "judged", counting)
    assert run(monkeypatch, words) == 0
    assert not calls and (tmp_path / "scores.json").read_bytes() == first
    assert run(monkeypatch, options(found[::-1], PROMPTS[:2], judge, tmp_path)) == 0
    assert calls == list(PROMPTS[:2]), "other meshes for the same prompts"


@pytest.mark.parametrize(
    ("prompts", "text"),
    [
        (PROMPTS, "2 meshes for 3 prompts"),
        (("a red mug", "a red unicorn"), "'unicorn', which no caption has"),
    ],
)
def test_what_cannot_be_matched_is_said_before_anything_is_judged(
    meshes, judge, tmp_path, monkeypatch, capsys, prompts, text
) -> None:
    assert run(monkeypatch, options([meshes], prompts, judge, tmp_path)) == 2
    assert text in capsys.readouterr().err
    assert not (tmp_path / "scores.json").exists()
