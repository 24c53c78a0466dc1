"""`pipeline bake`: photographs of a mesh, or splats, to its texture."""

import json
from pathlib import Path
from typing import Annotated, Literal

import tyro

from ..errors import ConfigError, InputError
from ..recipe import Step
from .options import MachineOptions
from .single import run_single

KINDS = {"mesh": "mesh/1:", "detail": "mesh/1:"}
"""Of inputs that may be of several."""
EXPOSURES = "exposures.json"
"""What `reconstruct` calls them, beside its splats."""


def bake(
    mesh: tyro.conf.Positional[Path],
    /,
    *,
    out: Path,
    capture: Path | None = None,
    splats: Path | None = None,
    detail: Path | None = None,
    exposures: Path | None = None,
    texture_size: int = 2_048,
    max_side: int = 3_200,
    gains: Literal["off", "exposure", "color"] = "exposure",
    refine: bool = True,
    keep_uvs: bool = False,
    set: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = (),
    seed: int = 0,
    store: Path | None = None,
    options: Annotated[MachineOptions, tyro.conf.arg(name="")] = MachineOptions(),  # noqa: B008
) -> int:
    """Texture a mesh from photographs with known cameras, from splats, or from both.

    Args:
        mesh: GLB, glTF, OBJ, PLY, STL or OFF, in the frame of the capture.
        out: The run directory; the result is latest/bake/textured.glb.
        capture: A nerfstudio (transforms.json), Blender-synthetic or COLMAP folder.
        splats: A splat PLY; stands in where no photograph sees the mesh.
        detail: The mesh before it was simplified; its normals become a normal map.
        exposures: How each photograph shows the scene's colors; by default exposures.json beside
            the splats, as reconstruct leaves it.
        texture_size: Width and height of the texture in pixels.
        max_side: Photographs with a longer side are reduced to this many pixels.
        gains: Even out the photographs: not at all, one factor each, or one per color channel;
            with exposures by these, or not at all.
        refine: Fit the texels to the pixels by least squares at the end.
        keep_uvs: Keep the mesh's texture coordinates, if they are an atlas.
        set: bake.FIELD=VALUE, a setting of the stage; may be given several times.
        seed: Another seed tries other places for virtual views.
        store: A directory of results shared between runs; OUT remembers it.
    """
    if capture is None and exposures is not None:
        raise ConfigError("bake: --exposures are of photographs; give --capture.")
    if exposures is None and capture is not None and gains != "off":
        exposures = beside(splats)
    given = {
        "mesh": mesh,
        "capture": capture,
        "splats": splats,
        "detail": detail,
        "exposures": exposures,
    }
    if capture is None and splats is None:
        raise ConfigError("bake: give --capture, --splats or both, for colors to come from.")
    for name, path in given.items():
        if path is not None and not path.exists():
            raise InputError(f"{path}: no such {'directory' if name == 'capture' else 'file'}.")
    if capture is not None and out.absolute().is_relative_to(capture.absolute()):
        raise InputError(f"--out {out}: lies inside the capture. Choose a place outside of it.")
    step = Step(
        name="bake",
        stage="bake",
        inputs={
            name: KINDS.get(name, "") + str(path.absolute())
            for name, path in given.items()
            if path is not None
        },
        config={
            "texture_size_px": texture_size,
            "views": {"max_side_px": max_side},
            "gains": gains,
            "refine": refine,
            "keep_uvs": keep_uvs,
        },
    )
    target, finished = run_single(step, out=out, set=set, seed=seed, store=store, options=options)
    report = json.loads((target.folder(finished[0].request) / "report.json").read_text("utf-8"))
    print(_told(report))
    return 0


def beside(splats: Path | None) -> Path | None:
    """Exposures of the photographs that splats were made from, if they lie there; says so."""
    found = None if splats is None else splats.with_name(EXPOSURES)
    if found is None or not found.is_file():
        return None
    print(f"exposures of the photographs: {found}")
    return found


def _told(report: dict) -> str:
    """The figures in one line."""
    shares = report["of_the_surface"]
    return (
        f"{report['texture_px']} px; of the surface {shares['photographed']:.1%} from "
        f"{len(report['photographs'])} photographs, {shares['rendered']:.1%} from renders of the "
        f"splats, {shares['guessed']:.2%} guessed (white in unseen.png)"
    )
