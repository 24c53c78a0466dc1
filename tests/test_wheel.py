"""The wheel holds everything that the checkout does: the explicit package list can be forgotten."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("pipeline", "renderers", "stages", "studio", "configs", "data")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel's contents, as pip lays them out; built from a copy, since another process may be
    building too."""
    sources = tmp_path_factory.mktemp("sources")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, sources / package)
    for path in (*ROOT.glob("*.toml"), *ROOT.glob("*.py"), ROOT / "README.md", ROOT / "LICENSE"):
        shutil.copy(path, sources)
    wheels = tmp_path_factory.mktemp("wheel")
    target = tmp_path_factory.mktemp("site")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(wheels)]
    subprocess.run([*build, str(sources)], check=True, capture_output=True)
    (wheel,) = wheels.glob("*.whl")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(target)]
    subprocess.run([*pip, str(wheel)], check=True, capture_output=True)
    return target


def test_every_module_and_data_file_is_in_the_wheel(installed: Path) -> None:
    wanted = {
        path.relative_to(ROOT)
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.suffix in {".py", ".toml", ".json", ".safetensors", ".txt"}
    }
    missing = {path for path in wanted if not (installed / "splatworks" / path).is_file()}
    assert not missing


def test_nothing_else_lands_in_site_packages(installed: Path) -> None:
    names = {path.name for path in installed.iterdir() if not path.name.endswith(".dist-info")}
    assert names - {"bin"} == {"splatworks"}
    assert not (installed / "splatworks" / "tests").exists()


def test_the_command_runs_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    script = "import splatworks.pipeline.cli as c; print(c.__file__)"
    where = subprocess.run(
        [sys.executable, "-c", script],
        env=environment,
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert Path(where.strip()).is_relative_to(installed)
    run = subprocess.run(
        [sys.executable, "-m", "splatworks.pipeline.cli", "plan", "draft"],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    assert "export" in run.stdout
