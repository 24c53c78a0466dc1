"""The true toy of a prompt, and how much pictures of something made look like it.

A prompt in the embedded prior's own words names a toy that `stages/toybox` can build, so what was
made of it can be compared with the truth, from the same cameras and without any network: overlap
of the outlines, and colors where both are. Nothing is fitted: the true toy has one fixed set of
proportions, and no shift, turn or scale is tried. Toys of one name differ by up to 10 % in every
proportion, so a perfect result does not agree perfectly either; `ceiling` is what one true toy
scores against another.
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float
from splatworks.renderers import cpu, meshes
from splatworks.renderers.scene import Cameras
from splatworks.stages.formats import gltf, splats
from splatworks.stages.geometry.activation import activate
from splatworks.stages.geometry.likeness import directions, mesh_scene
from splatworks.stages.geometry.orbit import look_at_origin
from splatworks.stages.toybox import captions, catalog, raycast
from splatworks.stages.toybox.props import Prop, split_of

VIEWS: tuple[tuple[float, float], ...] = tuple(directions(8))
"""Azimuth and elevation in degrees: eight sides, from below, the side, and above."""
GRAY = 128
"""8-bit sRGB of the background of all pictures that are compared."""
TRUE_SEED = 0
"""Of the true toy's proportions."""
OTHER_SEEDS = (1, 2, 3)
"""Of the true toys whose agreement with it is the ceiling."""
LOOKS = set(catalog.LOOKS)
"""What a toy can look like, in words."""


@dataclass(frozen=True, slots=True)
class Shots:
    """Pictures of one object from some views, in the standard frame."""

    rgb: Float[np.ndarray, "view size size 3"]
    """sRGB in 0..1 on `GRAY`."""
    alpha: Float[np.ndarray, "view size size"]

    @property
    def mask(self) -> Bool[np.ndarray, "view size size"]:
        """Where the object is."""
        return self.alpha > 0.5

    @property
    def rgba(self) -> Float[np.ndarray, "view size size 4"]:
        """Premultiplied."""
        alpha = self.alpha[..., None]
        bare = np.clip(self.rgb - (1 - alpha) * (GRAY / 255), 0, 1)
        return np.concatenate([bare, alpha], axis=-1)


@dataclass(frozen=True, slots=True)
class Agreement:
    """Of what was made with the true toy; means over views."""

    iou: float
    """Of the outlines."""
    color_error_255: float
    """Mean absolute difference per channel where both are; 255 in a view where they nowhere
    overlap."""
    psnr_db: float
    """Over the pixels that either covers, on `GRAY`: outline and color in one figure."""


def named(prompt: str) -> Prop | None:
    """The toy that a prompt in canonical wording asks for; None for any other text."""
    text = " ".join(prompt.lower().split())
    return next((toy for toy in _candidates(text) if captions.describe(toy) == text), None)


def unseen(toy: Prop) -> bool:
    """Whether the prior was never trained on the toy's combination."""
    return toy.split == "heldout"


def of_toy(toy: Prop, views: Sequence[tuple[float, float]] = VIEWS) -> Shots:
    """The true toy."""
    model, size = raycast.Model(toy), catalog.IMAGE_SIZE_PX
    looks = [raycast.View(azimuth, elevation) for azimuth, elevation in views]
    return Shots(
        np.stack([model.picture(look, (GRAY,) * 3) / 255 for look in looks]),
        np.stack([model.coverage(look, size) for look in looks]).astype(np.float64),
    )


def of_splats(
    path: Path,
    views: Sequence[tuple[float, float]] = VIEWS,
    size_px: int = catalog.IMAGE_SIZE_PX,
) -> Shots:
    """Gaussians of a file."""
    with torch.no_grad():
        frames = cpu.render(activate(splats.load(path)), cameras(views, size_px))
    return _on_gray(frames.rgb, frames.alpha)


def of_mesh(
    path: Path,
    views: Sequence[tuple[float, float]] = VIEWS,
    size_px: int = catalog.IMAGE_SIZE_PX,
) -> Shots:
    """A GLB, unlit."""
    scene = mesh_scene(gltf.load(path), np.zeros(3, np.float32))
    frames = meshes.render(scene, cameras(views, size_px), supersample=3)
    return _on_gray(frames.rgb, frames.alpha)


def agreement(made: Shots, truth: Shots) -> Agreement:
    """Compare pictures from the same views."""
    overlaps, errors, squares, pixels = [], [], 0.0, 0
    for rgb, mask, true_rgb, true_mask in zip(
        made.rgb, made.mask, truth.rgb, truth.mask, strict=True
    ):
        both, either = mask & true_mask, mask | true_mask
        overlaps.append(both.sum() / max(either.sum(), 1))
        difference = rgb - true_rgb
        errors.append(255 * np.abs(difference[both]).mean() if both.any() else 255.0)
        squares += float((difference[either] ** 2).sum())
        pixels += 3 * int(either.sum())
    mean_square = squares / max(pixels, 1)
    return Agreement(
        iou=float(np.mean(overlaps)),
        color_error_255=float(np.mean(errors)),
        psnr_db=-10 * math.log10(max(mean_square, 1e-10)),
    )


def ceiling(toy: Prop) -> Agreement:
    """What true toys of the same name, but other proportions, score: the mean over a few."""
    truth = of_toy(toy)
    found = [agreement(of_toy(_with_seed(toy, seed)), truth) for seed in OTHER_SEEDS]
    return mean_of(found)


def mean_of(found: Sequence[Agreement]) -> Agreement:
    """Each figure's mean."""
    return Agreement(
        *(
            float(np.mean([getattr(each, name) for each in found]))
            for name in Agreement.__dataclass_fields__
        )
    )


def cameras(views: Sequence[tuple[float, float]], size_px: int) -> Cameras:
    """The cameras with which the toys' own pictures are taken."""
    return look_at_origin(
        [azimuth for azimuth, _ in views],
        [elevation for _, elevation in views],
        distance_m=catalog.CAMERA_DISTANCE_M,
        fovy_deg=catalog.CAMERA_FOVY_DEG,
        size_px=(size_px, size_px),
    )


def _on_gray(rgb: torch.Tensor, alpha: torch.Tensor) -> Shots:
    shown = rgb + (1 - alpha) * (GRAY / 255)
    return Shots(shown.clamp(0, 1).double().numpy(), alpha[..., 0].double().numpy())


def _candidates(text: str) -> Iterator[Prop]:
    """Every toy that can be put together from words of the text."""
    words = captions.words(text)
    colors = [word for word in words if word in catalog.COLORS]
    patterns = [("none", ""), *itertools.product(catalog.PATTERNS[1:], colors)]
    for kind in catalog.KINDS:
        if kind not in text:
            continue
        parts = ("", *colors) if kind in catalog.PARTS else ("",)
        looks = [word for word in words if word in LOOKS]
        for color, (pattern, second), part in itertools.product(looks, patterns, parts):
            if second != color:
                yield _toy(kind, color, pattern, second, part)


def _toy(kind: str, color: str, pattern: str, pattern_color: str, part_color: str) -> Prop:
    return Prop(
        id=0,
        kind=kind,
        color=color,
        pattern=pattern,
        pattern_color=pattern_color,
        part_color=part_color,
        shape_seed=TRUE_SEED,
        split=split_of(kind, color, pattern, part_color),
    )


def _with_seed(toy: Prop, seed: int) -> Prop:
    return Prop(**{name: getattr(toy, name) for name in Prop.__dataclass_fields__}
                | {"shape_seed": seed})  # fmt: skip
