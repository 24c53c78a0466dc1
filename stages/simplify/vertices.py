"""What lies on the vertices of a level: colors and skin weights, from the full mesh."""

from dataclasses import replace

import numpy as np
from jaxtyping import Float, Float32, Int

from ..formats.model import Model
from ..geometry.appearance import Appearance, Places
from ..geometry.components import Surface
from ..geometry.decimation import Decimation, correspond
from ..geometry.tangents import crease_normals, split_normals

INSET = 1e-3
"""A vertex is looked up so far inside its face, in shares of the way to the middle."""
LATTICE = 6
"""Colors are fitted to the points of a triangular lattice with so many steps per side."""
RIDGE = 1e-3
"""Weight of a vertex's own mean in a fit, against that of its points."""
BONES = 4
"""Joints per vertex that glTF viewers must support."""


def vertex_colored(source: Appearance, decimation: Decimation, level: int, threads: int) -> Model:
    """A level with its base color on the vertices.

    The colors are fitted to points all over the faces, weighted by area, so that detail finer than
    the mesh is averaged instead of picked at random.
    """
    surface = Surface(decimation.levels[level].positions, decimation.levels[level].faces)
    points_of_face = lattice(LATTICE)
    faces = np.repeat(np.arange(len(surface.faces)), len(points_of_face))
    barycentrics = np.tile(points_of_face, (len(surface.faces), 1))
    corners = surface.positions[surface.faces]
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    areas = np.linalg.norm(cross, axis=1) / 2
    points = np.einsum("pc,pcx->px", barycentrics, corners[faces])
    found = correspond(decimation, level, faces, points, threads=threads)
    density = LATTICE / np.sqrt(np.maximum(2 * areas, 1e-300))
    color = source.base_color(Places(*found, density[faces]))
    weights = np.maximum(areas / max(float(areas.mean()), 1e-300), 1e-9)[faces]
    values = color.astype(np.float64)
    colors = fit(
        surface.faces[faces], barycentrics, values, weights, len(surface.positions)
    ).astype(np.float32)
    vertices, split, normals = split_normals(
        surface.faces, crease_normals(surface.positions, surface.faces)
    )
    materials = source.model.materials
    plain = replace(
        materials[0], name="simplified", base_color=None, base_color_factor=(1.0,) * 4,
        metallic_roughness=None, normal=None, occlusion=None, emissive=None,
        alpha_mode="OPAQUE", double_sided=any(m.double_sided for m in materials),
    )  # fmt: skip
    colors[:, 3] = 1
    return Model(
        positions=surface.positions[vertices],
        faces=split,
        face_materials=np.zeros(len(split), np.int64),
        materials=(plain,),
        normals=normals,
        colors=np.clip(colors[vertices], 0, 1),
    )


def fit(
    corners: Int[np.ndarray, "point 3"],
    barycentrics: Float[np.ndarray, "point 3"],
    values: Float[np.ndarray, "point channel"],
    weights: Float[np.ndarray, " point"],
    unknowns: int,
) -> Float[np.ndarray, "unknown channel"]:
    """The piecewise linear function nearest to values at points, by its values at the vertices.

    Weighted least squares, drawn a little to each vertex's own mean, so that none is undetermined.
    """
    from scipy import sparse
    from scipy.sparse.linalg import splu

    rows = np.repeat(np.arange(len(corners)), 3)
    shape = (len(corners), unknowns)
    matrix = sparse.csr_matrix((barycentrics.reshape(-1), (rows, corners.reshape(-1))), shape)
    weighted = sparse.diags(weights) @ matrix
    sums = weighted.T @ values
    mass = np.maximum(np.asarray(weighted.sum(axis=0)).reshape(-1), 1e-300)
    ridge = RIDGE * mass
    system = (matrix.T @ weighted + sparse.diags(ridge)).tocsc()
    return splu(system).solve(sums + ridge[:, None] * (sums / mass[:, None]))


def rigged(
    made: Model, source: Appearance, decimation: Decimation, level: int, threads: int
) -> Model:
    """`made` with the joints and weights of the full mesh, and its skeleton.

    Vertices at one place get the same weights, so that nothing tears when it moves.
    """
    model = source.model
    assert model.joints is not None and model.weights is not None
    surface = Surface(decimation.levels[level].positions, decimation.levels[level].faces)
    of_vertex = _owner(surface)
    faces, corner = of_vertex // 3, of_vertex % 3
    barycentrics = np.full((len(faces), 3), INSET / 3)
    barycentrics[np.arange(len(faces)), corner] += 1 - INSET
    corners = surface.positions[surface.faces[faces]]
    points = np.einsum("pc,pcx->px", barycentrics, corners)
    at, where = correspond(decimation, level, faces, points, threads=threads)
    joints, weights = blend_weights(
        model.joints[model.faces[at]], model.weights[model.faces[at]], where
    )
    place = places(surface.positions, made.positions)
    return replace(made, joints=joints[place], weights=weights[place], rig=model.rig)


def blend_weights(
    joints: Int[np.ndarray, "point 3 4"],
    weights: Float32[np.ndarray, "point 3 4"],
    barycentrics: Float[np.ndarray, "point 3"],
) -> tuple[Int[np.ndarray, "point 4"], Float32[np.ndarray, "point 4"]]:
    """The four heaviest joints of three corners together, weights summing to 1."""
    count = len(joints)
    joint = joints.reshape(count, -1)
    weight = (weights * barycentrics[..., None]).reshape(count, -1).astype(np.float64)
    order = np.argsort(joint, axis=1, kind="stable")
    joint = np.take_along_axis(joint, order, axis=1)
    weight = np.take_along_axis(weight, order, axis=1)
    for k in range(joint.shape[1] - 1, 0, -1):  # Equal joints are neighbors now: gather leftwards.
        same = joint[:, k] == joint[:, k - 1]
        weight[same, k - 1] += weight[same, k]
        weight[same, k] = 0
    heaviest = np.argsort(-weight, axis=1, kind="stable")[:, :BONES]
    joint = np.take_along_axis(joint, heaviest, axis=1)
    weight = np.take_along_axis(weight, heaviest, axis=1)
    total = weight.sum(axis=1, keepdims=True)
    weight = np.where(total > 0, weight / np.where(total > 0, total, 1), [1.0, 0, 0, 0])
    return np.where(weight > 0, joint, 0), weight.astype(np.float32)


def _owner(surface: Surface) -> Int[np.ndarray, " vertex"]:
    """For every vertex one corner (3 face + k) that is at it."""
    out = np.zeros(len(surface.positions), np.int64)
    flat = surface.faces.reshape(-1)
    out[flat[::-1]] = np.arange(len(flat))[::-1]
    return out


def places(
    old: Float[np.ndarray, "vertex 3"], new: Float[np.ndarray, "split 3"]
) -> Int[np.ndarray, " split"]:
    """For every split vertex the one it came from, by position."""
    _, index = np.unique(np.concatenate([old, new]), axis=0, return_inverse=True)
    index = index.reshape(-1)
    first = np.zeros(int(index.max()) + 1, np.int64)
    first[index[: len(old)][::-1]] = np.arange(len(old))[::-1]
    return first[index[len(old) :]]


def lattice(steps: int) -> Float[np.ndarray, "point 3"]:
    """Centres of the small triangles of a subdivided one, as barycentrics."""
    rows = []
    for i in range(steps):
        for j in range(steps - i):
            rows.append((i + 1 / 3, j + 1 / 3))
            if i + j < steps - 1:
                rows.append((i + 2 / 3, j + 2 / 3))
    ab = np.array(rows) / steps
    return np.column_stack([ab, 1 - ab.sum(axis=1)])
