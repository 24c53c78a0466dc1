"""Materials of FBX: Phong, the one model that every importer knows, with pictures on it.

What metallic-roughness has and Phong has not goes where Blender's importers look for it: roughness
as Shininess (100 (1 - roughness)²) and its picture at ShininessExponent, metallic at
ReflectionFactor. Only whole pictures can be connected, not one channel of one.
"""

from .asset import Look, Map, Picture
from .fbx_container import named
from .fbx_objects import Objects, properties

SLOTS = {
    "base_color": "DiffuseColor",
    "opacity": "TransparentColor",
    "normal": "NormalMap",
    "emissive": "EmissiveColor",
    "roughness": "ShininessExponent",
    "metallic": "ReflectionFactor",
}
WRAPS = {"repeat": 0, "mirror": 0, "clamp": 1}


class Materials:
    """Adds materials, textures and pictures to a scene, each once."""

    def __init__(self, objects: Objects, *, embed: bool) -> None:
        self._objects = objects
        self._embed = embed
        self._looks: dict[int, int] = {}
        self._videos: dict[Picture, int] = {}
        self._textures: dict[Map, int] = {}

    def add(self, look: Look) -> int:
        """The identifier of the material."""
        if id(look) in self._looks:
            return self._looks[id(look)]
        material = self._objects.add("Material", named(look.name, "Material"), "")
        self._looks[id(look)] = material.id
        material.record.add("Version", 102)
        material.record.add("ShadingModel", "Phong")
        material.record.add("MultiLayer", 0)
        shininess = 100.0 * (1.0 - look.roughness) ** 2
        see_through = 1.0 - look.opacity
        strength = look.emissive_strength if any(look.emissive) or "emissive" in look.maps else 0.0
        material.record.inside.append(
            properties(
                ("ShadingModel", "KString", "Phong"),
                ("DiffuseColor", "Color", look.base_color),
                ("DiffuseFactor", "Number", 1.0),
                ("AmbientColor", "Color", (0.0, 0.0, 0.0)),
                ("AmbientFactor", "Number", 0.0),
                ("SpecularColor", "Color", (1.0, 1.0, 1.0)),
                ("SpecularFactor", "Number", 0.25),
                ("ShininessExponent", "Number", shininess),
                ("Shininess", "Number", shininess),
                ("ReflectionColor", "Color", (1.0, 1.0, 1.0)),
                ("ReflectionFactor", "Number", look.metallic),
                ("EmissiveColor", "Color", look.emissive),
                ("EmissiveFactor", "Number", strength),
                ("TransparentColor", "Color", (see_through,) * 3),
                ("TransparencyFactor", "Number", see_through),
                ("Opacity", "double", look.opacity),
            )
        )
        for name, slot in SLOTS.items():
            if name in look.maps:
                one = look.maps[name]  # type: ignore[index]
                self._objects.connect(self._texture(one), material.id, slot)
        return material.id

    def _texture(self, one: Map) -> int:
        if one in self._textures:
            return self._textures[one]
        stem = one.picture.file.rsplit(".", 1)[0]
        texture = self._objects.add("Texture", named(stem, "Texture"), "")
        self._textures[one] = texture.id
        record = texture.record
        record.add("Type", "TextureVideoClip")
        record.add("Version", 202)
        record.add("TextureName", named(stem, "Texture"))
        u, v = (WRAPS[wrap] for wrap in one.wrap)
        record.inside.append(
            properties(
                ("UVSet", "KString", "UVMap" if one.layer == 0 else f"UVMap{one.layer}"),
                ("UseMaterial", "bool", 1),
                ("WrapModeU", "enum", u),
                ("WrapModeV", "enum", v),
            )
        )
        record.add("Media", named(stem, "Video"))
        record.add("FileName", one.picture.file)
        record.add("RelativeFilename", one.picture.file)
        record.add("ModelUVTranslation", 0.0, 0.0)
        record.add("ModelUVScaling", 1.0, 1.0)
        record.add("Texture_Alpha_Source", "None")
        record.add("Cropping", 0, 0, 0, 0)
        self._objects.connect(self._video(one.picture, stem), texture.id)
        return texture.id

    def _video(self, picture: Picture, stem: str) -> int:
        if picture in self._videos:
            return self._videos[picture]
        video = self._objects.add("Video", named(stem, "Video"), "Clip")
        self._videos[picture] = video.id
        video.record.add("Type", "Clip")
        video.record.inside.append(properties(("Path", "KString", picture.file)))
        video.record.add("UseMipMap", 0)
        video.record.add("Filename", picture.file)
        video.record.add("RelativeFilename", picture.file)
        if self._embed:
            video.record.add("Content", picture.data)
        return video.id
