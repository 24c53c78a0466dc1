"""What the field is baked into: a new atlas, or the charts that the mesh came with.

Only color is painted. Normals, roughness, metallic and occlusion stay: kept charts keep their
pictures as they are, over a new atlas they are baked anew. What glows is part of the old look and
goes. Alpha, which says what is there at all, stays too.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float32, Int, UInt8

from ...pipeline.errors import InputError
from ..formats import gltf, pictures
from ..formats.model import Material, Model, Texture
from ..geometry.appearance import Appearance, Places
from ..geometry.atlas import Atlas, atlas, cover, texels
from ..geometry.bake import Source, bake, fill
from ..geometry.components import Surface
from ..geometry.layouts import kept_atlas
from ..geometry.tangents import split_normals
from ..simplify.clothe import creased, dressed
from ..simplify.following import Baked, texels_per_m

CLAMP = ("clamp", "clamp")
UNSAID = (1.0, 1.0)
"""Metallic and roughness of a glTF material that says nothing: nothing of metal is meant."""
CUTOFF = 0.5
"""Of cut-outs, whose new alpha is the covered share of each texel."""

Painted = Callable[[Source], Model]
"""From a function of the surface's points to the textured model."""


def new_charts(model: Model, size_px: int, gutter_px: int) -> Painted:
    """Unwrap the mesh; vertices at one place become one, so that no chart ends at an old seam."""
    positions, place = np.unique(model.positions.astype(np.float32), axis=0, return_inverse=True)
    mesh = gltf.Mesh(positions, place.reshape(-1)[model.faces])
    made = creased(atlas(mesh, size_px, gutter_px), Appearance(model).corner_normals)

    def painted(ask: Source) -> Model:
        colors = _painted(made, ask)
        bare = Appearance(replace(model, materials=tuple(map(_uncolored, model.materials))))
        found = cover(made)
        density = texels_per_m(Surface(made.mesh.positions, made.mesh.faces), made)
        asked = Baked(
            Places(found.faces, found.barycentrics, density[found.faces]),
            bare.face_normals[found.faces],
        )
        ids = np.arange(len(model.faces))
        whole = dressed(bare, made, found, asked, ids, normal_map=False)
        materials = tuple(_colored(material, colors) for material in whole.materials)
        return _rigged(replace(whole, materials=materials), model)

    return painted


def kept_charts(model: Model, size_px: int, gutter_px: int, name: str) -> Painted:
    """The mesh's own charts. All materials share one picture if their charts do not overlap;
    else those have one that had one before.

    Raises InputError, with `name` in front, for a layout that is no atlas.
    """
    model = _shaded(model)
    used = [k for k in range(len(model.materials)) if (model.face_materials == k).any()]
    try:
        sheets = [_sheet(model, used, size_px, gutter_px, name)]
    except InputError:
        groups = _by_picture(model, used)
        if len(groups) == 1:
            raise
        sheets = [
            _sheet(model, group, size_px, gutter_px, f"{name} (material {_names(model, group)})")
            for group in groups
        ]

    def painted(ask: Source) -> Model:
        materials = list(model.materials)
        for sheet in sheets:
            picture = _painted(sheet.atlas, ask)
            clear = _alpha(model, sheet) if _see_through(model, sheet.materials) else None
            for k in sheet.materials:
                own = picture
                if clear is not None and materials[k].alpha_mode != "OPAQUE":
                    own = np.concatenate([picture, clear], axis=2)
                materials[k] = _repainted(materials[k], own)
        return replace(model, materials=tuple(materials), colors=None)

    return painted


@dataclass(frozen=True, slots=True)
class Sheet:
    """One picture."""

    atlas: Atlas
    """Of a soup: each face has its own three vertices."""
    faces: Int[np.ndarray, " face"]
    """Their numbers in the model."""
    materials: tuple[int, ...]


def _sheet(model: Model, materials: list[int], size_px: int, gutter_px: int, name: str) -> Sheet:
    faces = np.flatnonzero(np.isin(model.face_materials, materials))
    corners = model.faces[faces].reshape(-1)
    assert model.normals is not None
    mesh = gltf.Mesh(
        positions=model.positions[corners].astype(np.float32),
        faces=np.arange(len(corners)).reshape(-1, 3),
        normals=gltf.unit_normals(model.normals[corners]),
        uvs=_picture_uvs(model)[faces].reshape(-1, 2) if model.uvs else None,
    )
    return Sheet(kept_atlas(mesh, size_px, gutter_px, name), faces, tuple(materials))


def _picture_uvs(model: Model) -> Float32[np.ndarray, "face 3 2"]:
    """Where each face lies in the pictures of its material."""
    out = np.zeros((len(model.faces), 3, 2), np.float32)
    for k, material in enumerate(model.materials):
        laid, at = _laid(material), model.face_materials == k
        if laid.uv_set < len(model.uvs):
            rows = np.array(laid.transform)
            flat = model.uvs[laid.uv_set][model.faces[at]]
            out[at] = flat @ rows[:, :2].T + rows[:, 2]
    return out


def _laid(material: Material) -> Texture:
    """The picture whose layout counts: that of the color, else of another map."""
    nothing = Texture(np.zeros((1, 1, 3), np.uint8))
    return (
        material.base_color
        or material.normal
        or material.metallic_roughness
        or material.occlusion
        or nothing
    )


def _by_picture(model: Model, used: list[int]) -> list[list[int]]:
    """Materials that show the same picture belong together."""
    groups: dict[int, list[int]] = {}
    for k in used:
        picture = model.materials[k].base_color
        groups.setdefault(-1 - k if picture is None else id(picture.pixels), []).append(k)
    return list(groups.values())


def _names(model: Model, group: list[int]) -> str:
    return ", ".join(model.materials[k].name or str(k) for k in group)


def _painted(made: Atlas, ask: Source) -> UInt8[np.ndarray, "row column 3"]:
    where = texels(made)
    if not len(where.rows):
        raise InputError(f"texture: no face is large enough for a texel of {made.size_px} px.")
    return pictures.to_bytes(fill(bake(where, ask)))


def _alpha(model: Model, sheet: Sheet) -> UInt8[np.ndarray, "row column 1"]:
    """That of the old look: cut-outs as covered shares."""
    where, source = texels(sheet.atlas), Appearance(model)
    mesh = sheet.atlas.mesh
    density = texels_per_m(Surface(mesh.positions, mesh.faces), sheet.atlas)
    places = Places(
        sheet.faces[where.faces],
        where.barycentrics.astype(np.float64),
        density[where.faces],
    )
    values = source.base_color(places)[:, 3:]
    maps = bake(where, lambda positions, normals, faces: (values, np.ones(len(values), bool)))
    return pictures.to_bytes(fill(maps))


def _see_through(model: Model, materials: tuple[int, ...]) -> bool:
    return any(model.materials[k].alpha_mode != "OPAQUE" for k in materials)


def _repainted(material: Material, picture: UInt8[np.ndarray, "row column channel"]) -> Material:
    """With another color, laid as the old one was."""
    laid = _laid(material)
    return replace(
        _unlit_from_within(material),
        base_color=Texture(picture, CLAMP, uv_set=laid.uv_set, transform=laid.transform),
        base_color_factor=(1.0, 1.0, 1.0, 1.0),
        alpha_cutoff=CUTOFF,
    )


def _uncolored(material: Material) -> Material:
    """Without the old color; alpha stays where there is any."""
    bare = _unlit_from_within(material)
    if material.alpha_mode != "OPAQUE":
        return bare
    return replace(bare, base_color=None, base_color_factor=(1.0, 1.0, 1.0, 1.0))


def _unlit_from_within(material: Material) -> Material:
    """Without what glows; metal only where the file says so."""
    metallic = material.metallic_factor
    if material.metallic_roughness is None and (metallic, material.roughness_factor) == UNSAID:
        metallic = 0.0
    return replace(
        material, emissive=None, emissive_factor=(0.0, 0.0, 0.0), emissive_strength=1.0,
        metallic_factor=metallic,
    )  # fmt: skip


def _colored(material: Material, colors: UInt8[np.ndarray, "row column 3"]) -> Material:
    """With the picture over the new atlas, in place of whatever is there but alpha."""
    old = material.base_color
    if old is not None and old.pixels.shape[2] == 4:
        colors = np.concatenate([colors, old.pixels[..., 3:]], axis=2)
    return replace(
        material,
        name=material.name.replace("simplified", "painted"),
        base_color=Texture(colors, CLAMP),
        base_color_factor=(1.0, 1.0, 1.0, material.base_color_factor[3]),
    )


def _rigged(made: Model, model: Model) -> Model:
    """Bound to the bones as the old vertices were. Faces and corners are in the old order."""
    if model.rig is None or model.joints is None or model.weights is None:
        return made
    old = np.zeros(len(made.positions), np.int64)
    old[made.faces.reshape(-1)] = model.faces.reshape(-1)
    return replace(made, joints=model.joints[old], weights=model.weights[old], rig=model.rig)


def _shaded(model: Model) -> Model:
    """Vertices and normals of the file if all have one; else split where creases need it."""
    if model.normals is not None and not (model.normals == 0).all(axis=1).any():
        return model
    old, faces, normals = split_normals(model.faces, Appearance(model).corner_normals)
    taken = {
        name: None if getattr(model, name) is None else getattr(model, name)[old]
        for name in ("tangents", "colors", "joints", "weights", "importance")
    }
    return replace(
        model, positions=model.positions[old], faces=faces, normals=normals,
        uvs=tuple(uv[old] for uv in model.uvs), **taken,
    )  # fmt: skip


def glows(model: Model) -> bool:
    """Whether any of the old look comes from within."""
    return any(any(material.emissive_factor) for material in model.materials)
