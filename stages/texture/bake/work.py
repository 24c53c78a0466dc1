"""The stage's work: prepare the views, gather, complete, refine, save. Everything that takes long
leaves its results in the scratch directory."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Float32, UInt8

from ....pipeline.contract import Context, replacing
from ....pipeline.errors import InputError
from ....renderers.scene import Gaussians
from ...artifacts import PictureFile, ReportFile, TexturedMeshFile
from ...formats import captures, exposures, gltf_model, pictures, splats, tensors, wild
from ...formats.model import Material, Model, Texture
from ...formats.png import png
from ...formats.shots import Shot
from ...formats.srgb import decode, encode
from ...geometry.activation import activate
from ...geometry.bake import Maps, fill
from ...geometry.exposure import Exposure
from ...geometry.seams import STEPS, borders, close_seams
from . import Config, Inputs, Outputs, tones
from .album import Album, Scale, prepare, rendered
from .caster import Caster, Eye
from .gains import even_out
from .gather import Rules, gather, settled
from .guess import from_around, from_gaussians
from .layout import Layout, lay_out
from .refine import refine
from .relief import relief
from .virtual import evenly, shooter, towards

BLOCK = 1 << 21
"""Texels that are worked on at a time."""
PHOTOGRAPHED, RENDERED, GUESSED = 0, 128, 255
"""Where a texel's color comes from, as in `unseen.png`."""
BYTES_PER_TEXEL = 150
"""Of the whole picture: the layout, stencil, solver and copies while the rest is filled."""
BYTES_PER_BLOCK = 1 << 30
STRANGER = 0.02
"""Share of the texels seen below which capture and mesh hardly belong together."""


@dataclass(slots=True)
class Bake:
    """All that the steps share."""

    layout: Layout
    caster: Caster
    rules: Rules
    scale: Scale
    album: Album
    config: Config
    ctx: Context
    shots: list[Shot]
    scene: Gaussians | None
    tones: Float32[np.ndarray, "view 3 256"]
    """What each byte of a view of the album stands for."""
    exposures: dict[int, Exposure]
    """Of photographs, where they are known."""
    gains: Float[np.ndarray, "photograph 3"] | None
    """Of linear light, where they were found here."""
    colors: Float32[np.ndarray, "texel 3"]
    source: UInt8[np.ndarray, " texel"]
    """Where each texel's color comes from."""
    views: int = 0
    """In the album so far."""


def bake(inputs: Inputs, config: Config, ctx: Context) -> Outputs:
    """Everything, from files to files."""
    torch.set_num_threads(1)
    if inputs.capture is None and inputs.splats is None:
        raise InputError(
            "bake: neither a capture nor splats; there is nothing to take colors from."
        )
    _check_memory(config, ctx)
    work = _begun(inputs, config, ctx)
    _photographs(work, inputs)
    _renders(work)
    guessed = work.source == GUESSED
    if guessed.any() and work.scene is not None:
        texels = np.flatnonzero(guessed)
        found, near = from_gaussians(texels, work.layout, work.scene)
        work.colors[texels[near]] = found[near]
        guessed[texels[near]] = False
    work.colors = from_around(work.colors, ~guessed, work.layout)
    return _written(work, inputs, _picture(work))


def _begun(inputs: Inputs, config: Config, ctx: Context) -> Bake:
    path = inputs.mesh.path
    model = wild.read(path)
    for remark in model.remarks:
        ctx.log.warning("%s", remark)
    layout = lay_out(
        model, config.texture_size_px, config.gutter_px, keep_uvs=config.keep_uvs, name=str(path)
    )
    inside = layout.texel_m[layout.faces[layout.inside]]
    ctx.log.info(
        "texture %d px, %d charts, %.1f %% of the texels used, each %.3g m",
        layout.size_px,
        layout.charts,
        100 * len(inside) / layout.size_px**2,
        np.median(inside),
    )
    weighing = config.weighing
    tolerance_m = weighing.tolerance * layout.radius_m
    return Bake(
        layout=layout,
        caster=Caster(layout.surface, ctx.threads),
        rules=Rules(
            sharpness=weighing.sharpness,
            min_cosine=weighing.min_cosine,
            slanted_cosine=min(weighing.slanted_cosine, weighing.min_cosine),
            tolerance_m=tolerance_m,
            outlier=weighing.outlier,
            best=weighing.best,
        ),
        scale=Scale(tolerance_m, float(np.median(inside))),
        album=Album(ctx.scratch),
        config=config,
        ctx=ctx,
        shots=[] if inputs.capture is None else _shots(inputs.capture.path, config, ctx),
        scene=None if inputs.splats is None else activate(splats.load(inputs.splats.path)),
        tones=np.zeros((0, 3, 256), np.float32),
        exposures={},
        gains=None,
        colors=np.zeros((len(layout), 3), np.float32),
        source=np.full(len(layout), GUESSED, np.uint8),
    )


def _shots(folder: Path, config: Config, ctx: Context) -> list[Shot]:
    """The photographs that may be used."""
    capture = captures.load(folder)
    if capture.missing:
        ctx.log.warning(
            "%d listed photographs are not there, such as %s. Going on without them.",
            len(capture.missing),
            capture.missing[0],
        )
    views = config.views
    every = views.hold_out_every
    kept = [
        shot
        for number, shot in enumerate(capture.shots)
        if (views.held_out or not shot.held_out)
        and (not every or shot.held_out is not None or number % every)
    ]
    if not kept:
        raise InputError(f"{folder}: all photographs are kept aside; there is nothing to bake.")
    return kept


def _photographs(work: Bake, inputs: Inputs) -> None:
    if not work.shots or inputs.capture is None:
        return
    prepare(work.album, work.shots, _frame(inputs), work.caster, work.scale, work.config, work.ctx)
    work.views = len(work.shots)
    work.tones = np.stack([tones.plain()] * work.views)
    if work.config.gains != "off":
        _even(work, inputs)
    _look(work, np.arange(len(work.layout)), range(work.views), PHOTOGRAPHED, "photographs")
    share = float((work.source == PHOTOGRAPHED).mean())
    if share == 0:
        raise InputError(_never_seen(work, inputs))
    if share < STRANGER:
        work.ctx.log.warning(
            "the photographs see only %.2g %% of the mesh: are both in one frame?", 100 * share
        )


def _even(work: Bake, inputs: Inputs) -> None:
    """By the exposures that are given, or else by gains that make the photographs agree."""
    if inputs.exposures is not None and inputs.capture is not None:
        work.exposures = exposures.of_shots(
            inputs.exposures.path, inputs.capture.path, work.shots, work.ctx.log
        )
        for number, exposure in work.exposures.items():
            work.tones[number] = tones.undone(exposure)
    else:
        work.gains = even_out(
            work.layout, work.album.some(range(work.views)), work.views, work.caster,
            work.rules, work.config.gains, work.ctx.threads,
        )  # fmt: skip
        work.tones = np.stack([tones.brightened(gains) for gains in work.gains])


def _frame(inputs: Inputs) -> Float[np.ndarray, "4 4"]:
    """From the capture's world to that of the splats, and so of their mesh."""
    if inputs.splats is None:
        return np.eye(4)
    return np.array(splats.load_sidecar(inputs.splats.path).source_transform).reshape(4, 4)


def _never_seen(work: Bake, inputs: Inputs) -> str:
    assert inputs.capture is not None
    eyes = np.stack([work.album.load(k).eye.position for k in range(work.views)])
    middle, center = np.median(eyes, axis=0), work.layout.center
    return (
        f"{inputs.mesh.path}: none of the {work.views} photographs of {inputs.capture.path} sees "
        f"it. It lies around ({center[0]:.3g}, {center[1]:.3g}, {center[2]:.3g}) with a radius of "
        f"{work.layout.radius_m:.3g}, the cameras around ({middle[0]:.3g}, {middle[1]:.3g}, "
        f"{middle[2]:.3g}). Both must be in one frame: was the mesh turned, scaled or moved?"
    )


def _renders(work: Bake) -> None:
    """Views of the splats: all around where there are no photographs, then of what is unseen."""
    if work.scene is None:
        return
    views, ctx = work.config.views, work.ctx
    shoot = shooter(work.scene, ctx.device)
    if not work.shots:
        _add(work, evenly(work.layout, views.count, views.render_size_px), shoot, "renders")
    left = views.virtual
    while left > 0:
        unseen = np.flatnonzero(work.source == GUESSED)
        if len(unseen) <= (1 - views.coverage) * len(work.layout):
            break
        eyes = towards(
            unseen, work.layout, work.caster, work.rules, views.render_size_px, ctx.seed + left
        )[:left]
        if not eyes:
            break
        before = len(unseen)
        _add(work, eyes, shoot, "virtual views")
        left -= len(eyes)
        if np.count_nonzero(work.source == GUESSED) == before:
            break  # The splats do not cover what is left.


def _add(work: Bake, eyes: list[Eye], shoot, title: str) -> None:
    """Render, put into the album, and look at what is unseen."""
    first = work.views
    with work.ctx.progress(f"bake: {title}", len(eyes)) as bar:
        for number, eye in enumerate(eyes, start=first):
            if number not in work.album:
                name = f"render {number - len(work.shots)}"
                view = rendered(name, eye, shoot(eye), work.caster, work.scale, work.config)
                work.album.put(number, view)
            bar.advance()
    work.views += len(eyes)
    work.tones = np.concatenate([work.tones, [tones.plain()] * len(eyes)])
    unseen = np.flatnonzero(work.source == GUESSED)
    _look(work, unseen, range(first, work.views), RENDERED, title)


def _look(work: Bake, texels: np.ndarray, views: range, source: int, title: str) -> None:
    """Color those of `texels` that any of the views shows. Finished blocks are kept on disk."""
    ctx = work.ctx
    starts = range(0, len(texels), BLOCK)
    with ctx.progress(f"bake: {title}, texels", len(texels)) as bar:
        for start in starts:
            block = texels[start : start + BLOCK]
            path = ctx.scratch / f"texels-{views.start:05d}-{start // BLOCK:04d}.safetensors"
            if path.exists():
                kept, _ = tensors.load(path, ["colors", "seen"])
                colors, seen = kept["colors"].numpy(), kept["seen"].numpy()
            else:
                found = gather(
                    work.layout.points(block), work.album.some(views), work.tones, work.caster,
                    work.rules, ctx.threads,
                )  # fmt: skip
                colors, seen = settled(found, work.rules.outlier, ctx.threads)
                given = {"colors": torch.from_numpy(colors), "seen": torch.from_numpy(seen)}
                tensors.save(given, path)
            work.colors[block[seen]] = colors[seen]
            work.source[block[seen]] = source
            bar.advance(len(block))


def _picture(work: Bake) -> UInt8[np.ndarray, "row column 3"]:
    """The finished texture."""
    layout, size = work.layout, work.layout.size_px
    at = layout.rows, layout.columns
    values = np.zeros((size, size, 3), np.float32)
    values[at] = work.colors.clip(0, 1)
    if work.config.refine and (work.source != GUESSED).any():
        photographed = np.zeros((size, size), bool)
        photographed[at] = work.source == PHOTOGRAPHED
        start = decode(values).astype(np.float32)
        values = refine(
            start, photographed, layout, work.album, range(work.views), work.tones, work.caster,
            work.rules, work.config.fidelity, work.ctx,
        )  # fmt: skip
        values = encode(values).astype(np.float32)
    valid = np.zeros((size, size), bool)
    valid[at] = True
    values[~valid] = 0
    whole = fill(Maps(values, valid))
    if work.config.close_seams:
        assert layout.mesh.uvs is not None
        edges = borders(layout.surface, layout.mesh.uvs)
        linear = decode(whole).astype(np.float32)
        with work.ctx.progress("bake: seams", STEPS) as bar:
            whole = encode(close_seams(linear, valid, edges, bar.advance))
    return pictures.to_bytes(whole)


def _written(work: Bake, inputs: Inputs, texture: np.ndarray) -> Outputs:
    layout, out = work.layout, work.ctx.out
    mesh = layout.mesh
    assert mesh.uvs is not None
    normal = frames = None
    if inputs.detail is not None:
        local, frames = relief(inputs.detail.path, layout, work.ctx)
        normal = Texture(_laid(layout, local * np.float32(0.5) + np.float32(0.5)), CLAMP)
    material = Material(
        base_color=Texture(texture, CLAMP), metallic_factor=0.0, roughness_factor=1.0, normal=normal
    )
    model = Model(
        positions=mesh.positions,
        faces=mesh.faces,
        face_materials=np.zeros(len(mesh.faces), np.int64),
        materials=(material,),
        normals=mesh.normals,
        tangents=frames,
        uvs=(mesh.uvs,),
    )
    return Outputs(
        textured=TexturedMeshFile(gltf_model.save(model, out / "textured.glb")),
        unseen=PictureFile(_mask(work, out / "unseen.png")),
        report=ReportFile(_report(work, out / "report.json")),
    )


CLAMP = ("clamp", "clamp")


def _laid(layout: Layout, values: Float32[np.ndarray, "texel 3"]) -> np.ndarray:
    """Values of texels as a picture, continued beyond the charts."""
    size = layout.size_px
    picture, valid = np.zeros((size, size, 3), np.float32), np.zeros((size, size), bool)
    picture[layout.rows, layout.columns] = values
    valid[layout.rows, layout.columns] = True
    return pictures.to_bytes(fill(Maps(picture, valid)))


def _mask(work: Bake, path: Path) -> Path:
    size, inside = work.layout.size_px, work.layout.inside
    mask = np.zeros((size, size, 1), np.uint8)
    mask[work.layout.rows[inside], work.layout.columns[inside], 0] = work.source[inside]
    with replacing(path) as temporary:
        temporary.write_bytes(png(mask))
    return path


def _report(work: Bake, path: Path) -> Path:
    """Figures, and a line in the log."""
    layout = work.layout
    areas = layout.texel_m[layout.faces].astype(np.float64) ** 2 * layout.inside

    def share(source: int) -> float:
        return round(float(areas[work.source == source].sum() / areas.sum()), 5)

    shares = {
        "photographed": share(PHOTOGRAPHED),
        "rendered": share(RENDERED),
        "guessed": share(GUESSED),
    }
    photographs = [
        {"name": view.name, "sees_the_mesh": bool(view.worth.any()), **_evened(work, number)}
        for number in range(len(work.shots))
        for view in [work.album.load(number)]
    ]
    report = {
        "texture_px": layout.size_px,
        "charts": layout.charts,
        "texels": int(layout.inside.sum()),
        "texel_m": work.scale.texel_m,
        "of_the_surface": shares,
        "virtual_views": work.views - len(work.shots),
        "photographs": photographs,
    }
    work.ctx.log.info(
        "of the surface %.1f %% from photographs, %.1f %% from renders of the splats, %.2g %% "
        "guessed; %d virtual views",
        100 * shares["photographed"],
        100 * shares["rendered"],
        100 * shares["guessed"],
        report["virtual_views"],
    )
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(report, indent=1) + "\n", "utf-8")
    return path


def _evened(work: Bake, number: int) -> dict[str, list[float]]:
    """How a photograph's colors were changed."""
    if number in work.exposures:
        one = work.exposures[number]
        return {
            "exposure_gain": [round(value, 4) for value in one.gain.tolist()],
            "exposure_offset": [round(value, 4) for value in one.offset.tolist()],
        }
    gains = np.ones(3) if work.gains is None else work.gains[number]
    return {"gain": [round(float(gain), 4) for gain in gains]}


def _check_memory(config: Config, ctx: Context) -> None:
    needed = config.texture_size_px**2 * BYTES_PER_TEXEL + BYTES_PER_BLOCK
    if needed > ctx.memory_bytes:
        raise InputError(
            f"bake: a texture of {config.texture_size_px} px would need up to "
            f"{needed / 1e9:.1f} GB, {ctx.memory_bytes / 1e9:.1f} GB may be used. Lower "
            f"texture_size_px."
        )
