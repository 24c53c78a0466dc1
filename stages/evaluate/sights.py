"""Pictures of a mesh or of splats against the photographs that were kept aside."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ...pipeline.errors import InputError
from ...renderers import meshes
from ...renderers.choose import named
from ...renderers.scene import Cameras, Gaussians
from ..formats.model import Model
from ..formats.photos import Photo, target_of
from ..formats.shots import Capture, Shot
from ..geometry.exposure import Exposure
from ..geometry.psnr import exposed, psnr_db
from ..geometry.ssim import ssim

SUPERSAMPLE = 2
MIDDLE = 0.5


@dataclass(frozen=True, slots=True)
class View:
    """What a camera sees of the subject."""

    rgb: Float[Tensor, "3 height width"]
    """sRGB, premultiplied."""
    alpha: Float[Tensor, "1 height width"]
    normal: Float[Tensor, "3 height width"] | None = None
    """For looking: 0 to 1, white where nothing is."""


@dataclass(frozen=True, slots=True)
class Sight:
    """One photograph and what the subject looks like from there."""

    name: str
    psnr_db: float
    ssim: float
    covered: float
    """Share of the picture that shows the subject."""
    covered_psnr_db: float | None
    """Only there."""
    exposure: float | None
    """What the subject's light must be multiplied by there to be most like the photograph; None
    where the photograph's exposure was known."""
    exposed_psnr_db: float | None
    """There, after that, or after the known exposure."""
    pictures: tuple[Float[np.ndarray, "height width 3"], ...]
    """The photograph, the subject, and its normals where there are any."""


Camera2View = Callable[[Cameras], View]


def kept_aside(capture: Capture, every: int) -> list[Shot]:
    """As the capture says, or every so many-th; all of them with 0."""
    shots = capture.shots
    if any(shot.held_out is not None for shot in shots):
        chosen = [shot for shot in shots if shot.held_out]
    elif every == 0:
        chosen = list(shots)
    else:
        chosen = list(shots[::every])
    if not chosen:
        raise InputError("the capture keeps no photographs for testing.")
    return chosen


@torch.no_grad()
def sight(
    photo: Photo, seen: Camera2View, *, white_behind: bool, known: Exposure | None = None
) -> Sight:
    """Compare one photograph, whose exposure may be known."""
    target = target_of(photo, 0, "cpu")
    view = seen(target.cameras)
    behind = float(white_behind and target.alpha is not None)
    truth = target.rgb if target.alpha is None else target.rgb + (1 - target.alpha) * behind
    picture = (view.rgb + (1 - view.alpha) * behind).clamp(0, 1)
    likeness, counts = ssim(picture, truth), target.counts
    if counts is not None:
        likeness = likeness[:, counts[0] > MIDDLE]
    there = view.alpha > MIDDLE
    if counts is not None:
        there &= counts > MIDDLE
    covered_db = exposed_db = exposure = None
    if bool(there.any()):
        covered_db = psnr_db(picture, truth, there.float())
        if known is not None:
            fitted = known.of(picture)
        else:
            fitted, exposure = exposed(picture, truth, there.float())
        exposed_db = psnr_db(fitted, truth, there.float())
    shown = [truth, picture, *([] if view.normal is None else [view.normal])]
    return Sight(
        name=photo.name,
        psnr_db=psnr_db(picture, truth, counts),
        ssim=float(likeness.mean()),
        covered=float((view.alpha > MIDDLE).float().mean()),
        covered_psnr_db=covered_db,
        exposure=exposure,
        exposed_psnr_db=exposed_db,
        pictures=tuple(each.permute(1, 2, 0).numpy() for each in shown),
    )


def of_splats(scene: Gaussians) -> Camera2View:
    """How the CPU renderer draws them."""
    render = named("cpu")

    def seen(camera: Cameras) -> View:
        frames = render(scene, camera)
        assert frames.rgb is not None and frames.alpha is not None
        return View(frames.rgb[0].permute(2, 0, 1), frames.alpha[0].permute(2, 0, 1))

    return seen


def of_mesh(model: Model, positions: Float[np.ndarray, "vertex 3"]) -> Camera2View:
    """The base color as it is, unlit; `positions` in the coordinates of the capture."""
    scene = meshes.MeshScene(
        vertices=positions,
        faces=model.faces,
        vertex_colors=None if model.colors is None else model.colors[:, :3],
        **_texture(model),
    )

    def seen(camera: Cameras) -> View:
        frames = meshes.render(scene, camera, supersample=SUPERSAMPLE)
        rgb, alpha, normal = (
            part[0].permute(2, 0, 1) for part in (frames.rgb, frames.alpha, frames.normal)
        )
        return View(rgb, alpha, (normal * 0.5 + 0.5 * alpha + (1 - alpha)).clamp(0, 1))

    return seen


def _texture(model: Model) -> dict[str, np.ndarray]:
    """The one base color texture, if there is one."""
    pictures: Sequence = [m.base_color for m in model.materials if m.base_color is not None]
    if not pictures or not model.uvs:
        return {}
    if len(model.materials) > 1:
        raise InputError(
            f"the mesh has {len(model.materials)} materials; pictures are compared of one. Bake "
            f"them into one first: `pipeline simplify MESH --ratio 100% --out ONE.glb`."
        )
    return {"texture": pictures[0].pixels[..., :3], "uvs": model.uvs[pictures[0].uv_set]}
