"""Frame after frame: each starts from the pose, and the masks, that the one before ended with."""

import json
import re
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ...pipeline.contract import Context, replacing
from ...pipeline.errors import InputError
from ...renderers.cpu import render
from ...renderers.scene import Cameras, Gaussians
from ..artifacts import SequenceDir
from ..formats import cameras as camera_files
from ..formats import pictures, splats
from ..geometry.activation import activate
from . import Config as EditConfig
from . import coarse
from .loop import Pace, finish
from .moving import deformed, moved_by
from .pictures_in import Retouched, retouched
from .reach import posed_problem
from .state import State
from .track import Config, Inputs, Outputs
from .views import composited, make_view
from .work import carried

ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp")


@dataclass(frozen=True, slots=True)
class Follower:
    """What all frames have in common."""

    scene: Gaussians
    camera: Cameras
    config: Config
    ctx: Context


def track(inputs: Inputs, config: Config, ctx: Context) -> Outputs:
    """All that the stage does."""
    torch.set_num_threads(1)
    before = splats.load(inputs.splats.path)
    follower = Follower(activate(before), _camera(inputs.camera.path), config, ctx)
    frames = _frames(inputs.frames.path)
    folder = ctx.out / "sequence"
    folder.mkdir()
    rows, state, problem = [], None, None
    for number, frame in enumerate(frames):
        shot = _shot(follower, frame, first=not number)
        ground = torch.from_numpy(shot.background)
        view = make_view(follower.scene, shot.camera, shot.edited, shot.mask, ground)
        if problem is None:
            settings = EditConfig(
                matching=replace(config.matching, find_pairs=False),  # A frame is never far.
                rigidity=config.rigidity, coarse=config.coarse, ssim=config.ssim,
            )  # fmt: skip
            problem = posed_problem(follower.scene, [shot], settings, ctx.threads)
        else:
            settings = replace(config.coarse, iterations=config.next_iterations)
            problem = replace(problem, views=[view], coarse=settings)
        state = _followed(follower, problem, state, number)
        moved = moved_by(problem, coarse.pose_of(problem, state))
        splats.save(carried(before, moved), folder / f"{number:04d}.ply")
        rows.append(
            {
                "time_s": number / config.fps,
                "splats": f"{number:04d}.ply",
                "picture": frame.name,
                "moved": len(moved.rows),
                "difference": moved.error_coarse,
            }
        )
        ctx.log.info("%s: difference %.4f", frame.name, moved.error_coarse)
    document = {"kind": "sequence/1", "fps": config.fps, "frames": rows}
    with replacing(folder / "index.json") as temporary:
        temporary.write_text(json.dumps(document, indent=1) + "\n", "utf-8")
    return Outputs(SequenceDir(folder))


def _camera(path: Path) -> Cameras:
    camera = camera_files.load(path)
    if len(camera.world_to_camera) != 1:
        raise InputError(f"{path}: holds {len(camera.world_to_camera)} cameras, expected one.")
    return camera


def _frames(folder: Path) -> list[Path]:
    found = [path for path in folder.iterdir() if path.suffix.lower() in ENDINGS]
    if not found:
        raise InputError(f"{folder}: holds no pictures ({', '.join(ENDINGS)}).")
    return sorted(found, key=_counted)


def _counted(path: Path) -> list[tuple[int, str]]:
    """Sorts names so that 10.png comes after 9.png, whether or not there are leading zeros."""
    parts = re.split(r"(\d+)", path.name)
    # Numbers and words take turns, so that like is compared with like.
    return [(int(part), part) if part.isdecimal() else (0, part) for part in parts]


def _shot(follower: Follower, frame: Path, *, first: bool) -> Retouched:
    """All of a frame counts; the first one is looked at for what was not meant."""
    config, log = follower.config, follower.ctx.log
    shot = retouched(
        follower.scene, follower.camera, frame, None, config.background, log, compare=first
    )
    return replace(shot, mask=np.ones_like(shot.mask))


def _followed(
    follower: Follower, problem: coarse.Problem, before: State | None, number: int
) -> State:
    """The coarse stage of one frame."""
    config, ctx = follower.config, follower.ctx
    state = coarse.start(problem)
    if before is not None:
        with torch.no_grad():
            for name, one in state.values.items():
                one.leaf.copy_(before[name])
    signature = json.dumps({"seed": ctx.seed, **asdict(config)}, sort_keys=True)
    finish(
        f"frame-{number:04d}",
        state,
        problem.coarse.iterations,
        lambda now: coarse.step(problem, now),
        lambda now: _show(problem, now, ctx),
        Pace(signature, config.checkpoint_every_s, config.preview_every_s),
        ctx,
    )
    return state


def _show(problem: coarse.Problem, state: State, ctx: Context) -> None:
    pictures.save(_picture(problem, state).numpy(), ctx.scratch / "preview.png")


def _picture(problem: coarse.Problem, state: State) -> Float[Tensor, "height width 3"]:
    view = problem.views[0]
    scene = coarse.seen(problem, deformed(problem, coarse.pose_of(problem, state)), 0)
    with torch.no_grad():
        return composited(render(scene, view.camera), view.background)
