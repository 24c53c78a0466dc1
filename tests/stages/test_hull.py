"""The visual hull against spheres whose pictures are known in closed form."""

import pytest
import torch
from splatworks.stages.geometry.orbit import look_at_origin
from splatworks.stages.shape import hull

from . import balls

BACKGROUND = torch.tensor([0.8, 0.85, 0.9])
AZIMUTHS = [45.0 * k for k in range(8)] * 2
ELEVATIONS = [15.0] * 8 + [45.0] * 8


def cameras(size: int = 96):
    return look_at_origin(AZIMUTHS, ELEVATIONS, distance_m=1.8, fovy_deg=40.0, size_px=(size, size))


@pytest.fixture(scope="module")
def found():
    views = cameras()
    images = balls.over(balls.pictures(views), BACKGROUND)
    inside, stray = hull.silhouettes(images)
    occupancy = hull.carve(inside, views, radius_m=0.55, resolution=64, disagreeing=0)
    return views, images, stray, occupancy


def test_a_plain_background_is_recognized(found) -> None:
    _, images, stray, _ = found
    assert float(stray.max()) == 0.0
    noisy = torch.rand(images.shape, generator=torch.Generator().manual_seed(0))
    assert float(hull.silhouettes(noisy)[1].min()) > 0.5


def test_the_hull_contains_the_object_and_little_more(found) -> None:
    occupancy = found[3]
    cells = hull._centers(0.55, 64)
    distance = balls.signed_distance(cells)
    solid = occupancy.flatten() > 0.5
    cell = 1.1 / 64
    assert solid[distance < -cell].all()
    assert (solid & (distance > 3 * cell)).sum() < 0.05 * solid.sum()


def test_one_wrong_silhouette_is_outvoted(found) -> None:
    views, images, _, occupancy = found
    inside, _ = hull.silhouettes(images)
    inside[3] = 0.0
    plain = hull.carve(inside, views, radius_m=0.55, resolution=64, disagreeing=0)
    voted = hull.carve(inside, views, radius_m=0.55, resolution=64, disagreeing=1)
    assert not (plain > 0.5).any()
    assert ((voted > 0.5) & (occupancy > 0.5)).sum() == (occupancy > 0.5).sum()


def test_surface_cells_have_outward_normals_and_their_own_colors(found) -> None:
    views, images, _, occupancy = found
    shell = hull.surface(occupancy, images, views, radius_m=0.55)
    assert balls.signed_distance(shell.positions).abs().max() < 6 * shell.cell_m
    for center, radius, color in balls.BALLS:
        away = shell.positions - torch.tensor(center)
        near = (away.norm(dim=-1) - radius).abs() < shell.cell_m
        clear = near & (balls.signed_distance(shell.positions).abs() < shell.cell_m)
        cosine = (shell.normals[clear] * away[clear]).sum(-1) / away[clear].norm(dim=-1)
        assert cosine.mean() > 0.9
        error = (shell.colors[clear] - torch.tensor(color)).abs().mean(-1)
        assert error.median() < 0.02


def test_views_that_disagree_are_not_averaged(found) -> None:
    """Each view is of one color; cells show the color of the view that faces them, not a mix."""
    views, _, _, occupancy = found
    colors = torch.rand(len(AZIMUTHS), 3, generator=torch.Generator().manual_seed(1))
    images = colors[:, None, None].expand(-1, 96, 96, -1)
    shell = hull.surface(occupancy, images, views, radius_m=0.55)
    centers = -(views.world_to_camera[:, :3, :3].mT @ views.world_to_camera[:, :3, 3:])[..., 0]
    toward = torch.nn.functional.normalize(centers[:, None] - shell.positions, dim=-1)
    cosines = (toward * shell.normals).sum(-1)
    two = cosines.topk(2, dim=0)
    clear = (two.values[0] > 0.9) & (two.values[0] > 1.1 * two.values[1])
    nearest = colors[two.indices[0]]
    off = (shell.colors - nearest).abs().amax(-1)
    assert clear.sum() > 100
    assert off[clear].median() < 0.06
    assert (off[clear] < 0.12).float().mean() > 0.9


def test_projection_agrees_with_the_pinhole_formula() -> None:
    views = cameras()
    point = torch.tensor([[0.1, -0.2, 0.3]])
    pixels, depth = hull.project(point, views)
    for index in (0, 5, 11):
        pose = views.world_to_camera[index].double()
        local = pose @ torch.cat([point[0], torch.ones(1)]).double()
        column = views.focal_px[index, 0] * local[0] / local[2] + views.center_px[index, 0]
        assert pixels[index, 0, 0] == pytest.approx(float(column), abs=1e-3)
        assert depth[index, 0] == pytest.approx(float(local[2]), abs=1e-5)
