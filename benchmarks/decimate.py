"""Speed of the decimation core against MeshLab's quadric collapse, and time against faces.

    python benchmarks/decimate.py --peer-python PEER/bin/python --out decimate.json --svg plot.svg

PEER is an environment of its own with pymeshlab and trimesh (pymeshlab is GPL and no dependency of
this package). Both reduce the same closed, bumpy ellipsoids to a tenth, one after the other, one
thread each; a row has the least processor time of `--repeats` runs. Ours counts everything from
soup to level (welding, complex, history), theirs only the filter.
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent / "simplify"))
from drawing import Series, drawing

PEER = """
import sys, time, json, numpy as np, pymeshlab
mesh = np.load(sys.argv[1])
took = []
for _ in range(int(sys.argv[3])):
    meshes = pymeshlab.MeshSet()
    meshes.add_mesh(pymeshlab.Mesh(mesh["positions"], mesh["faces"]))
    start = time.process_time()
    meshes.meshing_decimation_quadric_edge_collapse(targetfacenum=int(sys.argv[2]))
    took.append(time.process_time() - start)
print(json.dumps({"s": min(took), "faces": meshes.current_mesh().face_number()}))
"""


def ellipsoid(faces: int) -> tuple[np.ndarray, np.ndarray]:
    """A closed grid of about this many triangles, wavy and without symmetry."""
    across = round(float(np.sqrt(faces / 4)))
    around = 2 * across
    polar = (np.arange(1, across + 1) * np.pi / (across + 1))[:, None]
    turn = (np.arange(around) * 2 * np.pi / around)[None]
    x, y, z = np.sin(polar) * np.cos(turn), np.sin(polar) * np.sin(turn), np.cos(polar)
    z = np.broadcast_to(z, x.shape)
    points = np.stack([x, y, z], -1).reshape(-1, 3)
    waves = np.random.default_rng(0).normal(size=(8, 3)) * 6
    points = points * (1 + 0.02 * np.sin(points @ waves.T).sum(1)[:, None]) * [1.0, 0.7, 0.5]
    points = np.concatenate([points, [[0, 0, 0.5], [0, 0, -0.5]]])
    index = np.arange(across * around).reshape(across, around)
    a, b = index[:-1], index[1:]
    a2, b2 = np.roll(a, -1, 1), np.roll(b, -1, 1)
    body = [np.stack([a, b, b2], -1), np.stack([a, b2, a2], -1)]
    north, south = np.full(around, len(points) - 2), np.full(around, len(points) - 1)
    caps = [np.stack([north, index[0], np.roll(index[0], -1)], -1)]
    caps += [np.stack([south, np.roll(index[-1], -1), index[-1]], -1)]
    return points, np.concatenate([part.reshape(-1, 3) for part in body + caps])


def ours(path: Path, target: int, repeats: int) -> dict:
    """In a fresh process, so that its peak memory is its own."""
    words = [sys.executable, __file__, "--one", str(path), str(target), str(repeats)]
    return json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout)


def one(path: str, target: int, repeats: int) -> None:
    from splatworks.stages.geometry.components import Surface
    from splatworks.stages.geometry.decimation import simplify

    mesh = np.load(path)
    surface = Surface(mesh["positions"], mesh["faces"].astype(np.int64))
    simplify(Surface(surface.positions, surface.faces[:1000]), targets=[100])  # compiles
    took = []
    for _ in range(repeats):
        start = time.process_time()
        made = simplify(surface, targets=[target])
        took.append(time.process_time() - start)
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    row = {"s": min(took), "faces": len(made.levels[0].faces), "peak_mb": peak_mb}
    print(json.dumps({**row, "history_mb": made.history.bytes_used / 1e6}))


def lines(rows: list[dict]) -> list[Series]:
    """For the drawing."""
    found = [Series("ours", "#1f77b4", [(row["faces"], row["ours"]["s"]) for row in rows])]
    peer = [(row["faces"], row["meshlab"]["s"]) for row in rows if "meshlab" in row]
    if peer:
        found.append(Series("MeshLab quadric collapse", "#888888", peer))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer-python", help="a Python with pymeshlab; without it ours only")
    parser.add_argument("--sizes", default="10000,40000,165000,500000,2000000")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("decimate.json"))
    parser.add_argument("--svg", type=Path, help="draw the times against the faces")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    words = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    if words.one:
        one(words.one[0], int(words.one[1]), int(words.one[2]))
        return
    rows = []
    for size in map(int, words.sizes.split(",")):
        positions, faces = ellipsoid(size)
        path = words.out.with_suffix(".npz")
        np.savez(path, positions=positions, faces=faces)
        target = len(faces) // 10
        repeats = words.repeats if size <= 500_000 else 1
        row = {"faces": len(faces), "target": target, "ours": ours(path, target, repeats)}
        if words.peer_python:
            call = [words.peer_python, "-c", PEER, str(path), str(target), str(repeats)]
            found = subprocess.run(call, check=True, capture_output=True, text=True).stdout
            row["meshlab"] = json.loads(found.splitlines()[-1])
            row["ratio"] = row["meshlab"]["s"] / row["ours"]["s"]
        path.unlink()
        rows.append(row)
        print(json.dumps(row), flush=True)
    if words.svg:
        words.svg.write_text(drawing(lines(rows)))
    machine = {"python": platform.python_version(), "machine": platform.machine()}
    words.out.write_text(json.dumps({"machine": machine, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
