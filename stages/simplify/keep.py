"""Simplified with the input's own materials and texture coordinates: for tiling and trim sheets.

Texture coordinates are fitted: the unknowns are one uv per vertex and chart, the data are points
all over the level's faces, followed back to the input, with the uv that they have there; the
solution is the piecewise linear map nearest to all of them. A face belongs to the chart that most
of its points came from. So the seams move with the surface, and the face count is reached; where
charts show unrelated parts of a picture, faces across a former seam show a little of the wrong
side, which a fresh atlas does not.
"""

import numpy as np
from jaxtyping import Int

from ..formats.model import Model
from ..geometry.appearance import Appearance, Places
from ..geometry.components import Surface, components
from ..geometry.decimation import Decimation, correspond
from ..geometry.tangents import crease_normals, split_normals, tangents
from .vertices import fit, lattice

STEPS = 4
"""Points per face: so many squared."""


def keep_uvs(source: Appearance, decimation: Decimation, level: int, threads: int) -> Model:
    """One level with the input's materials, uvs and vertex colors."""
    model = source.model
    surface = Surface(decimation.levels[level].positions, decimation.levels[level].faces)
    weights = lattice(STEPS)
    count = len(weights)
    faces = np.repeat(np.arange(len(surface.faces)), count)
    barycentrics = np.tile(weights, (len(surface.faces), 1))
    corners = surface.positions[surface.faces]
    points = np.einsum("pc,pcx->px", barycentrics, corners[faces])
    found = correspond(decimation, level, faces, points, threads=threads)
    places = Places(*found, np.ones(len(faces)))
    of_point = charts(model)[places.faces].reshape(-1, count)
    of_face = _most_frequent(of_point)
    agree = (of_point == of_face[:, None]).reshape(-1)
    values = [source.blend(uv, places) for uv in model.uvs]
    values += [] if model.colors is None else [source.blend(model.colors, places)]
    split = Surface(surface.positions, surface.faces)
    key = surface.faces * (int(of_face.max()) + 1) + of_face[:, None]
    _, first, index = np.unique(key.reshape(-1), return_index=True, return_inverse=True)
    corner_of = index.reshape(-1, 3)
    if values:
        data = np.concatenate(values, axis=1).astype(np.float64)
        here = corner_of[faces[agree]]
        equal = np.ones(len(here))
        fitted = fit(here, barycentrics[agree], data[agree], equal, len(first))
    else:
        fitted = np.zeros((len(first), 0))
    vertex = surface.faces.reshape(-1)[first]
    again, new_faces, normals = split_normals(
        corner_of, crease_normals(split.positions, split.faces)
    )
    uvs = tuple(fitted[again, 2 * k : 2 * k + 2].astype(np.float32) for k in range(len(model.uvs)))
    positions = surface.positions[vertex[again]]
    middle = places.faces.reshape(-1, count)[
        np.arange(len(of_face)), (of_point == of_face[:, None]).argmax(axis=1)
    ]
    frames = None
    if uvs and any(material.normal for material in model.materials):
        frames = np.zeros((len(positions), 4), np.float32)
        frames[new_faces] = tangents(positions, normals, uvs[0], new_faces)
    return Model(
        positions=positions,
        faces=new_faces,
        face_materials=model.face_materials[middle],
        materials=model.materials,
        normals=normals,
        tangents=frames,
        uvs=uvs,
        colors=None
        if model.colors is None
        else np.clip(fitted[again, -4:], 0, 1).astype(np.float32),
    )


def charts(model: Model) -> Int[np.ndarray, " face"]:
    """Faces that hang together with their uvs and material have one number."""
    columns = [model.positions, *model.uvs]
    codes = [np.unique(values, axis=0, return_inverse=True)[1].reshape(-1) for values in columns]
    corners = [code[model.faces].reshape(-1) for code in codes]
    corners.append(np.repeat(model.face_materials, 3))
    same = np.unique(np.stack(corners, axis=1), axis=0, return_inverse=True)[1].reshape(-1, 3)
    return components(Surface(np.zeros((int(same.max()) + 1, 3)), same))


def _most_frequent(values: Int[np.ndarray, "row column"]) -> Int[np.ndarray, " row"]:
    """Of each row; the smallest of equally frequent ones."""
    ordered = np.sort(values, axis=1)
    runs = (ordered[:, :, None] == ordered[:, None, :]).sum(axis=2)
    return np.take_along_axis(ordered, runs.argmax(axis=1)[:, None], axis=1)[:, 0]
