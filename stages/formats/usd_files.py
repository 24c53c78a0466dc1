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
from .asset import Asset, Level, Look, Map, indexed
from .usd_module import pxr

ENDINGS = (".usd", ".usdc", ".usda", ".usdz")
VARIANTS = "LOD"
WRAPS = {"repeat": "repeat", "mirror": "mirror", "clamp": "clamp"}


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
    usd, geom, sdf = pxr("Usd"), pxr("UsdGeom"), pxr("Sdf")
    stage = usd.Stage.CreateNew(str(path))
    geom.SetStageUpAxis(stage, geom.Tokens.y if asset.up == "y" else geom.Tokens.z)
    geom.SetStageMetersPerUnit(stage, asset.meters_per_unit)
    root = geom.Xform.Define(stage, f"/{asset.name}")
    stage.SetDefaultPrim(root.GetPrim())
    pxr("Usd").ModelAPI(root).SetKind("component")
    at = root.GetPath()
    names: dict[str, str] = {}
    if len(asset.levels) == 1:
        _level(stage, at, "Geometry", asset.levels[0], folder, names)
    else:
        variants = root.GetPrim().GetVariantSets().AddVariantSet(VARIANTS)
        for number, level in enumerate(asset.levels):
            variants.AddVariant(f"LOD{number}")
            variants.SetVariantSelection(f"LOD{number}")
            with variants.GetVariantEditContext():
                _level(stage, at, "Geometry", level, folder, names)
        variants.SetVariantSelection("LOD0")
    _extents(geom, root)
    stage.GetRootLayer().Save()
    del stage, sdf


def _extents(geom: Any, root: Any) -> None:
    """The hint that viewers frame a model by, without opening its geometry."""
    model = geom.ModelAPI.Apply(root.GetPrim())
    purposes = [geom.Tokens.default_, geom.Tokens.render]
    cache = geom.BBoxCache(pxr("Usd").TimeCode.Default(), purposes)
    model.SetExtentsHint(model.ComputeExtentsHint(cache))


def _level(
    stage: Any, at: Any, name: str, level: Level, folder: str, names: dict[str, str]
) -> None:
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
    looks = [_Look(stage, at, look, folder, names, level.colors is not None).made
             for look in level.looks]  # fmt: skip
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


def st_name(number: int) -> str:
    """What a layer of texture coordinates is called; `st` is what importers look for."""
    return "st" if number == 0 else f"st{number}"


class _Look:
    """A material: one UsdPreviewSurface and its texture readers."""

    def __init__(
        self,
        stage: Any,
        at: Any,
        look: Look,
        folder: str,
        names: dict[str, str],
        colored: bool,
    ) -> None:
        shade, sdf = pxr("UsdShade"), pxr("Sdf")
        self._stage, self._folder, self._shade = stage, folder, shade
        self._types = sdf.ValueTypeNames
        self._sdf, self._gf = sdf, pxr("Gf")
        pxr("UsdGeom").Scope.Define(stage, at.AppendChild("Looks"))
        self._at = at.AppendChild("Looks").AppendChild(look.name)
        self.made = shade.Material.Define(stage, self._at)
        surface = self._shader("Surface", "UsdPreviewSurface")
        self._readers: dict[int, Any] = {}
        self._textures: dict[Map, Any] = {}
        types = self._types
        color = tuple(float(value) for value in look.base_color)
        self._set(surface, look, "base_color", "diffuseColor", types.Color3f, color)
        if colored and "base_color" not in look.maps:
            surface.GetInput("diffuseColor").ConnectToSource(self._vertex_color())
        glow = tuple(float(value) * look.emissive_strength for value in look.emissive)
        self._set(surface, look, "emissive", "emissiveColor", types.Color3f, glow)
        self._set(surface, look, "roughness", "roughness", types.Float, look.roughness)
        self._set(surface, look, "metallic", "metallic", types.Float, look.metallic)
        self._set(surface, look, "opacity", "opacity", types.Float, look.opacity)
        if "occlusion" in look.maps:
            self._set(surface, look, "occlusion", "occlusion", types.Float, 1.0)
        if "normal" in look.maps:
            self._set(surface, look, "normal", "normal", types.Normal3f, (0.0, 0.0, 1.0))
        if look.alpha_mode == "MASK":
            surface.CreateInput("opacityThreshold", types.Float).Set(look.alpha_cutoff)
        output = surface.CreateOutput("surface", types.Token)
        self.made.CreateSurfaceOutput().ConnectToSource(output)

    def _shader(self, name: str, kind: str) -> Any:
        shader = self._shade.Shader.Define(self._stage, self._at.AppendChild(name))
        shader.CreateIdAttr(kind)
        return shader

    def _set(self, surface: Any, look: Look, name: Any, key: str, kind: Any, value: Any) -> None:
        entry = surface.CreateInput(key, kind)
        if name not in look.maps:
            entry.Set(value)
            return
        one = look.maps[name]
        texture = self._texture(one, name, look)
        wide = self._types.Float if one.channel != "rgb" else self._types.Float3
        output = texture.GetOutput(one.channel) or texture.CreateOutput(one.channel, wide)
        entry.ConnectToSource(output)

    def _texture(self, one: Map, name: str, look: Look) -> Any:
        whole = Map(one.picture, "rgb", one.wrap, one.layer)
        glows = name == "emissive" and look.emissive_strength != 1.0
        if whole in self._textures and not glows:
            return self._textures[whole]
        types = self._types
        shader = self._shader(f"{name}_texture", "UsdUVTexture")
        self._textures[whole] = shader
        path = self._sdf.AssetPath(self._folder + one.picture.file)
        shader.CreateInput("file", types.Asset).Set(path)
        space = "sRGB" if one.picture.srgb else "raw"
        shader.CreateInput("sourceColorSpace", types.Token).Set(space)
        for key, wrap in zip(("wrapS", "wrapT"), one.wrap, strict=True):
            shader.CreateInput(key, types.Token).Set(WRAPS[wrap])
        if name == "normal":
            shader.CreateInput("scale", types.Float4).Set(self._gf.Vec4f(2, 2, 2, 1))
            shader.CreateInput("bias", types.Float4).Set(self._gf.Vec4f(-1, -1, -1, 0))
        if glows:
            s = look.emissive_strength
            shader.CreateInput("scale", types.Float4).Set(self._gf.Vec4f(s, s, s, 1))
        st = shader.CreateInput("st", types.Float2)
        st.ConnectToSource(self._reader(one.layer))
        return shader

    def _reader(self, layer: int) -> Any:
        if layer not in self._readers:
            name = st_name(layer)
            reader = self._shader(f"{name}_reader", "UsdPrimvarReader_float2")
            reader.CreateInput("varname", self._types.String).Set(name)
            self._readers[layer] = reader.CreateOutput("result", self._types.Float2)
        return self._readers[layer]

    def _vertex_color(self) -> Any:
        reader = self._shader("color_reader", "UsdPrimvarReader_float3")
        reader.CreateInput("varname", self._types.String).Set("displayColor")
        return reader.CreateOutput("result", self._types.Float3)
