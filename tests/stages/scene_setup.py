"""Scenes for the tests of the editing core."""

import math

import numpy as np
import torch
from scipy.spatial.transform import Rotation
from splatworks.renderers.scene import Cameras
from splatworks.stages.formats.edits import Edit
from splatworks.stages.formats.splats import RawSplats
from splatworks.stages.geometry.orbit import look_at_origin
from splatworks.stages.scene.layers import Layer, Scene, new_layer
from splatworks.stages.scene.operations import perform

FIELDS = ("means", "log_scales", "logit_opacities", "quaternions", "sh")


def cloud(count: int = 200, degree: int = 3, seed: int = 0, spread: float = 0.3) -> RawSplats:
    """Random Gaussians about the origin with view-dependent colors."""
    rng = np.random.default_rng(seed)
    sh = rng.normal(size=(count, (degree + 1) ** 2, 3)) * 0.5
    sh[:, 0] *= 2
    arrays = (
        rng.normal(size=(count, 3)) * spread,
        rng.uniform(-4.5, -2.5, size=(count, 3)),
        rng.normal(size=count) + 1,
        rng.normal(size=(count, 4)),
        sh,
    )
    return RawSplats(*(array.astype(np.float32) for array in arrays))


def scene_of(**parts: RawSplats) -> Scene:
    return Scene(tuple(new_layer(name, values) for name, values in parts.items()))


def after(scene: Scene, *edits: Edit) -> Scene:
    for edit in edits:
        scene = perform(scene, edit).scene
    return scene


def only(scene: Scene) -> Layer:
    (layer,) = scene.layers
    return layer


def view(azimuth: float = 30, elevation: float = 20, size: int = 96) -> Cameras:
    return look_at_origin([azimuth], [elevation], distance_m=2.5, fovy_deg=40, size_px=(size, size))


def camera_after(cameras: Cameras, matrix: np.ndarray, scale: float) -> Cameras:
    """The camera that sees, after x -> s Q x + t, what `cameras` saw before."""
    pose = cameras.world_to_camera[0].double().numpy()
    new = np.eye(4)
    new[:3, :3] = pose[:3, :3] @ (matrix[:3, :3] / scale).T
    new[:3, 3] = scale * pose[:3, 3] - new[:3, :3] @ matrix[:3, 3]
    return Cameras(
        torch.from_numpy(new)[None].float(),
        cameras.focal_px,
        cameras.center_px,
        cameras.width_px,
        cameras.height_px,
    )


def psnr(one: torch.Tensor, two: torch.Tensor) -> float:
    return -10 * math.log10(float(((one - two).double() ** 2).mean()) + 1e-12)


def spreads(splats: RawSplats) -> np.ndarray:
    """Covariances by SciPy's quaternions, not ours."""
    turns = Rotation.from_quat(np.roll(splats.quaternions, -1, axis=1)).as_matrix()
    root = turns * np.exp(splats.log_scales.astype(np.float64))[:, None]
    return root @ root.transpose(0, 2, 1)


def same_bits(one: RawSplats, two: RawSplats, rows: object = slice(None)) -> bool:
    return all(
        getattr(one, name)[rows].tobytes() == getattr(two, name)[rows].tobytes() for name in FIELDS
    )


def some(splats: RawSplats, rows: object) -> RawSplats:
    """Some rows, by plain indexing."""
    return RawSplats(*(getattr(splats, name)[rows] for name in FIELDS))


def random(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
