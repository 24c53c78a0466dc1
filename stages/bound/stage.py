"""Files in, files out, around the loop."""

import dataclasses
import functools
import json
from pathlib import Path

import numpy as np
import torch

from ...pipeline.contract import Context, replacing
from ...pipeline.errors import ConfigError, InputError
from ...renderers.choose import splat_renderer
from ...renderers.meshes import MeshScene
from ...renderers.scene import Renderer
from ...renderers.sh import C0
from ..artifacts import BindingFile, MeshFile, PictureFile, ReportFile, SplatsFile
from ..formats import bindings, gltf, pictures, splats, srgb
from ..formats.bindings import Binding
from ..formats.splats import Sidecar
from ..geometry.components import Surface, vertex_normals
from . import VERSION, Config, Inputs, Outputs, frames, layout, learned
from .attached import rest_corners, splats_of
from .consistency import neighbors_across
from .first_look import first_look
from .frames import Places
from .judge import mean, seen
from .learned import Bond, Learned, State
from .loop import Task, refine
from .start import bounding_sphere, colored, first_values, welded
from .views import Material, of_capture, of_splats

SHOWN = 4
"""Views in the preview."""
BYTES_PER_GAUSSIAN = 4 * 53 * 4 + 900
"""Values, gradients, moments, and what the renderer holds."""


def bind(inputs: Inputs, config: Config, ctx: Context) -> Outputs:
    """Bind, refine and write everything."""
    torch.set_num_threads(1)
    if (inputs.capture is None) == (inputs.splats is None):
        raise ConfigError("bind: give either a capture or splats to be matched.")
    surface = welded(inputs.mesh.path, ctx.log)
    middle, radius = bounding_sphere(surface)
    bond, values = first_values(surface, radius, config, ctx.log)
    _check_memory(len(values.turns), ctx)
    material = _material(inputs, config, middle, radius, ctx)
    look = first_look(
        MeshScene(surface.positions.astype(np.float32), surface.faces), material.views
    )
    values = colored(values, bond, look.colors)
    task = Task(
        bond=_bond_on(bond, ctx.device),
        pairs=torch.from_numpy(neighbors_across(surface.faces)).to(ctx.device),
        training=[view for view in look.views if not view.held_out],
        kept_aside=[view for view in look.views if view.held_out],
        renderer=_renderer(ctx),
        config=config,
        radius=radius,
        white_behind=material.white_behind,
        seed=ctx.seed,
        device=ctx.device,
    )
    ctx.log.info(
        "%d Gaussians on %d triangles; %d views, %d kept aside; %.0f %% of the pixels count",
        len(values.turns), len(surface.faces), len(task.training), len(task.kept_aside),
        100 * look.covered,
    )  # fmt: skip
    signature = _signature(config, ctx)
    state = learned.load(ctx.scratch, signature, ctx.device)
    if state is None:
        state = learned.start(_on(values, ctx.device))
    else:
        ctx.log.info("continuing at iteration %d of %d", state.iteration, config.iterations)
    state = refine(task, state, ctx, lambda now: learned.save(now, ctx.scratch, signature))
    return _written(task, state, material.sidecar, look.covered, ctx)


def _material(
    inputs: Inputs, config: Config, middle: np.ndarray, radius: float, ctx: Context
) -> Material:
    if inputs.capture is not None:
        listed = None if inputs.exposures is None else inputs.exposures.path
        return of_capture(inputs.capture.path, config.views, ctx.log, listed)
    assert inputs.splats is not None
    camera = None if inputs.camera is None else inputs.camera.path
    return of_splats(inputs.splats.path, camera, middle, radius, config.views, _cpu_renderer(ctx))


def _renderer(ctx: Context) -> Renderer:
    if ctx.device == "cpu":
        return _cpu_renderer(ctx)
    return splat_renderer(ctx.device)  # type: ignore[arg-type]


def _cpu_renderer(ctx: Context) -> Renderer:
    return functools.partial(splat_renderer("cpu"), threads=ctx.threads)  # type: ignore[return-value]


def _check_memory(count: int, ctx: Context) -> None:
    needed = count * BYTES_PER_GAUSSIAN
    if needed > ctx.memory_bytes:
        raise InputError(
            f"bind: {count:,} Gaussians would need {needed / 1e9:.1f} GB, "
            f"{ctx.memory_bytes / 1e9:.1f} GB may be used. Lower per_face, or simplify the mesh "
            f"first (`pipeline simplify`)."
        )


def _signature(config: Config, ctx: Context) -> str:
    """Tells a checkpoint of another configuration; the inputs are in the scratch path's key."""
    values = dataclasses.asdict(config)
    values.pop("checkpoint_every_s")
    return json.dumps({"version": VERSION, "seed": ctx.seed, **values}, sort_keys=True)


def _on(values: Learned, device: str) -> Learned:
    return Learned(*(getattr(values, name).to(device) for name in learned.NAMES))


def _bond_on(bond: Bond, device: str) -> Bond:
    places = Places(bond.places.owner.to(device), bond.places.barycentrics.to(device))
    return Bond(bond.faces.to(device), places, bond.thickness)


def _written(task: Task, state: State, sidecar: Sidecar, covered: float, ctx: Context) -> Outputs:
    binding = binding_of(task, state, sidecar)
    corners = rest_corners(binding)
    made = splats_of(binding, corners, frames.frames(corners))
    _report(task, state, covered, ctx.out / "report.json", ctx)
    return Outputs(
        splats=SplatsFile(splats.save(made, ctx.out / "splats.ply")),
        mesh=MeshFile(gltf.save(mesh_of(binding), ctx.out / "mesh.glb")),
        binding=BindingFile(bindings.save(binding, ctx.out / "binding.safetensors")),
        report=ReportFile(ctx.out / "report.json"),
        preview=PictureFile(_preview(task, state, ctx.out / "preview.png")),
    )


def binding_of(task: Task, state: State, sidecar: Sidecar) -> Binding:
    """What is saved of the result."""
    values, places = _on(state.values, "cpu"), task.bond.places
    per_face = layout.barycentrics(task.config.per_face)
    return Binding(
        vertices=values.vertices.detach(),
        faces=task.bond.faces.cpu().int(),
        owner=places.owner.cpu().int(),
        barycentrics=per_face.repeat(len(places.owner) // len(per_face), 1),
        log_scales=values.log_scales.detach(),
        turns=values.turns.detach(),
        logit_opacities=values.logit_opacities.detach(),
        sh=values.sh.detach(),
        thickness=task.bond.thickness,
        sidecar=sidecar,
    )


def mesh_of(binding: Binding) -> gltf.Mesh:
    """The bound mesh in the mean colors of what its vertices' triangles carry."""
    positions, faces = binding.vertices.numpy(), binding.faces.numpy().astype(np.int64)
    color = (C0 * binding.sh[:, 0].double().numpy() + 0.5).clip(0, 1)
    vertex = faces[binding.owner.numpy()]
    total, count = np.zeros((len(positions), 3)), np.zeros(len(positions))
    for corner in range(3):
        np.add.at(total, vertex[:, corner], color)
        np.add.at(count, vertex[:, corner], 1)
    mean_color = total / np.maximum(count, 1)[:, None]
    return gltf.Mesh(
        positions=positions,
        faces=faces,
        normals=vertex_normals(Surface(positions.astype(np.float64), faces)).astype(np.float32),
        colors=srgb.decode(mean_color).astype(np.float32),
    )


def _report(task: Task, state: State, covered: float, path: Path, ctx: Context) -> None:
    scores = [(view.name, seen(task, state, view)[2]) for view in task.kept_aside]
    psnr_db, ssim = mean([score for _, score in scores])
    report = {
        "views": len(task.training),
        "kept_aside": [
            {"name": name, "psnr_db": round(s.psnr_db, 3), "ssim": round(s.ssim, 4)}
            for name, s in scores
        ],
        "psnr_db": None if psnr_db is None else round(psnr_db, 3),
        "ssim": None if ssim is None else round(ssim, 4),
        "pixels_that_count": round(covered, 4),
        "gaussians": len(state.values.turns),
        "triangles": len(task.bond.faces),
        "iterations": state.iteration,
    }
    if psnr_db is not None:
        ctx.log.info("%.2f dB, SSIM %.3f on %d views kept aside", psnr_db, ssim, len(scores))
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(report, indent=1) + "\n", "utf-8")


def _preview(task: Task, state: State, path: Path) -> Path:
    """Views above, what was made of them below: of those kept aside where there are any."""
    views = list(task.kept_aside or task.training)[:SHOWN]
    truths, renders = [], []
    for view in views:
        picture, truth, _ = seen(task, state, view)
        truths.append(truth.clamp(0, 1).permute(1, 2, 0).cpu().numpy())
        renders.append(picture.clamp(0, 1).permute(1, 2, 0).cpu().numpy())
    rows = [*truths, *renders]
    height, width = (max(row.shape[axis] for row in rows) for axis in (0, 1))
    padded = [
        np.pad(row, ((0, height - row.shape[0]), (0, width - row.shape[1]), (0, 0))) for row in rows
    ]
    return pictures.save(pictures.sheet(padded, columns=len(views)), path)
