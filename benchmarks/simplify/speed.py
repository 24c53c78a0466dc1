"""Time and memory against the number of faces, on bumpy tori with one texture, to 10 %.

    python benchmarks/simplify/speed.py --out DIR [--peers-python P] [--counts A,B] [--svg FILE]

MeshLab's quadric collapse (alone), ours (alone), and our whole command at 1024 x 1024 with reading,
atlas, baking and writing; one thread, processor seconds, one process per run. Rows are kept in
DIR/speed.json and not measured again. Prints the table and draws it.
"""

import argparse
import json
import math
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from drawing import Series, drawing
from judge import glb
from judge.model import Material, bare
from tools import Peers, Tool, run, tools

COUNTS = (10_000, 50_000, 200_000, 1_000_000, 2_000_000)
RATIO = 0.1
TEXTURE_PX = 1024
SERIES = {
    "meshlab": ("MeshLab quadric, alone", "core_s", "#888888"),
    "ours_geometry": ("ours, collapses alone", "core_s", "#1f77b4"),
    "ours": ("ours, whole command, 1024 px", "total_s", "#d62728"),
}


def torus(count: int):
    """About `count` faces: twice as many steps around as across, waves and a little noise."""
    across = round(math.sqrt(count / 4))
    around = 2 * across
    u, v = np.meshgrid(np.arange(around), np.arange(across), indexing="ij")
    a, b = 2 * np.pi * u.ravel() / around, 2 * np.pi * v.ravel() / across
    noise = np.random.default_rng(0).normal(size=len(a))
    tube = 0.3 + 0.02 * np.sin(9 * a) * np.sin(7 * b) + 2e-4 * noise
    ring = 1 + tube * np.cos(b)
    positions = np.stack([ring * np.cos(a), tube * np.sin(b), ring * np.sin(a)], axis=1)

    def corner(du: int, dv: int) -> np.ndarray:
        return (((u + du) % around) * across + (v + dv) % across).ravel()

    def uv(du: int, dv: int) -> np.ndarray:
        return np.stack([(u + du).ravel() / around, (v + dv).ravel() / across], axis=1)

    quads = [(0, 0), (0, 1), (1, 1), (1, 0)]
    pairs = ([quads[0], quads[1], quads[2]], [quads[0], quads[2], quads[3]])
    faces = np.concatenate([np.stack([corner(*q) for q in tri], axis=1) for tri in pairs])
    uvs = np.concatenate([np.stack([uv(*q) for q in tri], axis=1) for tri in pairs])
    y, x = np.mgrid[:TEXTURE_PX, :TEXTURE_PX]
    pixels = np.stack([x // 4 % 256, y // 4 % 256, (x // 64 + y // 64) % 2 * 255, 0 * x + 255], -1)
    model = bare(positions, faces)
    return replace(model, uvs=uvs, materials=(Material(pixels.astype(np.uint8)),))


def measured(out: Path, counts: list[int], chosen: dict[str, Tool]) -> dict[str, dict]:
    place = out / "speed.json"
    rows = json.loads(place.read_text()) if place.is_file() else {}
    for count in counts:
        source = out / f"torus-{count}.glb"
        for name, tool in chosen.items():
            key = f"{name} {count}"
            if key in rows:
                continue
            if not source.is_file():
                glb.write(source, torus(count))
            asked = round(RATIO * len(glb.read(source).faces))
            rows[key] = asdict(run(tool, source, asked, out / f"torus-{count}-{name}.glb"))
            place.write_text(json.dumps(rows, indent=1))
            print(key, rows[key], flush=True)
    return rows


def table(rows: dict[str, dict], counts: list[int]) -> list[str]:
    lines = [
        "| faces | MeshLab, s | ours alone, s | ratio | whole command, s | ratio | peak, GiB |",
        "|---|---|---|---|---|---|---|",
    ]
    for count in counts:
        found = [rows.get(f"{name} {count}") for name in SERIES]
        if any(row is None or row["error"] for row in found):
            continue
        meshlab, core, whole = found
        lines.append(
            f"| {count:,} | {meshlab['core_s']:.2f} | {core['core_s']:.2f} |"
            f" {meshlab['core_s'] / core['core_s']:.2f} | {whole['total_s']:.1f} |"
            f" {meshlab['core_s'] / whole['total_s']:.2f} | {whole['peak_bytes'] / 2**30:.2f} |"
        )
    return lines


def series(rows: dict[str, dict], counts: list[int]) -> list[Series]:
    made = []
    for name, (title, key, color) in SERIES.items():
        found = [(count, rows.get(f"{name} {count}", {}).get(key)) for count in counts]
        made.append(Series(title, color, [(count, s) for count, s in found if s]))
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--peers-python")
    parser.add_argument("--counts", default=",".join(map(str, COUNTS)))
    parser.add_argument("--svg", type=Path)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    counts = [int(word) for word in options.counts.split(",")]
    known = tools(Peers(options.peers_python))
    ours = known["ours"]
    line = (*ours.line, "--texture-size", str(TEXTURE_PX))
    known["ours"] = replace(ours, line=line)
    chosen = {name: known[name] for name in SERIES if name in known}
    rows = measured(options.out, counts, chosen)
    print("\n".join(table(rows, counts)))
    if options.svg:
        options.svg.write_text(drawing(series(rows, counts)))


if __name__ == "__main__":
    main()
