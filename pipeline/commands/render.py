"""`pipeline render`: pictures of a splat scene, with the camera of each beside it."""

import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import Annotated, Literal

import tyro

from ...stages import STAGES
from ..contract import replacing
from ..errors import ConfigError, InputError, StorageError
from ..execute import explained
from ..plan import bind
from ..recipe import Recipe, Step
from ..runner import held, made, run_steps
from ..store import open_store
from .options import MachineOptions

OTHER_PICTURES = (".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".gif")


def render(
    scene: tyro.conf.Positional[Path],
    /,
    *,
    out: Path,
    camera: Path | None = None,
    orbit: int | None = None,
    size: str = "512x512",
    elevation_deg: float = 15.0,
    background: Literal["white", "black", "transparent"] = "white",
    options: Annotated[MachineOptions, tyro.conf.arg(name="")] = MachineOptions(),  # noqa: B008
) -> int:
    """Pictures of SCENE.ply from a camera file, or from around it.

    Writes NAME.camera.json beside every picture: what `pipeline edit` takes. Never writes over a
    picture, since somebody may have retouched it.

    Args:
        scene: A splat PLY.
        out: A directory, or NAME.png for one picture.
        camera: A camera path (nerfstudio's JSON, or one that this command has written).
        orbit: So many cameras around the scene instead.
        size: Width x height of the pictures of an orbit, in pixels.
        elevation_deg: How far above the horizon the orbit lies.
        background: Of the pictures.
    """
    if (camera is None) == (orbit is None):
        raise ConfigError("render: give either --camera FILE or --orbit N.")
    width_px, height_px = _size(size)
    config = {
        "orbit": 1 if orbit is None else orbit,
        "width_px": width_px,
        "height_px": height_px,
        "elevation_deg": elevation_deg,
        "background": background,
    }
    inputs = {"splats": scene} | ({} if camera is None else {"camera": camera})
    for path in inputs.values():
        if not path.is_file():
            raise InputError(f"{path}: no such file.")
    _check_place(out)
    step = Step(
        name="render",
        stage="render",
        inputs={name: str(path.absolute()) for name, path in inputs.items()},
        config=config,
    )
    recipe = Recipe(steps=(step,))
    machine = options.machine()
    with tempfile.TemporaryDirectory(prefix="splatworks-render-") as folder:
        store = open_store(Path(folder), None)
        with held(store):
            finished = run_steps(recipe, bind(recipe, STAGES), store, machine)
        with explained(f"--out {out}", out.parent):
            for path in _handed_over(store.folder(finished[0].request) / "images", out):
                print(path)
    return 0


def _check_place(out: Path) -> None:
    """Refuse before anything is rendered what can not be written afterwards."""
    if out.exists() and not out.is_dir():
        raise InputError(f"--out {out} exists already. Choose another name, or delete it.")
    if out.suffix.lower() in OTHER_PICTURES and not out.is_dir():
        raise InputError(f"--out {out}: pictures are written as PNG. Name a .png or a directory.")
    folder = next(path for path in (out.absolute(), *out.absolute().parents) if path.exists())
    if not folder.is_dir():
        raise InputError(f"--out {out}: {folder} is a file, expected a directory.")
    if not os.access(folder, os.W_OK):
        raise StorageError(f"--out {out} may not be written. Allow it, or name another one.")


def _handed_over(images: Path, out: Path) -> list[Path]:
    """Copy pictures and cameras to where they are wanted; the pictures' new places."""
    pictures = sorted(images.glob("*.png"))
    if out.suffix.lower() != ".png":
        places = {path: out / path.name for path in pictures}
    elif len(pictures) == 1:
        places = {pictures[0]: out}
    else:
        raise InputError(f"--out {out}: there are {len(pictures)} pictures; name a directory.")
    for place in places.values():
        if place.exists():
            raise InputError(f"{place} exists already. Name another --out, or delete it.")
    for path, place in places.items():
        made(place.parent)
        for file, ending in ((path, ".png"), (path.with_suffix(".camera.json"), ".camera.json")):
            with replacing(place.with_name(place.stem + ending)) as temporary:
                shutil.copyfile(file, temporary)
    return list(places.values())


def _size(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d+)x(\d+)", text)
    if not found:
        raise ConfigError(f"--size {text}: expected WIDTHxHEIGHT in pixels, such as 512x512.")
    return int(found[1]), int(found[2])
