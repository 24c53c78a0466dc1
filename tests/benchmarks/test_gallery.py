"""Many runs at once, the ablation's arithmetic, and where the time went."""

import json
import math
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from splatworks.pipeline.config import build
from splatworks.pipeline.recipe import load_recipe, with_settings
from splatworks.stages import STAGES, distill
from splatworks.stages.formats import gltf, pictures
from splatworks.stages.preview.contact import contact_sheet
from splatworks.stages.toybox import shapes

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import ablation
import gallery
import generating

ROOT = Path(__file__).resolve().parents[2]
SHORT = """
[[step]]
name = "shape"
stage = "shape"
inputs = { prompt = "$prompt", guidance = "$guidance" }
config = { sampling_steps = 1, method = "blob", blob_gaussians = 100 }
"""


# --- lists ---


def test_lists_have_names(tmp_path: Path) -> None:
    path = tmp_path / "prompts.txt"
    path.write_text("# said\n\n## one\na red mug\n a duck \n\n## two\n# more\na blue chair\n")
    assert generating.read_list(path, "one") == ["a red mug", "a duck"]
    assert generating.read_list(path, "two") == ["a blue chair"]
    with pytest.raises(SystemExit, match="no list 'three'; it has: one, two"):
        generating.read_list(path, "three")
    path.write_text("# no headings\na red mug\na duck\n")
    assert generating.read_list(path, "whatever") == ["a red mug", "a duck"]


# --- runs ---


def test_runs_are_made_noted_and_not_made_again(tmp_path: Path, capsys) -> None:
    """One works, one is refused by the command; both are reported, neither stops the other."""
    (tmp_path / "short.toml").write_text(SHORT)
    jobs = [
        generating.Job(text, tmp_path / name, str(tmp_path / "short.toml"), seed=3)
        for text, name in (("a yellow duck", "good"), ("bad\nprompt", "bad"))
    ]
    good, bad = generating.run_all(jobs, at_once=2)
    assert good.code == 0 and not good.said
    assert bad.code == 2 and "line break" in bad.said
    assert not generating.unfinished([good, bad])
    out = capsys.readouterr().out
    assert f"done     {tmp_path / 'good'}" in out and f"failed   {tmp_path / 'bad'}" in out
    assert (tmp_path / "good" / "latest" / "shape" / "splats.ply").is_file()
    assert json.loads((tmp_path / "good" / "recipe.json").read_text())["seed"] == 3
    assert list(generating.seconds_of(tmp_path / "good")) == ["shape"]
    assert generating.seconds_of(tmp_path / "good")["shape"] > 0
    assert generating.interrupted(tmp_path / "good") == []
    assert generating.seconds_of(tmp_path / "bad") == {}
    made = generating.steps_of(tmp_path / "good")
    assert "--threads" in made["shape"]["command"]
    machine = generating.machine_of([tmp_path / "good"])
    assert machine["platform"] == made["shape"]["platform"] and machine["cores"] >= 1
    (again,) = generating.run_all(jobs[:1], at_once=1)
    assert again.code == 0
    assert generating.steps_of(tmp_path / "good") == made


def test_runs_stop_when_the_time_is_up(tmp_path: Path, capsys) -> None:
    """The first is interrupted, the second not begun; neither is taken for a failure."""
    (tmp_path / "short.toml").write_text(SHORT)
    jobs = [
        generating.Job("a duck", tmp_path / name, str(tmp_path / "short.toml")) for name in "ab"
    ]
    ended = generating.run_all(jobs, at_once=1, minutes=0.1 / 60)
    assert [one.code for one in ended] == [generating.STOPPED] * 2
    assert generating.unfinished(ended)
    assert "0 of 2 runs are made" in capsys.readouterr().out
    assert not (tmp_path / "b").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_ending_the_program_ends_its_runs(tmp_path: Path) -> None:
    """A run in work goes with it, and no queued one is begun."""
    (tmp_path / "short.toml").write_text(
        SHORT.replace("sampling_steps = 1", "sampling_steps = 900")
    )
    script = (
        f"import sys; sys.path.insert(0, {str(ROOT / 'benchmarks')!r}); import generating\n"
        f"from pathlib import Path; at = Path({str(tmp_path)!r})\n"
        "jobs = [generating.Job('a duck', at / name, str(at / 'short.toml')) for name in 'ab']\n"
        "generating.run_all(jobs, at_once=1)\n"
    )
    program = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.DEVNULL)
    log = tmp_path / "a.log"
    end = time.monotonic() + 300
    while not (log.is_file() and b"shape: starts" in log.read_bytes()):
        assert program.poll() is None and time.monotonic() < end
        time.sleep(0.1)
    program.terminate()
    assert program.wait(60) != 0
    ended = log.read_bytes()
    assert b"interrupted" in ended.splitlines()[-1]
    assert not (tmp_path / "b").exists()


# --- the gallery ---


def test_rows_show_all_sides_and_failures_stay_in(tmp_path: Path) -> None:
    toy = shapes.build("chair", 0)
    mesh = gltf.Mesh(
        positions=toy.vertices + 3, faces=toy.faces.astype(np.int64),
        colors=np.tile(np.float32([0.5, 0.0, 0.0]), (len(toy.vertices), 1)),
    )  # fmt: skip
    (tmp_path / "made" / "latest" / "export").mkdir(parents=True)
    gltf.save(mesh, tmp_path / "made" / "latest" / "export" / "asset.glb")
    rows = []
    for name, code, prompt in (
        ("made", 0, "a red chair"), ("not", 2, "a blue chair"), ("made", 1, "a dog"),
    ):  # fmt: skip
        job = generating.Job(prompt, tmp_path / name, "draft", seed=2)
        ended = generating.Ended(job, code, "why" if code else "")
        result = gallery.result_of(ended)
        assert result["failed"] == ("why" if code else None)
        rows.append(gallery.row(ended, result, 32))
    assert [row.title.split("\n")[0] for row in rows] == ["a red chair", "a blue chair", "a dog"]
    assert rows[0].title.endswith("seed 2, unseen, 0 s")
    assert rows[1].title.endswith("seed 2, failed")
    for row, shown in zip(rows, (True, False, False), strict=True):
        assert len(row.pictures) == 8
        for picture in row.pictures:
            assert picture.shape == (32, 32, 3)
            assert (np.ptp(picture) > 0.2) == shown
            border = np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]])
            assert np.allclose(border, gallery.BACKGROUND)  # All of the mesh is in the picture.
    sheet = contact_sheet(rows, [""] * 8, "heading", "", gallery.BACKGROUND)
    generating.save_sheet(sheet, tmp_path / "new" / "sheet.png")
    assert pictures.load(tmp_path / "new" / "sheet.png").shape[:2] == sheet.shape[:2]


def test_times_leave_out_what_is_not_whole() -> None:
    def one(shape: float, mesh: float, **more) -> dict:
        steps = {"shape": shape, "mesh": mesh}
        return {"steps_s": steps, "seconds": shape + mesh, "failed": None, "continued": []} | more

    results = [
        one(10, 1), one(20, 5), one(30, 3),
        one(900, 9, continued=["shape"]), one(900, 9, failed="no"),
    ]  # fmt: skip
    lines = list(gallery.times(results))
    assert "3 of 5 runs" in lines[0]
    assert "| shape | 20.0 | 30.0 |" in lines
    assert "| mesh | 3.0 | 5.0 |" in lines
    assert lines[-1] == "| all | 25.0 | 33.0 |"
    assert len(list(gallery.times(results[3:]))) == 1


# --- the ablation ---


def row_config(row: str) -> distill.Config:
    recipe = with_settings(load_recipe("probe"), ablation.ROWS[row], STAGES)
    (step,) = [step for step in recipe.steps if step.name == "distill"]
    return build(distill.Config, step.config, "test")


def test_each_row_changes_what_it_says_and_nothing_else() -> None:
    full = row_config("full")
    assert full.clip.norm == "linf" and full.guide.method == "apg" and not full.image.repair
    assert full.views.name_sides
    unclipped = replace(full, clip=replace(full.clip, norm="none"))
    repaired = replace(full.image, repair=0.1)
    assert row_config("no clipping") == unclipped
    assert row_config("no APG") == replace(full, guide=replace(full.guide, method="cfg"))
    assert row_config("no view words") == replace(full, views=replace(full.views, name_sides=False))
    assert row_config("PixSDS") == replace(unclipped, image=repaired)
    assert row_config("clipping + PixSDS") == replace(full, image=repaired)


def measured(row: str, psnr: list[float], clipped: float) -> list[ablation.Measured]:
    prompts = ("a yellow duck", "a blue chair", "a green tree")
    return [
        ablation.Measured(
            row=row, prompt=prompt, seed=0, psnr_db=value, iou=0.5, color_error_255=10.0,
            kind_share=None, similarity=None, clipped_share=clipped, seconds=5.0,
        )
        for prompt, value in zip(prompts, psnr, strict=True)
    ]  # fmt: skip


def tabled(*rows: list[ablation.Measured]) -> str:
    summary = {found[0].row: ablation.summarize(found) for found in rows}
    return "\n".join(ablation.table([one for found in rows for one in found], summary))


def test_rows_are_compared_prompt_by_prompt() -> None:
    """Prompts differ by much more than rows do: only differences of the same prompt count."""
    found = [
        *measured("full", [10, 20, 30], 0.01), *measured("no APG", [8.9, 19.0, 29.1], 0.01)
    ]  # fmt: skip
    mean, error = ablation.against_full("no APG", "psnr_db", found)
    assert mean == pytest.approx(-1.0)
    assert error == pytest.approx(np.std([-1.1, -1.0, -0.9], ddof=1) / math.sqrt(3))
    said = ablation.conclusion("no APG", ["psnr_db", "iou"], found)
    assert said == "PSNR dB -1 ± 0.06, IoU +0 ± 0: worse by PSNR dB"
    one = [m for m in found if m.prompt == "a blue chair"]
    assert ablation.conclusion("no APG", ["psnr_db"], one).endswith("no more than chance")


def test_a_difference_within_its_error_is_called_chance() -> None:
    found = [*measured("full", [10, 20, 30], 0.01), *measured("no APG", [11, 19, 30.5], 0.01)]
    said = ablation.conclusion("no APG", ["psnr_db"], found)
    assert said == "PSNR dB +0.17 ± 0.6: no more than chance"


def test_less_color_error_is_better() -> None:
    full, other = measured("full", [10, 20, 30], 0.01), measured("no APG", [10, 20, 30], 0.01)
    other = [replace(m, color_error_255=4.0 + k / 10) for k, m in enumerate(other)]
    said = ablation.conclusion("no APG", ["color_error_255"], [*full, *other])
    assert said == "color error -5.9 ± 0.06: better by color error"


def test_where_clipping_did_nothing_its_rows_are_inactive() -> None:
    full, none = measured("full", [10, 20, 30], 0.0009), measured("no clipping", [1, 2, 3], 0.0)
    apg, both = measured("no APG", [9, 19, 29], 0.0), measured("clipping + PixSDS", [9] * 3, 0.01)
    text = tabled(full, none, apg, both)
    assert "| no clipping | inactive | inactive | inactive | 0.00% | 5 |" in text
    assert "- no clipping: inactive" in text
    assert "| no APG | 19 |" in text and "| clipping + PixSDS | 9 |" in text
    full = measured("full", [10, 20, 30], 0.0011)
    text = tabled(full, none, measured("clipping + PixSDS", [9] * 3, 0.0009))
    assert "| no clipping | 2 |" in text
    assert "| clipping + PixSDS | inactive |" in text


def test_the_ceiling_stands_below_the_rows() -> None:
    text = tabled(measured("full", [10, 20, 30], 0.01))
    ceiling = next(line for line in text.splitlines() if "another true toy" in line)
    psnr, overlap = (float(cell) for cell in ceiling.split("|")[2:4])
    assert 8 < psnr < 25 and 0.6 < overlap < 1


def test_four_sides_are_one_picture() -> None:
    rgb = np.arange(4.0)[:, None, None, None] * np.ones((4, 2, 2, 3))
    assert ablation.four(rgb)[..., 0].tolist() == [
        [0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 3, 3], [2, 2, 3, 3]
    ]  # fmt: skip
