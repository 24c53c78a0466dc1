"""`manifest.json` in a finished step: what it was made from, and every file with its hash.

It holds only what shapes the result, and no paths outside the step: two runs that made the same
result have the same manifest. Times, hosts and run-time settings are in `provenance.json`.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .config import canonical
from .errors import ChangedError
from .hashing import NOTES, files_below, hash_file, hash_text

MANIFEST, PROVENANCE = NOTES


@dataclass(frozen=True, slots=True)
class FileRecord:
    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class InputRecord:
    kind: str
    hash: str


@dataclass(frozen=True, slots=True)
class OutputRecord:
    kind: str
    hash: str
    path: str
    """Relative to the step directory, with `/`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    schema: int
    stage: str
    version: int
    key: str
    config: Mapping[str, Any]
    seed: int
    inputs: Mapping[str, InputRecord]
    outputs: Mapping[str, OutputRecord]
    files: Mapping[str, FileRecord]

    def to_json(self) -> str:
        data = asdict(self)
        return json.dumps(data | {"digest": _digest(data)}, indent=1, ensure_ascii=False) + "\n"


def record_files(folder: Path, *, fresh: bool = False) -> dict[str, FileRecord]:
    """Size and hash of every file of a step directory, except the two about the step itself."""
    return {
        name: FileRecord(hash_file(path, fresh=fresh), path.stat().st_size)
        for name, path in sorted(files_below(folder))
        if name not in NOTES
    }


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a finished step; raises `ChangedError` if it is not as it was written."""
    path = folder / MANIFEST
    try:
        data = json.loads(path.read_text("utf-8"))
        digest = data.pop("digest")
        whole = digest == _digest(data)
        records = {
            "inputs": _records(InputRecord, data["inputs"]),
            "outputs": _records(OutputRecord, data["outputs"]),
            "files": _records(FileRecord, data["files"]),
        }
        manifest = Manifest(**data | records)
    except FileNotFoundError:
        raise _changed(path, folder, "is gone") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _changed(path, folder, "cannot be understood any more") from error
    if not whole:
        raise _changed(path, folder, "was changed after the step finished")
    return manifest


def verify(folder: Path, manifest: Manifest, *, fresh: bool = False) -> None:
    """Raise `ChangedError`, naming the file, if a finished step is not what it was.

    Sizes first, then hashes (large ones through the cache unless `fresh`).
    """
    for name, record in manifest.files.items():
        path = folder / name
        try:
            size = path.stat().st_size
        except OSError:
            raise _changed(path, folder, f"is gone (manifest says {record.size} bytes)") from None
        if size != record.size:
            was = "was cut short" if size < record.size else "was changed"
            detail = f"({size} bytes, manifest says {record.size})"
            raise _changed(path, folder, f"{was} after the step finished {detail}")
    for name, record in manifest.files.items():
        digest = hash_file(folder / name, fresh=fresh)
        if digest != record.sha256:
            detail = f"(sha256 {digest[:12]}…, manifest says {record.sha256[:12]}…)"
            what = f"was changed after the step finished {detail}"
            raise _changed(folder / name, folder, what)
    for name in _added(folder, manifest):
        raise _changed(folder / name, folder, "was added after the step finished")


def _added(folder: Path, manifest: Manifest) -> Iterable[str]:
    """Files inside directory outputs that the manifest does not know."""
    for output in manifest.outputs.values():
        root = folder / output.path
        if root.is_dir():
            for name, path in files_below(root):
                known = f"{output.path}/{name}" if output.path != "." else name
                about = path.parent == folder and name in NOTES
                if known not in manifest.files and not about:
                    yield known


def _changed(path: Path, folder: Path, what: str) -> ChangedError:
    return ChangedError(f"{path} {what}. Delete {folder} to have it made again.")


def _digest(data: Mapping[str, Any]) -> str:
    return hash_text(canonical(data))


def _records(cls: Any, data: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    return {name: cls(**value) for name, value in data.items()}
