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
from ...renderers.projection import view_depths
from ...renderers.scene import Cameras, Gaussians
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
from .reach import front_layer
from .shading import turned
from .skinning import product
from .texture import Painted, Wish, painted
from .views import box_around, composited, cut, pick, weights_inside

AROUND_DEG = (0.0, 40.0, 180.0, 320.0)
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
        return _outputs(path, before, after, None, report, shots, ctx)
    moved, paint = _edited(scene, shots, config, ctx, show)
    after = before if moved is None else carried(before, moved)
    origin, result = np.arange(len(before)), None
    if paint:
        result = _painted(after, shots, config, ctx, show)
        after, origin = result.splats, result.origin
    report = _report(before, after, origin, moved, result, shots)
    path = splats.save(after, ctx.out / "scene.ply")
    return _outputs(path, before, after, moved, report, shots, ctx)


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
    report = _report(before, before, np.arange(len(before)), None, None, shots)
    return _outputs(path, before, before, None, report, shots, ctx)


def _outputs(
    path: Path,
    before: RawSplats,
    after: RawSplats,
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
    with replacing(folder / "report.json") as temporary:
        temporary.write_text(json.dumps(report, indent=1) + "\n", "utf-8")
    shot = next((shot for shot in shots if shot.mask.any()), shots[0])
    pictures.save(shot.mask[..., None].astype(np.float32), folder / "mask.png")
    pictures.save(_sheet(before, after, shot), folder / "before-after.png")
    for name, value in report.items():
        ctx.log.info("%s: %s", name, value)
    return Outputs(SplatsFile(path), TensorsFile(transforms), PreviewDir(folder))


def _sheet(
    before: RawSplats, after: RawSplats, shot: Retouched
) -> Float[np.ndarray, "height width 3"]:
    """Above the scene before, below after: the edited view, and from around what it looks at."""
    ground = torch.from_numpy(shot.background)
    pivot = _pivot(before, shot)
    rows = []
    for scene in (activate(before), activate(after)):
        for angle in AROUND_DEG:
            with torch.no_grad():
                frames = render(scene, around(shot.camera, pivot, angle))
            rows.append(composited(frames, ground).numpy())
    edited = [shot.edited, np.ones_like(shot.edited)]
    cells = [[edited[k], *rows[k * len(AROUND_DEG) :][: len(AROUND_DEG)]] for k in range(2)]
    return pictures.sheet([cell for row in cells for cell in row], len(AROUND_DEG) + 1)


def _pivot(splats: RawSplats, shot: Retouched) -> Float[Tensor, "3"]:
    """The middle of the edited surface, or of all that is seen."""
    mask = shot.mask if shot.mask.any() else np.ones_like(shot.mask)
    scene = activate(splats)
    weights = weights_inside(scene, [shot.camera], [torch.from_numpy(mask)])
    depths = view_depths(scene.means, shot.camera)[0]
    weights = weights * torch.from_numpy(front_layer(depths.numpy(), weights.numpy()))
    return (scene.means * weights[:, None]).sum(dim=0) / weights.sum().clamp(min=1e-9)


def around(camera: Cameras, pivot: Float[Tensor, "3"], angle_deg: float) -> Cameras:
    """The camera carried around its own vertical through `pivot`."""
    pose = camera.world_to_camera[0].double()
    turn, shift = pose[:3, :3], pose[:3, 3]
    angle = np.deg2rad(angle_deg)
    about_y = torch.tensor(
        [
            [np.cos(angle), 0.0, np.sin(angle)],
            [0.0, 1.0, 0.0],
            [-np.sin(angle), 0.0, np.cos(angle)],
        ],
        dtype=torch.float64,
    )
    middle = turn @ pivot.double() + shift
    moved = torch.eye(4, dtype=torch.float64)
    moved[:3, :3] = about_y @ turn
    moved[:3, 3] = middle + about_y @ (shift - middle)
    return replace(camera, world_to_camera=moved[None].to(camera.world_to_camera))
