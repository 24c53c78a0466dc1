"""What every edit of a script does (`formats/edits.py`). Plain functions from scene to scene."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Int

from ...pipeline.errors import InputError
from ..formats import edits
from ..formats.edits import Edit
from ..geometry.activation import activate, deactivate
from . import affine, neighbors, placing
from .affine import Matrix
from .layers import Layer, Scene, baked, moved, positions, with_selected, with_values
from .measures import measured
from .recolor import corrected, correction
from .selectors import combined, selected_by
from .thinning import thinned


@dataclass(frozen=True, slots=True)
class Outcome:
    """The scene after an edit, and what there is to say about it."""

    scene: Scene
    said: str
    warning: str = ""


def perform(scene: Scene, edit: Edit) -> Outcome:
    """Do one edit. `scene` itself stays as it is.

    What cannot be done (an empty selection, an unknown layer) is an `InputError` without the place
    in the script, which `session.replayed` puts before it.
    """
    if type(edit) not in _EDITS:  # A stage of its own: `apply/performing.py`.
        raise InputError(
            "only `pipeline apply` and the studio can do this, not a script for placing"
        )
    return _EDITS[type(edit)](scene, edit)


def _select(scene: Scene, edit: edits.Select) -> Outcome:
    layer = scene.layer(edit.layer)
    found = selected_by(scene, layer, edit.term.shape)
    return _selected(scene, layer, combined(layer.selected, found, edit.term.how))


def _grow(scene: Scene, edit: edits.Grow) -> Outcome:
    layer, reach = scene.layer(edit.layer), {"radius": edit.radius, "neighbors": edit.neighbors}
    return _selected(scene, layer, neighbors.grown(layer.selected, positions(layer), **reach))


def _shrink(scene: Scene, edit: edits.Shrink) -> Outcome:
    layer, reach = scene.layer(edit.layer), {"radius": edit.radius, "neighbors": edit.neighbors}
    return _selected(scene, layer, neighbors.shrunk(layer.selected, positions(layer), **reach))


def _invert(scene: Scene, edit: edits.Invert) -> Outcome:
    layer = scene.layer(edit.layer)
    return _selected(scene, layer, ~layer.selected)


def _selected(scene: Scene, layer: Layer, selected: Bool[np.ndarray, " n"]) -> Outcome:
    said = f"{int(selected.sum()):,} of {len(layer):,} in {layer.name}"
    return Outcome(scene.put(with_selected(layer, selected)), said)


def _move(scene: Scene, edit: edits.Move) -> Outcome:
    layer = scene.layer(edit.layer)
    linear = edit.scale * affine.rotation_matrix(edit.rotation)
    matrix = affine.about(linear, edit.pivot, edit.translation)
    return _moved(scene, layer, matrix, edit.of)


def _stretch(scene: Scene, edit: edits.Stretch) -> Outcome:
    layer = scene.layer(edit.layer)
    axes = affine.rotation_matrix(edit.rotation)
    linear = (axes * np.asarray(edit.factors)) @ axes.T
    out = _moved(scene, layer, affine.about(linear, edit.pivot), edit.of)
    if affine.polar(linear)[2] or layer.values.sh.shape[1] == 1:
        return out
    warning = (
        f"{layer.name} has view-dependent colors, which have no exact answer to unequal scales:"
        " they are turned by the nearest rotation"
    )
    return replace(out, warning=warning)


def _moved(scene: Scene, layer: Layer, matrix: Matrix, of: Literal["selection", "all"]) -> Outcome:
    if of == "selection" and not layer.grouped:  # Else it is known to hold something.
        _rows(layer, of)
    layer = moved(layer, matrix, everything=of == "all")
    return Outcome(scene.put(layer), f"{of} of {layer.name} moved")


def _delete(scene: Scene, edit: edits.Delete) -> Outcome:
    layer = scene.layer(edit.layer)
    gone = _rows(layer, "selection")
    return _reduced(scene, layer, np.flatnonzero(~layer.selected), f"{len(gone):,} deleted from")


def _crop(scene: Scene, edit: edits.Crop) -> Outcome:
    layer = scene.layer(edit.layer)
    kept = _rows(layer, "selection")
    return _reduced(scene, layer, kept, f"{len(layer) - len(kept):,} cropped from")


def _reduced(scene: Scene, layer: Layer, kept: Int[np.ndarray, " m"], said: str) -> Outcome:
    if len(kept) == len(layer):
        return Outcome(scene, f"{said} {layer.name}, {len(layer):,} stay")
    if not len(kept):
        raise InputError(f"nothing of layer {layer.name} would be left. Select less")
    layer = with_values(layer, affine.take(layer.values, kept), kept)
    return Outcome(scene.put(layer), f"{said} {layer.name}, {len(layer):,} stay")


def _duplicate(scene: Scene, edit: edits.Duplicate) -> Outcome:
    layer = scene.layer(edit.layer)
    copy = _taken(scene, layer, _rows(layer, edit.of), edit.name)
    return Outcome(scene.put(copy), f"{len(copy):,} copied from {layer.name} to {copy.name}")


def _separate(scene: Scene, edit: edits.Separate) -> Outcome:
    layer = scene.layer(edit.layer)
    apart = _taken(scene, layer, _rows(layer, "selection"), edit.name)
    rest = _reduced(scene, layer, np.flatnonzero(~layer.selected), "")
    said = f"{len(apart):,} taken from {layer.name} to {apart.name}"
    return Outcome(rest.scene.put(apart), said)


def _taken(scene: Scene, layer: Layer, rows: Int[np.ndarray, " m"], name: str) -> Layer:
    """Some Gaussians as a layer of its own, with the same moves, nothing selected."""
    if name.lower() in [other.name.lower() for other in scene.layers]:
        raise InputError(f"there is a layer {name} already (upper and lower case count as equal)")
    apart = replace(with_values(layer, affine.take(layer.values, rows), rows), name=name)
    return with_selected(apart, np.zeros(len(rows), bool))


def _merge(scene: Scene, edit: edits.Merge) -> Outcome:
    first, *others = [scene.layer(name) for name in (edit.layer, *edit.others)]
    for other in others:
        check_alike(first, other)
    parts = [baked(layer).values for layer in (first, *others)]
    coefficients = max(part.sh.shape[1] for part in parts)
    parts = [_with_coefficients(part, coefficients) for part in parts]
    selected = np.concatenate([layer.selected for layer in (first, *others)])
    values = affine.joined(parts, parts[0])
    merged = replace(
        first,
        values=values,
        selected=selected,
        slots=np.zeros(len(values), np.uint16),
        palette=(affine.identity(),),
        grouped=None,
        origin=None,
    )
    said = f"{first.name} has {len(merged):,}, SH degree {_degree(coefficients)}"
    return Outcome(scene.without(edit.others).put(merged), said)


def check_alike(first: Layer, other: Layer) -> None:
    """Two layers can only be one file if its sidecar is true for both."""
    for name in ("antialiased", "color_space", "meters_per_unit", "up_axis"):
        one, two = (getattr(layer.values.sidecar, name) for layer in (first, other))
        if one != two:
            frame = name in ("meters_per_unit", "up_axis")
            advice = (
                f'Before, say {{"edit": "frame", "layer": "{other.name}", "like": "{first.name}"}}'
                if frame
                else "They can not be in one file; keep the layers apart"
            )
            raise InputError(f"{name} is {one} in {first.name}, {two} in {other.name}. {advice}")


def _recolor(scene: Scene, edit: edits.Recolor) -> Outcome:
    layer = scene.layer(edit.layer)
    rows = _rows(layer, edit.of)
    matrix, shift = correction(edit)
    sh = layer.values.sh.copy()
    sh[rows] = corrected(sh[rows], matrix, shift)
    layer = with_values(layer, replace(layer.values, sh=sh))
    return Outcome(scene.put(layer), f"{len(rows):,} recolored in {layer.name}")


def _opacity(scene: Scene, edit: edits.Opacity) -> Outcome:
    layer = scene.layer(edit.layer)
    rows = _rows(layer, edit.of)
    gaussians = activate(affine.take(layer.values, rows))
    faded = replace(gaussians, opacities=gaussians.opacities.double() * edit.factor)
    logits = layer.values.logit_opacities.copy()
    logits[rows] = deactivate(faded).logit_opacities.float().numpy()
    layer = with_values(layer, replace(layer.values, logit_opacities=logits))
    return Outcome(scene.put(layer), f"opacity of {len(rows):,} in {layer.name}")


def _set_degree(scene: Scene, edit: edits.Degree) -> Outcome:
    layer = scene.layer(edit.layer)
    before = _degree(layer.values.sh.shape[1])
    if before != edit.degree:
        layer = with_values(layer, _with_coefficients(layer.values, (edit.degree + 1) ** 2))
    return Outcome(scene.put(layer), f"{layer.name}: SH degree {before} -> {edit.degree}")


def _with_coefficients(values: Any, count: int) -> Any:
    """Raw splats with so many coefficients: cut off, or filled up with zeros."""
    sh = np.zeros((len(values), count, 3), np.float32)
    kept = min(count, values.sh.shape[1])
    sh[:, :kept] = values.sh[:, :kept]
    return replace(values, sh=sh)


def _degree(coefficients: int) -> int:
    return round(coefficients**0.5) - 1


def _decimate(scene: Scene, edit: edits.Decimate) -> Outcome:
    layer = baked(scene.layer(edit.layer))
    rows = _rows(layer, edit.of)
    fewer, stand_for = thinned(affine.take(layer.values, rows), round(edit.keep * len(rows)))
    rest = np.setdiff1d(np.arange(len(layer)), rows)
    order = np.concatenate([rest, rows[stand_for]])
    values = affine.joined([affine.take(layer.values, rest), fewer], layer.values)
    back = np.argsort(order)
    after = with_values(layer, affine.take(values, back), order[back])
    return Outcome(scene.put(after), f"{layer.name}: {len(layer):,} -> {len(after):,}")


def _sort(scene: Scene, edit: edits.Sort) -> Outcome:
    layer = scene.layer(edit.layer)
    if edit.by == "morton":
        order = np.argsort(_morton(positions(layer)), kind="stable")
    else:
        values = measured(layer, "opacity" if edit.by == "opacity" else "scale")
        order = np.argsort(-values, kind="stable")
    layer = with_values(layer, affine.take(layer.values, order), order)
    return Outcome(scene.put(layer), f"{layer.name} sorted by {edit.by}")


def _morton(points: np.ndarray) -> Int[np.ndarray, " n"]:
    """Places along a curve through a grid of 2^20 cells a side over the bounding box: the bits of
    the three cell numbers in turn."""
    low, span = points.min(axis=0), np.ptp(points, axis=0).max()
    cells = ((points - low) / (span or 1.0) * (2**20 - 1)).astype(np.int64)
    out = np.zeros(len(points), np.int64)
    for bit in range(20):
        for axis in range(3):
            out |= ((cells[:, axis] >> bit) & 1) << (3 * bit + axis)
    return out


def _ground(scene: Scene, edit: edits.Ground) -> Outcome:
    layer = scene.layer(edit.layer)
    points = positions(layer)
    matrix = placing.ground_transform(points[_rows(layer, edit.of)], points, edit.tolerance)
    layer = moved(layer, matrix, everything=True)
    layer = _with_sidecar(layer, up_axis="+y")
    return Outcome(scene.put(layer), f"{layer.name} stands on y = 0")


def _center(scene: Scene, edit: edits.Center) -> Outcome:
    layer = scene.layer(edit.layer)
    middle = placing.middle_of(positions(layer)[_rows(layer, edit.of)])
    matrix = affine.identity()
    matrix[:3, 3] = np.asarray(edit.at) - middle
    return Outcome(scene.put(moved(layer, matrix, everything=True)), f"{layer.name} centered")


def _frame(scene: Scene, edit: edits.Frame) -> Outcome:
    layer, like = scene.layer(edit.layer), scene.layer(edit.like)
    own, wanted = layer.values.sidecar, like.values.sidecar
    layer = moved(layer, placing.frame_transform(own, wanted), everything=True)
    layer = _with_sidecar(layer, up_axis=wanted.up_axis, meters_per_unit=wanted.meters_per_unit)
    return Outcome(scene.put(layer), f"{layer.name} has the units and up axis of {like.name}")


def _with_sidecar(layer: Layer, **entries: Any) -> Layer:
    sidecar = replace(layer.values.sidecar, **entries)
    if sidecar == layer.values.sidecar:
        return layer
    return with_values(layer, replace(layer.values, sidecar=sidecar))


def _rows(layer: Layer, of: Literal["selection", "all"]) -> Int[np.ndarray, " m"]:
    """The numbers of the Gaussians that an edit works on; at least one."""
    if of == "all":
        return np.arange(len(layer))
    rows = np.flatnonzero(layer.selected)
    if not len(rows):
        raise InputError(f"nothing is selected in layer {layer.name}. Select something before")
    return rows


_EDITS: Mapping[type, Callable[[Scene, Any], Outcome]] = MappingProxyType(
    {
        edits.Select: _select,
        edits.Grow: _grow,
        edits.Shrink: _shrink,
        edits.Invert: _invert,
        edits.Move: _move,
        edits.Stretch: _stretch,
        edits.Delete: _delete,
        edits.Crop: _crop,
        edits.Duplicate: _duplicate,
        edits.Separate: _separate,
        edits.Merge: _merge,
        edits.Recolor: _recolor,
        edits.Opacity: _opacity,
        edits.Degree: _set_degree,
        edits.Decimate: _decimate,
        edits.Sort: _sort,
        edits.Ground: _ground,
        edits.Center: _center,
        edits.Frame: _frame,
    }
)
