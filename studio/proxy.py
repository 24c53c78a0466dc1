"""What the page itself draws: at most 20,000 splats in the colors of degree 0.

The largest come first, by opacity times the area of the two longest axes; the selection takes up
to four fifths of the places, so that it is seen whole where it can be, and the rest never vanishes.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from ..renderers.projection import covariances
from ..stages.geometry.activation import activate
from ..stages.scene import affine
from ..stages.scene.layers import Layer, Scene, baked_shape, with_values
from ..stages.scene.recolor import base_colors

MOST = 20_000
FOR_SELECTION = 0.8
HIGHLIGHT = np.array([1.0, 0.55, 0.0])
TINT = 0.5
"""How far the color of what is selected goes towards the highlight."""


@dataclass(frozen=True, slots=True)
class Proxy:
    """n splats, in float32."""

    centers: Float[np.ndarray, "n 3"]
    covariances: Float[np.ndarray, "n 3 3"]
    colors: Float[np.ndarray, "n 3"]
    """sRGB, 0 to 1; the selection is tinted."""
    opacities: Float[np.ndarray, "n 1"]
    selected: Bool[np.ndarray, " n"]
    layers: tuple[str, ...]
    """Whose they are: names, and per splat the number of its name."""
    owners: Int[np.ndarray, " n"]

    def of(self, layer: str, *, everything: bool) -> Bool[np.ndarray, " n"]:
        """Which of them are the selected ones of a layer, or all of it."""
        number = self.layers.index(layer) if layer in self.layers else -1
        owned = self.owners == number
        return owned if everything else owned & self.selected


class Proxies:
    """Makes proxies of one scene after another; remembers how large the Gaussians of a layer are,
    which most edits do not change."""

    def __init__(self) -> None:
        self._weights: dict[str, tuple[Layer, Float[np.ndarray, " n"]]] = {}

    def of(
        self, scene: Scene, hidden: frozenset[str] = frozenset(), most: int = MOST,
        *, tinted: bool = True,
    ) -> Proxy:  # fmt: skip
        """The proxy of all layers that are not hidden."""
        layers = [layer for layer in scene.layers if layer.name not in hidden]
        names = {layer.name for layer in layers}
        self._weights = {name: held for name, held in self._weights.items() if name in names}
        if not layers:
            return _together([], ())
        weights = np.concatenate([self._weights_of(layer) for layer in layers])
        selected = np.concatenate([layer.selected for layer in layers])
        chosen = chosen_rows(weights, selected, most)
        ends = np.cumsum([0, *(len(layer) for layer in layers)])
        cuts = np.searchsorted(chosen, ends)
        parts = [
            _drawn(layer, chosen[first:last] - start, tinted)
            for layer, start, first, last in zip(layers, ends, cuts, cuts[1:], strict=False)
        ]
        return _together(parts, tuple(layer.name for layer in layers))

    def _weights_of(self, layer: Layer) -> Float[np.ndarray, " n"]:
        held = self._weights.get(layer.name)
        if held is None or held[0].values is not layer.values:
            opacities = 1 / (1 + np.exp(-layer.values.logit_opacities.astype(np.float64)))
            logs = np.sort(layer.values.log_scales, axis=1).astype(np.float64)
            held = layer, opacities * np.exp(logs[:, 1] + logs[:, 2])
            self._weights[layer.name] = held
        sizes = np.array([abs(np.linalg.det(matrix[:3, :3])) for matrix in layer.palette])
        if np.allclose(sizes, 1):
            return held[1]
        return held[1] * (sizes ** (2 / 3))[layer.slots]


def chosen_rows(
    weights: Float[np.ndarray, " n"], selected: Bool[np.ndarray, " n"], most: int
) -> Int[np.ndarray, " m"]:
    """Whom to draw, in order."""
    inside, outside = np.flatnonzero(selected), np.flatnonzero(~selected)
    reserved = min(len(inside), max(round(FOR_SELECTION * most), most - len(outside)))
    parts = [
        _heaviest(inside, weights, reserved),
        _heaviest(outside, weights, most - reserved),
    ]
    return np.sort(np.concatenate(parts))


def _heaviest(
    rows: Int[np.ndarray, " n"], weights: Float[np.ndarray, " all"], most: int
) -> Int[np.ndarray, " m"]:
    if len(rows) <= most:
        return rows
    if most <= 0:
        return rows[:0]
    return rows[np.argpartition(-weights[rows], most - 1)[:most]]


def _drawn(layer: Layer, rows: Int[np.ndarray, " m"], tinted: bool) -> "_Part":
    part = baked_shape(with_values(layer, affine.take(layer.values, rows), rows))
    gaussians = activate(part.values)
    colors = base_colors(part.values.sh).clip(0, 1)
    if tinted:
        colors[part.selected] += TINT * (HIGHLIGHT - colors[part.selected])
    spread = covariances(gaussians.quaternions, gaussians.scales)
    return (
        part.values.means,
        spread.numpy(),
        colors.astype(np.float32),
        gaussians.opacities[:, None].numpy(),
        part.selected,
    )


def _together(parts: list["_Part"], names: tuple[str, ...]) -> Proxy:
    shapes = ((0, 3), (0, 3, 3), (0, 3), (0, 1))
    none = (*(np.zeros(shape, np.float32) for shape in shapes), np.zeros(0, bool))
    columns = [np.concatenate(column) for column in zip(none, *parts, strict=True)]
    owners = np.repeat(np.arange(len(parts)), [len(part[0]) for part in parts])
    return Proxy(*columns, layers=names, owners=owners)


_Part = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]
