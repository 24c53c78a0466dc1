"""`pipeline fit`: a photograph, or a mesh's signed distance or occupancy, as a small field."""

import json
from pathlib import Path
from typing import Annotated, Literal

import tyro

from ..errors import InputError
from ..recipe import Step
from .options import MachineOptions
from .single import run_single


def fit(
    kind: tyro.conf.Positional[Literal["image", "sdf", "occupancy"]],
    file: tyro.conf.Positional[Path],
    /,
    *,
    out: Path,
    set: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = (),
    seed: int = 0,
    store: Path | None = None,
    options: Annotated[MachineOptions, tyro.conf.arg(name="")] = MachineOptions(),  # noqa: B008
) -> int:
    """Fit a field on simplex encodings to FILE, and say how well it fits.

    Args:
        kind: `image` for a photograph, `sdf` for the signed distance of a mesh, `occupancy` for
            which points are inside of it.
        file: A picture, or a GLB, glTF, OBJ, PLY, STL or OFF file.
        out: The run directory; the results are in latest/fit/.
        set: fit.FIELD=VALUE, a setting of the stage; may be given several times.
        seed: Another seed, another start and other samples.
        store: A directory of results shared between runs; OUT remembers it.
    """
    if not file.is_file():
        raise InputError(f"{file}: no such file.")
    path = file.absolute()
    given = {"photo": str(path)} if kind == "image" else {"mesh": f"mesh/1:{path}"}
    stage = "fit-image" if kind == "image" else "fit-sdf"
    config = {"target": "occupancy"} if kind == "occupancy" else {}
    step = Step(name="fit", stage=stage, inputs=given, config=config)
    target, finished = run_single(step, out=out, set=set, seed=seed, store=store, options=options)
    report = target.folder(finished[0].request) / "report.json"
    print(_told(kind, json.loads(report.read_text("utf-8"))))
    return 0


def _told(kind: str, report: dict) -> str:
    """The figures in one line."""
    if kind == "image":
        return (
            f"{report['width_px']} x {report['height_px']} pixels: {report['psnr_db']:.2f} dB with "
            f"{report['parameters']:,} parameters"
        )
    closed = "watertight" if report["watertight"] else "NOT watertight"
    return (
        f"{report['faces']:,} faces, {closed}; distance to the old mesh "
        f"{report['mean_distance_percent']:.3g} % of its diagonal on average, "
        f"{report['largest_distance_percent']:.3g} % at most; IoU "
        f"{report['intersection_over_union']:.4f}"
    )
