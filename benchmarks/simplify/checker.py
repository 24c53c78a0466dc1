"""A ball with a checker, to one face in a hundred: how near do places and colors stay?

    python benchmarks/simplify/checker.py --out DIR [--peers-python P]

The figure is the Chamfer distance in six dimensions, places in diagonals and colors from 0 to 1,
between 200 000 samples of either surface, filtered as
a renderer does. Beside our whole command stands Garland and Heckbert's
collapse with texture coordinates interpolated along each collapsed edge (across the seam the short
way), and, where pymeshlab is at hand, MeshLab's texture-aware quadric.
"""

import argparse
from pathlib import Path

import numpy as np
from judge import glb
from judge.model import Material, Model, weld
from judge.shading import lookup, paint, srgb
from judge.surfaces import sample
from scipy.spatial import cKDTree
from splatworks.stages.geometry.components import Surface
from splatworks.stages.geometry.decimation import Rules, simplify
from tools import Peers, run, tools

RINGS, SEGMENTS = 72, 144
SQUARES = (16, 8)
TEXTURE_PX = (2048, 1024)
SHARE = 0.01
SAMPLES = 200_000
PIXEL_M = 0.01
"""Colors are filtered to pixels of this size, as a picture of the whole ball of 300 pixels has."""
GARLAND_HECKBERT = Rules(
    line_weight=0.0, placement_pull=0.0, placement_reach=1e9, flip_penalty=0.0, sliver_penalty=0.0,
    bend_penalty=0.0,
)  # fmt: skip
"""On a closed mesh these rules are exactly theirs (tests/geometry_decimation)."""


def ball() -> Model:
    """Of latitudes and longitudes, with a seam and two poles as modelling programs make it."""
    v, u = np.meshgrid(np.linspace(0, 1, RINGS + 1), np.linspace(0, 1, SEGMENTS + 1), indexing="ij")
    polar, around = np.pi * v, 2 * np.pi * (u % 1)
    places = np.stack(
        [np.sin(polar) * np.cos(around), np.cos(polar), np.sin(polar) * np.sin(around)], -1
    )
    row, column = np.meshgrid(np.arange(RINGS), np.arange(SEGMENTS), indexing="ij")
    a = (row * (SEGMENTS + 1) + column).ravel()
    b, c, d = a + SEGMENTS + 1, a + SEGMENTS + 2, a + 1
    upper = np.stack([a, c, b], 1)[row.ravel() < RINGS - 1]
    lower = np.stack([a, d, c], 1)[row.ravel() > 0]
    faces = np.concatenate([upper, lower])
    uvs = np.stack([u, v], -1).reshape(-1, 2)[faces]
    return Model(
        positions=places.reshape(-1, 3),
        faces=faces,
        uvs=uvs,
        colors=np.ones((len(faces), 3, 4)),
        material=np.zeros(len(faces), np.int64),
        materials=(Material(checker()),),
    )


def checker() -> np.ndarray:
    width, height = TEXTURE_PX
    x = np.arange(width) * SQUARES[0] // width
    y = np.arange(height) * SQUARES[1] // height
    dark = (x + y[:, None]) % 2 == 0
    colors = np.where(dark[..., None], [200, 40, 30], [240, 230, 200])
    return np.concatenate([colors, np.full((height, width, 1), 255)], -1).astype(np.uint8)


def interpolated(model: Model, faces: int) -> Model:
    """Garland and Heckbert's collapse; each new vertex takes its coordinates from its edge."""
    places, corners = weld(model.positions, model.faces)
    made = simplify(Surface(places, corners), targets=[faces], rules=GARLAND_HECKBERT)
    points = made.history.points.astype(np.float64)
    uvs = np.zeros((len(points), 2))
    records = len(made.history.starts) - 1
    first = len(points) - records
    own = cKDTree(places).query(points[:first] * made.diagonal_m + made.center_m)[1]
    uvs[:first] = _uv_of_place(model, corners, len(places))[own]
    for record in range(records):
        one, two = _edge(made.history, record)
        new = first + record
        along = points[two] - points[one]
        t = np.clip((points[new] - points[one]) @ along / max(along @ along, 1e-30), 0, 1)
        step = uvs[two] - uvs[one]
        step[0] -= np.round(step[0])
        uvs[new] = uvs[one] + t * step
    level = made.levels[0]
    at = cKDTree(points).query((level.positions - made.center_m) / made.diagonal_m)[1]
    of_faces = uvs[at][level.faces]
    of_faces[..., 0] -= np.round(of_faces[..., 0] - of_faces[:, :1, 0])
    return Model(
        positions=level.positions,
        faces=level.faces,
        uvs=of_faces,
        colors=np.ones((len(level.faces), 3, 4)),
        material=np.zeros(len(level.faces), np.int64),
        materials=model.materials,
    )


def _uv_of_place(model: Model, corners: np.ndarray, count: int) -> np.ndarray:
    uvs = np.zeros((count, 2))
    uvs[corners.ravel()] = model.uvs.reshape(-1, 2)
    return uvs


def _edge(history, record: int) -> tuple[int, int]:
    """The two points that became one: what the removed faces have in common."""
    span = slice(history.starts[record], history.starts[record + 1])
    removed = history.corners[span][history.ids[span] < 0]
    common = set(removed[0]).intersection(*map(set, removed[1:]))
    one, two = sorted(common)
    return int(one), int(two)


def apart(one: Model, two: Model) -> dict[str, float]:
    """Chamfer distance of places and colors together, of places, and the mean difference of
    colors at the nearest place."""
    a, b = (_rows(model, one.diagonal, seed) for seed, model in enumerate((one, two)))
    whole = cKDTree(b).query(a)[0].mean() + cKDTree(a).query(b)[0].mean()
    away, nearest = cKDTree(b[:, :3]).query(a[:, :3])
    places = away.mean() + cKDTree(a[:, :3]).query(b[:, :3])[0].mean()
    return {
        "places_and_colors": float(whole) / 2,
        "places": float(places) / 2,
        "colors": float(np.abs(a[:, 3:] - b[nearest, 3:]).mean()),
    }


def _rows(model: Model, diagonal: float, seed: int) -> np.ndarray:
    points, face = sample(model, SAMPLES, seed)
    corners = model.positions[model.faces[face]]
    basis = np.stack([corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]], -1)
    inside = np.linalg.pinv(basis) @ (points - corners[:, 0])[..., None]
    weights = np.concatenate([1 - inside.sum(axis=1), inside[..., 0]], axis=1)
    found = lookup(paint(model), face, weights, np.full(len(points), PIXEL_M))
    colors = srgb(found[:, :3])
    return np.concatenate([points / diagonal, colors], axis=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--peers-python", help="a Python with pymeshlab")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    source = options.out / "checker.glb"
    glb.write(source, ball())
    model = glb.read(source)
    faces = round(SHARE * len(model.faces))
    plain = interpolated(model, faces)
    glb.write(options.out / "garland_heckbert.glb", plain)
    found = {"garland_heckbert": apart(model, plain)}
    offered = tools(Peers(options.peers_python))
    for name in ("ours", "meshlab_textured"):
        if name in offered:
            path = options.out / f"{name}.glb"
            took = run(offered[name], source, faces, path)
            if took.error:
                print(f"{name}: {took.error}")
                continue
            made = glb.read(path)
            found[name] = apart(model, made)
            print(f"{name}: {len(made.faces)} faces of {faces} asked")
    found["itself"] = apart(model, model)
    for name, figures in found.items():
        print(f"{name:18}", "  ".join(f"{key} {value:.5f}" for key, value in figures.items()))
    for key, value in found["ours"].items():
        print(f"ours / Garland and Heckbert, {key}: {value / found['garland_heckbert'][key]:.2f}")


if __name__ == "__main__":
    main()
