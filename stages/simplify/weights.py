"""What must stay, and where being true to the surface matters more or less."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from ..formats.model import Model
from ..geometry.components import Surface
from . import Inputs, Shape
from .visibility import at_vertices, worth


@dataclass(frozen=True, slots=True)
class Weights:
    """Of the input's vertices and faces."""

    locked: Bool[np.ndarray, " vertex"] | None
    of_vertices: Float[np.ndarray, " vertex"] | None
    of_faces: Float[np.ndarray, " face"] | None


def weigh(model: Model, inputs: Inputs, shape: Shape) -> Weights:
    """Locks, and the product of what is seen, what is in focus and what the file says itself."""
    surface = Surface(model.positions, model.faces)
    of_vertices = np.ones(len(model.positions))
    if model.importance is not None:
        of_vertices *= model.importance[:, 0]
    if inputs.focus is not None:
        of_vertices[_selected(inputs.focus.path, model)] *= shape.focus_weight
    of_faces = of_vertices[model.faces].mean(axis=1)
    if shape.visibility:
        seen = worth(surface)
        of_faces *= seen
        of_vertices *= at_vertices(surface, seen)
    locked = np.zeros(len(model.positions), bool)
    if inputs.lock is not None:
        locked |= _selected(inputs.lock.path, model)
    if shape.lock_materials:
        locked |= between_materials(model)
    return Weights(
        locked=locked if locked.any() else None,
        of_vertices=None if (of_vertices == 1).all() else of_vertices,
        of_faces=None if (of_faces == 1).all() else of_faces,
    )


def between_materials(model: Model) -> Bool[np.ndarray, " vertex"]:
    """Vertices at a place where faces of several materials meet."""
    place = np.unique(model.positions, axis=0, return_inverse=True)[1].reshape(-1)
    flat = place[model.faces.reshape(-1)]
    material = np.repeat(model.face_materials, 3)
    count = len(model.positions)
    low, high = np.full(count, len(model.materials)), np.full(count, -1)
    np.minimum.at(low, flat, material)
    np.maximum.at(high, flat, material)
    return (low < high)[place]


def _selected(path, model: Model) -> Bool[np.ndarray, " vertex"]:
    from .selection import selected  # regions are torch's neighbors, which takes a second

    return selected(path, model.positions)
