"""Posable characters: skinned meshes made of bones, with clothes, faces and coats of their own.

A figure is a skeleton of round cones. Its skin is the smooth union of them, meshed at rest; each
vertex hangs on the bone nearest to it and on that one's neighbors in the skeleton, so that joints
bend smoothly (linear blend skinning). Two-legged ones stand in T-pose and face +Z; four-legged
ones stand along X, so that the camera in front sees their side.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation
from splatworks.renderers.meshes import MeshScene
from splatworks.stages.geometry.components import Surface, canonical
from splatworks.stages.geometry.isosurface import isosurface
from splatworks.stages.scene.affine import about

KINDS = ("person", "person", "beast") * 4
"""Of the twelve cases, in order."""
CUBE_M = 1.5
"""Side of the cube that is meshed, around the origin."""
VOXELS = 144
BLEND_M = 0.012
"""How far the union, and the skinning weights, reach from one bone into the next."""

Points = Float[np.ndarray, "point 3"]


@dataclass(frozen=True)
class Bone:
    """A round cone that turns about its start, together with what hangs on it."""

    name: str
    parent: int
    start: np.ndarray
    end: np.ndarray
    radii: tuple[float, float]
    """At the start and at the end."""


@dataclass(frozen=True)
class Figure:
    """A skinned mesh at rest."""

    bones: tuple[Bone, ...]
    surface: Surface
    weights: Float[np.ndarray, "vertex bone"]
    colors: Float[np.ndarray, "vertex 3"]
    """sRGB."""

    def posed(self, moves: Float[np.ndarray, "bone 4 4"]) -> MeshScene:
        """As its bones are moved."""
        blended = np.einsum("vb,bij->vij", self.weights, moves)
        rest = self.surface.positions
        places = np.einsum("vij,vj->vi", blended[:, :3, :3], rest) + blended[:, :3, 3]
        linear = np.where(
            self.colors <= 0.04045, self.colors / 12.92, ((self.colors + 0.055) / 1.055) ** 2.4
        )
        return MeshScene(places, self.surface.faces, vertex_colors=linear)


def figure(kind: str, seed: int) -> Figure:
    """One character at rest."""
    rng = np.random.default_rng(seed)
    bones = tuple(person(rng) if kind == "person" else beast(rng))

    def distance(unit: Points) -> Float[np.ndarray, " point"]:
        far = distances(bones, (unit.astype(np.float64) - 0.5) * CUBE_M)
        nearest = far.min(axis=1)
        bulge = np.log(np.exp((nearest[:, None] - far) / BLEND_M).sum(axis=1))
        return ((nearest - BLEND_M * bulge) / CUBE_M).astype(np.float32)

    found = canonical(isosurface(distance, VOXELS))
    points = (found.positions.astype(np.float64) - 0.5) * CUBE_M
    weights = skinning(bones, points)
    colors = (clothes if kind == "person" else coat)(bones, points, weights, rng)
    return Figure(bones, Surface(points, found.faces), weights, colors)


def distances(bones: tuple[Bone, ...], points: Points) -> Float[np.ndarray, "point bone"]:
    """To each bone's cone, about; negative inside."""
    out = np.empty((len(points), len(bones)))
    for k, bone in enumerate(bones):
        along = bone.end - bone.start
        share = ((points - bone.start) @ along / (along @ along)).clip(0, 1)
        axis = bone.start + share[:, None] * along
        low, high = bone.radii
        out[:, k] = np.linalg.norm(points - axis, axis=1) - (low + share * (high - low))
    return out


def skinning(bones: tuple[Bone, ...], points: Points) -> Float[np.ndarray, "point bone"]:
    """The nearest bone, and its neighbors in the skeleton where they are about as near."""
    far = distances(bones, points)
    joined = np.eye(len(bones), dtype=bool)
    for k, bone in enumerate(bones):
        if bone.parent >= 0:
            joined[k, bone.parent] = joined[bone.parent, k] = True
    owner = far.argmin(axis=1)
    relative = far - far.min(axis=1, keepdims=True)
    weights = np.exp(-relative / BLEND_M) * joined[owner]
    return weights / weights.sum(axis=1, keepdims=True)


def person(rng: np.random.Generator) -> list[Bone]:
    """Cartoon proportions: hips, chest, head, two arms and two legs of two bones each."""
    torso, girth = rng.uniform(0.2, 0.28), rng.uniform(0.085, 0.12)
    arm, leg = rng.uniform(0.16, 0.2), rng.uniform(0.17, 0.21)
    thick, head = rng.uniform(0.035, 0.05), rng.uniform(0.1, 0.14)
    bones = [
        Bone("hips", -1, _at(0, -0.06), _at(0, 0.02), (girth * 0.9, girth * 0.85)),
        Bone("chest", 0, _at(0, 0.03), _at(0, torso), (girth * 0.85, girth)),
        Bone("head", 1, _at(0, torso + girth), _at(0, torso + girth + head), (head * 0.9, head)),
    ]
    for side in (-1, 1):
        shoulder = _at(side * (girth + 0.4 * thick), torso + 0.2 * girth)
        elbow, hand = shoulder + _at(side * arm, 0), shoulder + _at(side * 2 * arm, 0)
        bones.append(Bone("arm", 1, shoulder, elbow, (thick, thick)))
        bones.append(Bone("forearm", len(bones) - 1, elbow, hand, (thick, 1.15 * thick)))
        hip = _at(side * 0.62 * girth, -0.06 - 0.6 * girth)
        knee, foot = hip + _at(side * 0.02, -leg), hip + _at(side * 0.03, -2 * leg, 0.02)
        calf = 0.42 * girth
        bones.append(Bone("leg", 0, hip, knee, (1.1 * calf, calf)))
        bones.append(Bone("shin", len(bones) - 1, knee, foot, (calf, 1.15 * calf)))
    return bones


def beast(rng: np.random.Generator) -> list[Bone]:
    """Rump, chest, neck, head, tail, and four legs of two bones each; the head is at +X."""
    long, girth = rng.uniform(0.3, 0.38), rng.uniform(0.1, 0.125)
    leg, thick = rng.uniform(0.13, 0.17), rng.uniform(0.035, 0.048)
    neck, head = rng.uniform(0.14, 0.22), rng.uniform(0.07, 0.09)
    middle = _at(0, 0.1)
    front, back = middle + _at(0.5 * long, 0), middle - _at(0.5 * long, 0)
    throat = front + _at(0.6 * neck, 0.8 * neck)
    bones = [
        Bone("rump", -1, middle, back, (girth, 0.95 * girth)),
        Bone("chest", 0, middle, front, (girth, 0.95 * girth)),
        Bone("neck", 1, front + _at(0.04, 0.04), throat, (0.65 * girth, 0.5 * girth)),
        Bone("head", 2, throat, throat + _at(1.3 * head, -0.4 * head), (head, 0.65 * head)),
        Bone("tail", 0, back + _at(-0.06, 0.05), back + _at(-0.24, 0.16), (0.03, 0.022)),
    ]
    for root, end in ((1, front), (0, back)):
        for side in (-1, 1):
            hip = end + np.array([0, -0.55 * girth, side * 0.6 * girth])
            knee = hip + _at(0.015, -leg - 0.3 * girth)
            bones.append(Bone("leg", root, hip, knee, (1.2 * thick, thick)))
            foot = knee + _at(-0.01, -leg)
            bones.append(Bone("shin", len(bones) - 1, knee, foot, (thick, 1.1 * thick)))
    return bones


def _at(x: float, y: float, z: float = 0.0) -> np.ndarray:
    return np.array([x, y, z])


SWING_DEG = {
    "hips": (0, 0), "chest": (3, 12), "head": (5, 20), "arm": (20, 60), "forearm": (15, 55),
    "leg": (8, 28), "shin": (8, 35), "rump": (0, 0), "neck": (10, 35), "tail": (20, 50),
}  # fmt: skip
"""Least and most of each bone's turn."""
TILT = 0.25
"""Standard deviation of both components by which an axis leaves the line of sight."""


def pose(bones: tuple[Bone, ...], rng: np.random.Generator) -> Float[np.ndarray, "bone 4 4"]:
    """Every bone turned about its start, mostly in the picture's plane, less out of it."""
    out: list[np.ndarray] = []
    for bone in bones:
        angle = np.deg2rad(rng.uniform(*SWING_DEG[bone.name]) * rng.choice([-1, 1]))
        axis = np.array([*rng.normal(0, TILT, 2), 1.0])
        turn = Rotation.from_rotvec(angle * axis / np.linalg.norm(axis)).as_matrix()
        own = about(turn, bone.start)
        out.append(own if bone.parent < 0 else out[bone.parent] @ own)
    return np.stack(out)


def clothes(
    bones: tuple[Bone, ...], points: Points, weights: np.ndarray, rng: np.random.Generator
) -> Float[np.ndarray, "point 3"]:
    """Striped shirt, patterned trousers, skin with freckles, hair, eyes and a mouth."""
    skin = rng.uniform([0.75, 0.5, 0.35], [0.95, 0.75, 0.6])
    shirt, stripe, trousers, hair, shoes = rng.uniform(0.08, 0.9, (5, 3))
    owner = weights.argmax(axis=1)
    names = np.array([bone.name for bone in bones])[owner]
    out = np.tile(skin, (len(points), 1)) - 0.12 * _blotches(points, 9, rng)[:, None]
    width = rng.uniform(0.035, 0.06)
    banded = np.where(_along(bones, points, owner) % (2 * width) < width, 1.0, 0.0)[:, None]
    shirts = shirt * banded + stripe * (1 - banded)
    out = np.where(np.isin(names, ("chest", "arm"))[:, None], shirts, out)
    check = _blotches(points, 13, rng)[:, None]
    out = np.where(np.isin(names, ("hips", "leg"))[:, None], trousers + 0.25 * (check - 0.5), out)
    shins = names == "shin"
    low = shins & (points[:, 1] < np.quantile(points[shins, 1], 0.35))
    out[low] = shoes
    return _faced(bones[2], points, names == "head", hair, out).clip(0.02, 0.98)


def _faced(
    head: Bone, points: Points, on: np.ndarray, hair: np.ndarray, colors: np.ndarray
) -> np.ndarray:
    middle, radius = (head.start + head.end) / 2, head.radii[1]
    x, y, z = ((points - middle) / radius).T
    colors[on & ((y > 0.75) | ((z < 0.1) & (y > -0.3)))] = hair
    for side in (-1, 1):
        eye = (x - 0.4 * side) ** 2 + (y - 0.25) ** 2
        colors[on & (z > 0) & (eye < 0.055)] = 0.95
        colors[on & (z > 0) & (eye < 0.018)] = 0.05
    colors[on & (z > 0) & (np.abs(x) < 0.35) & (np.abs(y + 0.35) < 0.07)] = (0.6, 0.1, 0.1)
    return colors


def coat(
    bones: tuple[Bone, ...], points: Points, weights: np.ndarray, rng: np.random.Generator
) -> Float[np.ndarray, "point 3"]:
    """Two-colored blotches, dark hooves and eyes."""
    light, dark = rng.uniform(0.55, 0.95, 3), rng.uniform(0.05, 0.45, 3)
    wave = _blotches(points, rng.uniform(7, 12), rng)[:, None]
    out = light * wave + dark * (1 - wave) + 0.08 * (_blotches(points, 20, rng)[:, None] - 0.5)
    names = np.array([bone.name for bone in bones])[weights.argmax(axis=1)]
    shins = names == "shin"
    out[shins & (points[:, 1] < np.quantile(points[shins, 1], 0.2))] = 0.12
    head = bones[3]
    for side in (-1, 1):
        eye = head.start + np.array([0.25, 0.35, 0.85 * side]) * head.radii[0]
        out[np.linalg.norm(points - eye, axis=1) < 0.3 * head.radii[0]] = 0.04
    return out.clip(0.02, 0.98)


def _along(bones: tuple[Bone, ...], points: Points, owner: np.ndarray) -> np.ndarray:
    """How far each point is along its own bone."""
    starts = np.stack([bone.start for bone in bones])[owner]
    ways = np.stack([(b.end - b.start) / np.linalg.norm(b.end - b.start) for b in bones])[owner]
    return ((points - starts) * ways).sum(axis=1)


def _blotches(points: Points, per_m: float, rng: np.random.Generator) -> np.ndarray:
    """0 to 1: softly thresholded waves that do not repeat."""
    waves = rng.normal(0, 2 * per_m, (6, 3))
    sums = np.sin(points @ waves.T + rng.uniform(0, 6, 6)).sum(axis=1)
    return 1 / (1 + np.exp(-6 * sums))
