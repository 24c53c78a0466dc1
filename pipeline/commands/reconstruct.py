"""`pipeline reconstruct`: photographs to Gaussians."""

import json
from pathlib import Path
from typing import Annotated, Literal

import tyro

from ..errors import InputError
from ..recipe import Step
from .options import MachineOptions
from .single import run_chain


def reconstruct(
    capture: tyro.conf.Positional[Path],
    /,
    *,
    out: Path,
    poses: Literal["given", "colmap"] = "given",
    iterations: int = 7_000,
    max_side: int = 1_600,
    max_gaussians: int = 300_000,
    strategy: Literal["densify", "mcmc"] = "densify",
    surface: Literal["off", "density", "sdf"] = "off",
    set: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = (),
    seed: int = 0,
    store: Path | None = None,
    options: Annotated[MachineOptions, tyro.conf.arg(name="")] = MachineOptions(),  # noqa: B008
) -> int:
    """Train Gaussians on photographs; every eighth is kept aside to judge.

    Args:
        capture: A nerfstudio (transforms.json), Blender-synthetic or COLMAP folder; with
            --poses colmap any folder of photographs.
        out: The run directory; the result is latest/reconstruct/splats.ply.
        poses: Where cameras come from: the folder, or found by COLMAP on the CPU (extra colmap),
            which leaves a capture in latest/poses/capture for other commands.
        iterations: Photographs looked at; the published recipe takes 30000.
        max_side: Photographs with a longer side are reduced to this many pixels.
        max_gaussians: Never more than this.
        strategy: How Gaussians are added: where the picture pulls, or by Markov chains.
        surface: Lay the Gaussians flat on a surface, for meshing: density for objects seen from
            all around, sdf for scenes.
        set: reconstruct.FIELD=VALUE or poses.FIELD=VALUE, a setting of a stage; may be given
            several times.
        seed: Another seed, another result.
        store: A directory of results shared between runs; OUT remembers it.
    """
    if not capture.is_dir():
        raise InputError(f"{capture}: no such directory.")
    if out.absolute().is_relative_to(capture.absolute()):
        raise InputError(f"--out {out}: lies inside the capture. Choose a place outside of it.")
    found = poses == "colmap"
    step = Step(
        name="reconstruct",
        stage="reconstruct",
        inputs={"capture": "poses.capture" if found else str(capture.absolute())},
        config={
            "iterations": iterations,
            "views": {"max_side_px": max_side},
            "density": {"max_gaussians": max_gaussians, "strategy": strategy},
            "surface": {"mode": surface},
        },
    )
    steps = [step]
    if found:
        photographs = {"photographs": str(capture.absolute())}
        steps.insert(0, Step(name="poses", stage="poses", inputs=photographs, config={}))
    target, finished = run_chain(steps, out=out, set=set, seed=seed, store=store, options=options)
    report = json.loads((target.folder(finished[-1].request) / "report.json").read_text("utf-8"))
    print(_told(report))
    return 0


def _told(report: dict) -> str:
    """The figures in one line."""
    made = f"{report['gaussians']:,} Gaussians from {report['photographs']} photographs"
    if report["psnr_db"] is None:
        return f"{made}; none was kept aside to judge them"
    aside = len(report["kept_aside"])
    decibels = f"{report['psnr_db']:.2f} dB ({report['evened_psnr_db']:.2f} with exposures evened)"
    return f"{made}; {decibels}, SSIM {report['ssim']:.3f} on {aside} kept aside"
