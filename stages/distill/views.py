"""From where to look in one iteration, before what background, and how to say it.

Azimuths are stratified: of n views one lies in each n-th of the circle. Where a model has only seen
views near the middles of its words, cameras stand there and nowhere else.
"""

import bisect
import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ...renderers.scene import Cameras
from ..geometry.orbit import look_at_origin
from ..guidance.view_words import TrainingCamera, ViewWords
from ..randomness import generator

CLOSE_UP_ZOOM = (2.0, 3.0)


@dataclass(frozen=True, slots=True)
class View:
    """One picture to be rendered and judged."""

    azimuth_deg: float
    elevation_deg: float
    background: tuple[float, float, float]
    """sRGB; named in the caption where the model has a name for it."""
    caption: str
    zoom: float = 1.0
    """Above 1 for a close-up."""
    background_name: str | None = None


def caption_at(words: ViewWords, prompt: str, view: View, azimuth_deg: float) -> str:
    """What the caption of a view would be from another side."""
    return words.text(
        prompt,
        azimuth_deg,
        view.elevation_deg,
        background=view.background_name,
        close_up=view.zoom > 1,
    )


def draw(
    words: ViewWords,
    prompt: str,
    seed: int,
    iteration: int,
    *,
    count: int,
    elevation_weights: Sequence[float] = (),
    close_up_share: float = 0.0,
    name_sides: bool = True,
) -> list[View]:
    """The views of one iteration, determined by (seed, iteration).

    Args:
        elevation_weights: How often each elevation word is used; none: all equally. Ignored
            for a model without elevation words, whose elevations are uniform in its range.
        close_up_share: Probability of a close-up; ignored by models without words for one.
        name_sides: Whether the captions say where the camera stands.
    """
    if elevation_weights and words.elevation and len(elevation_weights) != len(words.elevation):
        raise ValueError(
            f"elevation_weights has {len(elevation_weights)} entries; the model has "
            f"{len(words.elevation)} elevation words."
        )
    views = []
    for k in range(count):
        # One generator per view: how many numbers one view draws does not shift the others.
        turn, jitter_a, lift, jitter_e, *color, close, zoom = torch.rand(
            9, generator=generator(seed, iteration, k, "view"), dtype=torch.float64
        ).tolist()
        azimuth = _azimuth(words, (k + turn) / count, jitter_a)
        elevation = _elevation(words, elevation_weights, lift, jitter_e)
        name, background = _background(words, color)
        is_close = words.close_up_template is not None and close < close_up_share
        low, high = CLOSE_UP_ZOOM
        caption = words.text(
            prompt, azimuth, elevation, background=name, close_up=is_close, sides=name_sides
        )
        views.append(
            View(
                azimuth % 360,
                elevation,
                background,
                caption,
                low + (high - low) * zoom if is_close else 1.0,
                name,
            )
        )
    return views


def cameras_of(
    views: Sequence[View],
    camera: TrainingCamera,
    size_px: int,
    means: Float[Tensor, "n 3"] | None = None,
    picks: Sequence[float] = (),
) -> Cameras:
    """Cameras of square pictures. A close-up looks at one of the Gaussians.

    Args:
        means: Centres of the Gaussians; needed where there are close-ups.
        picks: In [0, 1), one per view: which Gaussian a close-up is aimed at, as a share of
            their number.
    """
    whole = look_at_origin(
        [view.azimuth_deg for view in views],
        [view.elevation_deg for view in views],
        distance_m=camera.distance_m,
        fovy_deg=camera.fovy_deg,
        size_px=(size_px, size_px),
    )
    focal, center = whole.focal_px.clone(), whole.center_px.clone()
    for k, view in enumerate(views):
        if view.zoom == 1:
            continue
        if means is None:
            raise ValueError("a close-up needs the Gaussians' means to be aimed at.")
        aim = means[min(len(means) - 1, int(picks[k] * len(means)))].detach().to(focal)
        at = _project(aim, whole, k)
        # The crop stays inside the whole picture, as it did in training.
        half = size_px / (2 * view.zoom)
        at = at.clamp(half, size_px - half)
        focal[k] = focal[k] * view.zoom
        center[k] = size_px / 2 + view.zoom * (center[k] - at)
    return Cameras(whole.world_to_camera, focal, center, size_px, size_px)


def _project(point: Float[Tensor, "3"], cameras: Cameras, k: int) -> Float[Tensor, "2"]:
    pose = cameras.world_to_camera[k]
    x, y, z = (pose[:3, :3] @ point + pose[:3, 3]).unbind()
    return cameras.focal_px[k] * torch.stack([x, y]) / z.clamp(min=1e-3) + cameras.center_px[k]


def _azimuth(words: ViewWords, turn: float, jitter: float) -> float:
    """`turn` in [0, 1) is the stratified place on the circle, `jitter` in [0, 1)."""
    if words.jitter_deg is None:
        return 360 * turn
    around = sorted(words.azimuth, key=lambda word: word.center_deg)
    word = around[min(len(around) - 1, int(turn * len(around)))]
    return word.center_deg + words.jitter_deg * (2 * jitter - 1)


def _elevation(words: ViewWords, weights: Sequence[float], lift: float, jitter: float) -> float:
    if not words.elevation or words.jitter_deg is None:
        low, high = words.elevation_range_deg
        return low + (high - low) * lift
    shares = list(weights) or [1.0] * len(words.elevation)
    ends = list(itertools.accumulate(shares))
    index = min(bisect.bisect_right(ends, lift * ends[-1]), len(ends) - 1)
    return words.elevation[index].center_deg + words.jitter_deg * (2 * jitter - 1)


def _background(
    words: ViewWords, color: Sequence[float]
) -> tuple[str | None, tuple[float, float, float]]:
    """A named color, or any color where the model has no names."""
    if words.backgrounds and words.background_template is not None:
        known = words.backgrounds[
            min(len(words.backgrounds) - 1, int(color[0] * len(words.backgrounds)))
        ]
        return known.name, known.rgb
    red, green, blue = color
    return None, (red, green, blue)
