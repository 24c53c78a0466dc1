"""Materials of USD: one UsdPreviewSurface, with a UsdUVTexture per picture.

Every picture states its color space, and channels are taken from one picture where they are
packed. Normal maps get the scale and bias that turn 0..1 into -1..1.
"""

from typing import Any

from .asset import Look, Map, Property
from .usd_module import pxr

INPUTS: dict[Property, tuple[str, str]] = {
    "base_color": ("diffuseColor", "Color3f"),
    "emissive": ("emissiveColor", "Color3f"),
    "roughness": ("roughness", "Float"),
    "metallic": ("metallic", "Float"),
    "opacity": ("opacity", "Float"),
    "occlusion": ("occlusion", "Float"),
    "normal": ("normal", "Normal3f"),
}


def st_name(number: int) -> str:
    """What a layer of texture coordinates is called; `st` is what importers look for."""
    return "st" if number == 0 else f"st{number}"


def material(stage: Any, at: Any, look: Look, folder: str, *, colored: bool) -> Any:
    """Define the material below `at`/Looks, its pictures in `folder`. Returns it.

    With `colored` and without a map, the base color is that of the vertices (`displayColor`).
    """
    pxr("UsdGeom").Scope.Define(stage, at.AppendChild("Looks"))
    network = _Network(stage, at.AppendChild("Looks").AppendChild(look.name), look, folder)
    return network.material(colored=colored)


class _Network:
    """The shaders of one material while they are connected."""

    def __init__(self, stage: Any, at: Any, look: Look, folder: str) -> None:
        self._stage, self._at, self._look, self._folder = stage, at, look, folder
        self._shade, self._sdf, self._gf = pxr("UsdShade"), pxr("Sdf"), pxr("Gf")
        self._types = self._sdf.ValueTypeNames
        self._readers: dict[int, Any] = {}
        self._textures: dict[Any, Any] = {}

    def material(self, *, colored: bool) -> Any:
        look, types = self._look, self._types
        made = self._shade.Material.Define(self._stage, self._at)
        surface = self._shader("Surface", "UsdPreviewSurface")
        numbers: dict[Property, Any] = {
            "base_color": look.base_color,
            "emissive": tuple(value * look.emissive_strength for value in look.emissive),
            "roughness": look.roughness,
            "metallic": look.metallic,
            "opacity": look.opacity,
        }
        for name, (key, kind) in INPUTS.items():
            if name in look.maps or name in numbers:
                entry = surface.CreateInput(key, getattr(types, kind))
                if name in look.maps:
                    entry.ConnectToSource(self._output(name))
                else:
                    entry.Set(numbers[name])
        if colored and "base_color" not in look.maps:
            surface.GetInput("diffuseColor").ConnectToSource(self._vertex_color())
        if look.alpha_mode == "MASK":
            surface.CreateInput("opacityThreshold", types.Float).Set(look.alpha_cutoff)
        made.CreateSurfaceOutput().ConnectToSource(surface.CreateOutput("surface", types.Token))
        return made

    def _shader(self, name: str, kind: str) -> Any:
        shader = self._shade.Shader.Define(self._stage, self._at.AppendChild(name))
        shader.CreateIdAttr(kind)
        return shader

    def _output(self, name: Property) -> Any:
        """The channel of a picture that gives a property."""
        one = self._look.maps[name]
        # A normal map is scaled, and so is what glows; any other picture is read once.
        role = name if name in ("normal", "emissive") else ""
        key = (one.picture.file, one.wrap, one.layer, role)
        if key not in self._textures:
            self._textures[key] = self._texture(one, name)
        wide = self._types.Float3 if one.channel == "rgb" else self._types.Float
        return self._textures[key].CreateOutput(one.channel, wide)

    def _texture(self, one: Map, name: Property) -> Any:
        types, look = self._types, self._look
        shader = self._shader(f"{name}_texture", "UsdUVTexture")
        path = self._sdf.AssetPath(self._folder + one.picture.file)
        shader.CreateInput("file", types.Asset).Set(path)
        space = "sRGB" if one.picture.srgb else "raw"
        shader.CreateInput("sourceColorSpace", types.Token).Set(space)
        for key, wrap in zip(("wrapS", "wrapT"), one.wrap, strict=True):
            shader.CreateInput(key, types.Token).Set(wrap)
        if name == "normal":
            shader.CreateInput("scale", types.Float4).Set(self._gf.Vec4f(2, 2, 2, 1))
            shader.CreateInput("bias", types.Float4).Set(self._gf.Vec4f(-1, -1, -1, 0))
        if name == "emissive" and look.emissive_strength != 1.0:
            strength = look.emissive_strength
            scale = self._gf.Vec4f(strength, strength, strength, 1)
            shader.CreateInput("scale", types.Float4).Set(scale)
        shader.CreateInput("st", types.Float2).ConnectToSource(self._reader(one.layer))
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
