"""`.spz` and compressed PLY, through gsply: the one file that imports it.

gsply keeps coordinates as they are, but an SPZ file is +Y up by definition (right, up, back), so
scenes are turned upright by their sidecar before they are written; what is read is +Y up.
"""

import importlib
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ...pipeline.contract import replacing
from ...pipeline.errors import InputError, MissingError
from .splats import RawSplats, problems

HEADER_BYTES = 1 << 14
CHUNK_BYTES, VERTEX_BYTES = 48, 16
"""At least so many per chunk (of 256 Gaussians) and per Gaussian of a compressed PLY."""
MOST_GAUSSIANS = 10_000_000
"""Of an SPZ file, as in its authors' reader."""
SPZ_BYTES = 65
"""Of one Gaussian of degree 3, unfolded."""


def save_spz(splats: RawSplats, path: Path) -> Path:
    """Version 3 (gzip), which every reader knows. Must be +Y up already. Returns `path`."""
    if splats.sidecar.up_axis != "+y":
        raise ValueError(f"an SPZ file is +Y up, the splats are {splats.sidecar.up_axis} up.")
    gsply = _gsply("an .spz file")
    with replacing(Path(path)) as temporary, _calm():
        gsply.write_spz(temporary, _held(gsply, splats), version=3)
    return Path(path)


def save_compressed(splats: RawSplats, path: Path) -> Path:
    """PlayCanvas' compressed PLY, what SuperSplat writes by default. Returns `path`."""
    gsply = _gsply("a compressed PLY")
    with _calm():
        data = gsply.compress_to_bytes(_held(gsply, splats))
    with replacing(Path(path)) as temporary:
        temporary.write_bytes(data)
    return Path(path)


def load(path: Path) -> RawSplats:
    """An `.spz` file, or a compressed PLY."""
    path = Path(path)
    is_spz = path.suffix.lower() == ".spz"
    gsply = _gsply("an .spz file" if is_spz else "a compressed PLY")
    try:
        (_check_spz if is_spz else _check_compressed)(path)
        with _calm():
            found = (gsply.read_spz if is_spz else gsply.plyread)(path)
        return _sound(found, path)
    except InputError:
        raise
    except (ValueError, OSError, EOFError, IndexError, KeyError, TypeError, zlib.error) as error:
        first = " ".join(str(error).split())[:200]
        raise InputError(f"{path}: no readable file, or cut short ({first}).") from None


def is_compressed(path: Path) -> bool:
    """Whether a PLY is of the compressed kind."""
    with Path(path).open("rb") as file:
        return b"element chunk" in file.read(HEADER_BYTES)


def _check_compressed(path: Path) -> None:
    """gsply looks for the end of the header without end, and believes its counts."""
    with path.open("rb") as file:
        head, end, _ = file.read(HEADER_BYTES).partition(b"end_header\n")
    words = [line.split() for line in head.split(b"\n")]
    counts = {line[1]: int(line[2]) for line in words if len(line) == 3 and line[0] == b"element"}
    chunks, vertices = counts.get(b"chunk", 0), counts.get(b"vertex", 0)
    body = path.stat().st_size - len(head) - len(end)
    if not end or not vertices or body < CHUNK_BYTES * chunks + VERTEX_BYTES * vertices:
        raise InputError(f"{path}: no readable file, or cut short ({vertices} Gaussians claimed).")


def _check_spz(path: Path) -> None:
    """A small file may unfold to any size: it is measured in pieces before it is read."""
    unfold = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    size, limit = 0, MOST_GAUSSIANS * SPZ_BYTES
    with path.open("rb") as file:
        if file.read(4) == b"NGSP":
            return  # Version 4 states the sizes of its parts, which are compared by the reader.
        file.seek(0)
        while piece := file.read(1 << 20):
            while piece and size <= limit:
                size += len(unfold.decompress(piece, 1 << 24))
                piece = unfold.unconsumed_tail
            if size > limit:
                raise InputError(f"{path}: unfolds to more than {MOST_GAUSSIANS} Gaussians.")


@contextmanager
def _calm() -> Iterator[None]:
    """Without numba's word, at its first parallel kernel, about libraries that it does not use."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The TBB threading layer")
        yield


def _held(gsply: Any, splats: RawSplats) -> Any:
    turns = splats.quaternions / np.linalg.norm(splats.quaternions, axis=1, keepdims=True)
    return gsply.GSData.from_arrays(
        means=splats.means,
        scales=splats.log_scales,
        quats=turns.astype(np.float32),
        opacities=splats.logit_opacities,
        sh0=splats.sh[:, 0],
        shN=splats.sh[:, 1:] if splats.sh.shape[1] > 1 else None,
        format="ply",
    )


def _sound(found: Any, path: Path) -> RawSplats:
    rest = np.zeros((len(found.means), 0, 3)) if found.shN is None else found.shN
    parts = [np.asarray(found.sh0)[:, None], np.asarray(rest).reshape(len(found.means), -1, 3)]
    splats = RawSplats(
        means=np.array(found.means, np.float32),
        log_scales=np.array(found.scales, np.float32),
        logit_opacities=np.array(found.opacities, np.float32).reshape(-1),
        quaternions=np.array(found.quats, np.float32),
        sh=np.concatenate(parts, axis=1).astype(np.float32),
    )
    wrong = problems(splats) if len(splats) else ["holds no Gaussians"]
    if wrong:
        raise InputError(f"{path}: {'; '.join(wrong[:4])}.")
    return splats


def _gsply(what: str) -> Any:
    try:
        return importlib.import_module("gsply")
    except ModuleNotFoundError:
        raise MissingError(f"{what} needs gsply. pip install 'splatworks[spz]'") from None
