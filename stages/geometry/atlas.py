"""The one atlas: a mesh unwrapped into charts, and the surface point under every texel.

Texture coordinates are glTF's (`formats/gltf.py`): texel (row, column) of a picture of `size`
pixels has its centre at uv = ((column + 0.5) / size, (row + 0.5) / size). Charts are made and
packed by xatlas (MIT), which is deterministic; they keep at least `gutter_px` texels from each
other and half as much from the border.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Float32, Int

from ...pipeline.errors import InputError
from ...renderers.cpu.compiled import inner, lean_kernel
from ..formats.gltf import Mesh
from .charts import Charts, cut
from .components import Surface, vertex_normals
from .packing import pack

REACH_PX = 1.5
"""Texels up to this far outside a chart are baked too: all that bilinear sampling can touch."""
MOST_FACES = 60_000
"""xatlas takes about 10 s for so many, and has crashed the process on a ball of 82 000; larger
meshes are cut in pieces."""
PACKINGS = 9
"""Bisections of the texel density; each takes about 0.1 s."""


@dataclass(frozen=True, slots=True)
class Atlas:
    """A mesh whose vertices are split along the charts' borders, with `uvs`."""

    mesh: Mesh
    """Same faces in the same order as the mesh that came in."""
    vertices: Int[np.ndarray, " vertex"]
    """Index of each vertex in the mesh that came in."""
    size_px: int
    gutter_px: int
    charts: int


@dataclass(frozen=True, slots=True)
class Cover:
    """Which texels show a piece of surface, in row-major order."""

    rows: Int[np.ndarray, " texel"]
    columns: Int[np.ndarray, " texel"]
    faces: Int[np.ndarray, " texel"]
    barycentrics: Float[np.ndarray, "texel 3"]
    inside: Bool[np.ndarray, " texel"]
    """False in the rim of `REACH_PX` around charts, where the nearest surface point counts."""
    size_px: int


@dataclass(frozen=True, slots=True)
class Texels:
    """The same with the surface there."""

    rows: Int[np.ndarray, " texel"]
    columns: Int[np.ndarray, " texel"]
    faces: Int[np.ndarray, " texel"]
    barycentrics: Float32[np.ndarray, "texel 3"]
    positions: Float32[np.ndarray, "texel 3"]
    normals: Float32[np.ndarray, "texel 3"]
    """Unit length, interpolated."""
    inside: Bool[np.ndarray, " texel"]
    size_px: int


def atlas(mesh: Mesh, size_px: int, gutter_px: int = 4) -> Atlas:
    """Unwrap `mesh` for a square picture of `size_px`, as densely as the charts can be packed.

    Uvs that the mesh may have are not kept; normals are made where it has none.
    """
    import xatlas

    if not 16 <= size_px <= 16_384 or not 1 <= gutter_px <= size_px // 8:
        raise ValueError(f"no atlas of {size_px} px with a gutter of {gutter_px} px.")
    if len(mesh.faces) > MOST_FACES:
        return quick_atlas(mesh, size_px, gutter_px)
    charter = xatlas.Atlas()
    charter.add_mesh(_unit_sized(mesh.positions), mesh.faces.astype(np.uint32))
    first = xatlas.PackOptions()
    first.resolution, first.padding = 256, 0
    charter.generate(pack_options=first)
    vertices, faces, uvs = charter[0]
    flat = (uvs * [charter.width, charter.height]).astype(np.float32)
    again, faces, uvs = _pack(flat, faces.astype(np.int64), size_px, gutter_px, charter.chart_count)
    vertices = vertices.astype(np.int64)[again]
    if not np.array_equal(vertices[faces], mesh.faces):
        raise RuntimeError("xatlas has changed the order of the faces.")
    split = _split(mesh, vertices, faces, uvs)
    return Atlas(split, vertices, size_px, gutter_px, charter.chart_count)


def quick_atlas(
    mesh: Mesh, size_px: int, gutter_px: int = 4, *, charts: Charts | None = None
) -> Atlas:
    """The same for meshes of any size and make, in a tenth of the time or less: with some more
    charts, packed as rectangles (`charts.py`, `packing.py`). `charts` are those of `mesh`, where
    they are already known."""
    charts = charts or cut(Surface(mesh.positions, mesh.faces))
    uvs = pack(charts.flat, charts.chart, size_px, gutter_px)
    if uvs is None:
        raise InputError(_too_many(charts.count, size_px, gutter_px))
    split = _split(mesh, charts.vertices, charts.faces, uvs)
    return Atlas(split, charts.vertices, size_px, gutter_px, charts.count)


def cover(atlas: Atlas) -> Cover:
    """Rasterize all charts: which place of which face lies under the centre of each texel."""
    mesh = atlas.mesh
    assert mesh.uvs is not None
    corners = (mesh.uvs.astype(np.float64) * atlas.size_px)[mesh.faces]
    nearest, squares, count = _rasterize(corners, atlas.size_px, REACH_PX)
    rows, columns, faces, weights, inside = _listed(corners, nearest, squares, count)
    return Cover(rows, columns, faces, weights, inside, atlas.size_px)


def texels(atlas: Atlas) -> Texels:
    """The same with positions and normals."""
    mesh, found = atlas.mesh, cover(atlas)
    assert mesh.normals is not None
    triangles = mesh.faces[found.faces]
    normals = _blend(mesh.normals, triangles, found.barycentrics)
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    return Texels(
        rows=found.rows,
        columns=found.columns,
        faces=found.faces,
        barycentrics=found.barycentrics.astype(np.float32),
        positions=_blend(mesh.positions, triangles, found.barycentrics).astype(np.float32),
        normals=(normals / np.maximum(length, 1e-12)).astype(np.float32),
        inside=found.inside,
        size_px=atlas.size_px,
    )


def _split(
    mesh: Mesh,
    vertices: Int[np.ndarray, " vertex"],
    faces: Int[np.ndarray, "face 3"],
    uvs: Float32[np.ndarray, "vertex 2"],
) -> Mesh:
    """`mesh` with its vertices split along the charts' borders."""
    normals = smooth_normals(mesh) if mesh.normals is None else mesh.normals
    return replace(
        mesh,
        positions=mesh.positions[vertices],
        faces=faces,
        normals=normals[vertices],
        uvs=uvs,
        colors=None if mesh.colors is None else mesh.colors[vertices],
        base_color=None,
    )


def _too_many(charts: int, size_px: int, gutter_px: int) -> str:
    return (
        f"The mesh falls into {charts} charts, too many for a texture of {size_px} px "
        f"with {gutter_px} px between them. Use a larger texture or a smoother mesh."
    )


def _unit_sized(positions: Float32[np.ndarray, "vertex 3"]) -> Float32[np.ndarray, "vertex 3"]:
    """xatlas takes faces smaller than about 1e-6 for degenerate, whatever the size of the mesh."""
    low, high = positions.min(axis=0), positions.max(axis=0)
    extent = float((high - low).max())
    return ((positions - low) / (extent if extent > 0 else 1.0)).astype(np.float32)


def smooth_normals(mesh: Mesh) -> Float32[np.ndarray, "vertex 3"]:
    """Normals of a mesh without any; vertices at one place share theirs."""
    positions, place = np.unique(mesh.positions, axis=0, return_inverse=True)
    place = place.reshape(-1)
    return vertex_normals(Surface(positions, place[mesh.faces]))[place].astype(np.float32)


def _pack(
    flat: Float32[np.ndarray, "vertex 2"],
    faces: Int[np.ndarray, "face 3"],
    size_px: int,
    gutter_px: int,
    charts: int,
) -> tuple[Int[np.ndarray, " new"], Int[np.ndarray, "face 3"], Float32[np.ndarray, "new 2"]]:
    """Pack flat charts into one page, looking for the largest texel density that fits.

    Returns the old index of each vertex, the faces, and uvs in 0 to 1.
    """
    corners = flat[faces].astype(np.float64)
    sides = corners[:, 1:] - corners[:, :1]
    area = 0.5 * np.abs(sides[:, 0, 0] * sides[:, 1, 1] - sides[:, 0, 1] * sides[:, 1, 0]).sum()
    high = math.log(size_px / math.sqrt(max(area, 1e-12)))
    low, best = high - math.log(64), None
    for attempt in range(PACKINGS):
        density = low if attempt == 0 else (low + high) / 2
        packed = _pack_once(flat, faces, size_px, gutter_px, math.exp(density))
        if packed is not None:
            best, low = packed, density
        elif attempt == 0:
            raise InputError(_too_many(charts, size_px, gutter_px))
        else:
            high = density
    assert best is not None
    return best


def _pack_once(
    flat: np.ndarray, faces: np.ndarray, size_px: int, gutter_px: int, density: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """One packing at `density` texels per unit, or `None` where it needs a second page."""
    import xatlas

    margin = (gutter_px + 1) // 2
    page = size_px - 2 * margin
    options = xatlas.PackOptions()
    options.resolution, options.texels_per_unit = page, density
    # xatlas pads every chart on its own, so that two paddings lie between two charts.
    options.padding, options.bilinear = margin, True
    packer = xatlas.Atlas()
    packer.add_uv_mesh(flat, faces.astype(np.uint32))
    packer.generate(pack_options=options)
    if packer.atlas_count != 1 or max(packer.width, packer.height) > page:
        return None
    again, indices, uvs = packer[0]
    uvs = (uvs.astype(np.float64) * [packer.width, packer.height] + margin) / size_px
    return again.astype(np.int64), indices.astype(np.int64), uvs.astype(np.float32)


def _blend(
    values: Float[np.ndarray, "vertex 3"],
    triangles: Int[np.ndarray, "texel 3"],
    weights: Float[np.ndarray, "texel 3"],
) -> Float[np.ndarray, "texel 3"]:
    return np.einsum("tc,tcx->tx", weights, values[triangles].astype(np.float64))


def _rasterize(corners, size, reach):
    """Per texel: the nearest face, or -1; the squared distance in px. And how many have a face.

    A texel centre inside a face has distance 0; on a shared edge the first face has it.
    """
    faces = np.full((size, size), -1, np.int32)
    squares = np.full((size, size), reach * reach, np.float64)
    count = _draw(corners, size, float(reach), faces, squares)
    return faces, squares, count


@lean_kernel
def _draw(corners, size, reach, faces, squares):
    count = 0
    for face in range(len(corners)):
        ax, ay = corners[face, 0]
        bx, by = corners[face, 1]
        cx, cy = corners[face, 2]
        left = max(0, int(np.floor(min(ax, bx, cx) - reach)))
        right = min(size - 1, int(np.ceil(max(ax, bx, cx) + reach)))
        top = max(0, int(np.floor(min(ay, by, cy) - reach)))
        bottom = min(size - 1, int(np.ceil(max(ay, by, cy) + reach)))
        for row in range(top, bottom + 1):
            for column in range(left, right + 1):
                if squares[row, column] == 0:
                    continue
                square, _, _, _ = _nearest(column + 0.5, row + 0.5, ax, ay, bx, by, cx, cy)
                if square < squares[row, column]:
                    count += faces[row, column] < 0
                    squares[row, column] = square
                    faces[row, column] = face
    return count


def _listed(corners, nearest, squares, count):
    """The texels with a face, and where on it they are."""
    rows, columns = np.empty(count, np.int64), np.empty(count, np.int64)
    faces, weights = np.empty(count, np.int64), np.empty((count, 3), np.float64)
    inside = np.empty(count, np.bool_)
    _list(corners, nearest, squares, rows, columns, faces, weights, inside)
    return rows, columns, faces, weights, inside


@lean_kernel
def _list(corners, nearest, squares, rows, columns, faces, weights, inside):
    n = 0
    for row in range(len(nearest)):
        for column in range(len(nearest)):
            face = nearest[row, column]
            if face < 0:
                continue
            ax, ay = corners[face, 0]
            bx, by = corners[face, 1]
            cx, cy = corners[face, 2]
            _, weights[n, 0], weights[n, 1], weights[n, 2] = _nearest(
                column + 0.5, row + 0.5, ax, ay, bx, by, cx, cy
            )
            rows[n], columns[n], faces[n] = row, column, face
            inside[n] = squares[row, column] == 0
            n += 1


@inner
def _nearest(px, py, ax, ay, bx, by, cx, cy):
    """Squared distance of a point to a triangle, and barycentrics of the nearest point."""
    doubled = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
    if abs(doubled) > 1e-12:
        wb = ((px - ax) * (cy - ay) - (py - ay) * (cx - ax)) / doubled
        wc = ((bx - ax) * (py - ay) - (by - ay) * (px - ax)) / doubled
        wa = 1 - wb - wc
        if wa >= 0 and wb >= 0 and wc >= 0:
            return 0.0, wa, wb, wc
    ab, t = _nearest_on_segment(px, py, ax, ay, bx, by)
    square, wa, wb, wc = ab, 1 - t, t, 0.0
    bc, t = _nearest_on_segment(px, py, bx, by, cx, cy)
    if bc < square:
        square, wa, wb, wc = bc, 0.0, 1 - t, t
    ca, t = _nearest_on_segment(px, py, cx, cy, ax, ay)
    if ca < square:
        square, wa, wb, wc = ca, t, 0.0, 1 - t
    return square, wa, wb, wc


@inner
def _nearest_on_segment(px, py, ax, ay, bx, by):
    """Squared distance of a point to a segment, and how far along the nearest point lies."""
    dx, dy = bx - ax, by - ay
    length = dx * dx + dy * dy
    t = 0.0
    if length > 0:
        t = min(1.0, max(0.0, ((px - ax) * dx + (py - ay) * dy) / length))
    ex, ey = px - ax - t * dx, py - ay - t * dy
    return ex * ex + ey * ey, t
