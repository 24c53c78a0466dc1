"""`pipeline convert`: splats from one file format to another."""

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Literal

import tyro

from ...stages import STAGES
from ..contract import replacing
from ..errors import ConfigError, InputError
from ..plan import bind
from ..recipe import Recipe, Step
from ..runner import held, run_steps
from ..store import open_store
from .options import MachineOptions

FORMATS: Mapping[str, str] = MappingProxyType(
    {".compressed.ply": "compressed-ply", ".ply": "ply", ".splat": "splat", ".spz": "spz"}
)
"""By the ending of OUT, the longest first."""
Axis = Literal["+x", "-x", "+y", "-y", "+z", "-z"]


def convert(
    scene: tyro.conf.Positional[Path],
    /,
    *,
    out: Path,
    up: Axis | None = None,
    from_up: Axis | None = None,
    dataparser: Path | None = None,
    capture: Path | None = None,
    options: Annotated[MachineOptions, tyro.conf.arg(name="")] = MachineOptions(),  # noqa: B008
) -> int:
    """Write splats as .ply, .compressed.ply, .splat or .spz, by the ending of OUT.

    The result is read back and compared. An .spz file is +y up by definition.

    Args:
        scene: A .ply (plain or compressed), .splat or .spz file.
        out: Where to; a file that exists is replaced only when all went well.
        up: Turn the scene so that this axis points up.
        from_up: Which axis points up in SCENE, where nothing beside it says so.
        dataparser: Of splats from ns-export: the dataparser_transforms.json of their run, by which
            they go back to the coordinates of the photographs.
        capture: With --dataparser: the folder they were trained on, where ns-process-data made it.
    """
    if not scene.is_file():
        raise InputError(f"{scene}: no such file.")
    wanted = next((name for name in FORMATS if out.name.lower().endswith(name)), None)
    if wanted is None:
        raise ConfigError(f"--out {out}: must end in {', '.join(FORMATS)}.")
    if not out.absolute().parent.is_dir():
        raise InputError(f"--out {out}: there is no directory {out.parent}.")
    if out.exists() and out.samefile(scene):
        raise InputError(f"--out {out}: is the scene itself. Choose another name.")
    inputs = {"splats": f"splats/1:{scene.absolute()}"}
    if capture is not None:
        if dataparser is None:
            raise ConfigError("--capture: is of use only together with --dataparser.")
        inputs["transforms"] = str((capture / "transforms.json").absolute())
    if dataparser is not None:
        inputs["dataparser"] = str(dataparser.absolute())
    step = Step(
        name="convert",
        stage="convert",
        inputs=inputs,
        config={"format": FORMATS[wanted], "up": up, "from_up": from_up},
    )
    recipe = Recipe(steps=(step,))
    with tempfile.TemporaryDirectory(dir=out.absolute().parent, prefix=".convert-") as folder:
        store = open_store(Path(folder) / "run", None)
        with held(store):
            (done,) = run_steps(recipe, bind(recipe, STAGES), store, options.machine())
        made = store.folder(done.request)
        _publish(next(made.glob(f"scene.{wanted.rsplit('.', 1)[1]}")), out)
    print(out)
    return 0


def _publish(made: Path, out: Path) -> None:
    """The file, and beside a plain PLY its sidecar where it has one."""
    sidecar = made.with_suffix(".json")
    if sidecar.exists():
        with replacing(out.with_suffix(".json")) as temporary:
            shutil.copyfile(sidecar, temporary)
    with replacing(out) as temporary:
        os.replace(made, temporary)
