"""Files in, files out, around the loop."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import torch

from ...pipeline.contract import Context
from ...renderers.scene import Renderer
from ..formats import pictures, prompts, splats
from ..formats import tensors as tensor_files
from ..geometry.activation import Parameters, activate
from ..geometry.orbit import look_at_origin
from ..guidance.load import free_text
from ..guidance.load import load as load_guidance
from ..guidance.view_words import TrainingCamera
from . import VERSION, Config, captions, checkpoint
from .checkpoint import State
from .forecast import check_memory
from .learning import new_copy
from .loop import Work, clipped_share, distill, finished
from .questions import Task

PREVIEW_AZIMUTHS_DEG = (0.0, 90.0, 180.0, 270.0)
PREVIEW_ELEVATION_DEG = 15.0
AT_WORK = 1e-3
"""Share of clipped pixels below which clipping might as well be off."""


def run(
    prompt_path: Path, guidance_path: Path, splats_path: Path, config: Config, ctx: Context
) -> tuple[Path, Path, Path]:
    """Distill; returns the paths of the Gaussians, the log and the conditions."""
    from ...renderers.choose import splat_renderer

    torch.set_num_threads(1)
    prompt = prompts.load(prompt_path)
    guidance = load_guidance(guidance_path, ctx.device)
    unknown = guidance.unknown_words(prompt.text)
    if unknown:
        ctx.log.warning(
            "The guidance model does not know: %s. Use another word, or a model with an open "
            "vocabulary (--guidance PATH).",
            ", ".join(unknown),
        )
    task = Task(
        guidance=guidance,
        prompt=prompt.text,
        negative=prompt.negative,
        config=config,
        seed=ctx.seed,
        device=ctx.device,
    )
    conditions = captions.embed_all(task, ctx)
    task = dataclasses.replace(task, guidance=free_text(guidance))
    check_memory(task, ctx)
    state = _begin(splats_path, task, config, ctx)
    signature = _signature(config, ctx)
    camera = guidance.view_words.camera
    renderer = splat_renderer(ctx.device)
    state = distill(
        Work(task, config, renderer),
        conditions,
        state,
        ctx,
        save=lambda now: checkpoint.save(now, ctx.scratch, signature),
        show=lambda now: _preview(
            now.population.values, renderer, camera, ctx.scratch / "preview.png", ctx.device
        ),
    )
    values = finished(state, config)
    _preview(values, renderer, camera, ctx.out / "preview.png", ctx.device)
    log = {name: torch.tensor(column, dtype=torch.float64) for name, column in state.log.items()}
    share = clipped_share(state, config)
    if config.clip.norm != "none":
        ctx.log.info(
            "clipped %.2f %% of the pixels%s",
            100 * share,
            "" if share >= AT_WORK else ": so few that clipping changed nothing",
        )
    metadata = {"clip_threshold": state.clip_threshold, "clipped_share": share}
    return (
        splats.save(_raw(values), ctx.out / "splats.ply"),
        tensor_files.save(log, ctx.out / "log.safetensors", metadata),
        captions.save(conditions, ctx.out / "conditions.safetensors"),
    )


def _begin(splats_path: Path, task: Task, config: Config, ctx: Context) -> State:
    state = checkpoint.load(ctx.scratch, _signature(config, ctx), ctx.device)
    if state is not None:
        ctx.log.info("continuing at iteration %d of %d", state.iteration, config.iterations)
        return state
    raw = splats.load(splats_path)
    copy = None
    if config.loss == "vsd":
        copy = new_copy(task.guidance, config.low_rank.rank, ctx.seed)
    return checkpoint.start(
        Parameters(
            *(
                torch.from_numpy(getattr(raw, entry.name).copy()).to(ctx.device)
                for entry in dataclasses.fields(Parameters)
            )
        ),
        copy,
    )


def _signature(config: Config, ctx: Context) -> str:
    """Tells a checkpoint of another configuration; the inputs are in the scratch path's key."""
    values = dataclasses.asdict(config)
    values.pop("checkpoint_every_s")
    return json.dumps({"version": VERSION, "seed": ctx.seed, **values}, sort_keys=True)


def _raw(values: Parameters) -> splats.RawSplats:
    return splats.RawSplats(
        **{
            entry.name: np.ascontiguousarray(getattr(values, entry.name).detach().cpu().numpy())
            for entry in dataclasses.fields(Parameters)
        }
    )


@torch.no_grad()
def _preview(
    values: Parameters, renderer: Renderer, camera: TrainingCamera, path: Path, device: str
) -> Path:
    """The object from four sides on white."""
    cameras = look_at_origin(
        PREVIEW_AZIMUTHS_DEG,
        [PREVIEW_ELEVATION_DEG] * len(PREVIEW_AZIMUTHS_DEG),
        distance_m=camera.distance_m,
        fovy_deg=camera.fovy_deg,
        size_px=(256, 256),
    )
    moved = dataclasses.replace(
        cameras,
        world_to_camera=cameras.world_to_camera.to(device),
        focal_px=cameras.focal_px.to(device),
        center_px=cameras.center_px.to(device),
    )
    frames = renderer(activate(values), moved)
    shown = (frames.rgb + (1 - frames.alpha)).cpu().numpy()
    return pictures.save(pictures.sheet(list(shown), columns=4), path)
