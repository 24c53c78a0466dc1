"""What is learned, and the Gaussians that it stands for while it is."""

from dataclasses import dataclass, fields
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ...renderers.scene import Gaussians
from ..formats import checkpoints
from . import frames
from .frames import Places


@dataclass(frozen=True, slots=True)
class Learned:
    vertices: Float[Tensor, "vertex 3"]
    log_scales: Float[Tensor, "n 2"]
    turns: Float[Tensor, "n 2"]
    logit_opacities: Float[Tensor, " n"]
    sh: Float[Tensor, "n coefficient 3"]


NAMES = tuple(f.name for f in fields(Learned))


@dataclass(frozen=True, slots=True)
class Bond:
    """What stays: topology, places, thickness."""

    faces: Int[Tensor, "face 3"]
    places: Places
    thickness: float


@dataclass(slots=True)
class State:
    """Everything that one iteration hands to the next."""

    values: Learned
    first: Learned
    second: Learned
    iteration: int = 0
    """The next one to be done."""


def start(values: Learned) -> State:
    """Before the first iteration."""

    def zeros() -> Learned:
        return Learned(*(torch.zeros_like(getattr(values, name)) for name in NAMES))

    return State(values, zeros(), zeros())


def gaussians(
    values: Learned, bond: Bond, coefficients: int
) -> tuple[Gaussians, Float[Tensor, "face 3"]]:
    """The Gaussians with the first so many SH coefficients, and the triangles' normals."""
    corners = values.vertices[bond.faces]
    rotations = frames.frames(corners)
    thickness = values.log_scales.new_full((len(values.turns), 1), bond.thickness)
    made = Gaussians(
        means=frames.centers(corners, bond.places),
        quaternions=frames.orientations(rotations, bond.places.owner, values.turns),
        scales=torch.cat([values.log_scales.exp(), thickness], dim=1),
        opacities=torch.sigmoid(values.logit_opacities),
        sh=values.sh[:, :coefficients],
    )
    return made, rotations[:, :, 2]


def save(state: State, scratch: Path, signature: str) -> Path:
    """Write a checkpoint."""
    tensors = {
        f"{part}.{name}": getattr(getattr(state, part), name)
        for part in ("values", "first", "second")
        for name in NAMES
    }
    metadata = {"iteration": state.iteration, "signature": signature}
    return checkpoints.save(tensors, metadata, scratch, state.iteration)


def load(scratch: Path, signature: str, device: str) -> State | None:
    """The newest readable checkpoint of this run; None where there is none."""
    found = checkpoints.newest(scratch, signature)
    if found is None:
        return None
    tensors, metadata = found

    def part(which: str) -> Learned:
        return Learned(*(tensors[f"{which}.{name}"].to(device) for name in NAMES))

    return State(part("values"), part("first"), part("second"), int(metadata["iteration"]))
