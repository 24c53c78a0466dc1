"""Numbered checkpoints of a loop: the newest two are kept, so that a damaged one is no loss."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from ...pipeline.errors import InputError
from . import tensors as tensor_files

KEPT = 2


def save(
    tensors: Mapping[str, Tensor], metadata: Mapping[str, Any], scratch: Path, iteration: int
) -> Path:
    """Write the checkpoint before `iteration` and drop all but the newest `KEPT`.

    Args:
        metadata: Its `signature` says which run this belongs to.
    """
    path = tensor_files.save(tensors, scratch / f"checkpoint-{iteration:07d}.safetensors", metadata)
    for old in _found(scratch)[:-KEPT]:
        old.unlink()
    return path


def newest(scratch: Path, signature: str) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """The newest readable one of the run with this signature; None where there is none."""
    for path in reversed(_found(scratch)):
        try:
            tensors, metadata = tensor_files.load(path)
        except InputError:
            continue  # The one before it is there for this.
        if metadata.get("signature") == signature:
            return tensors, metadata
    return None


def _found(scratch: Path) -> list[Path]:
    return sorted(scratch.glob("checkpoint-*.safetensors"))
