"""One number per Gaussian: what histograms show and ranges select by."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
from jaxtyping import Float

from ...renderers.projection import view_depths
from ..formats.regions import Property, Viewpoint
from ..geometry.activation import activate
from .layers import Layer, baked_shape, positions
from .recolor import base_colors

Values = Float[np.ndarray, " n"]


def measured(layer: Layer, name: Property, camera: Viewpoint | None = None) -> Values:
    """The property of every Gaussian, under the layer's moves, in float64.

    `scale` and `thickness` are the largest and the smallest standard deviation, `volume` is
    4/3 π times the product of all three. `red` to `value` are of the color of SH degree 0 (sRGB,
    hue from 0 to 1), `sh_energy` is the root of the summed squares of all higher coefficients.
    `depth` is view-space z and needs the camera.
    """
    if name == "depth":
        if camera is None:
            raise ValueError("depth is measured from a camera.")
        return _depth(positions(layer), camera)
    return _MEASURES[name](layer)


def _depth(points: Float[np.ndarray, "n 3"], camera: Viewpoint) -> Values:
    import torch

    return view_depths(torch.from_numpy(points), camera.cameras())[0].numpy()


def _scales(layer: Layer) -> Float[np.ndarray, "n 3"]:
    return activate(baked_shape(layer).values).scales.double().numpy()


def _hsv(layer: Layer) -> Float[np.ndarray, "n 3"]:
    """Hue (0 red, 1/3 green, 2/3 blue; 0 for grays), saturation, value."""
    rgb = base_colors(layer.values.sh)
    value, low = rgb.max(axis=1), rgb.min(axis=1)
    span = value - low
    red, green, blue = rgb.T
    safe = np.where(span > 0, span, 1.0)
    hue = np.select(
        [value == red, value == green],
        [(green - blue) / safe, 2 + (blue - red) / safe],
        4 + (red - green) / safe,
    )
    saturation = np.where(value > 0, span / np.where(value > 0, value, 1.0), 0.0)
    return np.stack([np.where(span > 0, hue / 6 % 1.0, 0.0), saturation, value], axis=1)


def _sh_energy(layer: Layer) -> Values:
    higher = layer.values.sh[:, 1:].astype(np.float64)
    return np.sqrt(np.einsum("nkc,nkc->n", higher, higher))


_MEASURES: Mapping[str, Callable[[Layer], Values]] = MappingProxyType(
    {
        "x": lambda layer: positions(layer)[:, 0],
        "y": lambda layer: positions(layer)[:, 1],
        "z": lambda layer: positions(layer)[:, 2],
        "scale": lambda layer: _scales(layer).max(axis=1),
        "thickness": lambda layer: _scales(layer).min(axis=1),
        "volume": lambda layer: 4 / 3 * np.pi * _scales(layer).prod(axis=1),
        "opacity": lambda layer: activate(layer.values).opacities.double().numpy(),
        "red": lambda layer: base_colors(layer.values.sh)[:, 0],
        "green": lambda layer: base_colors(layer.values.sh)[:, 1],
        "blue": lambda layer: base_colors(layer.values.sh)[:, 2],
        "hue": lambda layer: _hsv(layer)[:, 0],
        "saturation": lambda layer: _hsv(layer)[:, 1],
        "value": lambda layer: _hsv(layer)[:, 2],
        "sh_energy": _sh_energy,
    }
)
