"""`pipeline render`: pictures of a splat scene, with the camera of each beside it."""

import re
from pathlib import Path

import tyro

from ..errors import ConfigError, InputError


def render(
    scene: tyro.conf.Positional[Path],
    /,
    *,
    out: Path,
    camera: Path | None = None,
    orbit: int | None = None,
    size: str = "512x512",
    elevation_deg: float = 15.0,
    background: str = "white",
) -> int:
    """Pictures of SCENE.ply from a camera file, or from around it.

    Writes NAME.camera.json beside every picture: what `pipeline edit` takes.

    Args:
        scene: A splat PLY.
        out: A directory, or NAME.png for one picture.
        camera: A camera path (nerfstudio's JSON, or one that this command has written).
        orbit: So many cameras around the scene instead.
        size: Width x height of the pictures of an orbit, in pixels.
        elevation_deg: How far above the horizon the orbit lies.
        background: white, black or transparent.
    """
    if (camera is None) == (orbit is None):
        raise ConfigError("render: give either --camera FILE or --orbit N.")
    if orbit is not None and not 1 <= orbit <= 10_000:
        raise ConfigError(f"--orbit {orbit}: expected 1 to 10000 cameras.")
    if background not in ("white", "black", "transparent"):
        raise ConfigError(f"--background {background}: expected white, black or transparent.")
    from ...stages.preview.stills import from_around, from_file, write

    if not scene.is_file():
        raise InputError(f"{scene}: no such file.")
    size_px = _size(size)
    if camera is not None:
        shots = from_file(scene, camera)
    else:
        assert orbit is not None
        shots = from_around(scene, orbit, size_px=size_px, elevation_deg=elevation_deg)
    for path in write(shots, out, background):
        print(path)
    return 0


def _size(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d+)x(\d+)", text)
    size = (int(found[1]), int(found[2])) if found else (0, 0)
    if not 1 <= min(size) <= max(size) <= 16_384:
        raise ConfigError(f"--size {text}: expected WIDTHxHEIGHT in pixels, such as 512x512.")
    return size
