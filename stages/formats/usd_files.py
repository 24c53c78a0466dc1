"""USD of a mesh: one Mesh with GeomSubsets per material, UsdPreviewSurface, variants as levels.

Up axis and units are stated in the layer; nothing is turned by a transform. Places are shared over
seams; normals and texture coordinates (`st`, v up) are per corner. Pictures lie in a folder beside
the layer, or inside a USDZ.
"""

import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from ...pipeline.contract import replacing, sync
from ...pipeline.errors import StorageError
from .asset import Asset, Level, indexed
from .usd_materials import material, st_name
from .usd_module import pxr

VARIANTS = "LOD"


def save(asset: Asset, path: Path) -> list[Path]:
    """Write .usd, .usdc or .usda with pictures beside it, or one .usdz. Returns the files."""
    path = Path(path)
    if path.suffix.lower() == ".usdz":
        return [_package(asset, path)]
    folder = f"{path.stem}_textures"
    written = [path, *_pictures(asset, path.parent / folder)]
    with replacing(path) as temporary:
        # OpenUSD takes the kind of file from the ending.
        made = temporary.with_name(temporary.stem + path.suffix)
        _write(asset, made, f"./{folder}/")
        made.replace(temporary)
    return written


def _package(asset: Asset, path: Path) -> Path:
    with tempfile.TemporaryDirectory() as name:
        layer = Path(name) / f"{asset.name}.usdc"
        _pictures(asset, layer.parent / "textures")
        _write(asset, layer, "./textures/")
        made = Path(name) / "asset.usdz"
        sdf, utils = pxr("Sdf"), pxr("UsdUtils")
        if not utils.CreateNewUsdzPackage(sdf.AssetPath(str(layer)), str(made)):
            raise StorageError(f"{path}: OpenUSD could not make the package.")
        with replacing(path) as temporary:
            shutil.copyfile(made, temporary)
    return path


def _pictures(asset: Asset, folder: Path) -> list[Path]:
    found = asset.pictures()
    if found:
        folder.mkdir(exist_ok=True)
    for picture in found:
        with replacing(folder / picture.file) as temporary:
            temporary.write_bytes(picture.data)
    if found:
        sync(folder)
    return [folder / picture.file for picture in found]


def _write(asset: Asset, path: Path, folder: str) -> None:
    usd, geom = pxr("Usd"), pxr("UsdGeom")
    stage = usd.Stage.CreateNew(str(path))
    geom.SetStageUpAxis(stage, geom.Tokens.y if asset.up == "y" else geom.Tokens.z)
    geom.SetStageMetersPerUnit(stage, asset.meters_per_unit)
    root = geom.Xform.Define(stage, f"/{asset.name}")
    stage.SetDefaultPrim(root.GetPrim())
    usd.ModelAPI(root).SetKind("component")
    at = root.GetPath()
    if len(asset.levels) == 1:
        _level(stage, at, asset.name, asset.levels[0], folder)
    else:
        variants = root.GetPrim().GetVariantSets().AddVariantSet(VARIANTS)
        for number, level in enumerate(asset.levels):
            variants.AddVariant(f"LOD{number}")
            variants.SetVariantSelection(f"LOD{number}")
            with variants.GetVariantEditContext():
                _level(stage, at, asset.name, level, folder)
        variants.SetVariantSelection("LOD0")
    _extents(geom, root)
    stage.GetRootLayer().Save()


def _extents(geom: Any, root: Any) -> None:
    """The hint that viewers frame a model by, without opening its geometry."""
    model = geom.ModelAPI.Apply(root.GetPrim())
    purposes = [geom.Tokens.default_, geom.Tokens.render]
    cache = geom.BBoxCache(pxr("Usd").TimeCode.Default(), purposes)
    model.SetExtentsHint(model.ComputeExtentsHint(cache))


def _level(stage: Any, at: Any, name: str, level: Level, folder: str) -> None:
    geom, sdf, vt, shade = pxr("UsdGeom"), pxr("Sdf"), pxr("Vt"), pxr("UsdShade")
    mesh = geom.Mesh.Define(stage, at.AppendChild(name))
    floats = level.places.astype(np.float32)
    mesh.CreatePointsAttr(vt.Vec3fArray.FromNumpy(floats))
    mesh.CreateFaceVertexCountsAttr(vt.IntArray.FromNumpy(np.full(len(level.faces), 3, np.int32)))
    mesh.CreateFaceVertexIndicesAttr(
        vt.IntArray.FromNumpy(level.faces.reshape(-1).astype(np.int32))
    )
    mesh.CreateExtentAttr(vt.Vec3fArray.FromNumpy(np.stack([floats.min(0), floats.max(0)])))
    mesh.CreateSubdivisionSchemeAttr(geom.Tokens.none)
    mesh.CreateDoubleSidedAttr(any(look.double_sided for look in level.looks))
    primvars = geom.PrimvarsAPI(mesh)
    corner = geom.Tokens.faceVarying

    def put(name: str, kind: Any, values: np.ndarray, array: Any) -> None:
        rows, index = indexed(values)
        primvar = primvars.CreatePrimvar(name, kind, corner)
        primvar.Set(array.FromNumpy(np.ascontiguousarray(rows, np.float32)))
        primvar.SetIndices(vt.IntArray.FromNumpy(index.astype(np.int32)))

    types = sdf.ValueTypeNames
    put("normals", types.Normal3fArray, level.normals, vt.Vec3fArray)
    for number, layer in enumerate(level.layers):
        upward = layer * np.float32([1, -1]) + np.float32([0, 1])
        put(st_name(number), types.TexCoord2fArray, upward, vt.Vec2fArray)
    if level.colors is not None:
        put("displayColor", types.Color3fArray, level.colors[..., :3], vt.Vec3fArray)
    colored = level.colors is not None
    looks = [material(stage, at, look, folder, colored=colored) for look in level.looks]
    if len(looks) == 1:
        shade.MaterialBindingAPI.Apply(mesh.GetPrim()).Bind(looks[0])
        return
    for number, made in enumerate(looks):
        chosen = np.flatnonzero(level.face_looks == number).astype(np.int32)
        if not len(chosen):
            continue
        subset = geom.Subset.CreateGeomSubset(
            mesh, level.looks[number].name, geom.Tokens.face, vt.IntArray.FromNumpy(chosen),
            shade.Tokens.materialBind, geom.Tokens.partition,
        )  # fmt: skip
        shade.MaterialBindingAPI.Apply(subset.GetPrim()).Bind(made)
