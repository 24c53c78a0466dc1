"""What is edited: layers of Gaussians with a selection each. Nothing here is ever changed in
place; an operation returns a new scene that shares all arrays it did not touch, so that going back
is free.

Moves are lazy. A layer has a palette of maps and, per Gaussian, the number of the map it is under
(its slot). Moving a selection gives it slots of its own once; moving it again only replaces a few
matrices, however many Gaussians there are. `baked` applies the maps, once, in float64.
"""

import hashlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, UInt16

from ...pipeline.contract import replacing
from ...pipeline.errors import InputError
from ..formats import splats as files
from ..formats.splats import RawSplats
from . import affine
from .affine import Matrix

MOST_SLOTS = 1 << 16


@dataclass(frozen=True, slots=True)
class Origin:
    """The file that a layer is, as long as nothing has changed it."""

    path: Path
    size: int
    changed_ns: int

    @classmethod
    def of(cls, path: Path) -> "Origin":
        stat = path.stat()
        return cls(path, stat.st_size, stat.st_mtime_ns)


@dataclass(frozen=True, slots=True)
class Layer:
    """One object: n Gaussians under the maps of its palette."""

    name: str
    values: RawSplats
    """Before the maps."""
    selected: Bool[np.ndarray, " n"]
    slots: UInt16[np.ndarray, " n"]
    palette: tuple[Matrix, ...]
    grouped: frozenset[int] | None = None
    """The slots that hold exactly the selected Gaussians, where that is known."""
    origin: Origin | None = None

    def __len__(self) -> int:
        return len(self.values)


@dataclass(frozen=True, slots=True)
class Scene:
    """All layers; they share one space."""

    layers: tuple[Layer, ...]

    def layer(self, name: str | None) -> Layer:
        """The layer of that name; `None` is the only one."""
        if name is None and len(self.layers) == 1:
            return self.layers[0]
        found = [layer for layer in self.layers if layer.name == name]
        if not found:
            names = ", ".join(layer.name for layer in self.layers)
            what = "say which layer" if name is None else f"no layer {name!r}"
            raise InputError(f"{what}; there is {names}")
        return found[0]

    def put(self, layer: Layer) -> "Scene":
        """With the layer of the same name replaced, or a new one at the end."""
        if layer.name not in [other.name for other in self.layers]:
            return Scene((*self.layers, layer))
        return Scene(tuple(layer if old.name == layer.name else old for old in self.layers))

    def without(self, names: tuple[str, ...]) -> "Scene":
        return Scene(tuple(layer for layer in self.layers if layer.name not in names))


def new_layer(name: str, values: RawSplats, origin: Origin | None = None) -> Layer:
    """Nothing selected, nothing moved."""
    count = len(values)
    return Layer(
        name=name,
        values=values,
        selected=np.zeros(count, bool),
        slots=np.zeros(count, np.uint16),
        palette=(affine.identity(),),
        origin=origin,
    )


def load(name: str, path: Path) -> Layer:
    """The layer that a PLY is."""
    origin = Origin.of(path) if path.is_file() else None
    return new_layer(name, files.load(path), origin)


def save(layer: Layer, path: Path) -> Path:
    """Write the layer. One that nothing has changed is copied from its file, byte for byte."""
    if layer.origin is not None and _unchanged(layer.origin):
        _copy(layer.origin.path, path)
        return path
    values = baked(layer).values
    found = files.problems(values)
    if found:
        raise InputError(f"layer {layer.name}: after the edits, {'; '.join(found[:4])}.")
    return files.save(values, path)


def with_values(layer: Layer, values: RawSplats, rows: np.ndarray | None = None) -> Layer:
    """The layer with new values before the maps; `rows`, if given, says which old Gaussians they
    belong to, in what order.
    """
    if rows is None:
        return replace(layer, values=values, origin=None)
    return replace(
        layer,
        values=values,
        selected=layer.selected[rows],
        slots=layer.slots[rows],
        grouped=None,
        origin=None,
    )


def with_selected(layer: Layer, selected: Bool[np.ndarray, " n"]) -> Layer:
    return replace(layer, selected=selected, grouped=None)


def moved(layer: Layer, matrix: Matrix, *, everything: bool) -> Layer:
    """The selected Gaussians (or all) under one more map."""
    if affine.is_identity(matrix):
        return layer
    if everything:
        chosen = frozenset(range(len(layer.palette)))
    else:
        layer = _with_own_slots(layer)
        chosen = layer.grouped or frozenset()
    palette = tuple(
        matrix @ old if slot in chosen else old for slot, old in enumerate(layer.palette)
    )
    return replace(layer, palette=palette, origin=None)


def baked(layer: Layer) -> Layer:
    """The same Gaussians with the maps applied, under none."""
    moves = [(matrix, rows) for matrix, rows in _by_slot(layer) if not affine.is_identity(matrix)]
    if not moves:
        return layer if len(layer.palette) == 1 else _unmapped(layer, layer.values)
    if len(moves) == 1 and len(moves[0][1]) == len(layer):
        matrix = moves[0][0]
        values = affine.carried(layer.values, matrix)
        # The sidecar's note stays true only where all of the layer moved alike.
        before = np.reshape(values.sidecar.source_transform, (4, 4))
        transform = tuple((matrix @ before).ravel().tolist())
        return _unmapped(
            layer, replace(values, sidecar=replace(values.sidecar, source_transform=transform))
        )
    names = ("means", "log_scales", "quaternions", "sh")
    columns = {name: getattr(layer.values, name).copy() for name in names}
    for matrix, rows in moves:
        part = affine.carried(affine.take(layer.values, rows), matrix)
        for name, column in columns.items():
            column[rows] = getattr(part, name)
    return _unmapped(layer, replace(layer.values, **columns))


def baked_shape(layer: Layer) -> Layer:
    """`baked` with harmonics of degree 0 alone, which no map changes: turning the others costs most
    of the time."""
    return baked(replace(layer, values=replace(layer.values, sh=layer.values.sh[:, :1])))


def positions(layer: Layer) -> Float[np.ndarray, "n 3"]:
    """Where the centres are, under the maps, in float64."""
    out = layer.values.means.astype(np.float64)
    for matrix, rows in _by_slot(layer):
        if not affine.is_identity(matrix):
            out[rows] = affine.carried_points(layer.values.means[rows], matrix)
    return out


def fingerprint(layer: Layer) -> str:
    """SHA-256 over the raw values as a PLY holds them (little-endian float32): means, log scales,
    logit opacities, quaternions, SH. Index masks carry it."""
    values, total = baked(layer).values, hashlib.sha256()
    for name in ("means", "log_scales", "logit_opacities", "quaternions", "sh"):
        total.update(np.ascontiguousarray(getattr(values, name), "<f4").tobytes())
    return total.hexdigest()


def _with_own_slots(layer: Layer) -> Layer:
    """No slot holds both selected and other Gaussians any more; empty slots are given up."""
    if layer.grouped is not None:
        return layer
    count = len(layer.palette)
    inside = np.bincount(layer.slots[layer.selected], minlength=count) > 0
    outside = np.bincount(layer.slots[~layer.selected], minlength=count) > 0
    if int(inside.sum()) + int(outside.sum()) > MOST_SLOTS:
        return _with_own_slots(baked(layer))
    kept = np.flatnonzero(outside), np.flatnonzero(inside)
    table = np.zeros((2, count), np.uint16)
    table[0, kept[0]] = np.arange(len(kept[0]))
    table[1, kept[1]] = len(kept[0]) + np.arange(len(kept[1]))
    return replace(
        layer,
        slots=table[layer.selected.astype(np.intp), layer.slots],
        palette=tuple(layer.palette[slot] for slot in np.concatenate(kept)),
        grouped=frozenset(range(len(kept[0]), len(kept[0]) + len(kept[1]))),
    )


def _by_slot(layer: Layer) -> Iterator[tuple[Matrix, np.ndarray]]:
    """Each used map with the numbers of its Gaussians."""
    if len(layer.palette) == 1:
        yield layer.palette[0], np.arange(len(layer))
        return
    order = np.argsort(layer.slots, kind="stable")
    ends = np.cumsum(np.bincount(layer.slots, minlength=len(layer.palette)))
    for slot, rows in enumerate(np.split(order, ends[:-1])):
        if len(rows):
            yield layer.palette[slot], rows


def _unmapped(layer: Layer, values: RawSplats) -> Layer:
    return replace(
        layer,
        values=values,
        slots=np.zeros(len(layer), np.uint16),
        palette=(affine.identity(),),
        grouped=None,
    )


def _unchanged(origin: Origin) -> bool:
    try:
        return Origin.of(origin.path) == origin
    except OSError:
        return False


def _copy(source: Path, target: Path) -> None:
    if target.exists() and target.samefile(source):
        return
    beside = files.sidecar_path(source)
    if beside.exists():
        with replacing(files.sidecar_path(target)) as temporary:
            shutil.copyfile(beside, temporary)
    elif files.sidecar_path(target).exists():
        files.load_sidecar(target)  # Refuses to remove a JSON file that is not ours.
        files.sidecar_path(target).unlink()
    with replacing(target) as temporary:
        shutil.copyfile(source, temporary)
