"""`pipeline evaluate`: how good a mesh or splats are, in figures."""

import json
from pathlib import Path
from typing import Annotated, Literal

import tyro

from ..errors import ConfigError, InputError
from ..recipe import Step
from .bake import beside
from .options import MachineOptions
from .single import run_single

Axis = Literal["+x", "-x", "+y", "-y", "+z", "-z"]


def evaluate(
    subject: tyro.conf.Positional[Path],
    /,
    *,
    out: Path,
    reference: Path | None = None,
    capture: Path | None = None,
    exposures: Path | None = None,
    mesh_up: Axis | None = None,
    max_side: int = 480,
    set: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = (),
    options: Annotated[MachineOptions, tyro.conf.arg(name="")] = MachineOptions(),  # noqa: B008
) -> int:
    """Measure a mesh, or splats, and print a table.

    Args:
        subject: A mesh (glb, gltf, obj, ply, stl, off) or a splat PLY.
        out: The run directory; the report is latest/evaluate/report.json.
        reference: A mesh to compare with, in the same place and units.
        capture: The folder of photographs; every eighth, which `reconstruct` keeps aside, is
            compared with a picture from the same camera.
        exposures: How each photograph shows the scene's colors; by default exposures.json beside
            splats, as reconstruct leaves it. Without it one factor of light is fitted to each.
        mesh_up: Which axis points up in the mesh, if it was turned after it was made.
        max_side: Photographs with a longer side are reduced to this many pixels.
        set: evaluate.FIELD=VALUE, a setting of the stage; may be given several times.
    """
    kind = "splats/1" if subject.suffix.lower() == ".ply" else "mesh/1"
    inputs = {"subject": (kind, subject), "reference": ("mesh/1", reference)}
    for name, (_, path) in inputs.items():
        if path is not None and not path.is_file():
            raise InputError(f"{'' if name == 'subject' else '--reference '}{path}: no such file.")
    if capture is not None and not capture.is_dir():
        raise InputError(f"--capture {capture}: no such directory.")
    if mesh_up is not None and capture is None:
        raise ConfigError("evaluate: --mesh-up is about the photographs' cameras; give --capture.")
    if capture is None and exposures is not None:
        raise ConfigError("evaluate: --exposures are of photographs; give --capture.")
    if capture is not None and exposures is None and kind == "splats/1":
        exposures = beside(subject)
    if exposures is not None and not exposures.is_file():
        raise InputError(f"--exposures {exposures}: no such file.")
    inputs |= {"capture": ("capture/1", capture), "exposures": ("exposures/1", exposures)}
    step = Step(
        name="evaluate",
        stage="evaluate",
        inputs={n: f"{k}:{p.absolute()}" for n, (k, p) in inputs.items() if p is not None},
        config={"max_side_px": max_side, "mesh_up": mesh_up},
    )
    target, finished = run_single(step, out=out, set=set, options=options)
    report = json.loads((target.folder(finished[0].request) / "report.json").read_text("utf-8"))
    for line in table(report):
        print(line)
    return 0


def table(report: dict) -> list[str]:
    """The report in aligned lines."""
    rows: list[tuple[str, str]] = []
    if "surface" in report:
        found = report["surface"]
        rows += [
            ("faces", f"{found['faces']:,}"),
            ("parts", f"{found['components']:,}"),
            ("watertight", "yes" if found["watertight"] else "no"),
            ("boundary edges", f"{found['boundary_edges']:,}"),
            ("edges of > 2 faces", f"{found['crowded_edges']:,}"),
        ]
    if "reference" in report:
        found = report["reference"]
        share = 100 / found["diagonal_m"]
        rows += [
            ("Chamfer", _length(found["chamfer_m"], share)),
            ("  to the reference", _length(found["accuracy_m"], share)),
            ("  from the reference", _length(found["completeness_m"], share)),
            ("largest distance", _length(found["hausdorff_m"], share)),
            ("normal consistency", f"{found['normal_consistency']:.4f}"),
        ]
        rows += [
            (f"F1 at {each['share_of_diagonal']:.1%}", f"{each['f1']:.4f}") for each in found["f1"]
        ]
    if "photographs" in report:
        found = report["photographs"]
        rows += [
            ("photographs", str(len(found["each"]))),
            ("PSNR", f"{found['psnr_db']:.2f} dB"),
            ("SSIM", f"{found['ssim']:.4f}"),
            ("covered", f"{found['covered']:.1%}"),
            ("PSNR where covered", f"{found['covered_psnr_db']:.2f} dB"),
            ("  exposures evened", f"{found['exposed_psnr_db']:.2f} dB"),
        ]
    width = max(len(name) for name, _ in rows)
    return [f"  {name:{width}}  {value}" for name, value in rows]


def _length(meters: float, share: float) -> str:
    return f"{meters:.4g} m ({meters * share:.3f} % of the diagonal)"
