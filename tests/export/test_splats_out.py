"""Splats as glTF and USD: values as the specifications define them."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from splatworks.pipeline.errors import ConfigError
from splatworks.stages.formats import splats
from splatworks.stages.formats.splats import RawSplats, Sidecar

COUNT = 50
C1 = 0.4886025119029199


@pytest.fixture
def raw() -> RawSplats:
    rng = np.random.default_rng(3)
    return RawSplats(
        means=rng.normal(size=(COUNT, 3)).astype(np.float32),
        log_scales=rng.normal(-3, 0.5, (COUNT, 3)).astype(np.float32),
        logit_opacities=rng.normal(size=COUNT).astype(np.float32),
        quaternions=(3 * rng.normal(size=(COUNT, 4))).astype(np.float32),
        sh=rng.normal(0, 0.3, (COUNT, 16, 3)).astype(np.float32),
    )


def covariances(xyzw: np.ndarray, scales: np.ndarray) -> np.ndarray:
    half = Rotation.from_quat(xyzw).as_matrix() * scales[:, None]
    return half @ half.transpose(0, 2, 1)


def read_gltf(path: Path) -> tuple[dict, dict[str, np.ndarray]]:
    data = path.read_bytes()
    length = int.from_bytes(data[12:16], "little")
    document = json.loads(data[20 : 20 + length])
    body = data[28 + length :]
    (primitive,) = document["meshes"][0]["primitives"]
    arrays = {}
    for name, index in primitive["attributes"].items():
        accessor = document["accessors"][index]
        view = document["bufferViews"][accessor["bufferView"]]
        assert accessor["componentType"] == 5126
        width = {"SCALAR": 1, "VEC3": 3, "VEC4": 4}[accessor["type"]]
        flat = np.frombuffer(body, "<f4", accessor["count"] * width, view["byteOffset"])
        arrays[name] = flat.reshape(-1, width).astype(float)
    return document, arrays


def test_gltf(exported, raw: RawSplats, tmp_path: Path) -> None:
    source = splats.save(raw, tmp_path / "splats.ply")
    out = exported(source, format="gltf-splats")
    document, found = read_gltf(out / "prop.glb")
    (primitive,) = document["meshes"][0]["primitives"]
    assert primitive["mode"] == 0 and document["extensionsUsed"] == ["KHR_gaussian_splatting"]
    settings = primitive["extensions"]["KHR_gaussian_splatting"]
    assert settings["kernel"] == "ellipse" and settings["colorSpace"] == "srgb_rec709_display"
    prefix = "KHR_gaussian_splatting:"
    np.testing.assert_array_equal(found["POSITION"], raw.means)
    rotation, scale = found[f"{prefix}ROTATION"], found[f"{prefix}SCALE"]
    np.testing.assert_allclose(np.linalg.norm(rotation, axis=1), 1, atol=1e-6)
    expected = covariances(raw.quaternions[:, [1, 2, 3, 0]], np.exp(raw.log_scales))
    np.testing.assert_allclose(covariances(rotation, scale), expected, rtol=1e-4, atol=1e-8)
    opacity = 1 / (1 + np.exp(-raw.logit_opacities.astype(float)))
    np.testing.assert_allclose(found[f"{prefix}OPACITY"][:, 0], opacity, rtol=1e-5)
    names = [f"{prefix}SH_DEGREE_{d}_COEF_{n}" for d in range(4) for n in range(2 * d + 1)]
    assert set(names) == {name for name in found if "SH_DEGREE" in name}
    for number, name in enumerate(names):
        np.testing.assert_array_equal(found[name], raw.sh[:, number])
    color = np.clip(raw.sh[:, 0] * 0.28209479177387814 + 0.5, 0, 1).astype(float)
    linear = np.where(color <= 0.04045, color / 12.92, ((color + 0.055) / 1.055) ** 2.4)
    np.testing.assert_allclose(found["COLOR_0"][:, :3], linear, atol=1e-6)
    np.testing.assert_allclose(found["COLOR_0"][:, 3], opacity, rtol=1e-5)


def test_gltf_is_y_up_and_in_metres(exported, raw: RawSplats, tmp_path: Path) -> None:
    lying = RawSplats(
        raw.means, raw.log_scales, raw.logit_opacities, raw.quaternions, raw.sh[:, :4],
        Sidecar(up_axis="+z", meters_per_unit=0.01),
    )  # fmt: skip
    source = splats.save(lying, tmp_path / "splats.ply")
    _, found = read_gltf(exported(source, tool="web") / "prop.glb")
    x, y, z = raw.means.T / 100
    np.testing.assert_allclose(found["POSITION"], np.stack([x, z, -y], axis=1), atol=1e-6)
    scale = found["KHR_gaussian_splatting:SCALE"]
    np.testing.assert_allclose(np.sort(scale), np.sort(np.exp(raw.log_scales) / 100), rtol=1e-4)
    # What was seen from above before is seen from above still: degree 1 turns along.
    turn = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
    coefficients = [found[f"KHR_gaussian_splatting:SH_DEGREE_1_COEF_{n}"] for n in range(3)]

    def shade(sh: list[np.ndarray], direction: np.ndarray) -> np.ndarray:
        dx, dy, dz = direction
        return C1 * (-dy * sh[0] + dz * sh[1] - dx * sh[2])

    before = [raw.sh[:, k].astype(float) for k in (1, 2, 3)]
    for direction in np.eye(3):
        want = shade(before, direction)
        np.testing.assert_allclose(shade(coefficients, turn @ direction), want, atol=1e-5)


@pytest.mark.parametrize(("tool", "up", "unit"), [("any", "Y", 1.0), ("unreal", "Z", 0.01)])
def test_usd(exported, raw: RawSplats, tmp_path: Path, tool: str, up: str, unit: float) -> None:
    geom = pytest.importorskip("pxr.UsdGeom", reason="usd-core is not installed")
    from pxr import Usd

    if Usd.SchemaRegistry().FindConcretePrimDefinition("ParticleField3DGaussianSplat") is None:
        pytest.skip("this OpenUSD has no splats")
    source = splats.save(raw, tmp_path / "splats.ply")
    out = exported(source, tool=tool, format="usd-splats")
    stage = Usd.Stage.Open(str(out / "prop.usdc"))
    assert geom.GetStageUpAxis(stage) == up and geom.GetStageMetersPerUnit(stage) == unit
    (prim,) = stage.GetDefaultPrim().GetChildren()
    assert prim.GetTypeName() == "ParticleField3DGaussianSplat"

    def values(name: str) -> np.ndarray:
        return np.array(prim.GetAttribute(name).Get())

    turn = np.eye(3) if up == "Y" else np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
    np.testing.assert_allclose(values("positions"), raw.means @ turn.T / unit, rtol=1e-5, atol=1e-4)
    real = [(*one.GetImaginary(), one.GetReal()) for one in prim.GetAttribute("orientations").Get()]
    own = covariances(raw.quaternions[:, [1, 2, 3, 0]], np.exp(raw.log_scales) / unit)
    found = covariances(np.array(real), values("scales").astype(float))
    np.testing.assert_allclose(found, turn @ own @ turn.T, rtol=1e-3, atol=1e-5 / unit**2)
    opacity = 1 / (1 + np.exp(-raw.logit_opacities))
    np.testing.assert_allclose(values("opacities"), opacity, rtol=1e-5)
    assert prim.GetAttribute("radiance:sphericalHarmonicsDegree").Get() == 3
    sh = values("radiance:sphericalHarmonicsCoefficients").reshape(COUNT, 16, 3)
    if up == "Y":
        np.testing.assert_array_equal(sh, raw.sh)
    low, high = values("extent")
    assert (low < values("positions").min(0)).all() and (high > values("positions").max(0)).all()


def test_ply_leaves_as_it_came(exported, raw: RawSplats, tmp_path: Path) -> None:
    source = splats.save(raw, tmp_path / "splats.ply")
    out = exported(source, tool="unreal")
    assert (out / "prop.ply").read_bytes() == source.read_bytes()


@pytest.mark.parametrize("format", ["fbx", "obj", "stl", "usdz"])
def test_splats_do_not_fit_everywhere(exported, raw: RawSplats, tmp_path: Path, format) -> None:
    source = splats.save(raw, tmp_path / "splats.ply")
    with pytest.raises(ConfigError, match=r"splats"):
        exported(source, format=format, file=f"x.{format}")
