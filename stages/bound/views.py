"""What the bound Gaussians shall look like: photographs, or renders of splats."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from logging import Logger
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from ...pipeline.errors import InputError
from ...renderers.scene import Cameras, Renderer
from ..formats import cameras as camera_files
from ..formats import captures, exposures, splats
from ..formats.photos import Photo, Target, load_all, target_of
from ..formats.splats import Sidecar
from ..geometry.activation import activate
from ..geometry.exposure import Exposure, unchanged
from ..geometry.likeness import one_by_one
from ..geometry.orbit import look_at_origin
from ..scene.affine import carried
from ..scene.placing import frame_transform
from . import Views

FOVY_DEG = 40.0
MARGIN = 1.05
"""How much wider than the mesh's bounding sphere a render is."""
GOLDEN_DEG = 180 * (3 - math.sqrt(5))


@dataclass(frozen=True, slots=True)
class View:
    """One picture to be matched."""

    name: str
    held_out: bool
    source: Photo | Target
    counts: torch.Tensor | None = None
    """Of what the source itself counts, the pixels that do, "1 height width"; None: all."""
    exposure: Exposure = field(default_factory=unchanged)
    """How the picture shows the scene's colors."""

    def target(self, device: str) -> Target:
        source = self.source
        found = target_of(source, 0, device) if isinstance(source, Photo) else source
        if self.counts is None:
            return found
        counts = self.counts.to(device).float()
        if found.counts is not None:
            counts = counts * (found.counts > 0.5)
        return replace(found, counts=counts)

    @property
    def covers(self) -> bool:
        """Whether the picture itself says where there is nothing."""
        return self.source.alpha is not None


@dataclass(frozen=True, slots=True)
class Material:
    """All views, and in which frame they are."""

    views: tuple[View, ...]
    sidecar: Sidecar
    """Of splats that are in that frame."""
    white_behind: bool = False


def of_capture(folder: Path, settings: Views, log: Logger, listed: Path | None = None) -> Material:
    """The photographs, in the frame of the mesh; `listed` are their exposures."""
    capture = captures.load(folder)
    if capture.missing:
        log.warning(
            "%d of %d listed photographs are not there. Going on without them.",
            len(capture.missing), len(capture.missing) + len(capture.shots),
        )  # fmt: skip
    own = Sidecar(up_axis=capture.up_axis)
    wanted = Sidecar() if settings.mesh_frame == "upright" else own
    back = torch.from_numpy(np.linalg.inv(frame_transform(own, wanted))).float()
    photos = [
        replace(photo, world_to_camera=photo.world_to_camera.float() @ back)
        for photo in load_all(capture.shots, settings.max_side_px, log)
    ]
    aside = _aside([shot.held_out for shot in capture.shots], settings.hold_out_every)
    known: dict[int, Exposure] = {}
    if listed is not None:
        known = exposures.of_shots(listed, folder, capture.shots, log)
    views = [
        View(photo.name, kept, photo, exposure=known.get(number, unchanged()))
        for number, (photo, kept) in enumerate(zip(photos, aside, strict=True))
    ]
    return Material(tuple(views), wanted, capture.white_behind)


def of_splats(
    path: Path,
    camera: Path | None,
    middle: Float[np.ndarray, "3"],
    radius: float,
    settings: Views,
    renderer: Renderer,
) -> Material:
    """Renders of splats, with their coverage, from all around the mesh or from given cameras."""
    raw = splats.load(path)
    cameras = around(middle, radius, settings) if camera is None else camera_files.load(camera)
    if settings.mesh_frame == "upright":
        matrix = frame_transform(raw.sidecar, Sidecar())
        raw = replace(carried(raw, matrix), sidecar=Sidecar())
        if camera is not None:
            cameras = moved(cameras, matrix)
    scene = activate(raw)
    views, aside = [], _aside([None] * len(cameras.world_to_camera), settings.hold_out_every)
    for number, (one, kept) in enumerate(zip(one_by_one(cameras), aside, strict=True)):
        with torch.no_grad():
            frames = renderer(scene, one)
        assert frames.rgb is not None and frames.alpha is not None
        rgb, alpha = (f[0].permute(2, 0, 1).contiguous() for f in (frames.rgb, frames.alpha))
        views.append(View(f"{number:03d}", kept, Target(one, rgb, alpha, None)))
    return Material(tuple(views), raw.sidecar)


def around(middle: Float[np.ndarray, "3"], radius: float, settings: Views) -> Cameras:
    """Cameras spread evenly over a sphere around the mesh (a Fibonacci lattice)."""
    count = settings.renders
    heights = [1 - 2 * (k + 0.5) / count for k in range(count)]
    cameras = look_at_origin(
        [GOLDEN_DEG * k % 360 for k in range(count)],
        [math.degrees(math.asin(height)) for height in heights],
        distance_m=MARGIN * radius / math.sin(math.radians(FOVY_DEG) / 2),
        fovy_deg=FOVY_DEG,
        size_px=(settings.render_size_px, settings.render_size_px),
    )
    poses = cameras.world_to_camera.double()
    poses[:, :3, 3] -= poses[:, :3, :3] @ torch.from_numpy(middle)
    return replace(cameras, world_to_camera=poses.float())


def moved(cameras: Cameras, matrix: Float[np.ndarray, "4 4"]) -> Cameras:
    """Cameras that see, after a similarity, what they saw before."""
    scale = float(np.cbrt(np.linalg.det(matrix[:3, :3])))
    poses = cameras.world_to_camera.double() @ torch.from_numpy(np.linalg.inv(matrix))
    poses[:, :3] *= scale
    return replace(cameras, world_to_camera=poses.float())


def _aside(said: Sequence[bool | None], every: int) -> list[bool]:
    """As the capture says, or every so many-th."""
    if any(each is not None for each in said):
        aside = [bool(each) for each in said]
    else:
        aside = [bool(every) and number % every == 0 for number in range(len(said))]
    if all(aside):
        raise InputError("bind: all views are kept aside; there is nothing to match.")
    return aside
