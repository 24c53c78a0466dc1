"""A simplified surface gets its looks back: normals, charts, maps, colors, weights.

Every texel is followed back to the full mesh (successive mapping), which is asked what it looks
like there. Maps that would be the same everywhere become factors.
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float32, Int, Int32, UInt8

from ...pipeline.errors import InputError
from ..formats import gltf
from ..formats.model import AlphaMode, Material, Model, Texture
from ..formats.srgb import encode
from ..geometry.appearance import Appearance
from ..geometry.atlas import Atlas, Cover, quick_atlas
from ..geometry.bake import clean_px
from ..geometry.charts import cut
from ..geometry.components import Surface, face_areas
from ..geometry.decimation import Decimation
from ..geometry.frames import to_frames
from ..geometry.nearest_texel import complete, nearest_valid
from ..geometry.tangents import crease_normals, split_normals, tangents
from .following import Baked, follow, texels_per_m
from .see_through import sides
from .vertices import rigged, vertex_colored

UNSEEN = 4 / 255
"""Alpha up to which a texel's color does not count."""
CUTOFF = 0.5
"""Of cut-outs in the new material, whose alpha is the covered share."""
LARGEST_PX = 16_384
ENOUGH = 0.8
"""Share of the density asked for that does not justify a texture of twice the size."""
FILLED = 0.55
"""Share of a picture that charts usually cover."""
POOR = 0.5
"""Share of the texels expected below which charts are so many and small that their gutters take
the picture. Far from what is usual, so that rounding, which differs from machine to machine, does
not decide on a picture's size."""


@dataclass(frozen=True, slots=True)
class Look:
    """How a level is dressed."""

    texture_px: int | None
    """Width and height of its maps; `None` for as few as `texels_per_m` takes."""
    texels_per_m: float = 0.0
    smallest_px: int = 64
    largest_px: int = 2048
    gutter_px: int = 4
    normal_map: bool = True
    vertex_colors: bool = False
    """Colors on the vertices instead of pictures."""


def clothe(
    source: Appearance, decimation: Decimation, level: int, look: Look, threads: int
) -> Model:
    """One level as a model of its own."""
    surface = Surface(decimation.levels[level].positions, decimation.levels[level].faces)
    if look.vertex_colors or _only_vertex_colors(source.model, look):
        made = vertex_colored(source, decimation, level, threads)
    elif _needs_maps(source.model, look):
        made = _with_maps(source, decimation, level, surface, look, threads)
    else:
        made = _bare(surface, source.model.materials)
    if source.model.rig is None:
        return made
    return rigged(made, source, decimation, level, threads)


def _only_vertex_colors(model: Model, look: Look) -> bool:
    """They stay on the vertices unless there are maps anyway."""
    return model.colors is not None and not look.normal_map and not _textured(model)


def _textured(model: Model) -> bool:
    slots = ("base_color", "metallic_roughness", "normal", "occlusion", "emissive")
    return any(getattr(material, slot) for material in model.materials for slot in slots)


def _needs_maps(model: Model, look: Look) -> bool:
    several = model.colors is not None or len(model.materials) > 1
    return look.normal_map or several or _textured(model)


def _bare(surface: Surface, materials: tuple[Material, ...]) -> Model:
    vertices, faces, normals = split_normals(
        surface.faces, crease_normals(surface.positions, surface.faces)
    )
    return Model(
        positions=surface.positions[vertices],
        faces=faces,
        face_materials=np.zeros(len(faces), np.int64),
        materials=materials[:1],
        normals=normals,
    )


def _with_maps(
    source: Appearance,
    decimation: Decimation,
    level: int,
    surface: Surface,
    look: Look,
    threads: int,
) -> Model:
    size_px = _size_px(look, float(source.areas_m2.sum()))
    side = sides(source, decimation, level, threads)
    atlas = creased(
        _unwrapped(surface, look, size_px, None if side is None else side.of_faces),
        crease_normals(surface.positions, surface.faces),
    )
    found, asked = follow(source, decimation, level, surface, atlas, side, threads)
    ids = decimation.levels[level].face_ids
    made = dressed(source, atlas, found, asked, ids, normal_map=look.normal_map)
    return replace(made, positions=surface.positions[atlas.vertices])


def dressed(
    source: Appearance,
    atlas: Atlas,
    found: Cover,
    asked: Baked,
    ids: Int[np.ndarray, " face"],
    *,
    normal_map: bool,
) -> Model:
    """The atlas' mesh with all maps that `source` has, baked anew from the places asked for.

    Args:
        ids: For each face that of `source` whose number it carries.
        normal_map: Make one even where `source` has none.
    """
    layers = _layers(source, atlas, found, asked, normal_map=normal_map)
    pictures = _pictures(found, layers)
    groups, face_groups = _groups(source.model, found, asked, layers, ids)
    materials = tuple(
        _material(source.model, layers, pictures, mode, double) for mode, double in groups
    )
    mesh = atlas.mesh
    assert mesh.normals is not None and mesh.uvs is not None
    return Model(
        positions=mesh.positions,
        faces=mesh.faces,
        face_materials=face_groups,
        materials=materials,
        normals=mesh.normals,
        tangents=layers.tangents,
        uvs=(mesh.uvs,),
    )


def _size_px(look: Look, area_m2: float) -> int:
    """The size asked for, or one that shows the input's whole area as densely as asked, within
    limits: known from the input alone, so that it is the same on every machine."""
    if look.texture_px is not None:
        return look.texture_px
    texels = (ENOUGH * look.texels_per_m) ** 2 * area_m2
    size_px = look.smallest_px
    while size_px < look.largest_px and FILLED * size_px**2 < texels:
        size_px *= 2
    return size_px


def _unwrapped(
    surface: Surface, look: Look, size_px: int, kinds: Int[np.ndarray, " face"] | None = None
) -> Atlas:
    """In this size, or the next larger one that holds all charts and not mostly gutters."""
    mesh = gltf.Mesh(surface.positions.astype(np.float32), surface.faces)
    charts = cut(Surface(mesh.positions, mesh.faces), kinds)
    area = float(face_areas(surface).sum())
    while True:
        try:
            made = quick_atlas(mesh, size_px, min(look.gutter_px, size_px // 16), charts=charts)
        except InputError:
            if size_px >= LARGEST_PX:
                raise
        else:
            if look.texture_px is not None or size_px >= look.largest_px:
                return made
            covered = float((texels_per_m(surface, made) ** 2 * face_areas(surface)).sum())
            if covered >= POOR * (ENOUGH * look.texels_per_m) ** 2 * area:
                return made
        size_px *= 2


def creased(atlas: Atlas, corner_normals: Float32[np.ndarray, "face 3 3"]) -> Atlas:
    """Vertices split along creases too, so that each has its normal."""
    vertices, faces, normals = split_normals(atlas.mesh.faces, corner_normals)
    old = atlas.mesh
    assert old.uvs is not None
    mesh = gltf.Mesh(old.positions[vertices], faces, normals=normals, uvs=old.uvs[vertices])
    return Atlas(mesh, atlas.vertices[vertices], atlas.size_px, atlas.gutter_px, atlas.charts)


@dataclass(frozen=True, slots=True)
class Layers:
    """Values per texel, `None` where a factor says it all."""

    base_color: Float32[np.ndarray, "texel 4"] | None
    metallic_roughness: Float32[np.ndarray, "texel 2"] | None
    occlusion: Float32[np.ndarray, "texel 1"] | None
    emissive: Float32[np.ndarray, "texel 3"] | None
    emissive_strength: float
    normal: Float32[np.ndarray, "texel 3"] | None
    """In the level's tangent frames."""
    tangents: Float32[np.ndarray, "vertex 4"] | None


def _layers(
    source: Appearance, atlas: Atlas, found: Cover, asked: Baked, *, normal_map: bool
) -> Layers:
    materials, places = source.model.materials, asked.places

    def differs(*names: str) -> bool:
        return len({tuple(getattr(m, n) for n in names) for m in materials}) > 1

    def drawn(slot: str) -> bool:
        return any(getattr(material, slot) is not None for material in materials)

    base = emissive = None
    if drawn("base_color") or differs("base_color_factor") or source.model.colors is not None:
        base = source.base_color(places)
        base[:, 3] = _kept_coverage(source.model, base[:, 3], asked, found.inside)
    surface_values = None
    if drawn("metallic_roughness") or differs("metallic_factor", "roughness_factor"):
        surface_values = source.metallic_roughness(places)
    occlusion = source.occlusion(places) if drawn("occlusion") else None
    strength = 1.0
    if drawn("emissive") or differs("emissive_factor", "emissive_strength"):
        emissive = source.emissive(places)
        strength = max(float(emissive.max(initial=0)), 1.0)
        emissive = emissive / np.float32(strength)
    normal = frames = None
    if normal_map or drawn("normal"):
        normal, frames = _normal_layer(source, atlas, found, asked)
    return Layers(base, surface_values, occlusion, emissive, strength, normal, frames)


def _kept_coverage(
    model: Model, alpha: Float32[np.ndarray, " texel"], asked: Baked, inside: Bool[np.ndarray, " t"]
) -> Float32[np.ndarray, " texel"]:
    """Scale the alpha of cut-outs until as many texels pass the cutoff as were covered
    (Castaño, "Computing Alpha Mipmaps", 2010)."""
    modes = np.array([material.alpha_mode == "MASK" for material in model.materials])
    cut = modes[model.face_materials[asked.places.faces]]
    values = alpha[cut & inside]
    if not len(values):
        return alpha
    wanted = round(float(values.mean(dtype=np.float64)) * len(values))
    if wanted == 0 or wanted == len(values):
        return alpha
    edge = float(np.partition(values, len(values) - wanted)[len(values) - wanted])
    if edge <= 0:
        return alpha
    out = alpha.copy()
    out[cut] = np.minimum(alpha[cut] * np.float32(CUTOFF / edge), 1)
    return out


def _normal_layer(
    source: Appearance, atlas: Atlas, found: Cover, asked: Baked
) -> tuple[Float32[np.ndarray, "texel 3"], Float32[np.ndarray, "vertex 4"]]:
    """World normals of the full mesh in the frames that a viewer will interpolate."""
    mesh = atlas.mesh
    assert mesh.normals is not None and mesh.uvs is not None
    of_corner = tangents(mesh.positions, mesh.normals, mesh.uvs, mesh.faces)
    frames = np.zeros((len(mesh.positions), 4), np.float32)
    frames[mesh.faces] = of_corner
    world = source.normals(asked.places, asked.facing)
    local = to_frames(world, of_corner, mesh.normals[mesh.faces], found.faces, found.barycentrics)
    return local, frames


@dataclass(frozen=True, slots=True)
class Pictures:
    """The finished maps."""

    base_color: UInt8[np.ndarray, "h w c"] | None
    surface: UInt8[np.ndarray, "h w 3"] | None
    """Occlusion, roughness, metallic."""
    emissive: UInt8[np.ndarray, "h w 3"] | None
    normal: UInt8[np.ndarray, "h w 3"] | None


def _pictures(found: Cover, layers: Layers) -> Pictures:
    """All layers as bytes, laid out and filled."""
    base, alpha = layers.base_color, None
    seen = np.ones(len(found.rows), bool)
    if base is not None and (base[:, 3] < 1).any():
        # The color of what cannot be seen comes from what can, or it would stain its rim.
        alpha, seen = base[:, 3:], base[:, 3] > UNSEEN
    every = _nearest(found, np.ones(len(seen), bool))
    ours = every if seen.all() or not seen.any() else _nearest(found, seen)
    color = surface = emissive = normal = None
    if base is not None:
        color = _laid(found, _color_bytes(base[:, :3]), ours)
        if alpha is not None:
            color = np.concatenate([color, _laid(found, _bytes(alpha), every)], axis=2)
    if layers.metallic_roughness is not None or layers.occlusion is not None:
        parts = np.full((len(seen), 3), 255, np.uint8)
        if layers.occlusion is not None:
            parts[:, :1] = _bytes(layers.occlusion)
        if layers.metallic_roughness is not None:
            parts[:, 1:] = _bytes(layers.metallic_roughness)
        surface = _laid(found, parts, every)
    if layers.emissive is not None:
        emissive = _laid(found, _color_bytes(layers.emissive), every)
    if layers.normal is not None:
        half = np.float32(0.5)
        normal = _laid(found, _bytes(layers.normal * half + half), every)
    return Pictures(color, surface, emissive, normal)


def _nearest(found: Cover, valid: Bool[np.ndarray, " texel"]) -> Int32[np.ndarray, "row column"]:
    """For every texel of the picture the nearest one that is valid."""
    mask = np.zeros((found.size_px, found.size_px), bool)
    mask[found.rows[valid], found.columns[valid]] = True
    return nearest_valid(mask, clean_px())


def _laid(
    found: Cover, values: UInt8[np.ndarray, "texel channel"], nearest: Int32[np.ndarray, "r c"]
) -> UInt8[np.ndarray, "row column channel"]:
    """A picture of values; between the charts those of the nearest texel, far off their mean."""
    size = found.size_px
    picture = np.zeros((size, size, values.shape[1]), np.uint8)
    picture[found.rows, found.columns] = values
    mean = np.rint(values.mean(axis=0)) if len(values) else np.zeros(values.shape[1])
    complete(picture, nearest, mean.astype(np.uint8))
    return picture


_CODES = np.rint(encode(np.arange(65_536) / 65_535) * 255).astype(np.uint8)


def _color_bytes(linear: np.ndarray) -> np.ndarray:
    """Linear to 8-bit sRGB, through a table."""
    return _CODES[np.rint(np.clip(linear, 0, 1) * np.float32(65_535)).astype(np.uint16)]


def _bytes(values: np.ndarray) -> np.ndarray:
    return np.rint(np.clip(values, 0, 1) * np.float32(255)).astype(np.uint8)


def _groups(
    model: Model, found: Cover, asked: Baked, layers: Layers, ids: Int[np.ndarray, " face"]
) -> tuple[list[tuple[AlphaMode, bool]], Int[np.ndarray, " face"]]:
    """Which alpha mode and sidedness each face gets: a face that shows any cut-out is one. A face
    too small for any texel has those of the input's face whose number it carries."""
    faces = len(ids)
    modes = {"OPAQUE": 0, "MASK": 1, "BLEND": 2}
    of_material = np.array([modes[material.alpha_mode] for material in model.materials])
    doubled = np.array([material.double_sided for material in model.materials])
    material = model.face_materials[asked.places.faces]
    mode = of_material[material]
    if layers.base_color is not None:
        mode = np.where(layers.base_color[:, 3] < 1, mode, 0)
    of_face = np.zeros(faces, np.int64)
    np.maximum.at(of_face, found.faces, mode)
    votes = np.bincount(found.faces, np.where(doubled[material], 1.0, -1.0), faces)
    seen = np.bincount(found.faces, minlength=faces) > 0
    own = model.face_materials[ids]
    of_face = np.where(seen, of_face, of_material[own])
    double = np.where(seen, votes >= 0, doubled[own])
    key = 2 * of_face + double
    used, index = np.unique(key, return_inverse=True)
    names: list[AlphaMode] = ["OPAQUE", "MASK", "BLEND"]
    return [(names[k // 2], bool(k % 2)) for k in used], index.reshape(-1)


def _material(
    model: Model, layers: Layers, pictures: Pictures, mode: AlphaMode, double_sided: bool
) -> Material:
    first = model.materials[0]

    def texture(pixels: np.ndarray | None) -> Texture | None:
        return None if pixels is None else Texture(pixels, ("clamp", "clamp"))

    surface = texture(pictures.surface)
    rough = None if layers.metallic_roughness is None else surface
    glows = layers.emissive is not None
    return Material(
        name=f"simplified {mode.lower()}" if mode != "OPAQUE" else "simplified",
        base_color=texture(pictures.base_color),
        base_color_factor=first.base_color_factor if layers.base_color is None else (1.0,) * 4,  # type: ignore[arg-type]
        metallic_roughness=rough,
        metallic_factor=first.metallic_factor if rough is None else 1.0,
        roughness_factor=first.roughness_factor if rough is None else 1.0,
        normal=texture(pictures.normal),
        occlusion=None if layers.occlusion is None else surface,
        emissive=texture(pictures.emissive),
        emissive_factor=(1.0, 1.0, 1.0) if glows else first.emissive_factor,
        emissive_strength=layers.emissive_strength if glows else first.emissive_strength,
        alpha_mode=mode,
        alpha_cutoff=CUTOFF,
        double_sided=double_sided,
        unlit=all(material.unlit for material in model.materials),
    )
