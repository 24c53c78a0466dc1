"""What another trainer is given must be what ours has."""

import logging
import sys
from pathlib import Path

import numpy as np
import torch
from splatworks.stages import reconstruct
from splatworks.stages.formats import captures
from splatworks.stages.formats.lens import Lens
from splatworks.stages.formats.photos import Photo, load_all
from splatworks.stages.reconstruct.start import first_gaussians

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import reconstruct_peer

LOG = logging.getLogger("photographs")


def photo(number: int) -> Photo:
    random = torch.Generator().manual_seed(number)
    turn = torch.linalg.qr(torch.randn(3, 3, generator=random, dtype=torch.float64)).Q
    turn = turn * torch.linalg.det(turn)
    pose = torch.eye(4, dtype=torch.float64)
    pose[:3, :3], pose[:3, 3] = turn, torch.tensor([0.1 * number, -0.2, 4.0])
    return Photo(
        name=f"{number}.jpg",
        lens=Lens(width_px=20, height_px=12, focal_px=(17.0, 18.0), center_px=(9.5, 6.25)),
        world_to_camera=pose.float(),
        pixels=torch.randint(256, (3, 12, 20), generator=random, dtype=torch.uint8),
        alpha=None,
        counts=None,
    )


def test_the_peer_gets_our_photographs_cameras_and_points(tmp_path: Path) -> None:
    photos = [photo(number) for number in range(3)]
    config = reconstruct.Config()
    points = reconstruct_peer.our_start(photos, config)
    reconstruct_peer.prepared(photos, points, tmp_path)
    capture = captures.load(tmp_path)
    for ours, theirs in zip(photos, load_all(capture.shots, 1000, LOG), strict=True):
        assert torch.equal(ours.pixels, theirs.pixels)
        assert torch.allclose(ours.world_to_camera, theirs.world_to_camera, atol=1e-6)
        assert ours.lens.focal_px == theirs.lens.focal_px
        assert ours.lens.center_px == theirs.lens.center_px
    start = first_gaussians(photos, None, config.start, 0, 0, config.density.max_gaussians)
    assert capture.points is not None
    np.testing.assert_allclose(capture.points.positions, start.means.numpy(), rtol=1e-6)


def test_each_look_is_compared_with_ours_before_it() -> None:
    peer = [{"iteration": 10, "processor s": 100.0, "psnr dB": 20.0}]
    rows = [
        {"iteration": 50, "processor s": 90.0, "psnr dB": 24.0},
        {"iteration": 70, "processor s": 110.0, "psnr dB": 25.0},
    ]
    assert "| 100 | 10, 20.00 | 50, 24.00 | 5.0 |" in reconstruct_peer.table(peer, rows)
    assert len(reconstruct_peer.table(peer, rows[1:]).splitlines()) == 2
