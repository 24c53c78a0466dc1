"""`pipeline check`: what a file holds, and what will go wrong with it where."""

import json
import tempfile
from pathlib import Path

import tyro

from ...stages import STAGES
from ..errors import InputError
from ..plan import bind
from ..recipe import Recipe, Step
from ..runner import held, run_steps
from ..store import open_store
from .options import MachineOptions

KINDS = {".ply": "splats/1"}
SIGNS = {"fact": "  ", "note": "- ", "warning": "! ", "error": "x "}


def check(file: tyro.conf.Positional[Path], /) -> int:
    """Look through splats (PLY), a mesh, or a capture's folder, and change nothing.

    Says what is in it, then what programs will stumble over: `-` may surprise, `!` goes wrong in
    some, `x` is an error. Ends with 2 where there is an error.

    Args:
        file: A splat PLY, a mesh (glb, gltf, obj, ply, stl, off), or a folder of photographs.
    """
    if not file.exists():
        raise InputError(f"{file}: no such file.")
    kind = "capture/1" if file.is_dir() else KINDS.get(file.suffix.lower(), "mesh/1")
    step = Step(name="check", stage="check", inputs={"file": f"{kind}:{file.absolute()}"})
    recipe = Recipe(steps=(step,))
    with tempfile.TemporaryDirectory(prefix="splatworks-check-") as folder:
        store = open_store(Path(folder) / "run", None)
        with held(store):
            (done,) = run_steps(recipe, bind(recipe, STAGES), store, MachineOptions().machine())
        report = json.loads((store.folder(done.request) / "report.json").read_text("utf-8"))
    print(f"{file}: {report['kind']}")
    for remark in report["remarks"]:
        print(f"{SIGNS[remark['level']]}{remark['what']}")
        if remark["do"]:
            print(f"    -> {remark['do']}")
    return 2 if any(remark["level"] == "error" for remark in report["remarks"]) else 0
