"""`pipeline mesh`: splats to a triangle mesh."""

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal

import tyro

from ..errors import ConfigError, InputError
from ..recipe import Step
from .options import MachineOptions
from .single import run_single

Method = Literal["poisson", "sugar", "tsdf", "tsdf-contracted", "tets", "preview", "fused"]
BESIDE = "cameras.json"
"""What `reconstruct` leaves beside its splats."""
TARGET: Mapping[str, str] = MappingProxyType({"mesh": "max_faces", "surface": "target_faces"})
"""How the stages call the number of triangles."""


def mesh(
    scene: tyro.conf.Positional[Path],
    /,
    *,
    out: Path,
    method: Method = "poisson",
    capture: Path | None = None,
    camera_file: Path | None = None,
    around: bool = False,
    target_faces: int | None = None,
    set: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = (),
    seed: int = 0,
    store: Path | None = None,
    options: Annotated[MachineOptions, tyro.conf.arg(name="")] = MachineOptions(),  # noqa: B008
) -> int:
    """Make a triangle mesh of SCENE.ply, with the colors of the splats on its vertices.

    Looks at the splats from the cameras of a capture or of a file; without either, from those that
    `reconstruct` has left beside them; without these, from a sphere around an object. `fused` is
    what `generate` does: one closed surface, without colors, always looked at from a sphere.

    Args:
        scene: A splat PLY.
        out: The run directory; the result is latest/mesh/mesh.glb.
        method: poisson (points on the density's ridge), sugar (on its level set, as published),
            tsdf, tsdf-contracted (fused depth; of a room or a landscape), tets (marching
            tetrahedra), preview (coarse and quick), fused (closed).
        capture: The folder of photographs that the splats were made of; only its cameras are read.
        camera_file: A camera path instead.
        around: Look from a sphere around, even if there are cameras.
        target_faces: About so many triangles.
        set: mesh.FIELD=VALUE, a setting of the stage; may be given several times.
        seed: Which pixels are followed, where not all are.
        store: A directory of results shared between runs; OUT remembers it.
    """
    if not scene.is_file():
        raise InputError(f"{scene}: no such file.")
    stage = "mesh" if method == "fused" else "surface"
    config: dict[str, Any] = {} if method == "fused" else {"method": method}
    if target_faces is not None:
        config[TARGET[stage]] = target_faces
    inputs = {"splats": scene}
    if method != "fused":
        inputs |= _cameras(scene, capture, camera_file, around)
    elif capture or camera_file:
        raise ConfigError("mesh: fused looks from a sphere around; it takes no cameras.")
    step = Step(
        name="mesh",
        stage=stage,
        inputs={name: str(path.absolute()) for name, path in inputs.items()},
        config=config,
    )
    target, finished = run_single(step, out=out, set=set, seed=seed, store=store, options=options)
    report = target.folder(finished[0].request) / "report.json"
    if report.is_file():
        print(_told(json.loads(report.read_text("utf-8"))))
    return 0


def _cameras(
    scene: Path, capture: Path | None, camera_file: Path | None, around: bool
) -> dict[str, Path]:
    """The input that says from where to look, if any."""
    if (capture is not None) + (camera_file is not None) + around > 1:
        raise ConfigError("mesh: give one of --capture, --camera-file and --around.")
    if capture is not None:
        if not capture.is_dir():
            raise InputError(f"--capture {capture}: no such directory.")
        return {"capture": capture}
    if camera_file is not None:
        if not camera_file.is_file():
            raise InputError(f"--camera-file {camera_file}: no such file.")
        return {"cameras": camera_file}
    beside = scene.with_name(BESIDE)
    if around or not beside.is_file():
        return {}
    print(f"looking from the cameras in {beside} (--around: from a sphere instead)")
    return {"cameras": beside}


def _told(report: dict) -> str:
    """The figures in one line."""
    parts = f"{report['parts']} part" + ("" if report["parts"] == 1 else "s")
    state = "watertight" if report["watertight"] else "open"
    up = "" if report["up_axis"] == "+y" else f"; up is {report['up_axis']}, as in the splats"
    return f"{report['faces']:,} faces, {parts}, {state}; {report['views']} views{up}"
