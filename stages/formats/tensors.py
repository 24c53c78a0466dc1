"""`tensors/1`: named tensors and a little JSON in one safetensors file."""

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import safetensors
import torch
from safetensors.torch import save_file

from ...pipeline.contract import replacing
from ...pipeline.errors import InputError

KEY = "splatworks"
"""All metadata lie in one entry: safetensors writes several in no fixed order."""


def save(
    tensors: Mapping[str, torch.Tensor], path: Path, metadata: Mapping[str, Any] | None = None
) -> Path:
    """Write tensors and JSON-able metadata; the same values give the same bytes."""
    plain = {name: tensors[name].detach().cpu().contiguous().clone() for name in sorted(tensors)}
    text = json.dumps(dict(metadata or {}), sort_keys=True)
    with replacing(Path(path)) as temporary:
        save_file(plain, temporary, metadata={KEY: text})
    return Path(path)


def load(
    path: Path, names: Collection[str] | None = None
) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Read tensors and metadata, copied into memory of their own.

    Args:
        names: What the file must hold, no more and no less; `None` takes whatever is there.
    """
    if not Path(path).is_file():
        raise InputError(f"{path}: no such file.")
    try:
        with safetensors.safe_open(str(path), framework="pt") as file:
            header = file.metadata() or {}
            # Cloned, since the mapped file may be replaced or cut while the tensors live on.
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
        text = header.get(KEY)
        metadata = dict(header) if text is None else json.loads(text)
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        raise InputError(f"{path}: no readable safetensors file, or cut short ({error}).") from None
    if names is not None:
        missing, extra = sorted(set(names) - set(tensors)), sorted(set(tensors) - set(names))
        if missing or extra:
            raise InputError(f"{path}: lacks the tensors {missing}; does not expect {extra}.")
    return tensors, metadata
