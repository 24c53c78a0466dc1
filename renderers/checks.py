"""What every splat renderer refuses, in the same words. Kernels check nothing."""

from typing import get_args

from .scene import Cameras, Gaussians, Output
from .sh import COUNTS


def check(name: str, scene: Gaussians, cameras: Cameras, outputs: frozenset[Output]) -> None:
    """Raise ValueError if shapes do not fit together or an output has nothing to be made from."""
    n, c = len(scene.means), len(cameras.world_to_camera)
    unknown = outputs - set(get_args(Output))
    if unknown:
        raise ValueError(
            f"{name}: no output {', '.join(sorted(unknown))}; there are"
            f" {', '.join(get_args(Output))}."
        )
    wanted = {
        "means": (n, 3),
        "quaternions": (n, 4),
        "scales": (n, 3),
        "opacities": (n,),
        "sh": (n, scene.sh.shape[1] if scene.sh.ndim == 3 else "coefficients", 3),
    }
    if scene.channels is not None:
        wanted["channels"] = (n, scene.channels.shape[-1])
    for field, shape in wanted.items():
        _expect(name, f"scene.{field}", tuple(getattr(scene, field).shape), shape)
    if scene.sh.shape[1] not in COUNTS:
        raise ValueError(
            f"{name}: scene.sh has {scene.sh.shape[1]} coefficients; degrees 0-3 have {COUNTS}."
        )
    for field, shape in {
        "world_to_camera": (c, 4, 4),
        "focal_px": (c, 2),
        "center_px": (c, 2),
    }.items():
        _expect(name, f"cameras.{field}", tuple(getattr(cameras, field).shape), shape)
    if c == 0 or cameras.width_px < 1 or cameras.height_px < 1:
        raise ValueError(
            f"{name}: nothing to render: {c} cameras of {cameras.width_px} x"
            f" {cameras.height_px} px; at least one camera and one pixel are needed."
        )
    if "channels" in outputs and scene.channels is None:
        raise ValueError(f"{name}: output 'channels' was asked for, but scene.channels is None.")


def _expect(name: str, what: str, found: tuple, wanted: tuple) -> None:
    if found != wanted:
        raise ValueError(f"{name}: {what} has shape {found}, expected {wanted}.")
