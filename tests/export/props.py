"""A made-up asset with everything that can get lost on the way.

Three parts, far from symmetric, so that no axis, winding or picture can be swapped unseen:
a tall box on a flat one, and a little card that is cut out of its picture.
"""

import numpy as np
from splatworks.stages.formats.model import Material, Model, Texture

CUBE = np.array([[x, y, z] for x in (0.0, 1) for y in (0.0, 1) for z in (0.0, 1)])
SIDES = {
    "left": ([0, 1, 3, 2], (-1, 0, 0)),
    "right": ([4, 6, 7, 5], (1, 0, 0)),
    "bottom": ([0, 4, 5, 1], (0, -1, 0)),
    "top": ([2, 3, 7, 6], (0, 1, 0)),
    "back": ([0, 2, 6, 4], (0, 0, -1)),
    "front": ([1, 5, 7, 3], (0, 0, 1)),
}
"""Corners counter-clockwise seen from outside, and the normal."""


def picture(size: int, seed: int, channels: int = 3) -> np.ndarray:
    """Smooth color fields with a red top left corner, so that it has no symmetry."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(40, 216, (5, 5, channels)).astype(float)
    at = np.linspace(0, 3.999, size)
    low = at.astype(int)
    share = at - low
    rows = coarse[low] * (1 - share[:, None, None]) + coarse[low + 1] * share[:, None, None]
    share = share[None, :, None]
    out = rows[:, low] * (1 - share) + rows[:, low + 1] * share
    out = np.rint(out).astype(np.uint8)
    out[: size // 4, : size // 4, :3] = [230, 20, 10]
    return out


def normal_map(size: int) -> np.ndarray:
    """Bumps, with green not symmetric."""
    y, x = np.mgrid[0:size, 0:size] / size * 2 * np.pi
    vectors = np.stack([0.4 * np.cos(3 * x), 0.3 + 0.2 * np.cos(2 * y), np.ones_like(x)], axis=-1)
    vectors /= np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.rint((vectors + 1) * 127.5).astype(np.uint8)


def box(low, high) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Positions, normals, uvs and faces; each side has its own part of the picture."""
    low, high = np.array(low, float), np.array(high, float)
    positions, normals, uvs, faces = [], [], [], []
    for number, (corners, normal) in enumerate(SIDES.values()):
        start = 4 * number
        positions.append(low + CUBE[corners] * (high - low))
        normals.append(np.tile(normal, (4, 1)))
        column, row = number % 3, number // 3
        square = np.array([[0.05, 0.95], [0.95, 0.95], [0.95, 0.05], [0.05, 0.05]])
        uvs.append((square + np.array([column, row])) / [3, 2])
        faces += [[start, start + 1, start + 2], [start, start + 2, start + 3]]
    return np.concatenate(positions), np.concatenate(normals), np.concatenate(uvs), np.array(faces)


def prop(size: int = 64, *, coarse: bool = False) -> Model:
    """The asset; `coarse` leaves the card out and has smaller pictures of its own."""
    body = box((-0.3, 0.2, -0.2), (0.2, 1.7, 0.5))
    plinth = box((-0.6, 0.0, -0.4), (0.9, 0.2, 0.7))
    card = _card()
    parts = [body, plinth] if coarse else [body, plinth, card]
    counts = np.cumsum([0, *(len(part[0]) for part in parts)])
    uv = np.concatenate([part[2] for part in parts]).astype(np.float32)
    surface = picture(size, 2)
    tiled = ((2.0, 0.0, 0.25), (0.0, 2.0, 0.5))
    materials = (
        Material(
            name="Body work/ä",
            base_color=Texture(picture(size, 1)),
            base_color_factor=(0.8, 0.9, 1.0, 1.0),
            metallic_roughness=Texture(surface),
            metallic_factor=0.5,
            roughness_factor=0.75,
            normal=Texture(normal_map(size)),
            occlusion=Texture(picture(size, 3)),
            occlusion_strength=0.5,
            emissive=Texture(picture(size, 4)),
            emissive_factor=(0.5, 0.25, 1.0),
            emissive_strength=2.0,
        ),
        Material(
            name="Plinth",
            base_color=Texture(picture(size, 5), transform=tiled),
            occlusion=Texture(picture(size, 6), uv_set=1),
            metallic_factor=0.0,
            roughness_factor=0.6,
        ),
        Material(
            name="Card",
            base_color=Texture(_cut_out(size), ("clamp", "clamp")),
            alpha_mode="MASK",
            alpha_cutoff=0.4,
            double_sided=True,
            metallic_factor=0.0,
        ),
    )
    return Model(
        positions=np.concatenate([part[0] for part in parts]),
        faces=np.concatenate([part[3] + n for part, n in zip(parts, counts[:-1], strict=True)]),
        face_materials=np.repeat(np.arange(len(parts)), [len(part[3]) for part in parts]),
        materials=materials[: len(parts)],
        normals=np.concatenate([part[1] for part in parts]).astype(np.float32),
        uvs=(uv, (uv[:, ::-1] * 0.5).copy()),
    )


def _card() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    positions = np.array([[0.4, 0.5, 0.3], [0.8, 0.5, 0.1], [0.8, 1.1, 0.1], [0.4, 1.1, 0.3]])
    normal = np.cross(positions[1] - positions[0], positions[2] - positions[0])
    uvs = np.array([[0.0, 1], [1, 1], [1, 0], [0, 0]])
    faces = np.array([[0, 1, 2], [0, 2, 3]])
    return positions, np.tile(normal / np.linalg.norm(normal), (4, 1)), uvs, faces


def _cut_out(size: int) -> np.ndarray:
    pixels = picture(size, 7, 4)
    y, x = np.mgrid[0:size, 0:size] / size - 0.5
    pixels[..., 3] = np.where(x * x + y * y < 0.2, 255, 0)
    return pixels
