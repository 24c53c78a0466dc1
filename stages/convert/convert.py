"""Read, turn, write, read back."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import numpy as np

from ...pipeline.contract import Context
from ...pipeline.errors import InputError
from ..formats import dot_splat, gsply_files, nerfstudio_frame, splats
from ..formats.splats import RawSplats
from ..scene.affine import carried
from ..scene.placing import frame_transform
from . import Config, Format, Inputs

ENDINGS: Mapping[Format, str] = MappingProxyType(
    {"ply": ".ply", "compressed-ply": ".ply", "splat": ".splat", "spz": ".spz"}
)
WRITERS: Mapping[Format, Callable[[RawSplats, Path], Path]] = MappingProxyType(
    {
        "ply": splats.save,
        "compressed-ply": gsply_files.save_compressed,
        "splat": dot_splat.save,
        "spz": gsply_files.save_spz,
    }
)
TOLERANCE = 2e-3
"""How far, relative to the size of the scene, a place may be after a lossy format."""


def convert(inputs: Inputs, config: Config, ctx: Context) -> Path:
    """Returns the file written."""
    path = inputs.splats.path
    found = _from_nerfstudio(read(path), inputs)
    if config.from_up is not None:
        found = replace(found, sidecar=replace(found.sidecar, up_axis=config.from_up))
    wanted = "+y" if config.format == "spz" else (config.up or found.sidecar.up_axis)
    if config.format == "spz" and config.up not in (None, "+y"):
        raise InputError(f"convert: an SPZ file is +y up, up = {config.up} cannot be had.")
    turned = upright(found, wanted)
    lost = (
        "" if turned.sh.shape[1] == 1 or config.format != "splat" else "; view dependence is lost"
    )
    out = WRITERS[config.format](turned, ctx.out / f"scene{ENDINGS[config.format]}")
    _check(turned, read(out), out)
    ctx.log.info(
        "%d Gaussians, %.1f MB to %.1f MB%s",
        len(turned),
        path.stat().st_size / 1e6,
        out.stat().st_size / 1e6,
        lost,
    )
    return out


def read(path: Path) -> RawSplats:
    """Any of the formats, by the ending."""
    ending = path.suffix.lower()
    if ending == ".splat":
        return dot_splat.load(path)
    if ending == ".spz" or (ending == ".ply" and gsply_files.is_compressed(path)):
        return gsply_files.load(path)
    if ending == ".ply":
        return splats.load(path)
    raise InputError(f"{path}: splats end in .ply, .splat or .spz.")


def upright(scene: RawSplats, up: str) -> RawSplats:
    """The scene with another axis upwards; its spherical harmonics turn with it."""
    sidecar = replace(scene.sidecar, up_axis=up)  # type: ignore[arg-type]
    if sidecar == scene.sidecar:
        return scene
    turned = carried(scene, frame_transform(scene.sidecar, sidecar))
    return replace(turned, sidecar=sidecar)


def _from_nerfstudio(scene: RawSplats, inputs: Inputs) -> RawSplats:
    """As they are, unless a dataparser says where they were trained."""
    if inputs.dataparser is None:
        if inputs.transforms is not None:
            raise InputError("convert: a transforms.json is of use only with a dataparser's file.")
        return scene
    transforms = None if inputs.transforms is None else inputs.transforms.path
    moved = carried(scene, nerfstudio_frame.to_capture(inputs.dataparser.path, transforms))
    return replace(moved, sidecar=replace(moved.sidecar, up_axis="+z"))


def _check(wanted: RawSplats, found: RawSplats, path: Path) -> None:
    """Nothing was dropped, and all places are where they were, in whatever order."""
    size = float(np.ptp(wanted.means, axis=0).max()) or 1.0
    places = [np.sort(each.means.astype(np.float64), axis=0) for each in (wanted, found)]
    if len(wanted) != len(found) or np.abs(places[0] - places[1]).max() > TOLERANCE * size:
        raise RuntimeError(f"{path} does not hold what was written")
