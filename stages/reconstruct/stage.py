"""Files in, files out, around the loop."""

import dataclasses
import functools
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch

from ...pipeline.contract import Context, replacing
from ...pipeline.errors import InputError
from ...renderers.choose import splat_renderer
from ...renderers.scene import Cameras, Renderer
from ..artifacts import CameraFile, ExposuresFile, PictureFile, ReportFile, SplatsFile
from ..formats import cameras as camera_files
from ..formats import captures, pictures, splats
from ..formats import exposures as exposure_files
from ..formats.photos import Photo, load_all
from ..formats.shots import Capture
from ..geometry.activation import Parameters
from . import VERSION, Config, Outputs, checkpoint, exposures
from .checkpoint import State
from .evaluate import Seen, mean_of, seen
from .loop import train
from .start import extent_of, first_gaussians
from .task import Task

Photograph = TypeVar("Photograph")
SHOWN = 4
"""Photographs in the preview."""
PREVIEW_SIDE_PX = 320
BYTES_PER_GAUSSIAN = 4 * 59 * 4 + 700
"""Values, gradients and two moments of 59 numbers, and what the renderer holds."""
BYTES_PER_PIXEL = 600
"""Of one view in the loss and the renderer."""


def reconstruct(folder: Path, config: Config, ctx: Context) -> Outputs:
    """Train and write everything."""
    torch.set_num_threads(1)
    capture = captures.load(folder)
    _say_missing(capture, ctx)
    _check_memory(capture, config, ctx)
    photos = list(load_all(capture.shots, config.views.max_side_px, ctx.log))
    training, aside = split(capture, photos, config.views.hold_out_every)
    task = Task(
        training=training,
        kept_aside=aside,
        renderer=_renderer(ctx),
        config=config,
        extent=extent_of(training),
        white_behind=capture.white_behind,
        seed=ctx.seed,
        device=ctx.device,
    )
    signature = _signature(config, ctx)
    state = checkpoint.load(ctx.scratch, signature, ctx.device)
    if state is None:
        values = first_gaussians(
            training,
            capture.points,
            config.start,
            config.sh_degree,
            ctx.seed,
            config.density.max_gaussians,
        )
        state = checkpoint.start(_on(values, ctx.device))
        if config.exposures.mode == "affine":
            state.exposures = exposures.start(len(training), ctx.device)
        ctx.log.info(
            "%d photographs, %d kept aside; %d Gaussians to begin with",
            len(training),
            len(aside),
            len(values.means),
        )
    else:
        ctx.log.info("continuing at iteration %d of %d", state.iteration, config.iterations)
    state = train(
        task,
        state,
        ctx,
        save=lambda now: checkpoint.save(now, ctx.scratch, signature),
        show=lambda now: _preview(task, now, ctx.scratch / "preview.png"),
    )
    return _written(task, state, capture, folder, ctx)


def split(
    capture: Capture, photos: Sequence[Photograph], every: int
) -> tuple[list[Photograph], list[Photograph]]:
    """Photographs to train on and those kept aside: as the capture says, or every so many-th.

    Args:
        photos: Whatever there is one of for each shot.
    """
    said = [shot.held_out for shot in capture.shots]
    if any(each is not None for each in said):
        aside = [bool(each) for each in said]
    else:
        aside = [bool(every) and number % every == 0 for number in range(len(said))]
    training = [photo for photo, kept in zip(photos, aside, strict=True) if not kept]
    if not training:
        raise InputError("the capture has only test photographs; there is nothing to train on.")
    return training, [photo for photo, kept in zip(photos, aside, strict=True) if kept]


def _renderer(ctx: Context) -> Renderer:
    renderer = splat_renderer(ctx.device)  # type: ignore[arg-type]
    if ctx.device == "cpu":
        return functools.partial(renderer, threads=ctx.threads)  # type: ignore[return-value]
    return renderer


def _say_missing(capture: Capture, ctx: Context) -> None:
    missing = capture.missing
    if missing:
        more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
        ctx.log.warning(
            "%d of %d listed photographs are not there: %s%s. Going on without them.",
            len(missing),
            len(missing) + len(capture.shots),
            ", ".join(missing[:5]),
            more,
        )


def _check_memory(capture: Capture, config: Config, ctx: Context) -> None:
    """Refuse to start what cannot end, with the figures."""
    pixels = 0
    for shot in capture.shots:
        scale = min(1.0, config.views.max_side_px / max(shot.lens.width_px, shot.lens.height_px))
        size = shot.lens.width_px * shot.lens.height_px * scale**2
        pixels = max(pixels, size)
    photos = int(pixels * len(capture.shots) * 5)
    loop = int(config.density.max_gaussians * BYTES_PER_GAUSSIAN + pixels * BYTES_PER_PIXEL)
    needed = photos + loop
    ctx.log.info(
        "needs up to %.1f GB of %.1f: %.1f for photographs, %.1f for Gaussians and one view",
        needed / 1e9,
        ctx.memory_bytes / 1e9,
        photos / 1e9,
        loop / 1e9,
    )
    if needed > ctx.memory_bytes:
        raise InputError(
            f"reconstruct: would need up to {needed / 1e9:.1f} GB, {ctx.memory_bytes / 1e9:.1f} "
            f"GB may be used. Lower views.max_side_px (now {config.views.max_side_px}) or "
            f"density.max_gaussians (now {config.density.max_gaussians})."
        )


def _signature(config: Config, ctx: Context) -> str:
    """Tells a checkpoint of another configuration; the inputs are in the scratch path's key."""
    values = dataclasses.asdict(config)
    for name in ("checkpoint_every_s", "evaluate_every"):
        values.pop(name)
    return json.dumps({"version": VERSION, "seed": ctx.seed, **values}, sort_keys=True)


def _on(values: Parameters, device: str) -> Parameters:
    return Parameters(*(getattr(values, f.name).to(device) for f in dataclasses.fields(Parameters)))


def _written(task: Task, state: State, capture: Capture, folder: Path, ctx: Context) -> Outputs:
    values = state.population.values
    raw = splats.RawSplats(
        **{
            f.name: np.ascontiguousarray(getattr(values, f.name).detach().cpu().numpy())
            for f in dataclasses.fields(Parameters)
        },
        sidecar=splats.Sidecar(up_axis=capture.up_axis),
    )
    aside = [seen(task, state, photo) for photo in task.kept_aside]
    _report(task, state, capture, aside, ctx)
    return Outputs(
        splats=SplatsFile(splats.save(raw, ctx.out / "splats.ply")),
        cameras=CameraFile(camera_files.save(_common(task.training), ctx.out / "cameras.json")),
        report=ReportFile(ctx.out / "report.json"),
        preview=PictureFile(_preview(task, state, ctx.out / "preview.png")),
        exposures=_exposures(task, state, capture, folder, aside, ctx.out / "exposures.json"),
    )


def _exposures(
    task: Task, state: State, capture: Capture, folder: Path, aside: Sequence[Seen], path: Path
) -> ExposuresFile | None:
    """Of all photographs: those kept aside have the one that fits what the Gaussians are now."""
    if state.exposures is None:
        return None
    names = [exposure_files.name_of(shot.path, folder) for shot in capture.shots]
    trained, kept_aside = split(capture, names, task.config.views.hold_out_every)
    found = exposure_files.Exposures(
        trained={
            name: exposures.exposure(row)
            for name, row in zip(trained, state.exposures.cpu(), strict=True)
        },
        kept_aside={name: one.exposure for name, one in zip(kept_aside, aside, strict=True)},
    )
    return ExposuresFile(exposure_files.save(found, path))


def _report(
    task: Task, state: State, capture: Capture, aside: Sequence[Seen], ctx: Context
) -> None:
    rows = [
        {
            "name": photo.name,
            "psnr_db": round(one.score.psnr_db, 3),
            "ssim": round(one.score.ssim, 4),
            "evened_psnr_db": round(one.score.evened_psnr_db, 3),
        }
        for photo, one in zip(task.kept_aside, aside, strict=True)
    ]
    mean = mean_of([one.score for one in aside]) if aside else None
    report = {
        "photographs": len(task.training),
        "kept_aside": rows,
        "psnr_db": None if mean is None else round(mean.psnr_db, 3),
        "ssim": None if mean is None else round(mean.ssim, 4),
        "evened_psnr_db": None if mean is None else round(mean.evened_psnr_db, 3),
        "gaussians": len(state.population),
        "iterations": state.iteration,
        "extent": task.extent,
        "missing": list(capture.missing),
    }
    if mean is not None:
        ctx.log.info(
            "%.2f dB, SSIM %.3f on %d photographs kept aside; %.2f dB with exposures evened",
            mean.psnr_db,
            mean.ssim,
            len(aside),
            mean.evened_psnr_db,
        )
    with replacing(ctx.out / "report.json") as temporary:
        temporary.write_text(json.dumps(report, indent=1) + "\n", "utf-8")


def _common(photos: Sequence[Photo]) -> Cameras:
    """The cameras of the most frequent size; a camera path holds one size only."""
    sizes = Counter((photo.lens.width_px, photo.lens.height_px) for photo in photos)
    (width, height), _ = sizes.most_common(1)[0]
    chosen = [p for p in photos if (p.lens.width_px, p.lens.height_px) == (width, height)]
    return Cameras(
        world_to_camera=torch.stack([photo.world_to_camera for photo in chosen]),
        focal_px=torch.tensor([photo.lens.focal_px for photo in chosen]),
        center_px=torch.tensor([photo.lens.center_px for photo in chosen]),
        width_px=width,
        height_px=height,
    )


def _preview(task: Task, state: State, path: Path) -> Path:
    """Photographs above, renders below: of those kept aside where there are any."""
    photos = list(task.kept_aside or task.training)[:SHOWN]
    truths, renders = [], []
    for photo in photos:
        found = seen(task, state, photo)
        for shown, kept in ((found.photo, truths), (found.picture, renders)):
            kept.append(_small(shown.clamp(0, 1)))
    rows = [*truths, *renders]
    height = max(row.shape[0] for row in rows)
    width = max(row.shape[1] for row in rows)
    padded = [
        np.pad(row, ((0, height - row.shape[0]), (0, width - row.shape[1]), (0, 0))) for row in rows
    ]
    return pictures.save(pictures.sheet(padded, columns=len(photos)), path)


def _small(picture: torch.Tensor) -> np.ndarray:
    scale = min(1.0, PREVIEW_SIDE_PX / max(picture.shape[1:]))
    size = [max(1, round(side * scale)) for side in picture.shape[1:]]
    reduced = torch.nn.functional.interpolate(picture[None], size, mode="area")[0]
    return reduced.permute(1, 2, 0).cpu().numpy()
