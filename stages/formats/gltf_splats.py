"""Splats as GLB with the extension KHR_gaussian_splatting (release candidate of 2026).

Points with attributes for rotation (x, y, z, w), scale, opacity and one per coefficient of the
spherical harmonics, all activated and in float32. COLOR_0 is the fallback of viewers that do not
know the extension: linear color from degree 0, with the opacity as alpha. +Y up, metres.
"""

from pathlib import Path
from typing import Any

import numpy as np

from ...pipeline.contract import replacing
from ...renderers.scene import Gaussians
from . import srgb
from .glb import ARRAY_BUFFER, Chunks, pack
from .gltf import GENERATOR

EXTENSION = "KHR_gaussian_splatting"
COLOR_SPACES = {"srgb": "srgb_rec709_display", "linear": "lin_rec709_display"}
POINTS = 0
C0 = 0.28209479177387814


def save(splats: Gaussians, path: Path, name: str) -> Path:
    """Write the GLB. Returns `path`."""
    data = encode(splats, name)
    with replacing(Path(path)) as temporary:
        temporary.write_bytes(data)
    return Path(path)


def encode(splats: Gaussians, name: str) -> bytes:
    """The bytes of the GLB."""
    chunks = Chunks()

    def accessor(values: np.ndarray) -> int:
        return chunks.accessor(np.asarray(values, "<f4"), ARRAY_BUFFER)

    quaternions = _numbers(splats.quaternions)
    quaternions /= np.linalg.norm(quaternions, axis=1, keepdims=True)
    sh, opacities = _numbers(splats.sh), _numbers(splats.opacities)
    attributes: dict[str, int] = {
        "POSITION": accessor(_numbers(splats.means)),
        "COLOR_0": accessor(_fallback(sh[:, 0], opacities, splats.color_space)),
        f"{EXTENSION}:ROTATION": accessor(quaternions[:, [1, 2, 3, 0]]),
        f"{EXTENSION}:SCALE": accessor(_numbers(splats.scales)),
        f"{EXTENSION}:OPACITY": accessor(np.clip(opacities, 0, 1)),
    }
    for number in range(sh.shape[1]):
        degree = int(number**0.5)
        key = f"{EXTENSION}:SH_DEGREE_{degree}_COEF_{number - degree * degree}"
        attributes[key] = accessor(sh[:, number])
    settings: dict[str, Any] = {
        "kernel": "ellipse",
        "colorSpace": COLOR_SPACES[splats.color_space],
        "projection": "perspective",
        "sortingMethod": "cameraDistance",
    }
    primitive = {"attributes": attributes, "mode": POINTS, "extensions": {EXTENSION: settings}}
    return pack(
        {
            "asset": {"version": "2.0", "generator": GENERATOR},
            "extensionsUsed": [EXTENSION],
            "scene": 0,
            "scenes": [{"nodes": [0]}],
            "nodes": [{"mesh": 0, "name": name}],
            "meshes": [{"primitives": [primitive], "name": name}],
        },
        chunks,
    )


def _numbers(values) -> np.ndarray:
    return values.detach().cpu().numpy().astype(np.float64)


def _fallback(dc: np.ndarray, opacities: np.ndarray, space: str) -> np.ndarray:
    color = np.clip(dc * C0 + 0.5, 0, 1)
    linear = srgb.decode(color) if space == "srgb" else color
    return np.concatenate([linear, opacities[:, None]], axis=1)
