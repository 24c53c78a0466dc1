"""A whole `pipeline generate` is killed at random moments; the final bytes are the same.

The `draft` recipe with an untrained miniature of Stable Diffusion and tiny settings: the object is
nonsense, the path through the code is the real one. `SPLATWORKS_KILLS` sets the number of kills.
"""

import importlib.util
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

KILLS = int(os.environ.get("SPLATWORKS_KILLS", "200"))
TINY = (
    "shape.method=blob",
    "shape.sampling_steps=2",
    "shape.blob_gaussians=300",
    "distill.iterations=24",
    "distill.views.per_step=2",
    "distill.guide.scale=2",
    "distill.rates.logit_opacities=0.001",
    "distill.rates.means_m=0.0001",
    "distill.rates.log_scales=0.001",
    "distill.wishes.opacity_decay=0",
    "distill.density.every=8",
    "distill.checkpoint_every_s=0.1",
    "mesh.views=16",
    "mesh.render_size_px=96",
    "mesh.resolution=48",
    "mesh.max_faces=800",
    "texture.texture_size_px=256",
    "texture.views=6",
    "texture.render_size_px=96",
    "simplify.max_faces=400",
    "export.compare_views=2",
    "export.compare_size_px=64",
    "preview.views=2",
    "preview.size_px=64",
    "preview.frames=4",
    "preview.turntable_size_px=64",
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The miniature pipeline of the stage tests, built in a process of its own."""
    path = Path(__file__).parent / "stages" / "tiny_pipeline.py"
    if not path.is_file():
        pytest.skip("the miniature pipeline is not there")
    folder = tmp_path_factory.mktemp("model")
    code = f"import sys; sys.path.insert(0, {str(path.parent)!r}); import tiny_pipeline as t; "
    code += f"from pathlib import Path; t.build(Path({str(folder)!r}))"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    return folder


def line(model: Path, run: Path) -> list[str]:
    settings = [word for text in TINY for word in ("--set", text)]
    words = ["generate", "a red mug", "--preset", "draft", "--guidance", str(model)]
    words += ["--device", "cpu", "--out", str(run), *settings]
    return [sys.executable, "-m", "splatworks.pipeline.cli", *words]


def results(run: Path) -> dict[str, bytes]:
    return {
        f"{step.name}/{file.relative_to(step)}": file.read_bytes()
        for step in sorted((run / "latest").iterdir())
        for file in sorted(step.rglob("*"))
        if file.is_file() and file.name != "provenance.json"
    }


def uninterrupted(model: Path, run: Path) -> float:
    """Run to the end; returns how long it took."""
    start = time.monotonic()
    done = subprocess.run(line(model, run), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return time.monotonic() - start


def killed_after(model: Path, run: Path, seconds: float) -> bool:
    """Start, kill after `seconds`; whether it was still running then."""
    process = subprocess.Popen(
        line(model, run), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    try:
        _, said = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.communicate()
        return True
    assert process.returncode == 0, said[-2000:]
    return False


def assert_same(found: dict[str, bytes], expected: dict[str, bytes]) -> None:
    assert sorted(found) == sorted(expected)
    different = [name for name in expected if found[name] != expected[name]]
    assert not different


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
@pytest.mark.skipif(
    importlib.util.find_spec("diffusers") is None, reason="needs the whole installation"
)
def test_random_kills_leave_the_same_bytes(model: Path, tmp_path: Path) -> None:
    """Kills are spread over the whole run; it starts anew whenever it comes through."""
    uninterrupted(model, tmp_path / "first")  # Compiles what is to be compiled.
    took = uninterrupted(model, tmp_path / "expected")
    expected = results(tmp_path / "expected")
    assert_same(results(tmp_path / "first"), expected)
    rng = random.Random(2)
    kills, rounds = 0, 0
    while kills < KILLS:
        run = tmp_path / f"run{rounds}"
        while kills < KILLS and killed_after(model, run, rng.uniform(0.3, 1.0) * took):
            kills += 1
        uninterrupted(model, run)
        assert_same(results(run), expected)
        rounds += 1
    print(f"{kills} kills in {rounds} runs of {took:.0f} s each")
