"""The mesh laid out: every texel with its place on the surface, in as little memory as it takes.

A texture of 4096 x 4096 px has some 12 million texels, so their positions are worked out when a
block of them is at hand.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Int, Int32

from ...formats import gltf
from ...formats.model import Model
from ...geometry.appearance import Appearance
from ...geometry.atlas import Atlas, atlas, cover
from ...geometry.components import Surface, face_areas
from ...geometry.layouts import kept_atlas
from ...geometry.sampling import blended
from ...geometry.tangents import split_normals


@dataclass(frozen=True, slots=True)
class Points:
    """Some texels as points on the surface."""

    positions: Float32[np.ndarray, "texel 3"]
    normals: Float32[np.ndarray, "texel 3"]
    """Unit length."""
    texel_m: Float32[np.ndarray, " texel"]
    """Side of a texel, on the surface."""


@dataclass(frozen=True, slots=True)
class Layout:
    """All texels, in row-major order."""

    mesh: gltf.Mesh
    """With normals and uvs; vertices are split at charts' borders and creases."""
    charts: int
    size_px: int
    rows: Int32[np.ndarray, " texel"]
    columns: Int32[np.ndarray, " texel"]
    faces: Int32[np.ndarray, " texel"]
    barycentrics: Float32[np.ndarray, "texel 3"]
    inside: Bool[np.ndarray, " texel"]
    """False in the rim around the charts that only bilinear sampling touches."""
    texel_m: Float32[np.ndarray, " face"]
    center: Float32[np.ndarray, "3"]
    radius_m: float
    """Of the mesh around the middle of its bounding box."""

    def __len__(self) -> int:
        return len(self.rows)

    def points(self, which: slice | Int[np.ndarray, " some"]) -> Points:
        faces, weights = self.faces[which].astype(np.int64), self.barycentrics[which]
        mesh = self.mesh
        assert mesh.normals is not None
        normals = blended(mesh.normals[mesh.faces], faces, weights)
        length = np.linalg.norm(normals, axis=1, keepdims=True)
        return Points(
            positions=blended(mesh.positions[mesh.faces], faces, weights),
            normals=normals / np.maximum(length, np.float32(1e-12)),
            texel_m=self.texel_m[faces],
        )

    @property
    def surface(self) -> Surface:
        return Surface(self.mesh.positions, self.mesh.faces)


def lay_out(model: Model, size_px: int, gutter_px: int, *, keep_uvs: bool, name: str) -> Layout:
    """Unwrap the mesh, or take its own layout.

    Raises InputError, with `name` in front, for a layout that is no atlas or does not fit.
    """
    normals = Appearance(model).corner_normals
    made = _kept(model, size_px, gutter_px, name) if keep_uvs else _new(model, size_px, gutter_px)
    mesh = _with_normals(made.mesh, normals)
    found = cover(Atlas(mesh, made.vertices, size_px, made.gutter_px, made.charts))
    positions = mesh.positions[np.unique(mesh.faces)]
    center = (positions.min(axis=0) + positions.max(axis=0)) / 2
    return Layout(
        mesh=mesh,
        charts=made.charts,
        size_px=size_px,
        rows=found.rows.astype(np.int32),
        columns=found.columns.astype(np.int32),
        faces=found.faces.astype(np.int32),
        barycentrics=found.barycentrics.astype(np.float32),
        inside=found.inside,
        texel_m=_texel_m(mesh, size_px),
        center=center,
        radius_m=max(float(np.linalg.norm(positions - center, axis=1).max()), 1e-9),
    )


def _new(model: Model, size_px: int, gutter_px: int) -> Atlas:
    """Vertices at one place become one first: no chart shall end where only an attribute does."""
    positions, place = np.unique(model.positions.astype(np.float32), axis=0, return_inverse=True)
    return atlas(gltf.Mesh(positions, place.reshape(-1)[model.faces]), size_px, gutter_px)


def _kept(model: Model, size_px: int, gutter_px: int, name: str) -> Atlas:
    mesh = gltf.Mesh(
        positions=model.positions.astype(np.float32),
        faces=model.faces.astype(np.int64),
        uvs=model.uvs[0] if model.uvs else None,
    )
    return kept_atlas(mesh, size_px, gutter_px, name)


def _with_normals(mesh: gltf.Mesh, normals: Float32[np.ndarray, "face 3 3"]) -> gltf.Mesh:
    """Vertices split where the corners' normals differ, or the side that the texture shows: a
    vertex has one tangent frame."""
    assert mesh.uvs is not None
    uvs = mesh.uvs[mesh.faces].astype(np.float64)
    one, two = uvs[:, 1] - uvs[:, 0], uvs[:, 2] - uvs[:, 0]
    mirrored = one[:, 0] * two[:, 1] - one[:, 1] * two[:, 0] > 0
    sided = mesh.faces + len(mesh.positions) * mirrored[:, None]
    old, faces, split = split_normals(sided, normals)
    old = old % len(mesh.positions)
    return gltf.Mesh(
        mesh.positions[old], faces, normals=gltf.unit_normals(split), uvs=mesh.uvs[old]
    )


def _texel_m(mesh: gltf.Mesh, size_px: int) -> Float32[np.ndarray, " face"]:
    """Side of a texel on each face; where a face has no area in the texture, the largest."""
    assert mesh.uvs is not None
    uvs = mesh.uvs[mesh.faces].astype(np.float64) * size_px
    one, two = uvs[:, 1] - uvs[:, 0], uvs[:, 2] - uvs[:, 0]
    drawn = np.abs(one[:, 0] * two[:, 1] - one[:, 1] * two[:, 0]) / 2
    real = face_areas(Surface(mesh.positions.astype(np.float64), mesh.faces))
    some = drawn > 1e-12
    sides = np.sqrt(real / np.where(some, drawn, 1))
    return np.where(some, sides, sides[some].max(initial=0)).astype(np.float32)
