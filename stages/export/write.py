"""Writing the files, reading them back, and the index that says what is in them."""

import hashlib
import json
import math
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from ...pipeline.contract import Context, replacing, sync
from ...pipeline.errors import InputError, StorageError
from ..formats import gltf, mesh_ply, splats
from ..geometry.activation import activate
from ..geometry.components import Surface, report, weld
from ..geometry.likeness import compare, pair
from . import Config, Inputs

Entry = dict[str, Any]


def write(inputs: Inputs, config: Config, ctx: Context) -> Path:
    """Write all that `config.formats` names into `ctx.out`. Returns that directory."""
    out = ctx.out
    mesh = _scaled_mesh(gltf.load(inputs.mesh.path), config.scale)
    raw = _scaled_splats(splats.load(inputs.splats.path), config.scale)
    lods = {path.name: path for path in lod_files(inputs.lods.path)}
    writers: dict[str, Callable[[], dict[str, Entry]]] = {
        "glb": lambda: {"asset.glb": _write_glb(mesh, out / "asset.glb")},
        "lods": lambda: _write_lods(lods, out, config.scale),
        "splats": lambda: _write_splats(raw, out),
        "ply": lambda: {"asset.ply": _write_ply(mesh, out / "asset.ply")},
    }
    files: dict[str, Entry] = {}
    with ctx.progress("export", len(config.formats)) as bar:
        for name in config.formats:
            files |= writers[name]()
            bar.advance(note=name)
    index: Entry = {"kind": "export/1", "up_axis": "+y", "meters_per_unit": 1.0, "files": files}
    if config.compare_views and "glb" in config.formats:
        index["likeness"] = _likeness(out / "asset.glb", raw, config, ctx)
    with replacing(out / "index.json") as temporary:
        temporary.write_text(json.dumps(index, indent=1, sort_keys=True) + "\n", "utf-8")
    sync(out)
    return out


def _likeness(path: Path, raw: splats.RawSplats, config: Config, ctx: Context) -> Entry:
    """The written mesh against the splats."""
    found = compare(
        pair(activate(raw), gltf.load(path)),
        views=config.compare_views,
        size_px=config.compare_size_px,
        threads=ctx.threads,
    )
    ctx.log.info(
        "%s looks like the splats to %.2f dB PSNR (%d views)",
        path.name, found.psnr_db, config.compare_views,
    )  # fmt: skip
    return asdict(found) | {"views": config.compare_views, "size_px": config.compare_size_px}


def lod_files(directory: Path) -> list[Path]:
    """The GLBs of a LODs directory, finest first, as its index lists them."""
    path = directory / "index.json"
    try:
        entries = json.loads(path.read_text("utf-8"))["lods"]
        names = [entry["file"] for entry in entries]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: no index of levels of detail ({error!r}).") from None
    for name in names:
        if not isinstance(name, str) or Path(name).name != name:
            raise InputError(f"{path}: a level's file must be a plain name, got {name!r}.")
    return [directory / name for name in names]


def _write_glb(mesh: gltf.Mesh, path: Path) -> Entry:
    gltf.save(mesh, path)
    _same(path, mesh, gltf.load(path))
    return _described(mesh, path)


def _write_lods(lods: dict[str, Path], out: Path, scale: float) -> dict[str, Entry]:
    (out / "lods").mkdir(exist_ok=True)
    entries = {
        f"lods/{name}": _write_glb(_scaled_mesh(gltf.load(path), scale), out / "lods" / name)
        for name, path in lods.items()
    }
    sync(out / "lods")
    return entries


def _write_splats(raw: splats.RawSplats, out: Path) -> dict[str, Entry]:
    path = splats.save(raw, out / "splats.ply")
    again = splats.load(path)
    for name in ("means", "log_scales", "logit_opacities", "quaternions", "sh"):
        if not np.array_equal(getattr(raw, name), getattr(again, name)):
            raise StorageError(f"{path}: {name} reads back differently than written.")
    degree = math.isqrt(raw.sh.shape[1]) - 1
    entries = {"splats.ply": {**_stamp(path), "gaussians": len(raw), "sh_degree": degree}}
    beside = splats.sidecar_path(path)
    return entries | ({beside.name: _stamp(beside)} if beside.exists() else {})


def _write_ply(mesh: gltf.Mesh, path: Path) -> Entry:
    mesh_ply.save(mesh, path)
    again = gltf.load(path)
    welded = np.unique(mesh.positions, axis=0)
    if len(again.faces) != len(mesh.faces) or not np.array_equal(again.positions, welded):
        raise StorageError(f"{path}: the mesh reads back differently than written.")
    return {**_stamp(path), "vertices": len(welded), "faces": len(mesh.faces)}


def _same(path: Path, written: gltf.Mesh, read: gltf.Mesh) -> None:
    for name in ("positions", "faces", "uvs", "base_color"):
        before, after = getattr(written, name), getattr(read, name)
        if (before is None) != (after is None) or (
            before is not None and not np.array_equal(before, after)
        ):
            raise StorageError(f"{path}: {name} reads back differently than written.")


def _described(mesh: gltf.Mesh, path: Path) -> Entry:
    # Vertices are split along the seams of the texture; for holes only places count.
    found = report(weld(Surface(mesh.positions, mesh.faces)))
    size = None if mesh.base_color is None else list(mesh.base_color.shape[1::-1])
    return {
        **_stamp(path),
        "vertices": len(mesh.positions),
        "faces": len(mesh.faces),
        "components": found.components,
        "watertight": found.watertight,
        "texture_px": size,
        "bounds_m": [mesh.positions.min(axis=0).tolist(), mesh.positions.max(axis=0).tolist()],
    }


def _stamp(path: Path) -> Entry:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"bytes": path.stat().st_size, "sha256": digest}


def _scaled_mesh(mesh: gltf.Mesh, scale: float) -> gltf.Mesh:
    return replace(mesh, positions=(mesh.positions * np.float32(scale)).astype(np.float32))


def _scaled_splats(raw: splats.RawSplats, scale: float) -> splats.RawSplats:
    """Larger in space; the sidecar remembers what was done to the original coordinates."""
    if scale == 1.0:
        return raw
    source = np.diag([scale, scale, scale, 1.0]) @ np.reshape(raw.sidecar.source_transform, (4, 4))
    return replace(
        raw,
        means=raw.means * np.float32(scale),
        log_scales=raw.log_scales + np.float32(math.log(scale)),
        sidecar=replace(raw.sidecar, source_transform=tuple(source.reshape(-1).tolist())),
    )
