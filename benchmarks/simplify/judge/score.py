"""One simplified mesh against its original: all figures."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from . import glb, pictures, surfaces, views
from .model import Model


class Original:
    """A mesh file, rendered once."""

    def __init__(self, path: Path, size_px: int = views.SIZE_PX) -> None:
        self.path = path
        self.surface = views.Surface(sound(glb.read(path)))
        self.place = views.stand(self.surface.model, size_px)
        self.views = look(self.surface, self)


def sound(model: Model) -> Model:
    """Without the faces that no renderer could draw."""
    good = ((model.faces >= 0) & (model.faces < len(model.positions))).all(axis=1)
    finite = np.isfinite(model.positions).all(axis=1)
    good[good] = finite[model.faces[good]].all(axis=1)
    return replace(
        model,
        positions=np.where(finite[:, None], model.positions, 0),
        faces=model.faces[good],
        uvs=model.uvs[good],
        colors=model.colors[good],
        material=model.material[good],
    )


def look(surface: views.Surface, original: Original, *, own_colors: bool = True) -> list:
    """Views from the original's cameras, with the surface's colors or the original's nearest."""
    source = surface if own_colors else original.surface
    colors = surface.own_colors if own_colors else original.surface.nearest_colors
    return views.look(surface, original.place, colors, source.paint.has_holes)


def load(path: Path) -> Model:
    """What a tool has written. Raises Unreadable, also where nothing of it could be drawn."""
    model = glb.read(path)
    if not len(sound(model).faces):
        raise glb.Unreadable(f"{path}: none of its {len(model.faces)} faces can be drawn.")
    return model


def score(original: Original, model: Model, *, textured: bool) -> dict[str, Any]:
    """Everything that is measured, as plain numbers. What it raises is a fault of the judge."""
    faults = surfaces.faults(model)
    surface = views.Surface(sound(model))
    seen = look(surface, original, own_colors=textured)
    figures = {
        "faces": len(model.faces),
        **asdict(pictures.compare(original.views, seen, original.surface.model.diagonal)),
        **asdict(surfaces.distances(original.surface, surface)),
        "lost_parts": surfaces.lost_parts(original.surface, surface),
        "faults": asdict(faults),
    }
    numbers = [value for value in figures.values() if isinstance(value, (int, float))]
    if not np.isfinite(numbers).all():
        raise ArithmeticError(f"the judge found figures that are not finite: {figures}.")
    return figures
