"""A textured object whose pictures are known in closed form: a striped ball with a nose."""

import torch
from splatworks.renderers.scene import Cameras
from splatworks.stages.geometry.orbit import look_at_origin
from splatworks.stages.guidance.oracle import OracleGuidance
from splatworks.stages.guidance.view_words import Background, ViewWords, Word

PARTS = (((0.0, -0.05, 0.0), 0.32), ((0.0, 0.1, 0.3), 0.13))
"""Center and radius in metres: the ball, and the nose on its front (+Z)."""
WORDS = ViewWords(
    template="{prompt}, {azimuth} view, {elevation}",
    azimuth=tuple(Word(f"{45 * k} degrees", 45.0 * k) for k in range(8)),
    elevation=(Word("level", 5.0), Word("overhead", 40.0)),
    jitter_deg=7.5,
    background_template="{prompt}, {background} background",
    backgrounds=(Background("white", (1.0, 1.0, 1.0)), Background("black", (0.0, 0.0, 0.0))),
)


def cameras(angles_deg, size_px: int) -> Cameras:
    azimuths, elevations = zip(*angles_deg, strict=True)
    return look_at_origin(
        azimuths, elevations, distance_m=1.8, fovy_deg=40.0, size_px=(size_px, size_px)
    )


def pictures(views: Cameras) -> torch.Tensor:
    """Straight RGBA, "camera height width 4"."""
    rows, columns = torch.meshgrid(
        torch.arange(views.height_px) + 0.5, torch.arange(views.width_px) + 0.5, indexing="ij"
    )
    shots = []
    for pose, focal, middle in zip(
        views.world_to_camera, views.focal_px, views.center_px, strict=True
    ):
        x, y = (columns - middle[0]) / focal[0], (rows - middle[1]) / focal[1]
        direction = torch.stack([x, y, torch.ones_like(x)], -1) @ pose[:3, :3]
        start = -(pose[:3, :3].T @ pose[:3, 3])
        nearest = torch.full(rows.shape, torch.inf)
        color = torch.zeros(*rows.shape, 3)
        for center, radius in PARTS:
            offset = start - torch.tensor(center)
            a = direction.square().sum(-1)
            b = (direction * offset).sum(-1)
            inside = b**2 - a * (offset.square().sum() - radius**2)
            t = (-b - inside.clamp(min=0).sqrt()) / a
            hit = (inside > 0) & (t < nearest)
            nearest = torch.where(hit, t, nearest)
            point = start + nearest.where(hit, torch.zeros_like(t))[..., None] * direction
            waves = torch.sin(point @ torch.tensor([[9.0, 0, 6], [0, 12.0, 0], [0, 5.0, 9]]))
            color = torch.where(hit[..., None], 0.5 + 0.35 * waves, color)
        shots.append(torch.cat([color, torch.isfinite(nearest)[..., None].float()], -1))
    return torch.stack(shots)


def oracle(size_px: int = 48, per_word: int = 6) -> OracleGuidance:
    """Pictures strewn over the jitter of every pair of words."""
    rng = torch.Generator().manual_seed(0)
    angles = []
    for azimuth in WORDS.azimuth:
        for elevation in WORDS.elevation:
            for turn, lift in (15 * torch.rand(per_word, 2, generator=rng) - 7.5).tolist():
                angles.append((azimuth.center_deg + turn, elevation.center_deg + lift))
    stored = (pictures(cameras(angles, size_px)) * 255).round().byte().permute(0, 3, 1, 2)
    azimuths, elevations = torch.tensor(angles).T
    return OracleGuidance(stored.contiguous(), azimuths, elevations, WORDS)
