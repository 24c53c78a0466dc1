"""The architecture: who may import whom, and what stays light."""

import ast
import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = "splatworks"
TOPS = ("pipeline", "renderers", "stages", "studio")
LIBRARIES = ("encoding", "formats", "geometry", "guidance", "scene")
"""Parts of `stages` that are not stages but stand below them."""
SHARED = ("artifacts", "randomness")
HEAVY = (
    "torch",
    "numpy",
    "numba",
    "open3d",
    "diffusers",
    "transformers",
    "trimesh",
    "scipy",
    "PIL",
)
JOINS = ("pipeline/cli.py", "pipeline/commands/")
"""The command line joins the parts, so it may import the table of stages, and the studio."""
USES = {
    "apply": ("stitch", "edit"),
    "bound": ("reconstruct",),
    "text_texture": ("distill", "simplify"),
}
"""Stages that may know another one: an edit of a script may be one of these; bound Gaussians are
trained on photographs as free ones are; and what is distilled may be a texture, on a mesh that
keeps its maps over a new atlas as a simplified one does."""


def sources() -> list[Path]:
    found = [p for top in TOPS for p in (ROOT / top).rglob("*.py")]
    return sorted(p for p in found if "__pycache__" not in p.parts)


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(path: Path) -> Iterator[str]:
    """Our own modules that a file imports, anywhere in it, as `stages.formats.splats`."""
    module = module_of(path).split(".")
    package = module if path.name == "__init__.py" else module[:-1]
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                assert not alias.name.startswith(PACKAGE), f"{path}: import relatively"
        if isinstance(node, ast.ImportFrom):
            if node.level == 0:
                assert not (node.module or "").startswith(PACKAGE), f"{path}: import relatively"
                continue
            base = package[: len(package) - node.level + 1]
            start = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                full = f"{start}.{alias.name}".strip(".")
                yield full if exists(full) else start


def exists(module: str) -> bool:
    path = ROOT.joinpath(*module.split("."))
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


def below(name: str, *tops: str) -> bool:
    return any(name == top or name.startswith(top + ".") for top in tops)


def allowed(path: Path, name: str) -> bool:
    relative = path.relative_to(ROOT).as_posix()
    parts = module_of(path).split(".")
    if parts[0] == "pipeline":
        joined = name == "stages" or below(name, "studio")
        return below(name, "pipeline") or (joined and relative.startswith(JOINS))
    if parts[0] == "studio":  # A page over the stages, on top of all but the command line.
        return not below(name, "pipeline.cli", "pipeline.commands")
    if parts[0] == "renderers":
        return below(name, "renderers")
    if below(name, "renderers", "pipeline.contract", "pipeline.errors", "pipeline.config"):
        return True
    below_stages = [f"stages.{n}" for n in (*LIBRARIES, *SHARED)]
    if len(parts) > 1 and parts[1] in (*LIBRARIES, *SHARED):
        return below(name, *below_stages)
    if len(parts) == 1:  # stages/__init__.py
        return False
    used = [f"stages.{stage}" for stage in (parts[1], *USES.get(parts[1], ()))]
    return below(name, *below_stages, *used)


@pytest.mark.parametrize("path", sources(), ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_downwards(path: Path) -> None:
    for name in imported(path):
        assert allowed(path, name), f"{path.relative_to(ROOT)} may not import {name}"


def reachable(starts: list[str]) -> set[str]:
    """Every module of ours that importing and running `starts` may load."""
    seen: set[str] = set()
    waiting = list(starts)
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        path = ROOT.joinpath(*name.split("."))
        files = [path / "__init__.py"] if path.is_dir() else [path.with_suffix(".py")]
        waiting += [n for file in files if file.is_file() for n in imported(file)]
    return seen


def test_generate_cannot_reach_the_training_props() -> None:
    from splatworks.stages import STAGES

    starts = [
        p.removeprefix(PACKAGE + ".") for n, p in STAGES.items() if not n.startswith("toybox")
    ]
    found = [name for name in reachable(starts) if "toybox" in name]
    assert not found
    assert {"stages.artifacts", "pipeline.contract"} <= reachable(starts), "the walk is broken"


def test_only_its_own_training_reaches_the_scorer() -> None:
    """A judge that a loss or the prior could ask would be no judge."""
    from splatworks.stages import STAGES

    def judges(path: str) -> set[str]:
        found = reachable([path.removeprefix(PACKAGE + ".")])
        return {name for name in found if "scorer" in name}

    reaching = {name for name, path in STAGES.items() if judges(path)}
    assert reaching == {"toybox-train-scorer"}
    others = [module_of(p) for top in ("pipeline", "studio") for p in (ROOT / top).rglob("*.py")]
    assert not {n for n in reachable(others) if below(n, "stages.toybox.scorer")}


def test_the_training_props_are_stages_of_their_own() -> None:
    """No recipe for users contains one."""
    for recipe in sorted((ROOT / "configs").glob("*.toml")):
        if "toybox" not in recipe.stem:
            assert 'stage = "toybox' not in recipe.read_text("utf-8"), recipe.name


def loaded_by(code: str) -> set[str]:
    """Heavy libraries that a fresh Python loads for `code`."""
    report = f"import sys, json; print(json.dumps([m for m in {HEAVY!r} if m in sys.modules]))"
    result = subprocess.run(
        [sys.executable, "-c", f"{code}\n{report}"], capture_output=True, text=True, check=True
    )
    return set(json.loads(result.stdout.splitlines()[-1]))


def test_faces_of_stages_are_light() -> None:
    from splatworks.stages import STAGES

    present = [path for path in STAGES.values() if importlib.util.find_spec(path) is not None]
    assert present
    imports = "\n".join(f"import {path}" for path in present)
    heavy = loaded_by(imports)
    if heavy:  # Find who it was.
        guilty = [path for path in present if loaded_by(f"import {path}")]
        pytest.fail(f"{guilty} load {heavy}; import heavy libraries inside run()")


@pytest.mark.parametrize("words", [["--help"], ["stages"], ["generate", "--help"]])
def test_the_command_line_is_light(words: list[str]) -> None:
    code = (
        "from splatworks.pipeline.cli import main\n"
        f"try: main({words!r})\nexcept SystemExit as e: assert not e.code"
    )
    assert loaded_by(code) == set()


def test_planning_is_light(tmp_path: Path) -> None:
    (tmp_path / "prompt.json").write_text("{}")
    words = ["plan", "draft", "--arg", f"prompt={tmp_path / 'prompt.json'}"]
    words += ["--arg", f"guidance={tmp_path}", "--out", str(tmp_path / "run")]
    code = f"from splatworks.pipeline.cli import main\nassert main({words!r}) == 0"
    assert loaded_by(code) == set()


def test_modules_are_of_readable_size() -> None:
    """A taste, not a law: the figure only keeps the worst from growing."""
    for path in sources():
        count = len(path.read_text("utf-8").splitlines())
        assert count <= 450, f"{path.relative_to(ROOT)} has {count} lines"


def test_no_module_is_named_after_nothing() -> None:
    for path in sources():
        assert path.stem not in ("utils", "misc", "common", "helpers", "base", "util"), path
