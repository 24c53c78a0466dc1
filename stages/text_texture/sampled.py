"""A field that starts as pictures of the prompt, sampled side by side around the mesh.

Distillation alone averages over all the looks that a prompt can have, and so loses what they do not
agree on, such as where the dots of a mushroom lie. Here the model settles that first: for one side
after the other the mesh is drawn as it is painted so far, noised and sampled to its end (SDEdit;
that each next side begins from what the last ones painted is the idea of TEXTure, Richardson et
al. 2023). All pictures come from the same noise, which makes them alike. What a picture shows of
the surface counts only where no other side faces it better, and not at its silhouette, where the
model may have painted its background.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ...pipeline.contract import Context
from ...renderers.scene import Cameras
from ..distill.questions import Task
from ..encoding.field import Field
from ..encoding.optimizer import FieldAdam
from ..formats import tensors
from ..geometry.orbit import look_at_origin
from ..geometry.rays import first_hits
from ..guidance.backgrounds import contrasting
from ..guidance.control import follows_hints, hinted
from ..guidance.protocol import Condition
from ..guidance.sample import sample
from ..guidance.view_words import Background, ViewWords
from ..randomness import generator
from . import Sampling
from .depth import hints
from .object import Object
from .surface import Seen, compose, coverage, look

FITS, BATCH, RATE = 60, 1 << 12, 0.02
"""Steps of Adam on the field after each side."""
RIM_PX = 1
GRAZING = 0.15
"""Below this cosine a side tells nothing."""
REACH = 1e-3
"""Metres before a point within which a ray may end and still show it."""


@dataclass(frozen=True, slots=True)
class Side:
    """From where one picture looks, and what is said of it."""

    azimuth_deg: float
    elevation_deg: float
    caption: str
    background: tuple[float, float, float]


def sides(words: ViewWords, prompt: str) -> list[Side]:
    """The middles of all words: the level ones first, from the front to the back."""
    elevations = [word.center_deg for word in words.elevation] or [15.0, 45.0]
    elevations.sort(key=lambda deg: (abs(deg - 15.0), deg))
    azimuths = sorted((word.center_deg for word in words.azimuth), key=_behind)
    known = contrasting(words.backgrounds, prompt)
    return [
        Side(azimuth, elevation, _caption(words, prompt, azimuth, elevation, known),
             known.rgb if known else (1.0, 1.0, 1.0))
        for elevation in elevations
        for azimuth in azimuths
    ]  # fmt: skip


def _behind(azimuth_deg: float) -> tuple[float, float]:
    turned = (azimuth_deg + 180) % 360 - 180
    return abs(turned), turned


def _caption(
    words: ViewWords, prompt: str, azimuth: float, elevation: float, known: Background | None
) -> str:
    name = known.name if known else None
    return words.text(prompt, azimuth, elevation, background=name)


def begin_with_samples(
    painted: Field,
    task: Task,
    settings: Sampling,
    subject: Object,
    planned: Sequence[Side],
    conditions: dict[str, Condition],
    ctx: Context,
    *,
    depth_hint: float = 0.0,
) -> None:
    """Paint the field from all sides, in place. Finished pictures are kept in `ctx.scratch`.

    Args:
        depth_hint: As the stage's setting.
    """
    cameras = _cameras(task, planned)
    views = [look(subject.surface, subject.normals, _one(cameras, k), 2)
             for k in range(len(planned))]  # fmt: skip
    owners = [_owners(subject, cameras, k, seen) for k, seen in enumerate(views)]
    optimizer = FieldAdam(painted.groups(RATE))
    points: list[Tensor] = []
    colors: list[Tensor] = []
    with ctx.progress("sides", len(planned)) as bar:
        for k, side in enumerate(planned):
            mine = torch.from_numpy(owners[k] == k)
            known = float(((owners[k] >= 0) & (owners[k] < k)).mean()) if len(owners[k]) else 0.0
            share = settings.later + (1 - known) * (settings.first - settings.later)
            asked = [conditions[side.caption], conditions[task.negative]]
            if depth_hint and follows_hints(task.guidance):
                hint = hints(views[k], _one(cameras, k)).to(task.device)
                asked = [hinted(each, hint, depth_hint) for each in asked]
            picture = _picture(painted, task, settings, share, side, views[k], asked, k, ctx)
            points.append(views[k].points[mine])
            colors.append(picture.permute(1, 2, 0).reshape(-1, 3)[views[k].pixel[mine]].clamp(0, 1))
            _fit(painted, optimizer, torch.cat(points), torch.cat(colors), task.seed, k)
            bar.advance(note=side.caption)


def _picture(
    painted: Field,
    task: Task,
    settings: Sampling,
    share: float,
    side: Side,
    seen: Seen,
    asked: Sequence[Condition],
    number: int,
    ctx: Context,
) -> Float[Tensor, "3 height width"]:
    """What the model makes of one side from `share` of its noise on; read back where an interrupted
    run has sampled it.

    Args:
        asked: With and without the text.
    """
    path = ctx.scratch / f"side-{number:03d}.safetensors"
    if path.is_file():
        return tensors.load(path, ["picture"])[0]["picture"]
    with torch.no_grad():
        shown = compose(seen, painted(seen.points), torch.tensor([side.background]))
        noise = torch.randn(1, *task.guidance.latent_shape, generator=generator(task.seed, "side"))
        latents = sample(
            task.guidance, *asked, noise,
            steps=settings.steps, scale=settings.scale, method="apg",
            start=task.guidance.encode(shown),
            start_share=share,
        )  # fmt: skip
        picture = task.guidance.decode(latents)[0].float()
    tensors.save({"picture": picture}, path)
    return picture


def _fit(
    painted: Field,
    optimizer: FieldAdam,
    points: Float[Tensor, "point 3"],
    colors: Float[Tensor, "point 3"],
    seed: int,
    number: int,
) -> None:
    """Bring the field to the colors, so that the next side begins from them."""
    if not len(points):
        return
    for step in range(FITS):
        random = generator(seed, number, step, "fit side")
        picked = torch.randint(len(points), (BATCH,), generator=random)
        optimizer.zero_grad(set_to_none=True)
        (painted(points[picked]) - colors[picked]).abs().mean().backward()
        optimizer.step()


def _cameras(task: Task, planned: Sequence[Side]) -> Cameras:
    camera = task.guidance.view_words.camera
    return look_at_origin(
        [side.azimuth_deg for side in planned],
        [side.elevation_deg for side in planned],
        distance_m=camera.distance_m,
        fovy_deg=camera.fovy_deg,
        size_px=(task.guidance.image_size,) * 2,
    )


def _one(cameras: Cameras, k: int) -> Cameras:
    pick = slice(k, k + 1)
    return Cameras(
        cameras.world_to_camera[pick], cameras.focal_px[pick], cameras.center_px[pick],
        cameras.width_px, cameras.height_px,
    )  # fmt: skip


def _owners(subject: Object, cameras: Cameras, k: int, seen: Seen) -> Int[np.ndarray, " point"]:
    """Which side sees each of the points that side `k` sees from the best angle: its picture counts
    there. -1 where none sees it well enough, and where `k` would but the silhouette is near."""
    points, normals = seen.points.double().numpy(), seen.normals.double().numpy()
    best = _cosines(cameras, k, points, normals)
    owner = np.where(best > GRAZING, k, -1)
    for other in range(len(cameras.world_to_camera)):
        if other == k:
            continue
        cosine = _cosines(cameras, other, points, normals)
        # Of two that face a point alike, the one that is painted first counts.
        ahead = (cosine > GRAZING) & (cosine > best if other > k else cosine >= best)
        rivals = np.flatnonzero(ahead)
        rivals = rivals[_sees(subject, cameras, other, points[rivals])]
        owner[rivals], best[rivals] = other, cosine[rivals]
    owner[(owner == k) & ~_inside(seen)] = -1
    return owner


def _inside(seen: Seen) -> Bool[np.ndarray, " point"]:
    """Which points lie more than `RIM_PX` pixels within the silhouette."""
    whole = (coverage(seen) > 1 - 1e-9).double()
    edges = torch.nn.functional.pad(whole[:, None], (RIM_PX,) * 4)
    shrunk = -torch.nn.functional.max_pool2d(-edges, 2 * RIM_PX + 1, stride=1)
    return (shrunk.reshape(-1)[seen.pixel] > 0.5).numpy()


def _eye(cameras: Cameras, k: int) -> Float[np.ndarray, "3"]:
    pose = cameras.world_to_camera[k].double().numpy()
    return -pose[:3, :3].T @ pose[:3, 3]


def _cosines(
    cameras: Cameras, k: int, points: Float[np.ndarray, "p 3"], normals: Float[np.ndarray, "p 3"]
) -> Float[np.ndarray, " p"]:
    away = _eye(cameras, k) - points
    return (away * normals).sum(axis=1) / np.linalg.norm(away, axis=1)


def _sees(
    subject: Object, cameras: Cameras, k: int, points: Float[np.ndarray, "p 3"]
) -> Bool[np.ndarray, " p"]:
    """Whether nothing lies between the camera and each point, and the point is in its picture."""
    pose = cameras.world_to_camera[k].double().numpy()
    local = points @ pose[:3, :3].T + pose[:3, 3]
    at = local[:, :2] / local[:, 2:] * cameras.focal_px[k].numpy() + cameras.center_px[k].numpy()
    inside = (at >= 0).all(axis=1) & (at <= (cameras.width_px, cameras.height_px)).all(axis=1)
    eye = _eye(cameras, k)
    away = points - eye
    distance = np.linalg.norm(away, axis=1)
    starts = np.broadcast_to(eye, points.shape)
    hits = first_hits(subject.surface, starts, away / distance[:, None])
    return inside & (hits.distance_m > distance - REACH)
