"""`.splat`: 32 bytes per Gaussian, no header, no view dependence.

    float32 x y z, float32 scales (not logarithms), uint8 r g b a, uint8 (w, x, y, z) * 128 + 128

Gaussians come largest and most opaque first, as web viewers begin to draw before all is there.
What it cannot hold is lost: spherical harmonics above degree 0, and the last bits of colors,
opacities and directions.
"""

from pathlib import Path

import numpy as np

from ...pipeline.contract import replacing
from ...pipeline.errors import InputError
from .splats import RawSplats

SH_0 = 0.28209479177387814
ROW = np.dtype([("means", "<f4", 3), ("scales", "<f4", 3), ("rgba", "u1", 4), ("turn", "u1", 4)])
"""32 bytes."""


def save(splats: RawSplats, path: Path) -> Path:
    """Returns `path`."""
    opacities = 1 / (1 + np.exp(-splats.logit_opacities.astype(np.float64)))
    size = np.exp(splats.log_scales.astype(np.float64).sum(axis=1))
    order = np.argsort(-size * opacities, kind="stable")
    colors = splats.sh[:, 0].astype(np.float64) * SH_0 + 0.5
    turns = splats.quaternions.astype(np.float64)
    turns /= np.linalg.norm(turns, axis=1, keepdims=True)
    rows = np.zeros(len(splats), ROW)
    rows["means"] = splats.means
    rows["scales"] = np.exp(splats.log_scales)
    rows["rgba"] = _byte(np.concatenate([colors, opacities[:, None]], axis=1) * 255)
    rows["turn"] = _byte(turns * 128 + 128)
    with replacing(Path(path)) as temporary:
        temporary.write_bytes(rows[order].tobytes())
    return Path(path)


def load(path: Path) -> RawSplats:
    """Opacities of 0 and 1 have no logarithm; they are taken half a step inside."""
    size = Path(path).stat().st_size
    if not size or size % ROW.itemsize:
        raise InputError(f"{path}: no .splat file: {size} bytes are no multiple of {ROW.itemsize}.")
    rows = np.fromfile(path, ROW)
    finite = np.isfinite(rows["means"]).all(axis=1) & np.isfinite(rows["scales"]).all(axis=1)
    sound = finite & (rows["scales"] > 0).all(axis=1)
    if not sound.all():
        raise InputError(
            f"{path}: {(~sound).sum()} of {len(rows)} Gaussians have no finite place or no "
            f"positive size (first: {np.flatnonzero(~sound)[0]}); is it a .splat file?"
        )
    rgba = rows["rgba"].astype(np.float64) / 255
    opacities = rgba[:, 3].clip(0.5 / 255, 1 - 0.5 / 255)
    turns = (rows["turn"].astype(np.float32) - 128) / 128
    turns[(turns == 0).all(axis=1)] = (1, 0, 0, 0)
    return RawSplats(
        means=rows["means"].copy(),
        log_scales=np.log(rows["scales"]),
        logit_opacities=np.log(opacities / (1 - opacities)).astype(np.float32),
        quaternions=turns,
        sh=((rgba[:, None, :3] - 0.5) / SH_0).astype(np.float32),
    )


def _byte(values: np.ndarray) -> np.ndarray:
    return np.rint(values).clip(0, 255).astype(np.uint8)
