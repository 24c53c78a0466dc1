"""From two files to one: put in place, find the seam, harmonize, report, show."""

import json
import time
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from ...pipeline.contract import Context, replacing
from ...pipeline.errors import InputError
from ...renderers.choose import splat_renderer
from ...renderers.scene import Gaussians
from ..artifacts import PreviewDir, ScenesDir, SplatsFile
from ..formats import edits, pictures, regions
from ..formats.edits import Crop, Degree, Merge
from ..formats.scenes import save_index, scene_paths
from ..formats.splats import RawSplats
from ..geometry.activation import activate
from ..geometry.orbit import look_at_origin
from ..scene.affine import joined
from ..scene.layers import Layer, Scene, baked, new_layer, save, with_selected
from ..scene.operations import check_alike, perform
from ..scene.selectors import region
from ..scene.session import opened, replayed
from . import VERSION, Config, Inputs, Outputs
from .boundary import Boundary, extent, find_boundary
from .checkpoint import State, begun, load
from .checkpoint import save as save_state
from .harmonize import Problem, harmonized, posed, source_palette
from .palette import Palette
from .seam import seam_difference, texture_kept
from .step import crossings, visible_step
from .tidy import tidied
from .views import around, views_of

FIRST = ("target", "source")
AZIMUTHS_DEG = (20.0, 110.0, 200.0, 290.0)
PICTURE_PX = 256
LOOKS = 8
"""Cameras by which the visible step is measured."""


def stitch(inputs: Inputs, config: Config, ctx: Context) -> Outputs:
    """All that the stage does."""
    torch.set_num_threads(1)
    before = placed(inputs)
    scene, waiting = before, [layer.name for layer in before.layers if layer.name != "source"]
    done, reports = ["source"], []
    while waiting:
        name = _next(scene, waiting, done, config)
        waiting.remove(name)
        (plain, matched), report = _matched(scene, name, done, config, ctx)
        before, scene = before.put(new_layer(name, plain)), scene.put(new_layer(name, matched))
        reports.append(report)
        done.append(name)
    return _written(before, scene, reports, ctx)


def placed(inputs: Inputs) -> Scene:
    """All parts where they belong, cut to what is asked for, of one SH degree."""
    more = scene_paths(inputs.then.path) if inputs.then is not None else []
    names = (*FIRST, *(f"part{number}" for number in range(3, 3 + len(more))))
    scene = opened(names, (inputs.target.path, inputs.source.path, *more))
    if inputs.transform is not None:
        script, name = edits.load(inputs.transform.path), inputs.transform.path.name
        if script.scenes != names:
            raise InputError(
                f"{name}: is for the scenes {', '.join(script.scenes)}; they must be called"
                f" {', '.join(names)}, in this order."
            )
        scene = replayed(scene, script.edits, name)
        if [layer.name for layer in scene.layers] != list(names):
            raise InputError(f"{name}: has to leave exactly the layers {', '.join(names)}.")
    chosen = (inputs.select_target, inputs.select_source)
    for name, file in zip(FIRST, chosen, strict=True):
        if file is not None:
            layer = scene.layer(name)
            found = region(scene, layer, regions.load(file.path))
            try:
                scene = perform(scene.put(with_selected(layer, found)), Crop(layer=name)).scene
            except InputError as error:
                raise InputError(f"{file.path.name}: {error}.") from None
    for name in names[1:]:
        check_alike(scene.layer("target"), scene.layer(name))
    degree = max(_degree(layer) for layer in scene.layers)
    for name in names:
        scene = perform(scene, Degree(layer=name, degree=degree)).scene
    return scene


def _next(scene: Scene, waiting: list[str], done: list[str], config: Config) -> str:
    """The first in order that meets what is done."""
    errors = []
    for name in waiting:
        try:
            seam_of(_values(scene, name), _values(scene, *done), config)
        except InputError as error:
            errors.append(f"{name} and {' with '.join(done)}: {error}")
        else:
            return name
    raise InputError(errors[0])


def _matched(
    scene: Scene, name: str, done: list[str], config: Config, ctx: Context
) -> tuple[tuple[RawSplats, RawSplats], dict[str, object]]:
    """The part before and after (both mended, if that is asked for), and what there is to say."""
    target, source = _values(scene, name), _values(scene, *done)
    size, boundary = seam_of(target, source, config)
    mended: dict[str, object] = {}
    if config.tidy:
        tidy = tidied(target, source, config.beta * size)
        target = tidy.splats
        mended = {"pruned": tidy.pruned, "shrunk": tidy.shrunk, "added": tidy.added}
        size, boundary = seam_of(target, source, config)
    ctx.log.info(
        "seam of %s: %d of %d Gaussians, opacity above %.3g%s",
        name,
        len(boundary.members),
        len(target),
        boundary.opacity,
        " (lowered: none is above tau)" if boundary.lowered else "",
    )
    # In the loop: weights made once on a CPU, the renderer itself on a GPU.
    renderer = None if ctx.device == "cpu" else splat_renderer("cuda", frozenset({"channels"}))
    own, theirs = (on(activate(part), ctx.device) for part in (target, source))
    low, high = _box(target, source)
    radius = 0.5 * float(np.linalg.norm(high - low))
    cameras = around((low + high) / 2, radius, config.views, config.size_px)
    views = views_of(own, cameras, ctx.threads, renderer)
    palette = None
    if not config.seam_only and config.iterations[1]:
        shown = views_of(theirs, cameras, ctx.threads, renderer)
        palette = source_palette(shown, theirs.sh, ctx.seed)
        del shown
    problem = posed(own, theirs, boundary, views, size, config)
    sh = _optimized(problem, palette, name, config, ctx)
    looks = around((low + high) / 2, radius, LOOKS, config.size_px)
    own_cpu, theirs_cpu = activate(target), activate(source)
    seen = crossings(own_cpu, theirs_cpu, looks, config.beta * size, ctx.threads)
    after = replace(target, sh=sh.cpu().numpy())
    steps = [
        visible_step(seen, torch.from_numpy(part.sh), theirs_cpu.sh) for part in (target, after)
    ]
    report: dict[str, object] = {
        "part": name,
        "target_gaussians": len(target),
        "source_gaussians": len(source),
        "size": size,
        "boundary": len(boundary.members),
        "boundary_opacity": boundary.opacity,
        "boundary_opacity_lowered": boundary.lowered,
        "seam_delta_e_before": seam_difference(own.sh, theirs.sh, boundary),
        "seam_delta_e_after": seam_difference(sh, theirs.sh, boundary),
        "visible_step_before": steps[0].across,
        "visible_step_after": steps[1].across,
        "visible_step_beside": steps[1].beside,
        "texture_kept": texture_kept(views, own.sh, sh, boundary),
        "palette": _palette_rows(palette),
        **mended,
    }
    for key, value in report.items():
        ctx.log.info("%s: %s", key, value)
    return (target, after), report


def _optimized(
    problem: Problem, palette: Palette | None, name: str, config: Config, ctx: Context
) -> Float[torch.Tensor, "n coefficient 3"]:
    """From the last checkpoint on, if an earlier run has left one."""
    path, signature = ctx.scratch / f"{name}.safetensors", _signature(name, config, ctx)
    state = load(path, signature, ctx.device)
    if state is None:
        state = begun(problem.start)
    else:
        ctx.log.info("%s: continuing at iteration %d", name, state.iteration)
    saved = time.monotonic()

    def reached(now: State) -> None:
        nonlocal saved
        last = now.iteration == sum(config.iterations)
        if last or time.monotonic() - saved >= config.checkpoint_every_s:
            save_state(now, path, signature)
            saved = time.monotonic()

    return harmonized(problem, palette, config, ctx, state, reached)


def _signature(name: str, config: Config, ctx: Context) -> str:
    """Tells a checkpoint of another configuration; the inputs are in the scratch path's key."""
    values = asdict(config)
    values.pop("checkpoint_every_s")
    return json.dumps({"version": VERSION, "seed": ctx.seed, "part": name, **values})


def _values(scene: Scene, *names: str) -> RawSplats:
    """Several layers in one."""
    parts = [baked(scene.layer(name)).values for name in names]
    return joined(parts, parts[0]) if len(parts) > 1 else parts[0]


def on(scene: Gaussians, device: str) -> Gaussians:
    """The scene on a device."""
    names = ("means", "quaternions", "scales", "opacities", "sh")
    return replace(scene, **{name: getattr(scene, name).to(device) for name in names})


def seam_of(target: RawSplats, source: RawSplats, config: Config) -> tuple[float, Boundary]:
    """L and the boundary."""
    points, others = (part.means.astype(np.float64) for part in (target, source))
    size = extent(np.concatenate([points, others]))
    boundary = find_boundary(
        points,
        activate(target).opacities.double().numpy(),
        others,
        reach=config.beta * size,
        tau=config.tau,
        k=config.neighbors,
    )
    return size, boundary


def _written(
    before: Scene, after: Scene, reports: list[dict[str, object]], ctx: Context
) -> Outputs:
    others = tuple(layer.name for layer in after.layers if layer.name != "target")
    joint = [
        perform(one, Merge(layer="target", others=others)).scene.layers[0]
        for one in (before, after)
    ]
    target = save(after.layer("target"), ctx.out / "target.ply")
    splats = save(joint[1], ctx.out / "scene.ply")
    parts = _save_parts(after, ctx.out / "parts") if len(after.layers) > 2 else None
    folder = ctx.out / "report"
    folder.mkdir()
    report = {**reports[0], "then": reports[1:]}
    with replacing(folder / "report.json") as temporary:
        temporary.write_text(json.dumps(report, indent=1) + "\n", "utf-8")
    rows = [row for layer in joint for row in _around(layer.values)]
    sheet = pictures.sheet(rows, len(AZIMUTHS_DEG))
    pictures.save(sheet, folder / "before-after.png")
    return Outputs(SplatsFile(splats), SplatsFile(target), PreviewDir(folder), parts)


def _save_parts(scene: Scene, folder: Path) -> ScenesDir:
    folder.mkdir()
    for layer in scene.layers:
        save(layer, folder / f"{layer.name}.ply")
    save_index([layer.name for layer in scene.layers], folder)
    return ScenesDir(folder)


def _around(splats: RawSplats) -> list[Float[np.ndarray, "height width 3"]]:
    """Pictures on white from four sides."""
    low, high = _box(splats)
    scene = activate(splats)
    scene = _shifted(scene, -(low + high) / 2)
    radius = 0.5 * float(np.linalg.norm(high - low))
    cameras = look_at_origin(
        AZIMUTHS_DEG,
        [20.0] * len(AZIMUTHS_DEG),
        distance_m=3.2 * radius,
        fovy_deg=40.0,
        size_px=(PICTURE_PX, PICTURE_PX),
    )
    with torch.no_grad():
        frames = splat_renderer("cpu")(scene, cameras)
    assert frames.rgb is not None and frames.alpha is not None
    return list((frames.rgb + 1 - frames.alpha).numpy())


def _shifted(scene: Gaussians, shift: Float[np.ndarray, "3"]) -> Gaussians:
    return replace(scene, means=scene.means + torch.from_numpy(shift).to(scene.means))


def _box(*parts: RawSplats) -> tuple[Float[np.ndarray, "3"], Float[np.ndarray, "3"]]:
    """Corners of the box from the 1st to the 99th percentile, without far strays."""
    points = np.concatenate([part.means for part in parts]).astype(np.float64)
    low, high = np.percentile(points, [1, 99], axis=0)
    return low, high


def _degree(layer: Layer) -> int:
    return round(layer.values.sh.shape[1] ** 0.5) - 1


def _palette_rows(palette: Palette | None) -> list[dict[str, object]]:
    """The largest first."""
    if palette is None:
        return []
    order = np.argsort(-palette.votes, kind="stable")
    return [
        {"color": palette.centers[i].round(4).tolist(), "share": round(float(palette.shares[i]), 4)}
        for i in order
    ]
