"""The stage's work: a subject and what it is judged by in, a report and a picture out."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from ...pipeline.contract import Context, replacing
from ...pipeline.errors import InputError
from ..formats import captures, exposures, pictures, splats, wild
from ..formats.model import Model
from ..formats.photos import load_all
from ..geometry.activation import activate
from ..geometry.components import Surface, edge_counts, report, weld
from ..geometry.exposure import Exposure
from ..scene.affine import carried_points
from ..scene.placing import frame_transform
from . import Config, Inputs
from .distances import Comparison, compare
from .sights import Camera2View, Sight, kept_aside, of_mesh, of_splats, sight

SHOWN = 4
SHOWN_SIDE_PX = 360


def evaluate(inputs: Inputs, config: Config, ctx: Context) -> tuple[Path, Path | None]:
    """Everything that can be found out."""
    path = inputs.subject.path
    is_splats = path.suffix.lower() == ".ply" and splats.is_splats(path)
    if is_splats and inputs.capture is None:
        raise InputError(f"{path}: splats are judged by photographs; give a capture.")
    if is_splats and inputs.reference is not None:
        raise InputError(f"{path}: splats have no surface; mesh them to compare with a reference.")
    found: dict[str, Any] = {"subject": "splats" if is_splats else "mesh"}
    model = None if is_splats else wild.read(path)
    if model is not None:
        found["surface"] = _about(_surface(model))
    if model is not None and inputs.reference is not None:
        found["reference"] = _compared(model, inputs.reference.path, config, ctx)
    preview = None
    if inputs.capture is not None:
        sights = _sights(path, model, inputs, config, ctx)
        found["photographs"] = _photographs(sights)
        preview = _preview(sights, ctx.out / "preview.png")
    report_path = ctx.out / "report.json"
    with replacing(report_path) as temporary:
        temporary.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    return report_path, preview


def _surface(model: Model) -> Surface:
    """With equal places joined: seams of a texture are no borders."""
    return weld(Surface(model.positions, model.faces))


def _about(surface: Surface) -> dict[str, Any]:
    counted = report(surface)
    borders, crowded = edge_counts(surface.faces)
    return {
        "faces": counted.faces,
        "vertices": counted.vertices,
        "components": counted.components,
        "watertight": counted.watertight,
        "boundary_edges": borders,
        "crowded_edges": crowded,
    }


def _compared(model: Model, path: Path, config: Config, ctx: Context) -> dict[str, Any]:
    reference = _surface(wild.read(path))
    diagonal = float(np.linalg.norm(np.ptp(reference.positions, axis=0)))
    found = compare(
        _surface(model),
        reference,
        samples=config.samples,
        thresholds_m=[share * diagonal for share in config.thresholds],
        seed=ctx.seed & 0x7FFFFFFF,
    )
    return {"diagonal_m": diagonal, **_told(found, config)}


def _told(found: Comparison, config: Config) -> dict[str, Any]:
    return {
        "chamfer_m": found.chamfer_m,
        "accuracy_m": found.there.mean_m,
        "completeness_m": found.back.mean_m,
        "hausdorff_m": max(found.there.largest_m, found.back.largest_m),
        "normal_consistency": found.normals,
        "f1": [
            {"share_of_diagonal": share, "precision": p, "recall": r, "f1": f1}
            for share, p, r, f1 in zip(
                config.thresholds, found.there.within, found.back.within, found.f1, strict=True
            )
        ],
    }


def _sights(
    path: Path, model: Model | None, inputs: Inputs, config: Config, ctx: Context
) -> list[Sight]:
    assert inputs.capture is not None
    folder = inputs.capture.path
    capture = captures.load(folder)
    shots = kept_aside(capture, config.hold_out_every)
    known: dict[int, Exposure] = {}
    if inputs.exposures is not None:
        known = exposures.of_shots(inputs.exposures.path, folder, shots, ctx.log)
    seen = _seen(path, model, capture.up_axis, config)
    found = []
    with ctx.progress("photographs", len(shots)) as bar:
        photos = load_all(shots, config.max_side_px, ctx.log)
        for number, photo in enumerate(photos):
            known_one = known.get(number)
            found.append(sight(photo, seen, white_behind=capture.white_behind, known=known_one))
            bar.advance()
    if not any(one.covered for one in found):
        raise InputError(
            f"{path}: none of {len(found)} photographs' cameras sees any of it. Does it belong to "
            f"this capture? A mesh that was turned upright needs mesh_up."
        )
    return found


def _seen(path: Path, model: Model | None, up: splats.Axis, config: Config) -> Camera2View:
    if model is None:
        return of_splats(activate(splats.load(path)))
    own = splats.Sidecar(up_axis=config.mesh_up or up)
    turn = frame_transform(own, splats.Sidecar(up_axis=up))
    return of_mesh(model, carried_points(model.positions, turn))


def _photographs(sights: list[Sight]) -> dict[str, Any]:
    covered = [one.covered_psnr_db for one in sights if one.covered_psnr_db is not None]
    exposed = [one.exposed_psnr_db for one in sights if one.exposed_psnr_db is not None]
    return {
        "psnr_db": _mean([one.psnr_db for one in sights]),
        "ssim": _mean([one.ssim for one in sights]),
        "covered": _mean([one.covered for one in sights]),
        "covered_psnr_db": _mean(covered),
        "exposed_psnr_db": _mean(exposed),
        "each": [
            {
                "name": one.name,
                "psnr_db": _rounded(one.psnr_db),
                "ssim": _rounded(one.ssim),
                "covered": _rounded(one.covered),
                "exposure": None if one.exposure is None else _rounded(one.exposure),
            }
            for one in sights
        ],
    }


def _mean(values: list[float]) -> float | None:
    return _rounded(sum(values) / len(values)) if values else None


def _rounded(value: float) -> float:
    """JSON has no infinity: two pictures that are the same are 100 dB alike."""
    return round(value, 4) if math.isfinite(value) else 100.0


def _preview(sights: list[Sight], path: Path) -> Path:
    """One column per photograph, at most `SHOWN`, evenly chosen."""
    chosen = np.unique(np.linspace(0, len(sights) - 1, min(len(sights), SHOWN)).round().astype(int))
    columns = [sights[k].pictures for k in chosen]
    rows = [_small(column[row]) for row in range(len(columns[0])) for column in columns]
    height, width = (max(picture.shape[axis] for picture in rows) for axis in (0, 1))
    padded = [np.pad(p, ((0, height - p.shape[0]), (0, width - p.shape[1]), (0, 0))) for p in rows]
    return pictures.save(pictures.sheet(padded, columns=len(columns)), path)


def _small(picture: np.ndarray) -> np.ndarray:
    step = max(1, -(-max(picture.shape[:2]) // SHOWN_SIDE_PX))
    height, width = (side // step * step for side in picture.shape[:2])
    cut = picture[:height, :width].reshape(height // step, step, width // step, step, 3)
    return np.ascontiguousarray(cut.mean(axis=(1, 3)), np.float32)
