"""What there is before the first iteration: a welded mesh, and Gaussians on its triangles."""

import dataclasses
import math
from logging import Logger
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from ...renderers.sh import C0
from ..formats import wild
from ..geometry.components import Surface
from . import Config, frames, layout
from .frames import Places
from .learned import Bond, Learned


def welded(path: Path, log: Logger) -> Surface:
    """The file's triangles in their order, with vertices at the same place joined."""
    model = wild.read(path)
    if model.rig is not None:
        log.warning("%s: has a skeleton; the mesh is bound as it rests.", path.name)
    # Adding 0 makes one zero of the two, so that both count as the same place.
    corners = model.positions.astype(np.float32) + np.float32(0)
    positions, index = np.unique(corners, axis=0, return_inverse=True)
    return Surface(positions.astype(np.float64), index.reshape(-1)[model.faces])


def first_values(
    surface: Surface, radius: float, config: Config, log: Logger
) -> tuple[Bond, Learned]:
    """Gaussians on every triangle that has an area, in black."""
    corners = torch.from_numpy(surface.positions[surface.faces])
    flat = frames.without_area(corners)
    if bool(flat.any()):
        log.warning(
            "%d of %d triangles have no area (first: %d) and carry nothing.",
            int(flat.sum()), len(flat), int(flat.nonzero()[0]),
        )  # fmt: skip
    sound = (~flat).nonzero()[:, 0]
    count = len(sound) * config.per_face
    size = layout.first_deviations(corners[sound], config.per_face)
    places = Places(
        owner=sound.repeat_interleave(config.per_face),
        barycentrics=layout.barycentrics(config.per_face).repeat(len(sound), 1).float(),
    )
    turns = torch.zeros(count, 2)
    turns[:, 0] = 1
    values = Learned(
        vertices=torch.from_numpy(surface.positions).float(),
        log_scales=size.log().float().repeat_interleave(config.per_face)[:, None].repeat(1, 2),
        turns=turns,
        logit_opacities=torch.full((count,), math.log(config.opacity / (1 - config.opacity))),
        sh=torch.zeros(count, (config.sh_degree + 1) ** 2, 3),
    )
    faces = torch.from_numpy(surface.faces)
    return Bond(faces, places, layout.THICKNESS * radius), values


def colored(values: Learned, bond: Bond, colors: Float[np.ndarray, "face 3"]) -> Learned:
    """In the sRGB colors of their triangles, from all sides alike."""
    sh = values.sh.clone()
    sh[:, 0] = (torch.from_numpy(colors).float()[bond.places.owner] - 0.5) / C0
    return dataclasses.replace(values, sh=sh)


def bounding_sphere(surface: Surface) -> tuple[Float[np.ndarray, "3"], float]:
    """Middle of the bounding box, and the farthest used vertex from it."""
    used = surface.positions[np.unique(surface.faces)]
    middle = (used.min(axis=0) + used.max(axis=0)) / 2
    return middle, float(np.linalg.norm(used - middle, axis=1).max())
