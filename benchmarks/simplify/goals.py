"""What our rows must reach, checked on the rows themselves.

Differences and ratios to another tool are medians over the meshes of what they are on each mesh,
not differences of medians. Everything is judged as measured: a missing row is a FAIL.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

Row = dict[str, Any]
Rows = Mapping[tuple[str, str, float], Row]
"""By (tool, mesh, ratio)."""

RATIOS = (0.1, 0.05, 0.02, 0.01)
IOU = {0.1: 0.975, 0.05: 0.955, 0.02: 0.925, 0.01: 0.87}
NEAR = 1.1
"""A peer reached its target with at most so many times the faces."""


@dataclass(frozen=True)
class Goal:
    text: str
    found: str
    passed: bool

    def __str__(self) -> str:
        return f"{'PASS' if self.passed else 'FAIL'}  {self.text}: {self.found}"


def check(rows: Rows, meshes: list[str], peers: list[str]) -> list[Goal]:
    """All goals. `peers` are the textured tools that are not ours."""
    goals: list[Goal] = []
    for ratio in RATIOS:
        ours = {mesh: rows.get(("ours", mesh, ratio)) for mesh in meshes}
        good = {mesh: row for mesh, row in ours.items() if row and not row["error"]}
        whole = len(good) == len(meshes)
        at = f"{ratio:.0%}"
        reached = [mesh for mesh, row in good.items() if reaches(row)]
        goals.append(
            Goal(
                f"{at}: target reached within 1 % (or one face) on all meshes",
                f"{len(reached)} of {len(meshes)}",
                len(reached) == len(meshes),
            )
        )
        goals += _against_textured(rows, good, ratio, peers)
        goals += _against_meshlab(rows, good, ratio, len(meshes))
        goals += [
            _median(good, "iou", f"{at}: silhouette IoU", lambda v, r=ratio: v >= IOU[r],
                    f">= {IOU[ratio]}", whole),
            _median(good, "bleeding", f"{at}: bleeding", lambda v: v <= 0.001, "<= 0.1 %", whole,
                    scale=100, unit=" %"),
        ]  # fmt: skip
        if ratio >= 0.02:
            lost = [mesh for mesh, row in good.items() if row["lost_parts"]]
            goals.append(
                Goal(
                    f"{at}: no part of more than 2 % of the area lost",
                    "none" if whole and not lost else f"{', '.join(lost) or 'rows missing'}",
                    whole and not lost,
                )
            )
    half = {mesh: rows.get(("ours", mesh, 0.5)) for mesh in meshes}
    good = {mesh: row for mesh, row in half.items() if row and not row["error"]}
    goals.append(
        _median(
            good,
            "color_psnr_db",
            "50%: color PSNR",
            lambda v: v >= 33,
            ">= 33 dB",
            len(good) == len(meshes),
            unit=" dB",
        )
    )
    goals += _sound(rows)
    goals += _speed(rows, meshes)
    return goals


def reaches(row: Row) -> bool:
    return abs(row["faces"] - row["asked"]) <= max(0.01 * row["asked"], 1)


def _against_textured(rows: Rows, good: dict[str, Row], ratio: float, peers: list[str]):
    for peer in peers:
        pairs = list(_pairs(rows, good, peer, ratio))
        gains = [
            row["color_psnr_db"] - other["color_psnr_db"]
            for row, other in pairs
            if other["faces"] <= NEAR * other["asked"]
        ]
        text = f"{ratio:.0%}: color PSNR against {peer} where it reached the target, >= +2 dB"
        if not gains:
            yield Goal(text, "it reached none" if pairs else "no rows", bool(pairs))
            continue
        found = f"{median(gains):+.1f} dB (worst {min(gains):+.1f}, {len(gains)} meshes)"
        yield Goal(text, found, median(gains) >= 2)


def _against_meshlab(rows: Rows, good: dict[str, Row], ratio: float, count: int) -> Iterator[Goal]:
    pairs = list(_pairs(rows, good, "meshlab", ratio))
    if not pairs:
        yield Goal(f"{ratio:.0%}: against MeshLab's geometry", "no rows", False)
        return
    whole = len(pairs) == count
    note = "" if whole else f", {len(pairs)} meshes only"
    for name, key, least in (
        ("color PSNR", "color_psnr_db", 0.5),
        ("normal-view PSNR", "normal_psnr_db", 1.0),
    ):
        gains = [row[key] - other[key] for row, other in pairs]
        yield Goal(
            f"{ratio:.0%}: {name} against MeshLab's geometry with perfect colors, >= +{least:g} dB",
            f"{median(gains):+.2f} dB (worst {min(gains):+.1f}{note})",
            whole and median(gains) >= least,
        )
    shares = [row["chamfer"] / max(other["chamfer"], 1e-12) for row, other in pairs]
    yield Goal(
        f"{ratio:.0%}: Chamfer against MeshLab's geometry, <= 0.85 times",
        f"{median(shares):.2f} times (worst {max(shares):.2f}{note})",
        whole and median(shares) <= 0.85,
    )


def _pairs(rows: Rows, good: dict[str, Row], peer: str, ratio: float):
    for mesh, row in good.items():
        other = rows.get((peer, mesh, ratio))
        if other and not other["error"]:
            yield row, other


def _median(
    good: dict[str, Row], key: str, text: str, passes: Callable[[float], bool], wanted: str,
    whole: bool, *, scale: float = 1, unit: str = "",
) -> Goal:  # fmt: skip
    if not good:
        return Goal(f"{text} {wanted}", "no rows", False)
    found = median(row[key] for row in good.values())
    note = "" if whole else f" over {len(good)} meshes only"
    return Goal(f"{text} {wanted}", f"{scale * found:.3f}{unit}{note}", whole and passes(found))


def _sound(rows: Rows) -> Iterator[Goal]:
    ours = [row for (tool, _, _), row in rows.items() if tool == "ours"]
    bad = [row for row in ours if row["error"] or any(row["faults"].values())]
    names = ", ".join(sorted({f"{row['mesh']} {row['ratio']:.0%}" for row in bad}))
    yield Goal("output is sound (indices, NaN, degenerate, duplicate, UVs)",
               names or f"all {len(ours)} files", bool(ours) and not bad)  # fmt: skip
    checked = [row for row in ours if "validator_errors" in row]
    wrong = [row for row in checked if row["validator_errors"]]
    yield Goal("Khronos validator finds no errors",
               f"{len(checked) - len(wrong)} of {len(ours)} files without",
               bool(ours) and len(checked) == len(ours) and not wrong)  # fmt: skip


def _speed(rows: Rows, meshes: list[str]) -> Iterator[Goal]:
    for name, text, least in (
        ("ours_geometry", "core at 10% against MeshLab's quadric collapse, >= 1.5 times its speed",
         1.5),
        ("ours", "whole command at 10% within 3 times MeshLab's whole run, so >= 0.33 of its speed",
         1 / 3),
    ):  # fmt: skip
        key = "core_s" if name == "ours_geometry" else "total_s"
        shares = []
        for mesh in meshes:
            row, other = rows.get((name, mesh, 0.1)), rows.get(("meshlab", mesh, 0.1))
            if row and other and row.get(key) and other.get(key):
                shares.append(other[key] / row[key])
        found = f"{median(shares):.2f} times ({len(shares)} meshes)" if shares else "no rows"
        yield Goal(text, found, bool(shares) and median(shares) >= least)
