"""Train there, export there, bring back."""

import shlex
import shutil
from dataclasses import replace
from pathlib import Path

from ...pipeline.contract import Context
from ...pipeline.errors import InputError
from ..artifacts import SplatsFile
from ..formats import nerfstudio_frame, splats
from ..scene.affine import carried
from . import Config, Outputs
from .bridge import call, command

NAME, TIME = "capture", "run"
"""Of the experiment, in nerfstudio's tree of outputs."""


def trained(folder: Path, config: Config, ctx: Context) -> Outputs:
    """Train, export and bring back. What was trained whole before an interruption is kept."""
    command("ns-train")
    transforms = folder / "transforms.json"
    if not transforms.is_file():
        raise InputError(f"{folder}: has no transforms.json, by which nerfstudio reads a capture.")
    whole = ctx.scratch / "trained"
    if not whole.is_dir():
        _train(folder, config, ctx, whole)
    exported = ctx.scratch / "exported"
    words = ["gaussian-splat", "--load-config", str(_settings(whole)), "--output-dir"]
    call("ns-export", [*words, str(exported)], ctx.scratch / "ns-export.log")
    matrix = nerfstudio_frame.to_capture(
        _settings(whole).with_name("dataparser_transforms.json"), transforms
    )
    scene = carried(splats.load(exported / "splat.ply"), matrix)
    scene = replace(scene, sidecar=replace(scene.sidecar, up_axis="+z"))
    ctx.log.info("%d Gaussians by nerfstudio's %s", len(scene), config.method)
    return Outputs(SplatsFile(splats.save(scene, ctx.out / "splats.ply")))


def _train(folder: Path, config: Config, ctx: Context, whole: Path) -> None:
    outputs, log = ctx.scratch / "outputs", ctx.scratch / "ns-train.log"
    shutil.rmtree(outputs, ignore_errors=True)
    ctx.log.info("ns-train %s, %d iterations; see %s", config.method, config.iterations, log)
    words = [
        config.method, "--data", str(folder.absolute()), "--output-dir", str(outputs),
        "--experiment-name", NAME, "--timestamp", TIME, "--vis", "tensorboard",
        "--max-num-iterations", str(config.iterations), "--machine.device-type", ctx.device,
        "--machine.seed", str(ctx.seed % 2**31), *shlex.split(config.arguments),
    ]  # fmt: skip
    call("ns-train", words, log)
    # config.yml names the tree by its path: it is marked as whole by a link, not by moving it.
    whole.symlink_to(outputs.absolute(), target_is_directory=True)


def _settings(tree: Path) -> Path:
    found = sorted(tree.resolve().glob(f"{NAME}/*/{TIME}/config.yml"))
    if len(found) != 1:
        raise InputError(f"{tree}: ns-train left {len(found)} runs there, expected one.")
    return found[0]
