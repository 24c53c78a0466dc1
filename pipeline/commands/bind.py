"""`pipeline bind` and `pipeline pose`: Gaussians on the triangles of a mesh."""

import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Annotated, Literal

import tyro

from ...stages import STAGES
from ..contract import replacing
from ..errors import ConfigError, InputError
from ..plan import bind as planned
from ..recipe import Recipe, Step
from ..runner import held, run_steps
from ..store import open_store
from .options import MachineOptions
from .single import run_single

MESH_KIND = "textured-mesh/1"
"""Either kind does: only triangles are read."""
BINDING = "binding.safetensors"


def bind(
    mesh: tyro.conf.Positional[Path],
    /,
    *,
    out: Path,
    capture: Path | None = None,
    exposures: Path | None = None,
    splats: Path | None = None,
    camera: Path | None = None,
    per_face: Literal[1, 3, 4, 6] = 6,
    iterations: int = 2_000,
    mesh_frame: Literal["same", "upright"] = "same",
    set: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = (),
    seed: int = 0,
    store: Path | None = None,
    options: Annotated[MachineOptions, tyro.conf.arg(name="")] = MachineOptions(),  # noqa: B008
) -> int:
    """Cover MESH with flat Gaussians and fit both to photographs, or to renders of splats.

    Pose the mesh that comes out, latest/bind/mesh.glb, and let the Gaussians follow by
    `pipeline pose`.

    Args:
        mesh: A GLB, OBJ, PLY or the like.
        out: The run directory; latest/bind/ holds splats.ply, mesh.glb, binding.safetensors.
        capture: Photographs to be matched: a nerfstudio, Blender-synthetic or COLMAP folder.
        exposures: How each photograph shows the scene's colors: exposures.json, as reconstruct
            leaves it beside its splats.
        splats: Splats to be matched, in place of photographs.
        camera: Cameras to look at the splats from; else from all around the mesh.
        per_face: Gaussians on each triangle.
        iterations: Views looked at.
        mesh_frame: The mesh is where the capture or the splats are, or was turned +Y up.
        set: bind.FIELD=VALUE, a setting of the stage; may be given several times.
        seed: Another order of views.
        store: A directory of results shared between runs; OUT remembers it.
    """
    if (capture is None) == (splats is None):
        raise ConfigError("bind: give either --capture DIR or --splats S.ply.")
    if camera is not None and splats is None:
        raise ConfigError("bind: --camera goes with --splats; photographs have their own.")
    if exposures is not None and capture is None:
        raise ConfigError("bind: --exposures are of photographs; give --capture.")
    files = {"mesh": mesh, "splats": splats, "camera": camera, "exposures": exposures}
    for path in files.values():
        if path is not None and not path.is_file():
            raise InputError(f"{path}: no such file.")
    if capture is not None and not capture.is_dir():
        raise InputError(f"{capture}: no such directory.")
    given = {name: str(p.absolute()) for name, p in files.items() if p is not None}
    given["mesh"] = f"{MESH_KIND}:{given['mesh']}"
    if capture is not None:
        given["capture"] = str(capture.absolute())
    config = {
        "per_face": per_face, "iterations": iterations, "views": {"mesh_frame": mesh_frame},
    }  # fmt: skip
    step = Step(name="bind", stage="bind", inputs=given, config=config)
    target, finished = run_single(step, out=out, set=set, seed=seed, store=store, options=options)
    report = json.loads((target.folder(finished[0].request) / "report.json").read_text("utf-8"))
    print(_told(report))
    return 0


def pose(
    binding: tyro.conf.Positional[Path],
    /,
    *,
    mesh: Path,
    out: Path,
    options: Annotated[MachineOptions, tyro.conf.arg(name="")] = MachineOptions(),  # noqa: B008
) -> int:
    """Write the splats of BINDING as they follow its mesh into another pose.

    Triangles that have not moved keep their Gaussians bit for bit.

    Args:
        binding: A binding.safetensors, or the run directory of `pipeline bind`.
        mesh: The bound mesh in another pose, in any mesh format: the same triangles in the same
            order.
        out: NAME.ply; a file that exists is replaced only when all went well.
    """
    file = binding / "latest" / "bind" / BINDING if binding.is_dir() else binding
    for path in (file, mesh):
        if not path.is_file():
            raise InputError(f"{path}: no such file.")
    if out.suffix.lower() != ".ply":
        raise ConfigError(f"--out {out}: must end in .ply; `pipeline convert` makes the others.")
    if not out.absolute().parent.is_dir():
        raise InputError(f"--out {out}: there is no directory {out.parent}.")
    if out.exists() and (out.is_dir() or out.samefile(mesh)):
        raise InputError(f"--out {out}: is a directory or the mesh itself. Choose another name.")
    inputs = {"binding": f"binding/1:{file.absolute()}", "mesh": f"{MESH_KIND}:{mesh.absolute()}"}
    recipe = Recipe(steps=(Step(name="pose", stage="pose", inputs=inputs, config={}),))
    with tempfile.TemporaryDirectory(dir=out.absolute().parent, prefix=".pose-") as folder:
        store = open_store(Path(folder) / "run", None)
        with held(store):
            (done,) = run_steps(recipe, planned(recipe, STAGES), store, options.machine())
        made = store.folder(done.request) / "splats.ply"
        sidecar, beside = made.with_suffix(".json"), out.with_suffix(".json")
        if sidecar.exists():
            with replacing(beside) as temporary:
                shutil.copyfile(sidecar, temporary)
        with replacing(out) as temporary:
            os.replace(made, temporary)
    print(out)
    return 0


def _told(report: dict) -> str:
    """The figures in one line."""
    made = f"{report['gaussians']:,} Gaussians on {report['triangles']:,} triangles"
    if report["psnr_db"] is None:
        return f"{made}; no view was kept aside to judge them"
    aside = len(report["kept_aside"])
    return f"{made}; {report['psnr_db']:.2f} dB, SSIM {report['ssim']:.3f} on {aside} kept aside"
