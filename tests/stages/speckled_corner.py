"""Photographs of a floor and two walls with speckles to recognize, in closed form: for tests."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

WIDTH, HEIGHT, FOCAL = 320, 240, 300.0
REACH = 1.5
"""The planes x = 0, y = 0 and z = 0 carry speckles from 0 to here."""


@dataclass(frozen=True, slots=True)
class View:
    world_to_camera: np.ndarray
    pixels: np.ndarray
    """(height, width, 3), 8 bits."""


def views(count: int, *, look: int = 0) -> list[View]:
    """From an arc around the corner; another `look`, another place altogether."""
    planes = [_speckles(10 * look + axis) for axis in range(3)]
    found = []
    for share in np.linspace(0, 1, count):
        angle = np.radians(20 + 50 * share)
        eye = np.array([2.2 * np.cos(angle), 2.2 * np.sin(angle), 1.1 + 0.3 * np.sin(7 * share)])
        pose = _looking(eye, np.array([0.45, 0.45, 0.4]))
        found.append(View(pose, _picture(pose, planes)))
    return found


def _speckles(seed: int, side: int = 256) -> np.ndarray:
    """(side, side), gray: noise of three grains, the finest as wide as a pixel of a view."""
    rng = np.random.default_rng(seed)
    total = np.zeros((side, side))
    for grain_px in (2, 5, 11):
        noise = ndimage.gaussian_filter(rng.normal(size=(side, side)), grain_px)
        total += noise / noise.std()
    return np.clip(0.5 + 0.16 * total, 0, 1)


def _looking(eye: np.ndarray, at: np.ndarray) -> np.ndarray:
    """OpenCV world-to-camera, +z up."""
    forward = (at - eye) / np.linalg.norm(at - eye)
    right = np.cross(forward, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3, :3] = [right, np.cross(forward, right), forward]
    pose[:3, 3] = -pose[:3, :3] @ eye
    return pose


def _picture(pose: np.ndarray, planes: list[np.ndarray]) -> np.ndarray:
    x, y = np.meshgrid(
        (np.arange(WIDTH) + 0.5 - WIDTH / 2) / FOCAL, (np.arange(HEIGHT) + 0.5 - HEIGHT / 2) / FOCAL
    )
    rays = np.stack([x, y, np.ones_like(x)], axis=-1) @ pose[:3, :3]
    eye = -pose[:3, :3].T @ pose[:3, 3]
    picture, nearest = np.full(x.shape, 0.5), np.full(x.shape, np.inf)
    for axis, plane in enumerate(planes):
        far = -eye[axis] / rays[..., axis]
        others = [other for other in range(3) if other != axis]
        at = (eye + far[..., None] * rays)[..., others]
        hit = (far > 0) & (far < nearest) & ((at >= 0) & (at <= REACH)).all(axis=-1)
        texels = (at[hit] / REACH * (len(plane) - 1)).T
        picture[hit] = ndimage.map_coordinates(plane, texels, order=1)
        nearest[hit] = far[hit]
    tint = np.array([255, 240, 200])
    return np.rint(picture[..., None] * tint).astype(np.uint8)
