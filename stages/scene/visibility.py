"""What a camera sees of a layer, by the renderer's blending weights; other layers hide, too.

Notation: p pixels, i Gaussians, w_ip = T alpha the weight with which i enters the picture at p.

- The visible share of i is Σ_p w_ip over what that sum were with nothing before it: its footprint
  2π sqrt(det S) (o - 1/255), the integral of alpha over the plane down to where it is cut off
  (S: projected covariance, o: opacity). Part of a footprint may lie outside of the picture.
- The weight that falls on a mask m is Σ_p w_ip m_p = ∂/∂c_i Σ_p m_p C_p, with C_p = Σ_i w_ip c_i a
  blended channel: one backward pass through the renderer gives it for all Gaussians.
"""

import math
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Bool, Float

from ...renderers.choose import splat_renderer
from ...renderers.projection import ALPHA_MIN, image_covariances
from ...renderers.scene import Cameras, Gaussians
from ..formats.regions import Viewpoint
from ..geometry.activation import activate
from .affine import joined
from .layers import Layer, Scene, baked_shape


def visible_shares(scene: Scene, layer: Layer, camera: Viewpoint) -> Float[np.ndarray, " n"]:
    """Per Gaussian of the layer, its visible share; 0 for what is not drawn."""
    gaussians, rows = _together(scene, layer)
    cameras = camera.cameras()
    with torch.no_grad():
        frames = splat_renderer("cpu")(gaussians, cameras, frozenset({"weights"}))
        spread = torch.linalg.det(image_covariances(gaussians, cameras)[0].double())
    footprint = 2 * math.pi * spread.clamp(min=0).sqrt() * (gaussians.opacities - ALPHA_MIN)
    weights = frames.weights
    assert weights is not None
    seen = weights[0] > 0
    share = torch.where(seen, weights[0] / torch.where(seen, footprint.clamp(min=1e-12), 1.0), 0.0)
    return share[rows].double().numpy()


def mask_shares(
    scene: Scene, layer: Layer, views: list[tuple[Viewpoint, Bool[np.ndarray, "height width"]]]
) -> Float[np.ndarray, " n"]:
    """Per Gaussian of the layer, the share of its weight in all views that falls on the masks.

    0 for those that no view sees.
    """
    gaussians, rows = _together(scene, layer)
    inside, total = (torch.zeros(len(layer), dtype=torch.float64) for _ in range(2))
    for camera, mask in views:
        on_mask, everywhere = _weights(gaussians, camera.cameras(), mask)
        inside += on_mask[rows]
        total += everywhere[rows]
    return torch.where(total > 0, inside / torch.where(total > 0, total, 1.0), 0.0).numpy()


def _weights(
    gaussians: Gaussians, cameras: Cameras, mask: Bool[np.ndarray, "height width"]
) -> tuple[Float[torch.Tensor, " n"], Float[torch.Tensor, " n"]]:
    """Σ_p w_ip m_p and Σ_p w_ip."""
    channel = torch.zeros(len(gaussians.means), 1, requires_grad=True)
    probe = replace(gaussians, channels=channel)
    frames = splat_renderer("cpu")(probe, cameras, frozenset({"channels", "weights"}))
    assert frames.channels is not None and frames.weights is not None
    (frames.channels[0, ..., 0] * torch.from_numpy(mask)).sum().backward()
    assert channel.grad is not None
    return channel.grad[:, 0].double(), frames.weights[0].double()


def _together(scene: Scene, layer: Layer) -> tuple[Gaussians, slice]:
    """All layers as they hide each other, and where `layer` stands among them."""
    plain = [baked_shape(other).values for other in scene.layers]
    start = 0
    for other in scene.layers:
        if other.name == layer.name:
            break
        start += len(other)
    return activate(joined(plain, plain[0])), slice(start, start + len(layer))
