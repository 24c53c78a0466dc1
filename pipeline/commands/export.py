"""`pipeline export`: a mesh or splats as files for a DCC tool, an engine or the web."""

import json
import logging
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal

import tyro

from ...stages import STAGES
from ..contract import Context
from ..errors import ConfigError, InputError
from ..execute import explained
from ..face import find_stage
from ..fault import faults_in
from ..machine import cores, memory
from ..progress import prepare_terminal, size

Tool = Literal["blender", "unreal", "unity", "maya", "web"]
Axis = Literal["+x", "-x", "+y", "-y", "+z", "-z"]
Format = Literal[
    "glb", "obj", "fbx", "usd", "usda", "usdz", "ply", "stl", "gltf-splats", "usd-splats"
]
ENDINGS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        ".glb": ("glb", "gltf-splats"),
        ".obj": ("obj",),
        ".fbx": ("fbx",),
        ".usd": ("usd", "usd-splats"),
        ".usda": ("usda", "usd", "usd-splats"),
        ".usdc": ("usdc", "usd", "usd-splats"),
        ".usdz": ("usdz",),
        ".ply": ("ply",),
        ".stl": ("stl",),
    }
)
"""Which formats a file with this ending can have; the first where none is given."""


def export(
    scene: tyro.conf.Positional[Path],
    /,
    *,
    out: Path,
    tool: Annotated[Tool | None, tyro.conf.arg(name="for")] = None,
    format: Format | None = None,
    lods: tuple[Path, ...] = (),
    texture_size: int | None = None,
    name: str | None = None,
    from_up: Axis | None = None,
    collision: Literal["none", "hull"] = "none",
    overwrite: bool = False,
) -> int:
    """Write a mesh or splats so that a tool opens them right: axes, units, textures, names.

    What to click in each tool: docs/dcc.md. Without --for everything is +Y up, in metres.

    Args:
        scene: A mesh (GLB, glTF, OBJ with MTL, PLY, STL, OFF) or a splat PLY.
        out: A file, by whose ending the format is known, or a directory.
        tool: Where it is going to be opened.
        format: By default the ending of OUT, or what the tool reads best.
        lods: Coarser levels of the mesh: GLB files, fine to coarse, or a directory that `simplify
            --lods` has made.
        texture_size: Largest side of a picture in pixels; by default the tool's limit.
        name: What the asset is called; by default the name of OUT or SCENE.
        from_up: Which axis points up in SCENE, such as +z for a mesh of a nerfstudio capture; by
            default +y, and for splats what their sidecar says.
        collision: Add a convex hull for collisions (--for unreal, FBX).
        overwrite: Replace files that exist.
    """
    single = _is_file(out)
    chosen = _format(out, format, tool, single)
    if not scene.is_file():
        raise InputError(f"{scene}: no such file.")
    if single and out.exists():
        if os.path.samefile(scene, out):
            raise InputError(f"--out {out}: is the input itself. Choose another name.")
        _refuse(out, overwrite)
    settings = {
        "tool": tool or "any",
        "format": chosen,
        "name": name if name is not None else (out.stem if single else scene.stem),
        "file": out.name if single else None,
        "texture_px": texture_size,
        "from_up": from_up,
        "collision": collision,
    }
    folder = out.absolute().parent
    folder.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=folder))
    try:
        with faults_in(folder), explained(str(scene), folder):
            index = _run(scene, lods, settings, work)
        written = _put(work / "out", folder if single else out, index, overwrite)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    for path in written:
        print(f"{size(path.stat().st_size):>10}  {path}")
    return 0


def _is_file(out: Path) -> bool:
    if out.is_dir():
        return False
    if out.suffix.lower() in ENDINGS:
        return True
    if out.suffix or out.exists():
        raise ConfigError(f"--out {out}: must end in {', '.join(ENDINGS)}, or be a directory.")
    return False


def _format(out: Path, format: str | None, tool: str | None, single: bool) -> str | None:
    """The format that is asked for, in words or by the ending; `None` for what the tool likes."""
    if not single:
        if tool is None and format is None:
            raise ConfigError(
                f"--out {out}: is a directory, so that --for TOOL or --format FORMAT is needed."
            )
        return format
    possible = ENDINGS[out.suffix.lower()]
    if format is not None and format not in possible:
        raise ConfigError(f"--out {out}: is no name for --format {format}.")
    if format in (None, "usd"):
        return possible[0]
    return format


def _run(
    scene: Path, lods: tuple[Path, ...], settings: dict[str, Any], work: Path
) -> dict[str, Any]:
    stage = find_stage("export-dcc", STAGES, "export")
    try:
        config = stage.config(**settings)
    except ValueError as error:
        raise ConfigError(f"export: {error}") from None
    (work / "out").mkdir()
    ctx = Context(
        out=work / "out",
        scratch=work,
        log=logging.getLogger("splatworks.export"),
        progress=prepare_terminal().progress,
        seed=0,
        device="cpu",
        threads=cores(),
        memory_bytes=memory(),
    )
    given = {"scene": stage.inputs["scene"].classes[0](scene)}
    if lods:
        given["lods"] = stage.inputs["lods"].classes[0](_levels(lods, work / "lods"))
    stage.module.run(stage.module.Inputs(**given), config, ctx)
    return json.loads((work / "out" / "index.json").read_text("utf-8"))


def _levels(lods: tuple[Path, ...], folder: Path) -> Path:
    """A directory of levels: the one that was given, or one made of the files."""
    if len(lods) == 1 and lods[0].is_dir():
        return lods[0]
    folder.mkdir()
    for number, path in enumerate(lods):
        if not path.is_file():
            raise InputError(f"--lods {path}: no such file.")
        if path.suffix.lower() != ".glb":
            raise InputError(f"--lods {path}: levels are GLB files, or one directory of them.")
        shutil.copyfile(path, folder / f"lod{number}.glb")
    entries = [{"file": f"lod{number}.glb"} for number in range(len(lods))]
    (folder / "index.json").write_text(json.dumps({"lods": entries}), "utf-8")
    return folder


def _put(made: Path, out: Path, index: dict[str, Any], overwrite: bool) -> list[Path]:
    """Move the finished files into place, the main one last; each appears at once."""
    names = list(index["files"])
    for name in names:
        if (out / name).exists():
            _refuse(out / name, overwrite)
    for name in reversed(names):
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        os.replace(made / name, out / name)
    return [out / name for name in names]


def _refuse(path: Path, overwrite: bool) -> None:
    if path.is_dir():
        raise InputError(f"{path}: is a directory.")
    if not overwrite:
        raise InputError(f"{path} exists already. Choose another --out, or give --overwrite.")
