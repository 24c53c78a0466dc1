"""The normals of a finer mesh as a normal map, in the tangent frames that a viewer interpolates.

Every texel looks along its normal, from a little outside inwards: the finer surface that it meets
first counts if it faces about the same way, else the nearest one.
"""

from pathlib import Path

import numpy as np
from jaxtyping import Float32

from ....pipeline.contract import Context
from ...formats import wild
from ...geometry.appearance import Appearance, Places
from ...geometry.components import Surface
from ...geometry.frames import to_frames
from ...geometry.rays import Hits
from ...geometry.tangents import tangents
from .caster import Caster
from .layout import Layout, Points

REACH = 0.03
"""How far in front of a texel, and behind it, the finer surface may lie: a share of the radius."""
ALIGNED = 0.3
"""Cosine: only surfaces that look about the same way count."""
BLOCK = 1 << 20


def relief(
    path: Path, layout: Layout, ctx: Context
) -> tuple[Float32[np.ndarray, "texel 3"], Float32[np.ndarray, "vertex 4"]]:
    """Per texel a unit vector in the tangent frame there, and the frames per vertex."""
    fine = Appearance(wild.read(path))
    positions = fine.model.positions.astype(np.float32)
    caster = Caster(Surface(positions, fine.model.faces), ctx.threads)
    mesh = layout.mesh
    assert mesh.normals is not None and mesh.uvs is not None
    of_corner = tangents(mesh.positions, mesh.normals, mesh.uvs, mesh.faces)
    frames = np.zeros((len(mesh.positions), 4), np.float32)
    frames[mesh.faces] = of_corner
    corner_normals = mesh.normals[mesh.faces]
    out = np.zeros((len(layout), 3), np.float32)
    starts = range(0, len(layout), BLOCK)
    with ctx.progress("bake: normals", len(starts)) as bar:
        for start in starts:
            piece = slice(start, start + BLOCK)
            points = layout.points(piece)
            found = _followed(points, fine, caster, REACH * layout.radius_m)
            density = 1 / np.maximum(points.texel_m, 1e-30)
            places = Places(found.faces, found.barycentrics, density)
            world = fine.normals(places, points.normals)
            faces = layout.faces[piece].astype(np.int64)
            out[piece] = to_frames(
                world, of_corner, corner_normals, faces, layout.barycentrics[piece]
            )
            bar.advance()
    return out, frames


def _followed(points: Points, fine: Appearance, caster: Caster, reach_m: float) -> Hits:
    """Where each texel lies on the finer mesh."""
    outside = points.positions + np.float32(reach_m) * points.normals
    hits = caster.along(outside, -points.normals)
    aligned = np.einsum("px,px->p", fine.face_normals[hits.faces], points.normals) > ALIGNED
    lost = np.flatnonzero(~(aligned & (hits.distance_m <= 2 * reach_m)))
    near = caster.nearest(points.positions[lost])
    faces, weights = hits.faces.copy(), np.clip(hits.barycentrics, 0, 1)
    faces[lost], weights[lost] = near.faces, np.clip(near.barycentrics, 0, 1)
    return Hits(hits.distance_m, faces, weights)
