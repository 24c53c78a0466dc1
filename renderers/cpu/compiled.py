"""How the kernels are compiled: options, and a cache that survives edits and read-only homes.

numba's own cache forgets that a kernel depends on other files: after an edit in one of them it
would go on serving the old code. So the cache directory carries a hash over all sources here, and
kernels of another package have a directory below it, with a hash over that package's sources.
"""

import functools
import hashlib
import os
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path

import numba
from numba.core.registry import cpu_target


def _lanes() -> int:
    """Floats per vector, from what numba compiles for (`NUMBA_CPU_FEATURES` can change that)."""
    forced = os.environ.get("SPLATWORKS_LANES")  # for tests, on machines of the other kind
    if forced in ("8", "16"):
        return int(forced)
    return 16 if "+avx512f" in _FEATURES else 8


_FEATURES = cpu_target.target_context.codegen().magic_tuple()[-1].split(",")
LANES = _lanes()
SCALES_BY_POWERS = LANES == 16 and "+avx512dq" in _FEATURES
"""Whether one instruction takes the fraction of a number and one scales by a power of two."""

HERE = Path(__file__).parent

_OPTIONS = {
    "nogil": True,
    "error_model": "numpy",
    "boundscheck": False,
    # Without nnan and ninf: the kernels test for NaN and infinity.
    "fastmath": {"contract", "nsz", "arcp", "afn", "reassoc"},
}

_STRICT = {**_OPTIONS, "fastmath": False}


@functools.cache
def source_hash(folder: Path = HERE) -> str:
    """Changes whenever any Python file in the folder does (by default, beside this one)."""
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.py")):
        digest.update(path.name.encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def _usable(directory: Path) -> bool:
    """Whether files can be made there and nobody else could have put some."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory):
            pass
        found = directory.stat()
    except OSError:
        return False
    if not hasattr(os, "getuid"):
        return True
    writable_by_others = found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    return found.st_uid == os.getuid() and not writable_by_others


@functools.cache
def cache_directory() -> Path:
    """NUMBA_CACHE_DIR, else the user's cache, else a private place among the temporary files."""
    name = f"splatworks-cpu-{source_hash()}-{LANES}"
    places = [Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser())]
    if os.environ.get("NUMBA_CACHE_DIR"):
        places.insert(0, Path(os.environ["NUMBA_CACHE_DIR"]))
    user = os.getuid() if hasattr(os, "getuid") else "user"
    candidates = [place / name for place in places]
    candidates.append(Path(tempfile.gettempdir()) / f"{name}-{user}")
    for directory in candidates:
        if _usable(directory):
            return directory
    return Path(tempfile.mkdtemp(prefix="splatworks-"))


def _directory_for(function: Callable) -> Path:
    folder = Path(function.__code__.co_filename).parent
    if folder == HERE:
        return cache_directory()
    return cache_directory() / f"{folder.name}-{source_hash(folder)}"


def is_cold() -> bool:
    """Whether the renderer has not been compiled into the cache yet."""
    return not any(cache_directory().rglob("blend.blend-*.nbi"))


def _cached(function: Callable, **options: object) -> Callable:
    # numba reads the directory while decorating; there is no argument for it.
    before = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = str(_directory_for(function))
    try:
        return numba.njit(cache=True, **options)(function)
    finally:
        numba.config.CACHE_DIR = before


def kernel(function: Callable) -> Callable:
    """Compile on first call and keep the machine code on disk. Releases the GIL; one thread."""
    return _cached(function, **_OPTIONS)


def part(function: Callable) -> Callable:
    """A piece of a kernel, always compiled into its caller."""
    return numba.njit(forceinline=True, **_OPTIONS)(function)


def lean_kernel(function: Callable) -> Callable:
    """A kernel that makes no arrays: no references are counted, and less code is loaded."""
    return _cached(function, _nrt=False, **_OPTIONS)


def inner(function: Callable) -> Callable:
    """A part of an inner loop, or of a lean kernel. It must not make arrays.

    Its arguments belong to the caller: without this, numba counts references to them up and down,
    atomically, wherever a part has a branch or a loop.
    """
    return numba.njit(forceinline=True, _nrt=False, **_OPTIONS)(function)


def strict_kernel(function: Callable) -> Callable:
    """A kernel that calls others, with IEEE arithmetic in the order written. It must not make
    arrays.

    A kernel that others call is compiled anew with each of them, and all run the copy that is
    loaded first: where sums may be reordered, the last bits of a result depend on what was
    compiled or read from the cache before. And references to arguments are counted at each call,
    for a tuple of ten arrays longer than a small kernel takes; `inner` says how that is avoided.
    """
    return _cached(function, _nrt=False, **_STRICT)


def strict_part(function: Callable) -> Callable:
    """A piece of a strict kernel, always compiled into its caller. It must not make arrays."""
    return numba.njit(forceinline=True, _nrt=False, **_STRICT)(function)
