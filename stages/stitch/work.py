"""From two files to one: put in place, find the seam, harmonize, report, show."""

import json
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float

from ...pipeline.contract import Context, replacing
from ...pipeline.errors import InputError
from ...renderers.choose import splat_renderer
from ...renderers.scene import Gaussians
from ..artifacts import PreviewDir, SplatsFile
from ..formats import edits, pictures, regions
from ..formats.edits import Crop, Degree, Merge
from ..formats.splats import RawSplats
from ..geometry.activation import activate
from ..geometry.orbit import look_at_origin
from ..scene.layers import Layer, Scene, baked, save, with_selected, with_values
from ..scene.operations import check_alike, perform
from ..scene.selectors import region
from ..scene.session import opened, replayed
from . import Config, Inputs, Outputs
from .boundary import Boundary, extent, find_boundary
from .harmonize import harmonized, posed, source_palette
from .palette import Palette
from .seam import seam_difference, texture_kept
from .views import around, views_of

NAMES = ("target", "source")
AZIMUTHS_DEG = (20.0, 110.0, 200.0, 290.0)
PICTURE_PX = 256


def stitch(inputs: Inputs, config: Config, ctx: Context) -> Outputs:
    """All that the stage does."""
    scene = placed(inputs)
    target, source = (baked(scene.layer(name)).values for name in NAMES)
    size, boundary = seam_of(target, source, config)
    ctx.log.info(
        "seam: %d of %d target Gaussians, opacity above %.3g%s",
        len(boundary.members),
        len(target),
        boundary.opacity,
        " (lowered: none is above tau)" if boundary.lowered else "",
    )
    own, theirs = activate(target), activate(source)
    low, high = _box(target, source)
    cameras = around((low + high) / 2, 0.5 * float(np.linalg.norm(high - low)), config.views,
                     config.size_px)  # fmt: skip
    views = views_of(own, cameras, ctx.threads)
    palette = None
    if not config.seam_only and config.iterations[1]:
        palette = source_palette(views_of(theirs, cameras, ctx.threads), theirs.sh, ctx.seed)
    sh = harmonized(posed(own, theirs, boundary, views, size, config), palette, config, ctx)
    after = replace(target, sh=sh.numpy())
    report = {
        "target_gaussians": len(target),
        "source_gaussians": len(source),
        "size": size,
        "boundary": len(boundary.members),
        "boundary_opacity": boundary.opacity,
        "boundary_opacity_lowered": boundary.lowered,
        "seam_delta_e_before": seam_difference(own.sh, theirs.sh, boundary),
        "seam_delta_e_after": seam_difference(sh, theirs.sh, boundary),
        "texture_kept": texture_kept(views, own.sh, sh, boundary),
        "palette": _palette_rows(palette),
    }
    for name, value in report.items():
        ctx.log.info("%s: %s", name, value)
    return _written(scene, after, report, ctx)


def placed(inputs: Inputs) -> Scene:
    """Both parts where they belong, cut to what is asked for, of one SH degree."""
    scene = opened(NAMES, (inputs.target.path, inputs.source.path))
    if inputs.transform is not None:
        script, name = edits.load(inputs.transform.path), inputs.transform.path.name
        if script.scenes != NAMES:
            raise InputError(f"{name}: the scenes must be called target and source, in this order.")
        scene = replayed(scene, script.edits, name)
        if [layer.name for layer in scene.layers] != list(NAMES):
            raise InputError(f"{name}: has to leave exactly the layers target and source.")
    chosen = (inputs.select_target, inputs.select_source)
    for name, file in zip(NAMES, chosen, strict=True):
        if file is not None:
            layer = scene.layer(name)
            found = region(scene, layer, regions.load(file.path))
            try:
                scene = perform(scene.put(with_selected(layer, found)), Crop(layer=name)).scene
            except InputError as error:
                raise InputError(f"{file.path.name}: {error}.") from None
    target, source = (scene.layer(name) for name in NAMES)
    check_alike(target, source)
    degree = max(_degree(layer) for layer in (target, source))
    for name in NAMES:
        scene = perform(scene, Degree(layer=name, degree=degree)).scene
    return scene


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


def _written(scene: Scene, after: RawSplats, report: dict[str, object], ctx: Context) -> Outputs:
    before = scene
    scene = scene.put(with_values(baked(scene.layer("target")), after))
    joined = [
        perform(one, Merge(layer="target", others=("source",))).scene.layers[0]
        for one in (before, scene)
    ]
    target = save(scene.layer("target"), ctx.out / "target.ply")
    splats = save(joined[1], ctx.out / "scene.ply")
    folder = ctx.out / "report"
    folder.mkdir()
    with replacing(folder / "report.json") as temporary:
        temporary.write_text(json.dumps(report, indent=1) + "\n", "utf-8")
    rows = [row for layer in joined for row in _around(layer.values)]
    sheet = pictures.sheet(rows, len(AZIMUTHS_DEG))
    pictures.save(sheet, folder / "before-after.png")
    return Outputs(SplatsFile(splats), SplatsFile(target), PreviewDir(folder))


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
