"""What is in a mesh, and what DCC tools and engines will make of it."""

from pathlib import Path

import numpy as np
import trimesh

from ..formats import wild
from ..formats.model import Material, Model
from ..geometry.components import edge_counts
from .remarks import Remark, fact, share

SHORT_INDEX = 65_535
LARGE_TEXTURE_PX = 8_192
TINY_M, HUGE_M = 0.01, 1_000.0


def remarks_on_mesh(path: Path) -> list[Remark]:
    """Facts first, then what is wrong."""
    model = wild.read(path)
    faces, vertices = len(model.faces), len(model.positions)
    return [
        fact(f"{faces:,} triangles, {vertices:,} vertices, {path.stat().st_size / 1e6:.1f} MB"),
        *_on_extent(model),
        *_on_surface(model),
        *_on_materials(model),
        *_on_uvs(model),
        *_on_size(vertices),
    ]


def _on_extent(model: Model) -> list[Remark]:
    used = model.positions[model.faces.reshape(-1)]
    low, high = used.min(axis=0), used.max(axis=0)
    size = float((high - low).max())
    found = [fact(f"bounds {np.round(low, 4).tolist()} to {np.round(high, 4).tolist()}")]
    if not TINY_M <= size <= HUGE_M:
        found.append(
            Remark(
                "warning",
                f"{size:.3g} units across: read as metres that is "
                f"{'tiny' if size < TINY_M else 'huge'}; perhaps it is in other units",
                "scale it, or set the units when importing",
            )
        )
    if np.abs(used).max() > 100 * max(size, 1e-9):
        found.append(
            Remark("note", "lies far from the origin, compared with its size: pivots will be odd")
        )
    return found


def _on_surface(model: Model) -> list[Remark]:
    """On the geometry with equal places joined, as edges go across seams of the texture."""
    places, inverse = np.unique(model.positions, axis=0, return_inverse=True)
    joined = inverse.reshape(-1)[model.faces]
    mesh = trimesh.Trimesh(places, joined, process=False)
    total, found = len(model.faces), []
    repeated = (joined == np.roll(joined, 1, axis=1)).any(axis=1) | (mesh.area_faces == 0)
    if repeated.any():
        found.append(
            Remark("warning", f"{share(int(repeated.sum()), total)} triangles have no area")
        )
    key = np.sort(joined, axis=1)
    double = total - len(np.unique(key, axis=0))
    if double:
        found.append(
            Remark("note", f"{share(double, total)} triangles lie on another one (two-sided?)")
        )
    borders, crowded = edge_counts(joined)
    parts = len(trimesh.graph.connected_components(mesh.edges, nodes=np.unique(joined)))
    found.insert(
        0,
        fact(
            f"{parts:,} parts, {borders:,} border edges"
            + (", watertight" if not borders and not crowded else "")
        ),
    )
    if crowded:
        found.append(
            Remark("note", f"{crowded:,} edges with more than two triangles (not a manifold)")
        )
    if not borders and not crowded and not mesh.is_winding_consistent:
        found.append(
            Remark("warning", "neighboring triangles face opposite ways", "recalculate the normals")
        )
    if not borders and mesh.is_winding_consistent and mesh.volume < 0:
        found.append(Remark("warning", "is inside out: all triangles face inwards", "flip it"))
    return found


def _on_materials(model: Model) -> list[Remark]:
    materials: list[Material] = list(model.materials)
    found = [fact(f"{len(materials)} materials")]
    sizes: dict[tuple[int, int], int] = {}
    for material in materials:
        for slot in ("base_color", "metallic_roughness", "normal", "occlusion", "emissive"):
            texture = getattr(material, slot)
            if texture is not None:
                height, width = texture.pixels.shape[:2]
                sizes[width, height] = sizes.get((width, height), 0) + 1
    if sizes:
        said = ", ".join(f"{n} of {w} x {h}" for (w, h), n in sorted(sizes.items()))
        found.append(fact(f"textures: {said}"))
    else:
        found.append(Remark("note", "no textures"))
    odd = [size for size in sizes if any(side & (side - 1) for side in size)]
    if odd:
        found.append(
            Remark(
                "note",
                f"{len(odd)} texture sizes are no powers of two: engines resize them or leave out "
                f"mip levels",
            )
        )
    if any(max(size) > LARGE_TEXTURE_PX for size in sizes):
        found.append(
            Remark("warning", f"textures above {LARGE_TEXTURE_PX} px: engines reduce them")
        )
    if any(material.alpha_mode == "BLEND" for material in materials):
        found.append(
            Remark("note", "blended transparency: is sorted per object, prefer cut-outs (MASK)")
        )
    return found


def _on_uvs(model: Model) -> list[Remark]:
    if not model.uvs:
        return [Remark("note", "no texture coordinates")]
    uv = model.uvs[0]
    outside = int(((uv < -1e-6) | (uv > 1 + 1e-6)).any(axis=1).sum())
    if not outside:
        return [fact("texture coordinates within 0..1")]
    return [
        Remark(
            "note",
            f"{share(outside, len(uv))} texture coordinates lie outside of 0..1 (tiling): baking "
            f"and light maps need others",
        )
    ]


def _on_size(vertices: int) -> list[Remark]:
    if vertices <= SHORT_INDEX:
        return []
    return [Remark("note", f"more than {SHORT_INDEX:,} vertices: needs 32-bit indices")]
