"""Photographs in, a capture out, around COLMAP."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...pipeline.contract import Context, replacing
from ...pipeline.errors import InputError
from ..artifacts import CaptureDir, ReportFile
from . import Config, Outputs
from .child import check_installed, run_colmap
from .pairing import pairs_of
from .photographs import FEWEST, Photograph, list_photographs, reduce

NAMED = 5
"""So many photographs are named, the others counted."""


def find_poses(folder: Path, config: Config, ctx: Context) -> Outputs:
    """Find cameras and write photographs and cameras as a COLMAP capture."""
    check_installed()
    photographs = _reduced(folder, config, ctx)
    found = run_colmap(_job(photographs, config, ctx), ctx)
    _check(folder, found)
    _say(photographs, found, ctx)
    capture = ctx.out / "capture"
    shutil.copytree(ctx.scratch / "model", capture / "sparse" / "0")
    for number in found["registered"]:
        target = capture / "images" / photographs[number].name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(photographs[number].path, target)
    return Outputs(
        capture=CaptureDir(capture),
        report=ReportFile(_report(photographs, found, ctx.out / "report.json")),
    )


def _reduced(folder: Path, config: Config, ctx: Context) -> list[Photograph]:
    listed = list_photographs(folder)
    copies = ctx.scratch / "copies"
    copies.mkdir(exist_ok=True)
    photographs = []
    with ctx.progress("photographs", len(listed)) as bar:
        for number, (name, path) in enumerate(listed):
            copy = copies / f"{number:06d}.png"
            photographs.append(reduce(name, path, config.max_side_px, copy))
            bar.advance()
    return photographs


def _job(photographs: Sequence[Photograph], config: Config, ctx: Context) -> dict[str, Any]:
    shared: dict[str, list[int]] = {}
    for number, photograph in enumerate(photographs):
        shared.setdefault(photograph.camera, []).append(number)
    return {
        "copies": str(ctx.scratch / "copies"),
        "work": str(ctx.scratch),
        "lens": config.lens,
        "features": config.features,
        "threads": ctx.threads,
        "seed": ctx.seed % 2**31,
        "names": [photograph.name for photograph in photographs],
        "sizes_px": [photograph.size_px for photograph in photographs],
        "copy_sizes_px": [photograph.copy_px for photograph in photographs],
        "cameras": [(members, _focal(photographs[members[0]])) for members in shared.values()],
        "pairs": pairs_of(len(photographs), config.pairs),
    }


def _focal(photograph: Photograph) -> float | None:
    """In pixels of the copy."""
    if photograph.focal_px is None:
        return None
    return photograph.focal_px * max(photograph.copy_px) / max(photograph.size_px)


def _check(folder: Path, found: dict[str, Any]) -> None:
    """Say in one line why there is no model."""
    count = len(found["features"])
    bare = sum(not features for features in found["features"])
    if count - bare < FEWEST:
        raise InputError(
            f"{folder}: {bare} of {count} photographs have nothing in them to recognize (blank, "
            f"black or blurred); cameras need at least {FEWEST} that have."
        )
    if not found["models"]:
        raise InputError(
            f"{folder}: no cameras can be found: no two of the {count} photographs show enough of "
            f"the same from different places. Neighbors should overlap by two thirds, taken from "
            f"steps to the side, not by turning on the spot."
        )


def _say(photographs: Sequence[Photograph], found: dict[str, Any], ctx: Context) -> None:
    registered = found["registered"]
    ctx.log.info(
        "%d of %d photographs registered; %d points, reprojection error %.2f px",
        len(registered),
        len(photographs),
        found["points"],
        found["reprojection_error_px"],
    )
    left = _left_out(photographs, found)
    if left:
        more = f" and {len(left) - NAMED} more" if len(left) > NAMED else ""
        apart = found["models"][1:]
        others = f" Smaller models, of {', '.join(map(str, apart))}, stay aside." if apart else ""
        ctx.log.warning(
            "no cameras for %d of %d photographs, which are left out: %s%s.%s",
            len(left),
            len(photographs),
            ", ".join(left[:NAMED]),
            more,
            others,
        )


def _left_out(photographs: Sequence[Photograph], found: dict[str, Any]) -> list[str]:
    registered = set(found["registered"])
    return [each.name for number, each in enumerate(photographs) if number not in registered]


def _report(photographs: Sequence[Photograph], found: dict[str, Any], path: Path) -> Path:
    report = {
        "photographs": len(photographs),
        "registered": len(found["registered"]),
        "left_out": _left_out(photographs, found),
        "model_sizes": found["models"],
        "points": found["points"],
        "reprojection_error_px": round(found["reprojection_error_px"], 4),
        "lenses": found["lenses"],
    }
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(report, indent=1) + "\n", "utf-8")
    return path
