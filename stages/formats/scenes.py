"""`scenes/1`: several splat scenes in one directory, in order: `index.json` and NAME.ply of each.

{"kind": "scenes/1", "scenes": [{"name": "horse"}, {"name": "bag"}]}
"""

from collections.abc import Sequence
from pathlib import Path

from ...pipeline.errors import InputError
from . import documents
from .edits import check_name

KIND = "scenes/1"
INDEX = "index.json"


def save_index(names: Sequence[str], folder: Path) -> Path:
    """Write the index beside the PLYs. Returns its path."""
    rows = [{"name": name} for name in names]
    return documents.write(folder / INDEX, documents.text_of(KIND, {}, "scenes", rows))


def scene_paths(path: Path) -> list[Path]:
    """The PLYs of a directory in order; a PLY itself is the only one."""
    if not path.is_dir():
        return [path]
    index = path / INDEX
    rows = documents.read(index, KIND).get("scenes")
    if not isinstance(rows, list) or not rows:
        raise InputError(f'{index}: "scenes" must be a list of at least one.')
    return [folder_entry(path, row, f"{index}: scene {i}") for i, row in enumerate(rows, 1)]


def folder_entry(folder: Path, row: object, where: str) -> Path:
    """NAME.ply inside the folder, never outside of it."""
    if not isinstance(row, dict) or set(row) != {"name"} or not isinstance(row["name"], str):
        raise InputError(f'{where}: must be {{"name": NAME}}.')
    try:
        check_name(row["name"])
    except ValueError as error:
        raise InputError(f"{where}: {error}.") from None
    return folder / f"{row['name']}.ply"
