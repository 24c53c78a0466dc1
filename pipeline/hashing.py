"""Content hashes of files and directories, with a cache for large files.

The cache is a directory of tiny files named after (path, size, times, inode); each holds the
SHA-256 of that file. It is only ever a shortcut: unreadable, unwritable or absent, everything
works as before, slower. A file changed within the last seconds is never cached, because a second
change could leave the same times.
"""

import hashlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

from .config import canonical
from .contract import Artifact
from .errors import InputError

WORTH_CACHING_BYTES = 1 << 20
"""Smaller files are hashed every time, which also finds every change in them."""
SETTLED_S = 2.0
NOTES = ("manifest.json", "provenance.json")
"""What the runner adds to a finished step."""


def cache_dir() -> Path:
    """`$XDG_CACHE_HOME/splatworks`, by default `~/.cache/splatworks`."""
    if os.name == "nt":
        base = os.environ.get("LOCALAPPDATA") or "~"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "splatworks"


def hash_file(path: Path, *, fresh: bool = False) -> str:
    """SHA-256 of a file's bytes, in hexadecimal. `fresh` ignores the cache (and renews it)."""
    before = os.stat(path)
    entry = _entry(path, before)
    if entry is not None and not fresh:
        known = _known(entry)
        if known is not None:
            return known
    with open(path, "rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    after = os.stat(path)
    if entry is not None and _stamp(before) == _stamp(after):
        _remember(entry, digest)
    return digest


def hash_directory(path: Path, *, fresh: bool = False) -> str:
    """SHA-256 over the sorted relative names and hashes of all files below `path`.

    The directory of a finished step may be an artifact as a whole; the runner's notes in it are no
    part of that.
    """
    total = hashlib.sha256()
    files = dict(files_below(path))
    if files.keys() >= {*NOTES}:
        files = {name: file for name, file in files.items() if name not in NOTES}
    for name, file in sorted(files.items()):
        total.update(name.encode("utf-8", "surrogateescape") + b"\0")
        total.update(hash_file(file, fresh=fresh).encode() + b"\n")
    return total.hexdigest()


def hash_artifact(artifact: Artifact, *, fresh: bool = False) -> str:
    """Hash of all that an artifact is: its file or directory, and its companions.

    A single file hashes to its own SHA-256, so that `sha256sum` shows the same.
    """
    path = artifact.path
    if path.is_dir():
        return hash_directory(path, fresh=fresh)
    digest = hash_file(path, fresh=fresh)
    beside = {
        companion.suffix: hash_file(companion, fresh=fresh)
        for companion in artifact.companions(path)
        if companion.is_file()
    }
    if not beside:
        return digest
    return hash_text(canonical({"file": digest, "beside": beside}))


def hash_text(text: str) -> str:
    """SHA-256 of a text in UTF-8."""
    return hashlib.sha256(text.encode()).hexdigest()


def files_below(path: Path) -> Iterator[tuple[str, Path]]:
    """(relative name with `/`, path) of every file below a directory; links are followed."""
    for folder, folders, files in os.walk(path, followlinks=True):
        folders.sort()
        for name in folders:
            inside = os.path.join(os.path.realpath(folder), "")
            if inside.startswith(os.path.join(os.path.realpath(Path(folder) / name), "")):
                raise InputError(f"{Path(folder) / name} links to its own parent. Remove the link.")
        for file in files:
            full = Path(folder) / file
            if not full.is_file():
                raise InputError(f"{full} is neither a file nor a directory, or a broken link.")
            yield full.relative_to(path).as_posix(), full


def _stamp(stat: os.stat_result) -> tuple[int, ...]:
    # The change time goes beyond (size, mtime, inode): it catches an edit with a forged mtime.
    return stat.st_size, stat.st_mtime_ns, stat.st_ino, stat.st_ctime_ns


def _entry(path: Path, stat: os.stat_result) -> Path | None:
    """Where the cache keeps the hash of this version of a file; `None`: not worth it."""
    if stat.st_size < WORTH_CACHING_BYTES:
        return None
    if time.time() - max(stat.st_mtime, stat.st_ctime) < SETTLED_S:
        return None
    name = hash_text(canonical([os.path.realpath(path), *_stamp(stat)]))
    return cache_dir() / "hashes" / name[:2] / name


def _known(entry: Path) -> str | None:
    try:
        text = entry.read_text("ascii")
    except (OSError, UnicodeDecodeError):
        return None
    return text if len(text) == 64 else None


def _remember(entry: Path, digest: str) -> None:
    temporary = entry.with_name(f"{entry.name}.{os.getpid()}.tmp")
    try:
        entry.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(digest, "ascii")
        os.replace(temporary, entry)
    except OSError:
        return  # The cache is only a shortcut.
