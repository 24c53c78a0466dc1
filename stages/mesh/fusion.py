"""Depth maps to a closed surface: a truncated signed distance on a dense grid, in which what no
view sees is solid.

Open3D's `VoxelBlockGrid` averages the distances. Only the blocks near
the surface are usually allocated, which leaves holes wherever depth is missing. Here all blocks
of the cube are allocated and the background counts as a measurement far away: rays that pass by
the object carve the space they cross, and every voxel has a sign, so the surface is closed.

Notation: c views, grid of g^3 voxels of side `voxel_m`, its cube centred at the origin.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy import ndimage

from ...renderers.scene import Cameras
from ..geometry.components import Surface
from ..geometry.marching import BLOCK, march
from ..geometry.open3d_module import open3d

AWAY_FROM_ZERO = 2e-3
"""In truncations."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """A cube of voxels around the origin that holds the ball of `radius_m` with two to spare."""

    radius_m: float
    resolution: int
    """Voxels along the ball's diameter."""

    @property
    def voxel_m(self) -> float:
        return 2 * self.radius_m / self.resolution

    @property
    def blocks(self) -> int:
        """Along one side; even, so that the origin is a block's corner."""
        return 2 * -(-(self.resolution // 2 + 3) // BLOCK)

    @property
    def side(self) -> int:
        """Voxels along the cube's side."""
        return self.blocks * BLOCK

    def centers(self) -> Float[np.ndarray, " g"]:
        """Coordinates of the voxels along one axis, in metres."""
        return (np.arange(self.side) - self.side // 2) * self.voxel_m


class Fusion:
    """Open3D's grid while depth maps are put in, one after the other."""

    def __init__(self, grid: Grid, *, truncation_voxels: float) -> None:
        self.grid = grid
        self.truncation_voxels = truncation_voxels
        self._o3d = open3d()
        core = self._o3d.core
        half = grid.blocks // 2
        line = np.arange(-half, half, dtype=np.int32)
        z, y, x = np.meshgrid(line, line, line, indexing="ij")
        self._keys = core.Tensor(np.stack([x, y, z], axis=-1).reshape(-1, 3))
        self._volume = self._o3d.t.geometry.VoxelBlockGrid(
            ("tsdf", "weight"),
            (core.float32, core.float32),
            ((1), (1)),
            grid.voxel_m,
            BLOCK,
            len(self._keys),
        )
        self._volume.hashmap().activate(self._keys)

    def integrate(
        self, depth: Float[np.ndarray, "height width"], cameras: Cameras, view: int
    ) -> None:
        """Add one depth map (z in metres; 0 is background and counts as far away)."""
        core = self._o3d.core
        pose = cameras.world_to_camera[view].numpy().astype(np.float64)
        far = float(np.linalg.norm(pose[:3, 3]) + 4 * self.grid.radius_m)
        depth = np.where(depth > 0, depth, far).astype(np.float32)
        fx, fy = (float(value) for value in cameras.focal_px[view])
        cx, cy = (float(value) for value in cameras.center_px[view])
        # Open3D rounds a projected point down to its pixel: here its pixel centres are at halves,
        # as ours are (measured; its other functions put them at whole numbers).
        intrinsic = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]], np.float64)
        self._volume.integrate(
            self._keys,
            self._o3d.t.geometry.Image(core.Tensor(depth)),
            core.Tensor(intrinsic),
            core.Tensor(np.ascontiguousarray(pose)),
            depth_scale=1.0,
            depth_max=2 * far,
            trunc_voxel_multiplier=float(self.truncation_voxels),
        )

    def distances(self, *, min_views: int) -> Float[np.ndarray, "g g g"]:
        """Mean truncated distance per voxel (axes z, y, x), in truncations: 1 free, -1 solid.

        Voxels that fewer than `min_views` views measured are solid; those outside the ball are
        free.
        """
        values, weights = (self._dense(name) for name in ("tsdf", "weight"))
        values = np.where(weights >= min_views, values, -1.0)
        squares = self.grid.centers() ** 2
        outside = squares[:, None, None] + squares[:, None] + squares > self.grid.radius_m**2
        values[outside] = 1.0
        return values

    def surface(self, distances: Float[np.ndarray, "g g g"]) -> Surface:
        """Marching cubes at 0, in no particular order of vertices and faces."""
        if not (distances < 0).any():
            return Surface(np.zeros((0, 3), np.float32), np.zeros((0, 3), np.int64))
        return march(
            self._keys.numpy(),
            self._blocks(distances),
            self.grid.voxel_m,
            away_from_zero=AWAY_FROM_ZERO,
        )

    def _slots(self) -> np.ndarray:
        slots, found = self._volume.hashmap().find(self._keys)
        assert bool(found.numpy().all()), "every block was activated"
        return slots.numpy().astype(np.int64)

    def _dense(self, name: str) -> Float[np.ndarray, "g g g"]:
        blocks, side = self.grid.blocks, self.grid.side
        values = self._volume.attribute(name).numpy()[self._slots(), ..., 0]
        values = values.reshape(blocks, blocks, blocks, BLOCK, BLOCK, BLOCK)
        return values.transpose(0, 3, 1, 4, 2, 5).reshape(side, side, side)

    def _blocks(self, values: Float[np.ndarray, "g g g"]) -> np.ndarray:
        blocks = self.grid.blocks
        values = values.reshape(blocks, BLOCK, blocks, BLOCK, blocks, BLOCK)
        return values.transpose(0, 2, 4, 1, 3, 5).reshape(blocks**3, -1)


def blur(distances: Float[np.ndarray, "g g g"], *, voxels: float) -> Float[np.ndarray, "g g g"]:
    """Gaussian smoothing of the field: evens out noisy depth, closes pinholes and fine cracks."""
    if voxels == 0:
        return distances
    return ndimage.gaussian_filter(distances, voxels, mode="nearest", truncate=3.0)
