"""The user's pictures: read in any form, fitted to their cameras, compared with the scene."""

from dataclasses import dataclass
from logging import Logger
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float
from PIL import Image

from ...pipeline.errors import InputError
from ...renderers.cpu import render
from ...renderers.scene import Cameras, Gaussians
from ..formats import image_files
from .difference import difference, widened

ASPECT_SLACK = 0.01
"""Pictures of another size are rescaled if their aspect ratio fits this well."""
OTHER_CAMERA = 0.6
"""If more of the picture than this differs, it is perhaps of another camera."""
BACKGROUNDS = {"white": (1.0, 1.0, 1.0), "black": (0.0, 0.0, 0.0)}

Picture = Float[np.ndarray, "height width 3"]


@dataclass(frozen=True, slots=True)
class Retouched:
    """One edited picture beside the scene's own."""

    camera: Cameras
    own: Picture
    edited: Picture
    mask: Bool[np.ndarray, "height width"]
    """Where the edit is."""
    background: Float[np.ndarray, "3"]
    noise: float
    pairs: Float[np.ndarray, "pair 4"] | None = None
    """Pixels of the own picture, and where they went."""


def read(path: Path) -> Float[np.ndarray, "height width channel"]:
    """RGB or RGBA, 0 to 1; gray and 16-bit pictures become 8-bit RGB."""
    if not path.is_file():
        raise InputError(f"{path}: no such file.")
    pixels = image_files.decode(path.read_bytes(), path.name, image_files.Budget())
    return pixels.astype(np.float32) / np.float32(255)


def retouched(
    scene: Gaussians,
    camera: Cameras,
    image: Path,
    mask: Path | None,
    background: str,
    log: Logger,
    *,
    wary: bool = True,
) -> Retouched:
    """Read one edited picture and find out where it was edited.

    Args:
        mask: A picture of the camera's size, light where the edit is; `None` compares.
        background: `white`, `black`, or `auto`: what the rest of the picture fits better.
        wary: Warn if most of the picture differs.
    """
    check_outside(scene, camera, image.name)
    with torch.no_grad():
        frames = render(scene, camera)
    assert frames.rgb is not None and frames.alpha is not None
    color, alpha = frames.rgb[0].numpy(), frames.alpha[0].numpy()
    given = fitted(read(image), camera, image.name, log)
    if given.shape[2] == 4 and given[..., 3].max() == 0:
        raise InputError(f"{image}: is fully transparent. Save the picture with its content.")
    choices = list(BACKGROUNDS) if background == "auto" else [background]
    grounds = [np.array(BACKGROUNDS[name], np.float32) for name in choices]
    owns = [color + (1 - alpha) * ground for ground in grounds]
    edits = [_flat(given, ground) for ground in grounds]
    off = [float(np.abs(a - b).mean()) for a, b in zip(owns, edits, strict=True)]
    best = int(np.argmin(off))
    own, edited, ground = owns[best], edits[best], grounds[best]
    found = difference(own, edited)
    where = found.mask
    if mask is not None:
        where = widened(_mask(mask, camera, log))
    elif wary and found.changed > OTHER_CAMERA:
        log.warning(
            "%s: %.0f %% of it differs from the scene's own picture. Is it of this camera?",
            image.name, 100 * found.changed,
        )  # fmt: skip
    return Retouched(camera, own, edited, where, ground, found.noise)


def fitted(
    picture: Float[np.ndarray, "height width channel"], camera: Cameras, name: str, log: Logger
) -> Float[np.ndarray, "wanted_height wanted_width channel"]:
    """The picture in its camera's size."""
    height, width = picture.shape[:2]
    wanted = (camera.width_px, camera.height_px)
    if (width, height) == wanted:
        return picture
    aspect = width / height * wanted[1] / wanted[0]
    if abs(aspect - 1) > ASPECT_SLACK:
        raise InputError(
            f"{name}: is {width} x {height} px, its camera {wanted[0]} x {wanted[1]}, of another "
            f"shape. Save the edited picture without cropping it."
        )
    log.warning(
        "%s: is %d x %d px, its camera %d x %d; rescaled, which blurs.",
        name, width, height, *wanted,
    )  # fmt: skip
    planes = [Image.fromarray(picture[..., k]) for k in range(picture.shape[2])]
    sized = [np.asarray(plane.resize(wanted, Image.Resampling.LANCZOS)) for plane in planes]
    return np.stack(sized, axis=-1).clip(0, 1)


def check_outside(scene: Gaussians, camera: Cameras, name: str) -> None:
    """Refuse a camera that stands in something: nothing of the edit could be placed."""
    eye = -camera.world_to_camera[0, :3, :3].T @ camera.world_to_camera[0, :3, 3]
    offset = (scene.means - eye.to(scene.means)).norm(dim=1)
    around = (offset < 2 * scene.scales.amin(dim=1)) & (scene.opacities > 0.5)
    if bool(around.any()):
        raise InputError(
            f"{name}: its camera stands inside of {int(around.sum())} Gaussians of the scene. "
            f"Take a camera outside of the object."
        )


def _mask(path: Path, camera: Cameras, log: Logger) -> Bool[np.ndarray, "height width"]:
    picture = fitted(read(path), camera, path.name, log)
    values = picture[..., :3].mean(axis=-1)
    if picture.shape[2] == 4 and picture[..., 3].min() < 1:
        values = values * picture[..., 3]
    found = values > 0.5
    if not found.any():
        raise InputError(f"{path}: the mask is empty; it has to be light where the edit is.")
    return found


def _flat(picture: Float[np.ndarray, "height width channel"], ground: np.ndarray) -> Picture:
    if picture.shape[2] == 3:
        return picture
    alpha = picture[..., 3:]
    return picture[..., :3] * alpha + (1 - alpha) * ground
