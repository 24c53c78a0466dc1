"""What the shapes of a region select (`formats/regions.py`), and the algebra of selections."""

from typing import assert_never

import numpy as np
from jaxtyping import Bool, Float

from ...pipeline.errors import InputError
from ..formats import regions
from ..formats.regions import Brush, How, Lasso, Rectangle, Shape, Term, Viewpoint
from ..geometry.activation import activate
from . import neighbors
from .affine import rotation_matrix
from .layers import Layer, Scene, fingerprint, positions
from .measures import measured
from .recolor import base_colors, oklab
from .visibility import mask_shares, visible_shares

Mask = Bool[np.ndarray, " n"]


def combined(before: Mask, found: Mask, how: How) -> Mask:
    """The selection after a term."""
    if how == "set":
        return found
    if how == "add":
        return before | found
    if how == "remove":
        return before & ~found
    return before & found


def region(scene: Scene, layer: Layer, terms: tuple[Term, ...]) -> Mask:
    """What a whole region selects of the layer, beginning with nothing."""
    out = np.zeros(len(layer), bool)
    for term in terms:
        out = combined(out, selected_by(scene, layer, term.shape), term.how)
    return out


def selected_by(scene: Scene, layer: Layer, shape: Shape) -> Mask:
    """Which Gaussians of the layer a shape selects."""
    match shape:
        case regions.All():
            return np.ones(len(layer), bool)
        case regions.Box():
            turn = rotation_matrix(shape.rotation)
            own = np.einsum("ji,nj->ni", turn, positions(layer) - np.asarray(shape.center))
            return (np.abs(own) <= 0.5 * np.asarray(shape.size)).all(axis=1)
        case regions.Sphere():
            offset = positions(layer) - np.asarray(shape.center)
            return np.einsum("ij,ij->i", offset, offset) <= shape.radius**2
        case regions.Plane():
            offset = positions(layer) - np.asarray(shape.point)
            return np.einsum("ij,j->i", offset, np.asarray(shape.normal)) >= 0
        case Rectangle() | Lasso() | Brush():
            return _on_picture(scene, layer, shape)
        case regions.Color():
            wanted = oklab(np.asarray(shape.color, np.float64))
            return _distances(layer, wanted) <= shape.distance
        case regions.Range():
            values = measured(layer, shape.property, shape.camera)
            low = -np.inf if shape.low is None else shape.low
            high = np.inf if shape.high is None else shape.high
            return (low <= values) & (values <= high)
        case regions.Flood():
            return _flood(layer, shape)
        case regions.Islands():
            return neighbors.islands(positions(layer), shape.radius, shape.below)
        case regions.Floaters():
            faint = activate(layer.values).opacities.numpy() < shape.opacity
            return faint & neighbors.lonely(positions(layer), shape.neighbors, shape.sparsity)
        case regions.Indices():
            return _by_number(layer, shape)
        case regions.Masks():
            places = [f"view {number}" for number in range(1, len(shape.views) + 1)]
            pictures = map(regions.picture_of, shape.views, places)
            views = [(v.camera, p) for v, p in zip(shape.views, pictures, strict=True)]
            return mask_shares(scene, layer, views) >= shape.share
        case _:
            assert_never(shape)


def _on_picture(scene: Scene, layer: Layer, shape: Rectangle | Lasso | Brush) -> Mask:
    points, before = _projected(layer, shape.camera)
    inside = before & _inside(points, shape)
    if shape.through == "visible" and inside.any():
        inside &= visible_shares(scene, layer, shape.camera) >= shape.min_share
    return inside


def _projected(layer: Layer, camera: Viewpoint) -> tuple[Float[np.ndarray, "n 2"], Mask]:
    """Pixels of the centres, and which of them lie in front of the camera and in its picture."""
    cameras = camera.cameras()
    pose = cameras.world_to_camera[0].double().numpy()
    seen = np.einsum("ij,nj->ni", pose[:3, :3], positions(layer)) + pose[:3, 3]
    before = seen[:, 2] > 0
    depth = np.where(before, seen[:, 2], 1.0)[:, None]
    points = np.asarray(camera.focal_px) * seen[:, :2] / depth + np.asarray(camera.center_px)
    return points, before & (points >= 0).all(axis=1) & (points <= camera.size_px).all(axis=1)


def _inside(points: Float[np.ndarray, "n 2"], shape: Rectangle | Lasso | Brush) -> Mask:
    if isinstance(shape, Rectangle):
        corners = np.array([shape.corner, shape.opposite])
        return ((points >= corners.min(axis=0)) & (points <= corners.max(axis=0))).all(axis=1)
    path = np.array(shape.points, np.float64)
    if isinstance(shape, Lasso):
        return _in_polygon(points, path)
    out = np.zeros(len(points), bool)
    for start, end in zip(
        path[: max(1, len(path) - 1)], path[-max(1, len(path) - 1) :], strict=True
    ):
        out |= _segment_distance(points, start, end) <= shape.radius_px
    return out


def _in_polygon(points: Float[np.ndarray, "n 2"], path: Float[np.ndarray, "m 2"]) -> Mask:
    """A ray to the left of the point crosses an odd number of edges."""
    odd = np.zeros(len(points), bool)
    for (x0, y0), (x1, y1) in zip(path, np.roll(path, -1, axis=0), strict=True):
        crosses = (points[:, 1] < y0) != (points[:, 1] < y1)
        if y0 != y1:
            odd ^= crosses & (points[:, 0] > x0 + (points[:, 1] - y0) * (x1 - x0) / (y1 - y0))
    return odd


def _segment_distance(
    points: Float[np.ndarray, "n 2"], start: Float[np.ndarray, "2"], end: Float[np.ndarray, "2"]
) -> Float[np.ndarray, " n"]:
    along = end - start
    length = along @ along
    share = ((points - start) @ along / length).clip(0, 1) if length > 0 else np.zeros(len(points))
    return np.linalg.norm(points - start - share[:, None] * along, axis=1)


def _distances(layer: Layer, wanted: Float[np.ndarray, "3"]) -> Float[np.ndarray, " n"]:
    """Of the colors from one in Oklab."""
    return np.linalg.norm(oklab(base_colors(layer.values.sh)) - wanted, axis=1)


def _flood(layer: Layer, shape: regions.Flood) -> Mask:
    points = positions(layer)
    start = neighbors.nearest(points, shape.start)
    allowed = np.ones(len(layer), bool)
    if shape.color_distance is not None:
        first = oklab(base_colors(layer.values.sh[start : start + 1]))[0]
        allowed = _distances(layer, first) <= shape.color_distance
        allowed[start] = True
    return neighbors.flooded(points, allowed, start, shape.radius)


def _by_number(layer: Layer, shape: regions.Indices) -> Mask:
    if shape.count != len(layer) or shape.splats != fingerprint(layer):
        raise InputError(
            f"the index mask was made for {shape.count} other Gaussians (layer {layer.name} has"
            f" {len(layer)}, with the fingerprint {fingerprint(layer)[:12]}…, not"
            f" {shape.splats[:12]}…). Make the selection again on this layer"
        )
    return regions.mask_of(shape, "the index mask")
