"""`splats/1`: Gaussians as raw values in the PLY layout of the reference 3DGS code.

Binary little-endian, float32, fields in the reference order and no comment lines, so that the
file opens unchanged in other tools:

    x y z  nx ny nz  f_dc_0..2  f_rest_0..m  opacity  scale_0..2  rot_0..3

Raw means log scale, logit opacity, unnormalized (w, x, y, z) quaternion. `f_rest` is channel
major: all coefficients of red, then of green, then of blue. Nothing is activated here; that is
`geometry/activation.py`. What a PLY cannot say stands in a sidecar `NAME.json`.
"""

import json
import math
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from jaxtyping import Float32

from ...pipeline.contract import replacing
from ...pipeline.errors import InputError
from . import documents
from .ply_header import Header, read_header, vertical_axis

Axis = Literal["+x", "-x", "+y", "-y", "+z", "-z"]
IDENTITY = tuple(float(row == column) for row in range(4) for column in range(4))
REST_COUNTS = (0, 9, 24, 45)
"""Numbers of `f_rest` fields of SH degree 0-3."""
SMALLEST_QUATERNION = 1e-12
SIDECAR_KIND = "splats-sidecar/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sidecar:
    """What the PLY itself cannot say. The defaults hold when there is no `NAME.json`."""

    antialiased: bool = False
    """Trained with the opacity compensation of Mip-Splatting (gsplat's `antialiased`)."""
    up_axis: Axis = "+y"
    meters_per_unit: float = 1.0
    color_space: Literal["srgb", "linear"] = "srgb"
    source_transform: tuple[float, ...] = IDENTITY
    """Row-major 4x4 that took the original file's coordinates to these."""

    def __post_init__(self) -> None:
        scale, matrix = self.meters_per_unit, self.source_transform
        if type(self.antialiased) is not bool:
            raise ValueError(f"antialiased must be true or false, got {self.antialiased!r}.")
        if self.up_axis not in get_args(Axis):
            raise ValueError(f"up_axis must be one of {get_args(Axis)}, got {self.up_axis!r}.")
        if not (_is_number(scale) and scale > 0):
            raise ValueError(f"meters_per_unit must be positive and finite, got {scale!r}.")
        if self.color_space not in ("srgb", "linear"):
            raise ValueError(f"color_space must be srgb or linear, got {self.color_space!r}.")
        if len(matrix) != 16 or not all(_is_number(value) for value in matrix):
            raise ValueError("source_transform must be 16 finite numbers, row by row.")


@dataclass(frozen=True, slots=True)
class RawSplats:
    """What the file holds: the optimizer's parameters, not what enters the image formation."""

    means: Float32[np.ndarray, "n 3"]
    log_scales: Float32[np.ndarray, "n 3"]
    logit_opacities: Float32[np.ndarray, " n"]
    quaternions: Float32[np.ndarray, "n 4"]
    """(w, x, y, z), unnormalized, never zero."""
    sh: Float32[np.ndarray, "n coefficient 3"]
    """1, 4, 9 or 16 coefficients; color = max(0, sum + 0.5)."""
    sidecar: Sidecar = field(default_factory=Sidecar)

    def __len__(self) -> int:
        return len(self.means)


def load(path: Path) -> RawSplats:
    """Read a splat PLY and its sidecar.

    The order of the properties is free, unknown ones are skipped, float64 is rounded to float32.
    Everything else that is off (a missing field, a body of the wrong length, a value that is not
    finite, a quaternion without direction) is an `InputError`; nothing is repaired.
    """
    path = Path(path)
    header = read_header(path)
    _check_fields(header)
    sidecar = load_sidecar(path)
    rows = header.rows(path)
    rest = _columns(rows, _rest_names(header))
    splats = RawSplats(
        means=_columns(rows, ["x", "y", "z"]),
        log_scales=_columns(rows, _numbered("scale", 3)),
        logit_opacities=_columns(rows, ["opacity"])[:, 0],
        quaternions=_columns(rows, _numbered("rot", 4)),
        sh=_join_sh(_columns(rows, _numbered("f_dc", 3)), rest),
        sidecar=sidecar,
    )
    found = problems(splats)
    if found:
        shown = "; ".join(found[:4]) + (f"; and {len(found) - 4} more" if len(found) > 4 else "")
        raise InputError(f"{path}: {shown}. Remove or repair these Gaussians and try again.")
    return splats


def is_splats(path: Path) -> bool:
    """Whether a PLY looks as if it held Gaussians, sound or not."""
    with path.open("rb") as file:
        head = file.read(1 << 14)
    return b"f_dc_0" in head or b"scale_0" in head or b"rot_0" in head


def save(splats: RawSplats, path: Path) -> Path:
    """Write the PLY, and the sidecar where it says more than the defaults.

    Returns `path`. An older sidecar of the same name is brought up to date, so that it can not
    speak about the wrong file.
    """
    path = Path(path)
    check(splats)
    table = np.zeros((len(splats), len(field_names(splats.sh.shape[1]))), "<f4")
    parts = [splats.means, np.zeros_like(splats.means), *_split_sh(splats.sh)]
    parts += [splats.logit_opacities[:, None], splats.log_scales, splats.quaternions]
    np.concatenate(parts, axis=1, out=table)
    beside = sidecar_path(path)
    if beside.exists():
        load_sidecar(path)  # Refuses to write over a JSON file that is not ours.
    if beside.exists() or splats.sidecar != Sidecar():
        _save_sidecar(splats.sidecar, beside)
    with replacing(path) as temporary, temporary.open("wb") as file:
        file.write(_header(len(splats), splats.sh.shape[1]))
        table.tofile(file)
    return path


def problems(splats: RawSplats) -> list[str]:
    """What keeps these values from being rendered: one line per property, with counts."""
    found = []
    for name, column in _named_columns(splats):
        bad = np.flatnonzero(~np.isfinite(column))
        if len(bad):
            kinds = f"{np.isnan(column).sum()} NaN and {np.isinf(column).sum()} infinite"
            found.append(f"{name} holds {kinds} values (first in Gaussian {bad[0]})")
    length = np.linalg.norm(splats.quaternions.astype(np.float64), axis=1)
    zero = np.flatnonzero(length < SMALLEST_QUATERNION)
    if len(zero):
        found.append(f"rot_0..3 holds {len(zero)} zero quaternions (first in Gaussian {zero[0]})")
    return found


def check(splats: RawSplats) -> None:
    """Raise ValueError unless the arrays fit each other and can be rendered."""
    count, coefficients = splats.sh.shape[:2]
    expected = {
        "means": (count, 3),
        "log_scales": (count, 3),
        "logit_opacities": (count,),
        "quaternions": (count, 4),
        "sh": (count, coefficients, 3),
    }
    for name, shape in expected.items():
        values = getattr(splats, name)
        if values.shape != shape or values.dtype != np.float32:
            raise ValueError(
                f"splats.{name} must be float32 of shape {shape}, "
                f"got {values.dtype} of shape {values.shape}."
            )
    if count == 0 or 3 * (coefficients - 1) not in REST_COUNTS:
        raise ValueError(
            f"splats need at least one Gaussian and 1, 4, 9 or 16 SH coefficients, "
            f"got {count} and {coefficients}."
        )
    found = problems(splats)
    if found:
        raise ValueError(f"splats can not be saved: {'; '.join(found[:4])}.")


def field_names(coefficients: int) -> list[str]:
    """The properties of the file, in the reference order."""
    names = ["x", "y", "z", "nx", "ny", "nz", *_numbered("f_dc", 3)]
    names += _numbered("f_rest", 3 * (coefficients - 1))
    return [*names, "opacity", *_numbered("scale", 3), *_numbered("rot", 4)]


def sidecar_path(path: Path) -> Path:
    """Where the sidecar of a PLY stands."""
    return path.with_suffix(".json")


def load_sidecar(path: Path) -> Sidecar:
    """The sidecar of the PLY `path`. Where there is none: the defaults, but for the axis that a
    comment in the PLY says is up."""
    beside = sidecar_path(path)
    if not beside.exists():
        axis = vertical_axis(path)
        return Sidecar() if axis is None else Sidecar(up_axis=f"+{axis}")  # type: ignore[arg-type]
    values = documents.read_any(beside)
    if values.pop("kind", None) != SIDECAR_KIND:
        raise InputError(
            f'{beside}: stands where the sidecar of {path.name} belongs but has no "kind": '
            f'"{SIDECAR_KIND}". Rename one of the two.'
        )
    unknown = sorted(set(values) - {entry.name for entry in fields(Sidecar)})
    if unknown:
        raise InputError(f"{beside}: unknown entry {unknown[0]!r}.")
    if isinstance(values.get("source_transform"), list):
        values["source_transform"] = tuple(values["source_transform"])
    try:
        return Sidecar(**values)
    except (TypeError, ValueError) as error:
        raise InputError(f"{beside}: {error}") from None


def _save_sidecar(sidecar: Sidecar, path: Path) -> None:
    text = json.dumps({"kind": SIDECAR_KIND, **asdict(sidecar)}, indent=1, sort_keys=True)
    with replacing(path) as temporary:
        temporary.write_text(text + "\n", "utf-8")


def _header(count: int, coefficients: int) -> bytes:
    lines = ["ply", "format binary_little_endian 1.0", f"element vertex {count}"]
    lines += [f"property float {name}" for name in field_names(coefficients)]
    return ("\n".join([*lines, "end_header"]) + "\n").encode("ascii")


def _check_fields(header: Header) -> None:
    names = set(header.types)
    missing = [name for name in field_names(1) if name not in names and name[0] != "n"]
    if missing:
        if {"red", "green", "blue", "opacity", "rot_0"} <= names:
            raise InputError(
                f"{header.path}: splats with red, green, blue instead of f_dc_0..2, as ns-export "
                f"writes with --ply-color-mode rgb. Export them with sh_coeffs, its default."
            )
        raise InputError(
            f"{header.path}: no Gaussian splats: the PLY lacks {', '.join(missing)} "
            f"(it has {', '.join(list(header.types)[:8])} …)."
        )
    rest = _rest_names(header)
    stray = [name for name in names if name.startswith("f_rest_") and name not in rest]
    if len(rest) not in REST_COUNTS or stray:
        raise InputError(
            f"{header.path}: {len(rest) + len(stray)} f_rest properties; expected 0, 9, 24 or 45, "
            f"numbered from 0 (SH degree 0-3)."
        )
    for name in [name for name in field_names(1) if name[0] != "n"] + rest:
        if header.types[name] not in ("<f4", "<f8"):
            raise InputError(f"{header.path}: property {name} must be float or double.")
    if header.count == 0:
        raise InputError(f"{header.path}: holds no Gaussians (element vertex 0).")


def _rest_names(header: Header) -> list[str]:
    """f_rest_0, f_rest_1, … up to the first gap."""
    names: list[str] = []
    while f"f_rest_{len(names)}" in header.types:
        names.append(f"f_rest_{len(names)}")
    return names


def _columns(rows: np.ndarray, names: list[str]) -> Float32[np.ndarray, "n column"]:
    out = np.empty((len(rows), len(names)), np.float32)
    with np.errstate(over="ignore", invalid="ignore"):  # Overflow shows as inf, and is reported.
        for index, name in enumerate(names):
            out[:, index] = rows[name]
    return out


def _join_sh(
    dc: Float32[np.ndarray, "n 3"], rest: Float32[np.ndarray, "n m"]
) -> Float32[np.ndarray, "n coefficient 3"]:
    by_channel = rest.reshape(len(rest), 3, -1).transpose(0, 2, 1)
    return np.ascontiguousarray(np.concatenate([dc[:, None], by_channel], axis=1))


def _split_sh(sh: Float32[np.ndarray, "n coefficient 3"]) -> tuple[np.ndarray, np.ndarray]:
    """First coefficients, and the others channel by channel."""
    return sh[:, 0], sh[:, 1:].transpose(0, 2, 1).reshape(len(sh), -1)


def _named_columns(splats: RawSplats) -> list[tuple[str, np.ndarray]]:
    first, rest = _split_sh(splats.sh)
    tables = (("f_dc", first), ("f_rest", rest), ("scale", splats.log_scales))
    named = [(name, splats.means[:, axis]) for axis, name in enumerate("xyz")]
    named += [("opacity", splats.logit_opacities)]
    for prefix, table in (*tables, ("rot", splats.quaternions)):
        named += list(zip(_numbered(prefix, table.shape[1]), table.T, strict=True))
    return named


def _numbered(prefix: str, count: int) -> list[str]:
    return [f"{prefix}_{index}" for index in range(count)]


def _is_number(value: object) -> bool:
    return type(value) in (int, float) and math.isfinite(value)
