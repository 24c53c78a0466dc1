"""Files in, files out, around the training of the field."""

import dataclasses
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from ...pipeline.contract import Context
from ..artifacts import FieldFile, PictureFile, TensorsFile, TexturedMeshFile
from ..distill import captions
from ..distill.forecast import check_memory
from ..distill.questions import Task
from ..distill.workers import workers
from ..encoding import field_files, uses
from ..encoding.field import Field, FieldSettings
from ..encoding.settings import Settings
from ..encoding.training import Schedule, signature, train
from ..formats import gltf_model, pictures, prompts, wild
from ..formats import tensors as tensor_files
from ..formats.model import Model
from ..geometry.appearance import Appearance
from ..geometry.components import Surface
from ..geometry.orbit import look_at_origin
from ..guidance.load import free_text
from ..guidance.load import load as load_guidance
from ..guidance.protocol import Guidance
from . import VERSION, Config, Inputs, Outputs
from .charts import Painted, glows, kept_charts, new_charts
from .frame import Frame, standard
from .lesson import Lesson, logged
from .object import Object
from .own_look import begin_with_own_look
from .sampled import begin_with_samples, sides
from .surface import compose, look

COARSEST = 4.0
"""Cells of the field's coarsest level along its cube."""
MARGIN = 1.02
SIDES = tuple((45.0 * k, 15.0) for k in range(8))
"""Azimuth and elevation of the preview's pictures, in degrees."""
PREVIEW_PX = 256


def paint(inputs: Inputs, config: Config, ctx: Context) -> Outputs:
    """Distill a field onto the mesh, and bake it."""
    torch.set_num_threads(1)
    model = wild.read(inputs.mesh.path)
    for remark in model.remarks:
        ctx.log.warning("%s: %s", inputs.mesh.path.name, remark)
    charts = _charts(model, config, inputs.mesh.path, ctx)
    guidance = load_guidance(inputs.guidance.path, ctx.device)
    prompt = prompts.load(inputs.prompt.path)
    _warn_of_unknown(guidance, prompt.text, ctx)
    camera = guidance.view_words.camera
    frame = standard(model.positions[np.unique(model.faces)], camera.object_radius_m,
                     config.front_deg)  # fmt: skip
    subject = _subject(model, frame)
    task = Task(guidance, prompt.text, prompt.negative, config, ctx.seed, ctx.device)
    planned = sides(guidance.view_words, prompt.text) if config.start == "sampled" else []
    conditions = captions.embed_all(task, ctx, [side.caption for side in planned])
    task = replace(task, guidance=free_text(guidance))
    check_memory(task, ctx)
    painted = _field(config, camera.object_radius_m, guidance.image_size, ctx)
    if config.start == "own":
        begin_with_own_look(painted, model, frame, ctx)
    elif config.start == "sampled":
        begin_with_samples(
            painted, task, config.sampling, subject, planned, conditions, ctx,
            depth_hint=config.depth_hint,
        )  # fmt: skip
    with workers(ctx.threads) as spread:
        lesson = Lesson(task, config, subject, conditions, spread, ctx)
        lesson.threshold = lesson.calibrate(painted)
        schedule = Schedule(
            config.iterations, config.rate, config.checkpoint_every_s,
            signature(VERSION, dataclasses.asdict(config), ctx.seed),
        )  # fmt: skip
        train(painted, lambda k: lesson(painted, k), lambda v: f"loss {v:.3g}", schedule, ctx)
    log = logged(ctx.scratch, config.iterations)
    ctx.log.info("clipped %.1f %% of the pixels", 100 * float(log["clipped_share"].nanmean()))
    return Outputs(
        textured=TexturedMeshFile(_baked(charts, frame, painted, ctx)),
        field=FieldFile(field_files.save(painted, ctx.out / "field.safetensors")),
        log=TensorsFile(
            tensor_files.save(
                log, ctx.out / "log.safetensors", {"clip_threshold": lesson.threshold}
            )
        ),
        conditions=TensorsFile(captions.save(conditions, ctx.out / "conditions.safetensors")),
        preview=PictureFile(_preview(subject, painted, guidance, ctx.out / "preview.png")),
    )


def _warn_of_unknown(guidance: Guidance, prompt: str, ctx: Context) -> None:
    unknown = guidance.unknown_words(prompt)
    if unknown:
        ctx.log.warning(
            "The guidance model does not know: %s. Use another word, or a model with an open "
            "vocabulary (--guidance PATH).",
            ", ".join(unknown),
        )


def _subject(model: Model, frame: Frame) -> Object:
    normals = Appearance(model).corner_normals.reshape(-1, 3).astype(np.float64)
    turned = frame.directions(normals).reshape(-1, 3, 3)
    return Object(Surface(frame.points(model.positions), model.faces), turned)


def _field(config: Config, radius_m: float, image_px: int, ctx: Context) -> Field:
    """Gray at first, over a cube that holds the object. `detail` counts pixels of a picture that
    shows the cube's side."""
    side = 2 * radius_m * MARGIN
    finest = max(COARSEST, config.detail * image_px)
    settings = FieldSettings(
        kind="texture",
        encoding=Settings(
            dims=3, levels=config.levels, table_size=config.table_size, n_min=COARSEST,
            n_max=finest,
        ),
        low=(-side / 2,) * 3,
        side=side,
    )  # fmt: skip
    return Field(settings, seed=ctx.seed, threads=ctx.threads)


def _charts(model: Model, config: Config, path: Path, ctx: Context) -> Painted:
    """What will be painted into; a layout that cannot be kept is refused before the work begins."""
    if glows(model):
        ctx.log.warning("%s: what glows (emissive) is part of the old look and goes.", path.name)
    if config.keep_uvs:
        return kept_charts(model, config.texture_size_px, config.gutter_px, str(path))
    return new_charts(model, config.texture_size_px, config.gutter_px)


def _baked(charts: Painted, frame: Frame, painted: Field, ctx: Context) -> Path:
    ask = uses.source(painted)
    made = charts(lambda p, n, f: ask(frame.points(p).astype(np.float32), n, f))
    return gltf_model.save(made, ctx.out / "textured.glb")


@torch.no_grad()
def _preview(subject: Object, painted: Field, guidance: Guidance, path: Path) -> Path:
    """The mesh from eight sides on white, unlit."""
    camera = guidance.view_words.camera
    cameras = look_at_origin(
        [azimuth for azimuth, _ in SIDES],
        [elevation for _, elevation in SIDES],
        distance_m=camera.distance_m,
        fovy_deg=camera.fovy_deg,
        size_px=(PREVIEW_PX, PREVIEW_PX),
    )
    seen = look(subject.surface, subject.normals, cameras, 2)
    colors = torch.from_numpy(uses.values(painted, seen.points.numpy()))
    shown = compose(seen, colors, torch.ones(len(SIDES), 3)).permute(0, 2, 3, 1).numpy()
    return pictures.save(pictures.sheet(list(shown), columns=4), path)
