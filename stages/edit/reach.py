"""Which Gaussians an edit may move, and the anchors among them."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy import sparse
from scipy.sparse.csgraph import dijkstra
from scipy.spatial import cKDTree
from torch import Tensor

from ...pipeline.errors import InputError
from ...renderers.projection import view_depths
from ...renderers.scene import Gaussians
from . import Config, anchors, coarse, parting, ways
from .matcher import found_pairs
from .pairs import Pairs, bound
from .pictures_in import Retouched
from .skinning import bind
from .views import View, make_view, weights_inside

SEEN = 0.05
"""Blending weight in pixels, summed over the masks, from which on a Gaussian counts as edited."""
REACH = 0.6
"""What lies outside the box of the edited Gaussians may move as far away as this many diagonals."""
RIM = 0.3
"""So many diagonals of what is seen at rest may be drawn along."""
CHANGED_SHARE = 0.1
"""Under the edit: what shows at most this share there of what it shows elsewhere is at rest."""
LAYER_GAP, LAYER_SHARE = 0.06, 0.1
"""A gap in the logarithm of depth parts two surfaces, if each has this share of what is seen."""


def views_of(scene: Gaussians, shots: Sequence[Retouched]) -> list[View]:
    """The edited pictures, each cut to its edit."""
    return [
        make_view(scene, shot.camera, shot.edited, shot.mask, torch.from_numpy(shot.background))
        for shot in edited_ones(shots)
    ]


def edited_ones(shots: Sequence[Retouched]) -> list[Retouched]:
    """Those that show an edit."""
    return [shot for shot in shots if shot.mask.any()]


def posed_problem(
    scene: Gaussians,
    shots: Sequence[Retouched],
    config: Config,
    threads: int,
) -> coarse.Problem:
    """Anchors among what is near the edit, and what follows them."""
    views = views_of(scene, shots)
    weights = weights_inside(scene, [v.camera for v in views], [v.mask for v in views])
    edited = _edited(scene, views[0], weights)
    near = within_reach(scene.means.double().numpy(), edited, at_rest(scene, shots))
    pairs = [_pairs_of(shot, config) for shot in edited_ones(shots)]
    parts = _parts(scene, edited_ones(shots), pairs, near)
    near = near if parts is None else parts.movable
    movable = torch.from_numpy(np.flatnonzero(near))
    points = scene.means[movable].double().numpy()
    settings = config.coarse
    places = anchors.spread(points, settings.anchors)
    apart = None if parts is None else parts.gone[near]
    along = ways.ways(points, places, apart) if settings.along_surface else None
    far = None if along is None else ways.between(along, points, places)
    edges = anchors.graph(places, settings.edges, far)
    depth = coarse.depth_of(scene, weights * torch.from_numpy(edited), views[0])
    known = [
        _pairs(scene, movable, *one) for one in zip(edited_ones(shots), views, pairs, strict=True)
    ]
    return coarse.Problem(
        scene=scene,
        movable=movable,
        still=[coarse.still_part(scene, movable, view) for view in views],
        skin=bind(points, places, edges, settings.skin, along),
        edges=edges,
        smoothing=anchors.smoothing(edges, settings.smoothing),
        views=views,
        size=coarse.edit_size(views[0], depth),
        matching=config.matching,
        rigidity=config.rigidity,
        coarse=settings,
        ssim=config.ssim,
        pairs=known,
        threads=threads,
    )


def _edited(scene: Gaussians, view: View, weights: Float[Tensor, " n"]) -> Bool[np.ndarray, " n"]:
    """The front surface under the edit; there has to be one."""
    depths = view_depths(scene.means, view.camera)[0].numpy()
    edited = front_layer(depths, weights.numpy())
    if not edited.any():
        raise InputError(
            "nothing of the scene lies under the edit. What is there can be moved, repainted "
            "or removed; nothing can be added."
        )
    return edited


def _pairs_of(shot: Retouched, config: Config) -> Float[np.ndarray, "pair 4"]:
    """Given with a picture, or found."""
    if shot.pairs is not None:
        return shot.pairs
    if config.matching.find_pairs and config.matching.pairs:
        return found_pairs(shot.own, shot.edited, shot.mask)
    return np.zeros((0, 4))


def _parts(
    scene: Gaussians,
    shots: Sequence[Retouched],
    pairs: Sequence[Float[np.ndarray, "_ 4"]],
    near: Bool[np.ndarray, " n"],
) -> parting.Parts | None:
    """Of one picture; several would have to agree."""
    return parting.parted(scene, shots[0], pairs[0], near) if len(shots) == 1 else None


def _pairs(
    scene: Gaussians,
    movable: Int[Tensor, " m"],
    shot: Retouched,
    view: View,
    pairs: Float[np.ndarray, "pair 4"],
) -> Pairs | None:
    """Bound to what may move."""
    if not len(pairs):
        return None
    box = view.box
    shift = [box.left, box.top, box.left, box.top]
    known = bound(scene, movable, view.camera, pairs - shift)
    if known is None and shot.pairs is not None:
        raise InputError(
            "--pairs: none of them starts on something that may move. (x0, y0) is where it is in "
            "the scene's own picture."
        )
    return known


def front_layer(
    depths: Float[np.ndarray, " n"], weights: Float[np.ndarray, " n"]
) -> Bool[np.ndarray, " n"]:
    """Of the Gaussians seen inside the masks, those of the front surface.

    Where something moved, the picture differs at its old place and at its new one, and what lies
    behind the new one counts as seen as well. It is left out if there is a gap in depth before it.
    """
    seen = np.flatnonzero((weights > SEEN) & (depths > 0))
    order = seen[np.argsort(depths[seen], kind="stable")]
    if len(order) < 2:
        return weights > SEEN
    share = np.cumsum(weights[order]) / weights[order].sum()
    steps = np.diff(np.log(depths[order]))
    steps[(share[:-1] < LAYER_SHARE) | (share[:-1] > 1 - LAYER_SHARE)] = 0
    out = np.zeros(len(depths), bool)
    widest = int(steps.argmax())
    out[order[: widest + 1] if steps[widest] > LAYER_GAP else order] = True
    return out


def at_rest(scene: Gaussians, shots: Sequence[Retouched]) -> Bool[np.ndarray, " n"]:
    """Which Gaussians the pictures show where nothing has changed, and nowhere else to speak of."""
    some = edited_ones(shots)
    eyes, masks = [shot.camera for shot in some], [torch.from_numpy(shot.mask) for shot in some]
    outside = weights_inside(scene, eyes, [~mask for mask in masks])
    inside = weights_inside(scene, eyes, masks)
    return ((outside > SEEN) & (inside < CHANGED_SHARE * outside)).numpy()


def within_reach(
    points: Float[np.ndarray, "n 3"],
    edited: Bool[np.ndarray, " n"],
    resting: Bool[np.ndarray, " n"],
) -> Bool[np.ndarray, " n"]:
    """Which points may move.

    Those in the box of the edited ones, widened by `REACH` diagonals, that belong to what is
    edited: along the surface (`ways.py`) they are nearer to it than to what is seen at rest, or at
    most `RIM` diagonals away, so that what moves hangs on something. What no way leads to goes with
    what is nearer in space.
    """
    if not edited.any():
        return np.ones(len(points), bool)
    low, high = np.percentile(points[edited], [1, 99], axis=0)
    diagonal = float(np.linalg.norm(high - low))
    margin = REACH * diagonal
    near = ((points >= low - margin) & (points <= high + margin)).all(axis=1)
    if not (resting & near).any() or not (edited & near).any():
        return near
    inside = points[near]
    web = ways.joints(inside)
    moving, still = (_way_to(web, inside, seeds[near]) for seeds in (edited, resting))
    near[near] = (moving <= still) | (moving <= RIM * diagonal)
    return near


def _way_to(
    web: sparse.csr_array, points: Float[np.ndarray, "n 3"], seeds: Bool[np.ndarray, " n"]
) -> Float[np.ndarray, " n"]:
    """How far it is to the nearest seed, along the surface if a way leads there."""
    way = dijkstra(web, directed=False, indices=np.flatnonzero(seeds), min_only=True)
    return np.where(np.isfinite(way), way, cKDTree(points[seeds]).query(points)[0])
