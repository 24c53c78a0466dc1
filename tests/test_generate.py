"""The main job with the embedded prior, small: from a prompt to a GLB, twice, and changed."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from splatworks.stages.formats import gltf, pictures, splats

ROOT = Path(__file__).resolve().parents[1]
PRIOR = ROOT / "data" / "toybox"
SMALL = (
    "shape.sampling_steps=6",
    "shape.max_gaussians=3000",
    "distill.iterations=4",
    "mesh.views=24",
    "mesh.render_size_px=128",
    "mesh.resolution=64",
    "mesh.max_faces=3000",
    "texture.texture_size_px=256",
    "texture.views=8",
    "texture.render_size_px=128",
    "export.compare_views=4",
    "preview.views=4",
    "preview.frames=4",
)
STEPS = ("shape", "distill", "mesh", "texture", "simplify", "export", "preview")
pytestmark = pytest.mark.skipif(
    not (PRIOR / "model_index.json").is_file(), reason="the embedded prior is not in data/toybox"
)


def pipeline(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "splatworks.pipeline.cli", *words]
    return subprocess.run(line, cwd=cwd, capture_output=True, text=True, env=dict(os.environ))


def generate(*words: str, cwd: Path, small: tuple[str, ...] = SMALL) -> str:
    changes = [word for change in small for word in ("--set", change)]
    ran = pipeline("generate", *words, *changes, cwd=cwd)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("generate")
    generate("a red mushroom with white dots", "--out", "run", cwd=folder)
    return folder


def test_it_ends_with_splats_a_textured_glb_levels_of_detail_and_pictures(made: Path) -> None:
    latest = made / "run" / "latest"
    out = latest / "export"
    assert len(splats.load(out / "splats.ply")) > 300
    asset = gltf.load(out / "asset.glb")
    assert asset.base_color is not None and asset.base_color.shape[:2] == (256, 256)
    red, green, blue = asset.base_color.reshape(-1, 3).mean(axis=0)
    assert red > green and red > blue
    counts = [len(gltf.load(path).faces) for path in sorted((out / "lods").glob("*.glb"))]
    assert counts == sorted(counts, reverse=True) and len(counts) == 4
    preview = latest / "preview"
    assert pictures.load(preview / "contact_sheet.png").std() > 0.02
    assert (preview / "turntable.mp4").stat().st_size > 1000
    assert pictures.load(latest / "shape" / "understood.png").std() > 0.02


def test_the_likeness_of_mesh_and_splats_is_stated(made: Path) -> None:
    index = json.loads((made / "run/latest/preview/index.json").read_text())
    assert 10 < index["likeness"]["psnr_db"] < 60
    exported = json.loads((made / "run/latest/export/index.json").read_text())
    assert exported["likeness"] == index["likeness"]


def test_again_nothing_reruns(made: Path) -> None:
    out = generate("a red mushroom with white dots", "--out", "run", cwd=made)
    assert all(f"{step}" in out for step in STEPS)
    assert "made" not in out


def test_after_a_change_only_what_follows_reruns_and_explain_says_why(
    made: Path, tmp_path: Path
) -> None:
    shutil.copytree(made / "run", tmp_path / "run", symlinks=True)
    changed = (*SMALL, "texture.sharpness=2")
    ran = pipeline("run", "run", "--set", "texture.sharpness=2", "--until", "shape", cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    why = pipeline("explain", "run", "texture", cwd=tmp_path).stdout
    assert "sharpness" in why and "4.0" in why and "2.0" in why
    out = generate("a red mushroom with white dots", "--out", "run", cwd=tmp_path, small=changed)
    again = {line.split()[0] for line in out.splitlines() if " made " in line}
    assert again == {"texture", "simplify", "export", "preview"}


def test_several_prompts_in_one_process_and_words_it_does_not_know(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("a blue mug\n# not this\na green car\na zebra\n")
    changes = ("shape.sampling_steps=1", "shape.method=blob")
    words = [word for change in changes for word in ("--set", change)]
    ran = pipeline("generate", "--prompts", "list.txt", "--until", "shape", *words, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.count("done") == 3
    assert "zebra" in ran.stderr and "--guidance" in ran.stderr


def test_a_truncated_weight_file_is_named(tmp_path: Path) -> None:
    shutil.copytree(PRIOR, tmp_path / "model")
    weights = next((tmp_path / "model" / "unet").glob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-1000])
    ran = pipeline("generate", "a mug", "--guidance", "model", "--out", "run", cwd=tmp_path)
    assert ran.returncode == 2
    (line,) = [line for line in ran.stderr.splitlines() if line.startswith("splatworks:")]
    assert weights.name in line
    assert "Traceback" not in ran.stderr


def damaged(made: Path, target: Path, damage: str) -> Path:
    """A copy of the splats with something wrong."""
    data = bytearray((made / "run/latest/export/splats.ply").read_bytes())
    header = data.index(b"end_header\n") + len(b"end_header\n")
    if damage == "short":
        del data[-100:]
    else:
        data[header : header + 400] = b"\xff" * 400  # float32 NaN
    target.write_bytes(data)
    return target


@pytest.mark.parametrize(("damage", "said"), [("short", "bytes"), ("nan", "finite")])
def test_bad_splats_are_one_line(made: Path, tmp_path: Path, damage: str, said: str) -> None:
    damaged(made, tmp_path / "bad.ply", damage)
    ran = pipeline("step", "mesh", "--inputs.splats", "bad.ply", "--out", "m", cwd=tmp_path)
    assert ran.returncode == 2, ran.stderr
    (line,) = [line for line in ran.stderr.splitlines() if line.startswith("splatworks:")]
    assert "bad.ply" in line and said in line
    assert "Traceback" not in ran.stderr
