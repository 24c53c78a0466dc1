"""Which kind of file it is, and the report."""

import dataclasses
import json
from pathlib import Path

from ...pipeline.contract import replacing
from ...pipeline.errors import InputError
from ..formats import wild
from ..formats.splats import is_splats
from .captures import remarks_on_capture
from .meshes import remarks_on_mesh
from .remarks import Remark
from .splats import remarks_on_splats


def lint(path: Path, report: Path) -> Path:
    """Write all remarks on a file. Returns `report`."""
    try:
        kind, remarks = _remarks(path)
    except InputError as error:
        kind, remarks = "unreadable", [Remark("error", str(error))]
    document = {
        "kind": kind,
        "remarks": [dataclasses.asdict(remark) for remark in remarks],
    }
    with replacing(report) as temporary:
        temporary.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", "utf-8")
    return report


def _remarks(path: Path) -> tuple[str, list[Remark]]:
    if path.is_dir():
        return "capture", remarks_on_capture(path)
    if path.suffix.lower() == ".ply" and is_splats(path):
        return "splats", remarks_on_splats(path)
    if path.suffix.lower() in wild.ENDINGS:
        return "mesh", remarks_on_mesh(path)
    raise InputError(
        f"{path}: neither a splat PLY, a mesh ({', '.join(wild.ENDINGS)}) nor a capture's folder."
    )
