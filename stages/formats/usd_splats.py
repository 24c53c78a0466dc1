"""Splats as OpenUSD's `ParticleField3DGaussianSplat`, in OpenUSD since 26.03.

Values are activated: scales and opacities as they enter the picture, quaternions of unit length.
Spherical harmonics are stored Gaussian by Gaussian, all coefficients of one after the other, as
(red, green, blue) without the constant 0.5, as 3D Gaussian splatting trains them.
"""

from pathlib import Path

import numpy as np

from ...pipeline.contract import replacing
from ...pipeline.errors import MissingError
from ...renderers.scene import Gaussians
from .usd_module import ADVICE, pxr, version

SCHEMA = "ParticleField3DGaussianSplat"


def save(splats: Gaussians, path: Path, name: str, *, up: str, meters_per_unit: float) -> Path:
    """Write .usd, .usdc or .usda. Raises MissingError where OpenUSD is too old for splats."""
    usd, geom, vt = pxr("Usd"), pxr("UsdGeom"), pxr("Vt")
    if usd.SchemaRegistry().FindConcretePrimDefinition(SCHEMA) is None:
        raise MissingError(f"OpenUSD {version()} has no {SCHEMA}; usd-core 26.3 has. {ADVICE}")
    arrays = {
        "positions": vt.Vec3fArray.FromNumpy(_floats(splats.means)),
        "scales": vt.Vec3fArray.FromNumpy(_floats(splats.scales)),
        "opacities": vt.FloatArray.FromNumpy(_floats(splats.opacities)),
        "orientations": vt.QuatfArray.FromNumpy(_quaternions(_floats(splats.quaternions))),
        "radiance:sphericalHarmonicsCoefficients": vt.Vec3fArray.FromNumpy(
            _floats(splats.sh).reshape(-1, 3)
        ),
    }
    degree = round(splats.sh.shape[1] ** 0.5) - 1
    path = Path(path)
    with replacing(path) as temporary:
        made = temporary.with_name(temporary.stem + path.suffix)
        stage = usd.Stage.CreateNew(str(made))
        geom.SetStageUpAxis(stage, geom.Tokens.y if up == "y" else geom.Tokens.z)
        geom.SetStageMetersPerUnit(stage, meters_per_unit)
        root = geom.Xform.Define(stage, f"/{name}")
        stage.SetDefaultPrim(root.GetPrim())
        usd.ModelAPI(root).SetKind("component")
        prim = stage.DefinePrim(root.GetPath().AppendChild("Splats"), SCHEMA)
        for attribute, values in arrays.items():
            prim.GetAttribute(attribute).Set(values)
        prim.GetAttribute("radiance:sphericalHarmonicsDegree").Set(degree)
        prim.GetAttribute("extent").Set(vt.Vec3fArray.FromNumpy(_extent(splats)))
        prim.GetAttribute("sortingModeHint").Set("zDepth")
        stage.GetRootLayer().Save()
        made.replace(temporary)
    return path


def _floats(values) -> np.ndarray:
    return np.ascontiguousarray(values.detach().cpu().numpy(), np.float32)


def _quaternions(wxyz: np.ndarray) -> np.ndarray:
    """Of unit length; OpenUSD keeps the real part last in memory."""
    unit = wxyz / np.linalg.norm(wxyz, axis=1, keepdims=True)
    return np.ascontiguousarray(unit[:, [1, 2, 3, 0]])


def _extent(splats: Gaussians) -> np.ndarray:
    """Three standard deviations around every Gaussian, along its longest axis."""
    means, reach = _floats(splats.means), 3 * _floats(splats.scales).max(axis=1, keepdims=True)
    return np.stack([(means - reach).min(axis=0), (means + reach).max(axis=0)])
