"""From files to files: read the pictures, decide what the edit is, do it, write, report, show."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ...pipeline.contract import Context, replacing
from ...pipeline.errors import InputError
from ...renderers.cpu import render
from ...renderers.scene import Gaussians
from ..artifacts import ImagesDir, PreviewDir, SplatsFile, TensorsFile
from ..formats import cameras as camera_files
from ..formats import pairs as pair_files
from ..formats import pictures, splats, tensors
from ..formats.splats import RawSplats
from ..geometry.activation import activate
from ..scene.affine import take
from . import Config, Inputs, Outputs
from .moving import Moved, Show, move, take_out
from .pictures_in import Retouched, erased, retouched
from .shading import turned
from .sheet import Scenes, sheet
from .skinning import product
from .texture import Painted, Wish, painted
from .views import box_around, composited, cut, pick

TURNED_AT_ONCE = 1 << 14


def edit(inputs: Inputs, config: Config, ctx: Context, show: Show | None = None) -> Outputs:
    """All that the stage does; `show` is given the picture as it forms, instead of a file."""
    torch.set_num_threads(1)
    before = splats.load(inputs.splats.path)
    scene = activate(before)
    shots = _shots(inputs, scene, config, ctx)
    if not any(shot.mask.any() for shot in shots):
        ctx.log.info("the picture shows no edit; the scene stays as it is")
        return _unchanged(inputs, before, shots, ctx)
    show = _whole(show or _show(ctx), next(shot for shot in shots if shot.mask.any()))
    if config.what == "remove":
        gone = take_out(scene, shots, config, ctx, show)
        if len(gone) == len(before):
            raise InputError("everything would be removed, and a scene is not empty.")
        origin = np.delete(np.arange(len(before)), gone)
        after = take(before, origin)
        report = _report(before, after, origin, None, None, shots)
        path = splats.save(after, ctx.out / "scene.ply")
        return _outputs(path, Scenes(before, after, origin), None, report, shots, ctx)
    moved, paint = _edited(scene, shots, config, ctx, show)
    after = before if moved is None else carried(before, moved)
    origin, result = np.arange(len(before)), None
    if paint:
        result = _painted(after, shots, config, ctx, show)
        after, origin = result.splats, result.origin
    report = _report(before, after, origin, moved, result, shots)
    path = splats.save(after, ctx.out / "scene.ply")
    return _outputs(path, Scenes(before, after, origin), moved, report, shots, ctx)


def _shots(inputs: Inputs, scene: Gaussians, config: Config, ctx: Context) -> list[Retouched]:
    cameras = camera_files.load(inputs.camera.path)
    count = len(cameras.world_to_camera)
    images = [inputs.image.path]
    if isinstance(inputs.image, ImagesDir):
        images = sorted(inputs.image.path.glob("*.png"))
    if len(images) != count:
        raise InputError(
            f"{inputs.camera.path.name}: holds {count} cameras for {len(images)} edited pictures. "
            f"Give one camera for each picture."
        )
    masks: list[Path | None] = [None if inputs.mask is None else inputs.mask.path]
    masks += [None] * (count - 1)
    shots = [
        retouched(scene, pick(cameras, k), image, mask, config.background, ctx.log)
        for k, (image, mask) in enumerate(zip(images, masks, strict=True))
    ]
    if inputs.pairs is not None:
        found = pair_files.load(inputs.pairs.path, cameras.width_px, cameras.height_px)
        shots[0] = replace(shots[0], pairs=found)
    return shots


def _edited(
    scene: Gaussians, shots: list[Retouched], config: Config, ctx: Context, show: Show
) -> tuple[Moved | None, bool]:
    """How the geometry moves, if it does; whether colors are to be changed."""
    if config.what == "texture":
        return None, True

    moved = move(scene, shots, config, ctx, show)
    if config.what == "auto" and moved.explained < config.explained:
        ctx.log.info("taken for a change of colors; --what geometry insists on moving")
        if all(erased(shot) for shot in shots if shot.mask.any()):
            ctx.log.warning(
                "where the picture was edited, nothing but background is left, and what is there "
                "is painted like it. --what remove takes it out."
            )
        return None, True
    return moved, config.what == "both"


def _show(ctx: Context) -> Show:
    """Writes the picture as it forms."""

    def show(picture: Float[Tensor, "height width 3"], stage: str) -> None:
        path = ctx.scratch / "preview.png"
        pictures.save(picture.numpy(), path)
        ctx.log.info("%s: as it is now: %s", stage, path)

    return show


def _whole(show: Show, shot: Retouched) -> Show:
    """Takes the part of the picture that the edit concerns, and shows the whole with it."""
    box = box_around(shot.mask)

    def shown(part: Float[Tensor, "height width 3"], stage: str) -> None:
        picture = torch.from_numpy(shot.own.copy())
        picture[box.top : box.bottom, box.left : box.right] = part
        show(picture, stage)

    return shown


def carried(splats: RawSplats, moved: Moved) -> RawSplats:
    """The scene with the moved Gaussians in place, their harmonics turned along; the others bit
    for bit as they were."""
    rows = moved.rows.numpy()
    means, quaternions = splats.means.copy(), splats.quaternions.copy()
    log_scales, sh = splats.log_scales.copy(), splats.sh.copy()
    means[rows] = moved.means.numpy()
    before = torch.from_numpy(splats.quaternions[rows])
    quaternions[rows] = product(moved.turns, before).numpy()
    log_scales[rows] += moved.growth.numpy()
    for start in range(0, len(rows), TURNED_AT_ONCE):
        some = rows[start : start + TURNED_AT_ONCE]
        turns = moved.turns[start : start + TURNED_AT_ONCE]
        sh[some] = turned(torch.from_numpy(splats.sh[some]), turns).numpy()
    return replace(splats, means=means, quaternions=quaternions, log_scales=log_scales, sh=sh)


def _painted(
    splats: RawSplats, shots: Sequence[Retouched], config: Config, ctx: Context, show: Show
) -> Painted:
    wishes = [
        Wish(shot.camera, shot.edited, shot.mask, shot.background)
        for shot in shots
        if shot.mask.any()
    ]
    with ctx.progress("texture", config.texture.rounds + 1) as bar:

        def told(now: RawSplats) -> None:
            bar.advance()
            with torch.no_grad():
                camera = cut(wishes[0].camera, box_around(wishes[0].mask))
                frames = render(activate(now), camera)
            show(composited(frames, torch.from_numpy(wishes[0].background)), "texture")

        return painted(splats, wishes, config.texture, told)


def _report(
    before: RawSplats,
    after: RawSplats,
    origin: np.ndarray,
    moved: Moved | None,
    paint: Painted | None,
    shots: Sequence[Retouched],
) -> dict[str, object]:
    """What changed, in numbers."""
    same = np.ones(len(after), bool)
    for name in ("means", "log_scales", "logit_opacities", "quaternions", "sh"):
        was, now = getattr(before, name)[origin], getattr(after, name)
        same &= (was == now).reshape(len(now), -1).all(axis=1)
    gone = np.linalg.norm(after.means.astype(np.float64) - before.means[origin], axis=1)
    parts = np.bincount(origin, minlength=len(before))[origin] > 1
    far = gone[(gone > 0) & ~parts]
    report: dict[str, object] = {
        "gaussians_before": len(before),
        "gaussians": len(after),
        "untouched": int(same.sum()),
        "removed": len(before) - len(np.unique(origin)),
        "split": len(np.unique(origin[parts])),
        "moved": len(far),
        "moved_by_median": float(np.median(far)) if len(far) else 0.0,
        "moved_by_most": float(far.max()) if len(far) else 0.0,
        "recolored": int((before.sh[origin, 0] != after.sh[:, 0]).any(axis=1).sum()),
        "edited_share_of_picture": [float(shot.mask.mean()) for shot in shots],
        "noise_of_picture": [shot.noise for shot in shots],
    }
    if moved is not None:
        report["difference_before"] = moved.error_before
        report["difference_coarse"] = moved.error_coarse
        report["difference_after"] = moved.error_after
    if paint is not None:
        report["color_error_before"] = paint.error_before
        report["color_error_after"] = paint.error_after
    return report


def _unchanged(
    inputs: Inputs, before: RawSplats, shots: Sequence[Retouched], ctx: Context
) -> Outputs:
    """The scene's own bytes."""
    path = ctx.out / "scene.ply"
    for source, target in (
        (inputs.splats.path, path),
        (splats.sidecar_path(inputs.splats.path), splats.sidecar_path(path)),
    ):
        if source.exists():
            with replacing(target) as temporary:
                shutil.copyfile(source, temporary)
    same = np.arange(len(before))
    report = _report(before, before, same, None, None, shots)
    return _outputs(path, Scenes(before, before, same), None, report, shots, ctx)


def _outputs(
    path: Path,
    scenes: Scenes,
    moved: Moved | None,
    report: dict[str, object],
    shots: Sequence[Retouched],
    ctx: Context,
) -> Outputs:
    """Write all that stands beside the scene at `path`."""
    found = {}
    if moved is not None:
        found = {"rest": moved.rest, "places": moved.pose.places, "turns": moved.pose.turns}
    transforms = tensors.save(found, ctx.out / "transforms.safetensors")
    folder = ctx.out / "report"
    folder.mkdir()
    shot = next((shot for shot in shots if shot.mask.any()), shots[0])
    pictures.save(shot.mask[..., None].astype(np.float32), folder / "mask.png")
    shown, report["other_views_deg"] = sheet(scenes, shot)
    pictures.save(shown, folder / "before-after.png")
    with replacing(folder / "report.json") as temporary:
        temporary.write_text(json.dumps(report, indent=1) + "\n", "utf-8")
    for name, value in report.items():
        ctx.log.info("%s: %s", name, value)
    return Outputs(SplatsFile(path), TensorsFile(transforms), PreviewDir(folder))
