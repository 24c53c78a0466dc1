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
from .resaved import as_saved
from .standing import check_outside

ASPECT_SLACK = 0.01
"""Pictures of another size are rescaled if their aspect ratio fits this well."""
OTHER_CAMERA = 0.9
"""If more of what is shown than this differs, the picture is perhaps of another camera."""
SHOWN = 0.02
"""Difference of a channel to the background from which on a pixel shows something, in 0 to 1."""
LEFT = 0.05
"""Share of the edited pixels that may still show something where all was erased."""
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
    """Standard deviation of what differs elsewhere, in 0 to 1."""
    pairs: Float[np.ndarray, "pair 4"] | None = None
    """Pixels of the own picture, and where they went."""


def read(path: Path) -> tuple[Float[np.ndarray, "height width channel"], bytes]:
    """RGB or RGBA, 0 to 1, and the file; gray and 16-bit pictures become 8-bit RGB."""
    if not path.is_file():
        raise InputError(f"{path}: no such file.")
    data = path.read_bytes()
    pixels = image_files.decode(data, path.name, image_files.Budget())
    return pixels.astype(np.float32) / np.float32(255), data


def retouched(
    scene: Gaussians,
    camera: Cameras,
    image: Path,
    mask: Path | None,
    background: str,
    log: Logger,
    *,
    compare: bool = True,
) -> Retouched:
    """Read one edited picture and find out where it was edited.

    Args:
        mask: A picture of the camera's size, light where the edit is; `None` compares.
        background: `white`, `black`, or `auto`: what the rest of the picture fits better.
        compare: Else all of the picture counts as edited, and nothing is doubted.
    """
    if compare:
        check_outside(scene, camera, image.name, log)
    whole, data = read(image)
    if whole.shape[2] == 4 and whole[..., 3].max() == 0:
        raise InputError(f"{image.name}: is fully transparent. Save the picture with its content.")
    given = fitted(whole, camera, f"{image.name}: the picture", log)
    own, edited, ground = _on_one_ground(scene, camera, given, background)
    if not compare:
        return Retouched(camera, own, edited, np.ones(own.shape[:2], bool), ground, 0.0)
    alike = _saved_alike(own, _flat(whole, ground), data)
    found = difference(alike, edited)
    where = found.mask if mask is None else widened(_mask(mask, camera, log))
    shot = Retouched(camera, own, edited, where, ground, found.noise)
    if mask is None and where.any():
        _doubts(shot, found.above, image.name, log)
    return shot


def _on_one_ground(
    scene: Gaussians,
    camera: Cameras,
    given: Float[np.ndarray, "height width channel"],
    background: str,
) -> tuple[Picture, Picture, Float[np.ndarray, "3"]]:
    """The scene's own picture and the given one, before the background on which they are most
    alike; and that background."""
    with torch.no_grad():
        frames = render(scene, camera)
    assert frames.rgb is not None and frames.alpha is not None
    color, alpha = frames.rgb[0].numpy(), frames.alpha[0].numpy()
    choices = list(BACKGROUNDS) if background == "auto" else [background]
    grounds = [np.array(BACKGROUNDS[name], np.float32) for name in choices]
    owns = [color + (1 - alpha) * ground for ground in grounds]
    edits = [_flat(given, ground) for ground in grounds]
    off = [float(np.abs(a - b).mean()) for a, b in zip(owns, edits, strict=True)]
    best = int(np.argmin(off))
    return owns[best], edits[best], grounds[best]


def _saved_alike(
    own: Picture, edited: Float[np.ndarray, "given_height given_width 3"], data: bytes
) -> Picture:
    """The own picture after what saving has done to the edited one, of its own size."""
    height, width = edited.shape[:2]
    if width > own.shape[1]:  # What is larger loses nothing, and averages its noise.
        return own
    there = as_saved(resized(own, (width, height)), edited, data)
    return resized(there, (own.shape[1], own.shape[0]))


def _doubts(
    shot: Retouched, above: Bool[np.ndarray, "height width"], name: str, log: Logger
) -> None:
    """Warn about pictures that are probably not what was meant."""
    pictures = (shot.own, shot.edited)
    shown = [np.abs(one - shot.background).max(axis=-1) > SHOWN for one in pictures]
    either = shown[0] | shown[1]
    share = (above & either).sum() / max(either.sum(), 1)
    colorful = [(one.max(axis=-1) - one.min(axis=-1)).max() > SHOWN for one in pictures]
    if colorful == [True, False] and shown[1].any():
        log.warning(
            "%s: is gray, and the scene is not. If only its colors were lost, save it as RGB.", name
        )
    elif share > OTHER_CAMERA:
        log.warning(
            "%s: %.0f %% of what it shows differs from the scene's own picture. Is it of this "
            "camera? If so, all of it is edited.", name, 100 * share,
        )  # fmt: skip


def erased(shot: Retouched) -> bool:
    """Whether nothing but background is left where the picture was edited."""
    changed = shot.mask & (np.abs(shot.edited - shot.own).max(axis=-1) > SHOWN)
    left = np.abs(shot.edited - shot.background).max(axis=-1) > SHOWN
    return bool(changed.any() and left[changed].mean() < LEFT)


def fitted(
    picture: Float[np.ndarray, "height width channel"], camera: Cameras, what: str, log: Logger
) -> Float[np.ndarray, "wanted_height wanted_width channel"]:
    """The picture, called `what` in messages, in its camera's size."""
    height, width = picture.shape[:2]
    wanted = (camera.width_px, camera.height_px)
    if (width, height) == wanted:
        return picture
    aspect = width / height * wanted[1] / wanted[0]
    if abs(aspect - 1) > ASPECT_SLACK:
        raise InputError(
            f"{what} is {width} x {height} px, its camera {wanted[0]} x {wanted[1]}, of another "
            f"shape. Save it as large as `pipeline render` has made it, without cropping."
        )
    log.warning(
        "%s is %d x %d px, its camera %d x %d; rescaled, which blurs.", what, width, height, *wanted
    )
    return resized(picture, wanted)


def resized(
    picture: Float[np.ndarray, "height width channel"], size: tuple[int, int]
) -> Float[np.ndarray, "new_height new_width channel"]:
    """Width and height."""
    if size == picture.shape[1::-1]:
        return picture
    planes = [Image.fromarray(picture[..., k]) for k in range(picture.shape[2])]
    sized = [np.asarray(plane.resize(size, Image.Resampling.LANCZOS)) for plane in planes]
    return np.stack(sized, axis=-1).clip(0, 1)


def _mask(path: Path, camera: Cameras, log: Logger) -> Bool[np.ndarray, "height width"]:
    picture = fitted(read(path)[0], camera, f"{path.name}: the mask", log)
    values = picture[..., :3].mean(axis=-1)
    if picture.shape[2] == 4 and picture[..., 3].min() < 1:
        values = values * picture[..., 3]
    found = values > 0.5
    if not found.any():
        raise InputError(f"{path.name}: the mask is empty; it has to be light where the edit is.")
    return found


def _flat(picture: Float[np.ndarray, "height width channel"], ground: np.ndarray) -> Picture:
    if picture.shape[2] == 3:
        return picture
    alpha = picture[..., 3:]
    return picture[..., :3] * alpha + (1 - alpha) * ground
