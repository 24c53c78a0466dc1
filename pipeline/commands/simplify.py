"""`pipeline simplify`: any textured mesh, as found in the wild, to fewer faces."""

import json
import logging
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any, Literal

import tyro

from ...stages import STAGES
from ..contract import Context
from ..errors import ConfigError, InputError
from ..execute import explained
from ..face import find_stage
from ..fault import faults_in
from ..machine import cores, memory
from ..progress import prepare_terminal, size

UNBOUNDED = 1 << 40


def simplify(
    mesh: tyro.conf.Positional[Path],
    /,
    *,
    out: Path,
    faces: int | None = None,
    ratio: str | None = None,
    error: str | None = None,
    lods: str | None = None,
    screen_size: str | None = None,
    texture_size: int | None = None,
    keep_uvs: bool = False,
    vertex_colors: bool = False,
    normal_map: bool = True,
    virtual_edges: Literal["off", "local", "global"] = "off",
    keep_topology: bool = False,
    lock_borders: bool = False,
    lock_materials: bool = False,
    lock: Path | None = None,
    focus: Path | None = None,
    focus_weight: float = 10.0,
    visibility: bool = True,
    fit: bool = True,
    prune: str | None = None,
    threads: int | None = None,
) -> int:
    """Simplify a textured mesh; one of --faces, --ratio, --error, --lods, --screen-size.

    Args:
        mesh: GLB, glTF, OBJ with MTL, PLY, STL or OFF.
        out: A .glb file; with several levels a directory.
        faces: How many triangles are to be left.
        ratio: Share of the triangles to be left: 0.1 or 10%.
        error: Largest deviation: metres, or with % a share of the diagonal: 0.5%.
        lods: Several levels from one run, falling: 50%,10%,2% or 5000,1000.
        screen_size: Levels that deviate by at most one pixel where the mesh is so many pixels
            large, falling: 1024,256.
        texture_size: Width and height of the finest level's maps in pixels; by default from the
            texel density of the mesh.
        keep_uvs: Keep materials and texture coordinates, for tiling textures.
        vertex_colors: Colors on the vertices instead of textures.
        normal_map: Bake the normals of the full mesh into a map.
        virtual_edges: Let parts that nearly touch grow together.
        keep_topology: Keep holes, handles and parts, even if the target is missed for it.
        lock_borders: Leave open borders where they are.
        lock_materials: Leave the borders between materials where they are.
        lock: A region file (region/1); the vertices in it stay where they are.
        focus: A region file; the surface in it matters more.
        focus_weight: How much more: what the squared distance there is multiplied by.
        visibility: Spend fewer faces on what can hardly be seen from outside (never with --error).
        fit: Fit the surface to the whole mesh after the collapses.
        prune: Remove parts smaller than this share of the diagonal first, such as 1%.
        threads: How many threads may be busy; by default all cores. Does not change the result.
    """
    wanted = _targets(faces, ratio, error, lods, screen_size)
    several = lods is not None or screen_size is not None
    _check_out(mesh, out, several)
    settings = {
        **wanted,
        "min_faces": 1,
        "max_faces": UNBOUNDED,
        "texture_px": texture_size,
        "min_texture_px": 64,
        "normal_map": normal_map and not vertex_colors and not keep_uvs,
        "vertex_colors": vertex_colors,
        "keep_uvs": keep_uvs,
        "measure": False,
    }
    shape = {
        "virtual_edges": virtual_edges,
        "keep_topology": keep_topology,
        "lock_borders": lock_borders,
        "lock_materials": lock_materials,
        "focus_weight": focus_weight,
        "visibility": visibility and error is None,
        "fit": fit,
        "prune_share": _share(prune, "--prune") if prune else 0.0,
    }
    if threads is not None and threads < 1:
        raise ConfigError(f"--threads {threads}: expected 1 or more.")
    folder = out.absolute().parent
    folder.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=folder))
    try:
        with faults_in(folder), explained(str(mesh), folder):
            index = _run(mesh, {"lock": lock, "focus": focus}, settings, shape, work, threads)
        _put(work / "out" / "lods", out, index, several)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    for level in index["lods"]:
        print(_line(level, out / level["file"] if several else out))
    return 0


def _run(
    mesh: Path,
    regions: dict[str, Path | None],
    settings: dict[str, Any],
    shape: dict[str, Any],
    work: Path,
    threads: int | None,
) -> dict[str, Any]:
    stage = find_stage("simplify", STAGES, "simplify")
    try:
        config = stage.config(shape=stage.module.Shape(**shape), **settings)
    except ValueError as error:
        raise ConfigError(f"simplify: {error}") from None
    (work / "out").mkdir()
    ctx = Context(
        out=work / "out",
        scratch=work,
        log=logging.getLogger("splatworks.simplify"),
        progress=prepare_terminal().progress,
        seed=0,
        device="cpu",
        threads=threads or cores(),
        memory_bytes=memory(),
    )
    port = stage.inputs["mesh"]
    given = {
        name: stage.inputs[name].classes[0](path)
        for name, path in regions.items()
        if path is not None
    }
    stage.module.run(stage.module.Inputs(mesh=port.classes[0](mesh), **given), config, ctx)
    return json.loads((work / "out" / "lods" / "index.json").read_text("utf-8"))


def _targets(
    faces: int | None,
    ratio: str | None,
    error: str | None,
    lods: str | None,
    screen_size: str | None,
) -> dict[str, Any]:
    """The stage's settings for the one option of these that was given."""
    named = {"--faces": faces, "--ratio": ratio, "--error": error, "--lods": lods,
             "--screen-size": screen_size}  # fmt: skip
    given = [name for name, value in named.items() if value is not None]
    if len(given) != 1:
        got = " and ".join(given) or "none"
        raise ConfigError(f"simplify: exactly one of {', '.join(named)} is needed, got {got}.")
    if faces is not None:
        if faces < 1:
            raise ConfigError(f"--faces {faces}: expected 1 or more.")
        return {"faces": (faces,)}
    if ratio is not None:
        return {"ratios": (_share(ratio, "--ratio"),)}
    if error is not None:
        unit = "diagonal" if error.strip().endswith("%") else "m"
        return {"errors": (_number(error, "--error"),), "error_unit": unit}
    if screen_size is not None:
        sizes = [_number(word, "--screen-size") for word in screen_size.split(",")]
        if any(not value >= 1 for value in sizes):
            raise ConfigError(f"--screen-size {screen_size}: expected pixels, 1 or more.")
        return {"errors": tuple(1 / value for value in sizes), "error_unit": "diagonal"}
    words = (lods or "").split(",")
    if all("%" in word or "." in word for word in words):
        return {"ratios": tuple(_share(word, "--lods") for word in words)}
    counts = tuple(_number(word, "--lods") for word in words)
    if any(count != int(count) or count < 1 for count in counts):
        raise ConfigError(f"--lods {lods}: expected shares such as 50%,10% or whole face counts.")
    return {"faces": tuple(int(count) for count in counts)}


def _number(text: str, option: str) -> float:
    """As written, or hundredths where it ends in %."""
    word = text.strip()
    try:
        value = float(word.removesuffix("%")) / (100 if word.endswith("%") else 1)
    except ValueError:
        raise ConfigError(f"{option} {text}: expected a number, or one with %.") from None
    if not 0 < value < float("inf"):
        raise ConfigError(f"{option} {text}: expected more than 0.")
    return value


def _share(text: str, option: str) -> float:
    value = _number(text, option)
    if value > 1:
        raise ConfigError(f"{option} {text}: expected at most 100%.")
    return value


def _check_out(mesh: Path, out: Path, several: bool) -> None:
    if several:
        if out.is_dir() and any(out.iterdir()) and not (out / "index.json").is_file():
            raise InputError(f"--out {out}: is not empty and holds no levels of detail.")
        if out.exists() and not out.is_dir():
            raise InputError(f"--out {out}: is a file; several levels need a directory.")
        return
    if out.suffix.lower() != ".glb" or out.is_dir():
        raise InputError(f"--out {out}: expected a file that ends in .glb.")
    if out.exists() and mesh.exists() and os.path.samefile(mesh, out):
        raise InputError(f"--out {out}: is the input itself, which is not overwritten.")


def _put(made: Path, out: Path, index: dict[str, Any], several: bool) -> None:
    """Move the finished files into place; each appears at once."""
    if not several:
        os.replace(made / index["lods"][0]["file"], out)
        return
    if not out.exists():
        os.replace(made, out)
        return
    for path in sorted(made.iterdir(), key=lambda p: p.name == "index.json"):
        os.replace(path, out / path.name)


def _line(level: dict[str, Any], path: Path) -> str:
    pixels = level["texture_px"]
    looks = f"texture {pixels} px" if pixels else "no texture"
    error = f"error {level['error_m']:.3g} m ({100 * level['error_share']:.2g} % of the diagonal)"
    return f"{level['faces']:>9} faces  {error}  {looks}  {size(path.stat().st_size)}  {path}"
