"""What is in a splat PLY, and which programs will stumble over it.

Reads more than `formats/splats.py` accepts, so that all that is wrong is said at once.
"""

from pathlib import Path

import numpy as np

from ..formats.ply_header import Header, read_header
from ..formats.splats import REST_COUNTS, SMALLEST_QUATERNION, field_names, load_sidecar
from .remarks import Remark, fact, share

NEEDED = tuple(name for name in field_names(1) if not name.startswith("n"))
FAR_UNITS = 1e4
"""From here on float32 leaves less than a millimetre between neighboring positions."""
MANY = 4_000_000
"""Gaussians beyond which web viewers and game engines struggle."""
FAINT = 1 / 255
SPZ_BYTES = 20
SPLAT_BYTES = 32


def remarks_on_splats(path: Path) -> list[Remark]:
    """Facts first, then what is wrong, in the order of the file."""
    header = read_header(path)
    remarks = [fact(f"{header.count:,} Gaussians, {path.stat().st_size / 1e6:.1f} MB")]
    missing = [name for name in NEEDED if name not in header.types]
    if missing:
        return [*remarks, Remark("error", f"lacks {', '.join(missing)}: no Gaussian splats")]
    if not header.count:
        return [*remarks, Remark("error", "holds no Gaussians")]
    rows = header.rows(path)
    return [
        *remarks,
        *_on_harmonics(header),
        *_on_layout(path, header),
        *_on_sidecar(path),
        *_on_values(header, rows),
        *_on_places(rows),
        *_on_shapes(rows),
        *_on_size(header),
    ]


def _on_harmonics(header: Header) -> list[Remark]:
    rest = [name for name in header.types if name.startswith("f_rest_")]
    numbered = {f"f_rest_{k}" for k in range(len(rest))}
    if len(rest) not in REST_COUNTS or set(rest) != numbered:
        return [
            Remark(
                "error",
                f"{len(rest)} f_rest properties; readers expect 0, 9, 24 or 45, numbered from 0",
                "save it anew from the program that made it",
            )
        ]
    degree = REST_COUNTS.index(len(rest))
    found = [fact(f"spherical harmonics of degree {degree}")]
    if degree in (1, 2):
        found.append(
            Remark("note", "some readers (game engine plug-ins) expect degree 3 or 0 only")
        )
    return found


def _on_layout(path: Path, header: Header) -> list[Remark]:
    found = []
    with path.open("rb") as file:
        lines = file.read(header.offset).split(b"\n")
    if any(line.startswith((b"comment", b"obj_info")) for line in lines):
        found.append(
            Remark("warning", "comment lines in the header: some readers (Godot) stop at them")
        )
    doubles = [name for name, kind in header.types.items() if kind == "<f8"]
    if doubles:
        found.append(
            Remark("warning", f"{len(doubles)} properties are double; most readers expect float")
        )
    extra = [name for name in header.types if name not in field_names(16)]
    if extra:
        found.append(Remark("note", f"further properties: {', '.join(extra[:6])}"))
    count = 1 + sum(name.startswith("f_rest_") for name in header.types) // 3
    if count in (1, 4, 9, 16) and not extra and list(header.types) != field_names(count):
        found.append(
            Remark(
                "warning",
                "properties are not in the reference order: readers that go by position fail",
                "every stage that writes splats writes them in order",
            )
        )
    return found


def _on_sidecar(path: Path) -> list[Remark]:
    sidecar = load_sidecar(path)
    found = [fact(f"up is {sidecar.up_axis}, colors are {sidecar.color_space}")]
    if sidecar.antialiased:
        found.append(
            Remark("note", "trained antialiased: looks too thick where a viewer does not know that")
        )
    return found


def _on_values(header: Header, rows: np.ndarray) -> list[Remark]:
    found = []
    for name in header.types:
        if name in ("nx", "ny", "nz"):
            continue
        column = rows[name]
        bad = np.flatnonzero(~np.isfinite(column)) if column.dtype.kind == "f" else []
        if len(bad):
            found.append(
                Remark(
                    "error",
                    f"{name}: {share(len(bad), len(rows))} are not finite (first: Gaussian "
                    f"{bad[0]}); one is enough for some viewers to show nothing",
                    "delete these Gaussians",
                )
            )
    length = np.sqrt(sum(np.square(rows[f"rot_{k}"].astype(np.float64)) for k in range(4)))
    zero = int((length < SMALLEST_QUATERNION).sum())
    if zero:
        found.append(
            Remark("error", f"{share(zero, len(rows))} quaternions are zero", "delete them")
        )
    return found


def _on_places(rows: np.ndarray) -> list[Remark]:
    means = np.stack([rows[axis] for axis in "xyz"], axis=1).astype(np.float64)
    means = means[np.isfinite(means).all(axis=1)]
    if not len(means):
        return []
    low, high = means.min(axis=0), means.max(axis=0)
    inner = np.percentile(means, [1, 99], axis=0)
    found = [
        fact(f"bounds {_triple(low)} to {_triple(high)}"),
        fact(f"98 % lie within {_triple(inner[0])} to {_triple(inner[1])}"),
    ]
    if np.abs(means).max() > FAR_UNITS:
        found.append(
            Remark(
                "warning",
                f"places as far as {np.abs(means).max():.3g} units from the origin: viewers that "
                f"compute in float32 will jitter",
                "move it to the origin (center in an edit script)",
            )
        )
    spread, core = (high - low).max(), (inner[1] - inner[0]).max()
    if core > 0 and spread > 20 * core:
        found.append(
            Remark(
                "note",
                f"a few Gaussians lie far outside ({spread / core:.0f} times the size of the rest):"
                f" cameras that frame the bounds will see a dot",
                "select them as floaters and delete them",
            )
        )
    return found


def _on_shapes(rows: np.ndarray) -> list[Remark]:
    logs = np.stack([rows[f"scale_{k}"] for k in range(3)], axis=1).astype(np.float64)
    logit = rows["opacity"].astype(np.float64)
    finite = np.isfinite(logs).all(axis=1) & np.isfinite(logit)
    if not finite.any():
        return []
    logs, opacity = np.sort(logs[finite], axis=1), 1 / (1 + np.exp(-logit[finite].clip(-80, 80)))
    size = np.exp(logs[:, 2].clip(-80, 80))
    found = [
        fact(
            f"sizes {np.percentile(size, 1):.3g} to {np.percentile(size, 99):.3g} units (98 %), "
            f"median opacity {np.median(opacity):.2f}"
        )
    ]
    faint = int((opacity < FAINT).sum())
    if faint > 0.01 * len(opacity):
        found.append(Remark("note", f"{share(faint, len(opacity))} are invisible (below 1/255)"))
    if logs[:, 2].max() > 20 or logs[:, 0].min() < -30:
        found.append(
            Remark(
                "warning",
                f"log scales from {logs.min():.3g} to {logs.max():.3g}: outside of what half "
                f"precision and compressed formats hold",
            )
        )
    positive = int((opacity > 1 - 1e-7).sum())
    if logit[finite].min() >= 0 and logit[finite].max() <= 1 and positive == 0:
        found.append(
            Remark(
                "warning",
                "all opacities lie in 0..1: perhaps they were saved after the sigmoid, and will "
                "look pale",
            )
        )
    return found


def _on_size(header: Header) -> list[Remark]:
    columns = 17 + sum(name.startswith("f_rest_") for name in header.types)
    found = [
        fact(
            f"as .ply {4 * columns * header.count / 1e6:.1f} MB, without view dependence "
            f"{4 * 17 * header.count / 1e6:.1f} MB, as .splat "
            f"{SPLAT_BYTES * header.count / 1e6:.1f} MB, as .spz about "
            f"{SPZ_BYTES * header.count / 1e6:.1f} MB"
        )
    ]
    if header.count > MANY:
        found.append(
            Remark("note", f"more than {MANY:,}: too many for most web viewers and engines")
        )
    return found


def _triple(values: np.ndarray) -> str:
    return "(" + ", ".join(f"{value:.4g}" for value in values) + ")"
