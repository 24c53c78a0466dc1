"""The axes scene of docs/conventions.md: a red ball at +X, a green one at +Y, a blue one at +Z."""

import numpy as np
import pytest
import torch
from splatworks.renderers import cpu, meshes, reference
from splatworks.renderers.scene import Gaussians

from .scenes import cameras

SIZE = 32
COLORS = np.eye(3)


def splats() -> Gaussians:
    return Gaussians(
        means=0.4 * torch.eye(3),
        quaternions=torch.tensor([[1.0, 0, 0, 0]]).repeat(3, 1),
        scales=torch.full((3, 3), 0.03),
        opacities=torch.full((3,), 0.99),
        sh=((torch.eye(3) - 0.5) / 0.28209479177387814)[:, None],
    )


def octahedra() -> meshes.MeshScene:
    corners = 0.06 * np.array(
        [[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]], np.float32
    )
    faces = np.array(
        [
            [x, y, z] if (x + y + z) % 2 == 0 else [x, z, y]
            for x in (0, 1)
            for y in (2, 3)
            for z in (4, 5)
        ]
    )
    return meshes.MeshScene(
        vertices=np.concatenate([corners + 0.4 * np.eye(3, dtype=np.float32)[k] for k in range(3)]),
        faces=np.concatenate([faces + 6 * k for k in range(3)]),
        vertex_colors=np.repeat(COLORS, 6, axis=0).astype(np.float32),
    )


RENDERERS = {
    "reference": lambda view: reference.render(splats(), view).rgb,
    "cpu": lambda view: cpu.render(splats(), view).rgb,
    "meshes": lambda view: meshes.render(octahedra(), view).rgb,
}
SEEN = {
    # azimuth, elevation: column and row (of the picture, from its middle) of the three balls;
    # None is hidden or passes the middle.
    (0.0, 0.0): {"red": (1, 0), "green": (0, -1), "blue": (0, 0)},
    (90.0, 0.0): {"red": (0, 0), "green": (0, -1), "blue": (-1, 0)},
    (180.0, 0.0): {"red": (-1, 0), "green": (0, -1)},
    (270.0, 0.0): {"green": (0, -1), "blue": (1, 0)},
    (0.0, 89.0): {"red": (1, 0), "green": (0, 0), "blue": (0, 1)},
}


@pytest.mark.parametrize("name", RENDERERS)
@pytest.mark.parametrize(("angles", "seen"), SEEN.items(), ids=str)
def test_axes(name: str, angles: tuple[float, float], seen: dict) -> None:
    azimuth, elevation = angles
    view = cameras(SIZE, SIZE, azimuths_deg=(azimuth,), elevation_deg=elevation)
    picture = RENDERERS[name](view)[0].double()
    y, x = torch.meshgrid(*[torch.arange(SIZE) + 0.5 - SIZE / 2] * 2, indexing="ij")
    for channel, color in enumerate(("red", "green", "blue")):
        if color not in seen:
            continue
        amount = picture[..., channel] - picture[..., [k for k in range(3) if k != channel]].amax(
            -1
        )
        amount = amount.clamp(min=0)
        assert amount.max() > 0.5
        column, row = ((c * amount).sum() / amount.sum() for c in (x, y))
        for found, wanted in zip((column, row), seen[color], strict=True):
            assert (int(found.sign()) if abs(found) > 3 else 0) == wanted


def test_the_first_pixel_is_top_left_and_its_centre_is_at_one_half() -> None:
    """A point at image (0.5, 0.5) is brightest in pixel [0, 0], and evenly around it."""
    view = cameras(9, 9, elevation_deg=0.0, focal_px=(10.0, 10.0))
    offset = (0.5 - 4.5) / 10 * 1.8
    scene = Gaussians(
        means=torch.tensor([[offset, -offset, 0.0]]),
        quaternions=torch.tensor([[1.0, 0, 0, 0]]),
        scales=torch.full((1, 3), 0.1),
        opacities=torch.tensor([0.9]),
        sh=torch.zeros(1, 1, 3),
    )
    frames = reference.render(scene, view)
    torch.testing.assert_close(
        frames.means2d[0, 0], torch.tensor([0.5, 0.5]).double(), atol=1e-6, rtol=0
    )
    assert frames.alpha[0, 0, 0, 0].item() == pytest.approx(0.9, abs=1e-6)
    assert frames.alpha[0, 1, 0] == pytest.approx(frames.alpha[0, 0, 1].item(), rel=1e-4)
