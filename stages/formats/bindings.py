"""`binding/1`: which Gaussian lies where on which triangle of a mesh.

One safetensors file. Its tensors are the mesh at rest and, per Gaussian, all that is not the
mesh's: triangle, place on it, sizes, turn in its plane, opacity, color. Its JSON header says the
kind, the thickness and the sidecar of the splats. The file alone is enough to make the splats.
"""

from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ...pipeline.errors import InputError
from . import tensors as tensor_files
from .documents import check_kind
from .splats import REST_COUNTS, Sidecar

KIND = "binding/1"
SUM_TOLERANCE = 1e-6
"""Of the barycentrics of a place."""


@dataclass(frozen=True, slots=True)
class Binding:
    vertices: Float[Tensor, "vertex 3"]
    """At rest, in float32."""
    faces: Int[Tensor, "face 3"]
    owner: Int[Tensor, " n"]
    """The triangle of each Gaussian."""
    barycentrics: Float[Tensor, "n 3"]
    """In float64, not negative, adding up to 1."""
    log_scales: Float[Tensor, "n 2"]
    """In the plane."""
    turns: Float[Tensor, "n 2"]
    """Complex numbers, see `bound/frames.py`; never zero."""
    logit_opacities: Float[Tensor, " n"]
    sh: Float[Tensor, "n coefficient 3"]
    thickness: float
    """Standard deviation across the triangle, the same for all."""
    sidecar: Sidecar = field(default_factory=Sidecar)


TENSORS = tuple(f.name for f in fields(Binding) if f.name not in ("thickness", "sidecar"))
WIDE = {"barycentrics": torch.float64, "faces": torch.int32, "owner": torch.int32}
"""All others are float32."""


def save(binding: Binding, path: Path) -> Path:
    """Returns `path`."""
    metadata = {
        "kind": KIND,
        "thickness": binding.thickness,
        "sidecar": asdict(binding.sidecar),
    }
    values = {name: getattr(binding, name).to(_type(name)) for name in TENSORS}
    return tensor_files.save(values, path, metadata)


def load(path: Path) -> Binding:
    """Strict: another kind, a newer version, a missing tensor, a shape or a value that is off is an
    InputError that says which."""
    path = Path(path)
    values, metadata = tensor_files.load(path)
    check_kind(metadata.get("kind"), KIND, str(path))
    missing, extra = sorted(set(TENSORS) - set(values)), sorted(set(values) - set(TENSORS))
    if missing or extra:
        raise InputError(f"{path}: lacks the tensors {missing}; does not expect {extra}.")
    found = _problem(values)
    if found:
        raise InputError(f"{path}: {found}. The file is damaged; bind the mesh again.")
    thickness = metadata.get("thickness")
    if not isinstance(thickness, float) or not 0 < thickness < float("inf"):
        raise InputError(f"{path}: thickness must be positive, got {thickness!r}.")
    return Binding(**values, thickness=thickness, sidecar=_sidecar(path, metadata))


def _type(name: str) -> torch.dtype:
    return WIDE.get(name, torch.float32)


def _problem(values: dict[str, Tensor]) -> str | None:
    """What is wrong with the tensors, if anything."""
    count = len(values["owner"])
    coefficients = values["sh"].shape[1] if values["sh"].ndim == 3 else 0
    shapes = {
        "vertices": (len(values["vertices"]), 3), "faces": (len(values["faces"]), 3),
        "owner": (count,), "barycentrics": (count, 3), "log_scales": (count, 2),
        "turns": (count, 2), "logit_opacities": (count,), "sh": (count, coefficients, 3),
    }  # fmt: skip
    for name, shape in shapes.items():
        held = values[name]
        if tuple(held.shape) != shape or held.dtype != _type(name):
            return f"{name} is {held.dtype} of shape {tuple(held.shape)}, expected {shape}"
        if not bool(held.isfinite().all()):
            return f"{name} holds values that are not finite"
    if not count or 3 * (coefficients - 1) not in REST_COUNTS:
        return f"holds {count} Gaussians with {coefficients} SH coefficients"
    for name, limit in (("faces", len(values["vertices"])), ("owner", len(values["faces"]))):
        if not 0 <= int(values[name].min()) <= int(values[name].max()) < limit:
            return f"{name} names numbers outside of 0..{limit - 1}"
    weights = values["barycentrics"]
    if float(weights.min()) < 0 or float((weights.sum(dim=1) - 1).abs().max()) > SUM_TOLERANCE:
        return "barycentrics are negative or do not add up to 1"
    if not bool((values["turns"] != 0).any(dim=1).all()):
        return "a turn is zero"
    return None


def _sidecar(path: Path, metadata: dict[str, Any]) -> Sidecar:
    values = metadata.get("sidecar")
    try:
        values = dict(values)  # type: ignore[arg-type]
        values["source_transform"] = tuple(values["source_transform"])
        return Sidecar(**values)
    except (TypeError, ValueError, KeyError) as error:
        raise InputError(f"{path}: its sidecar is off ({error}).") from None
