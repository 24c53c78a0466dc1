"""One picture of many results: the exported mesh of every run, seen from eight sides.

    pipeline generate --prompts docs/gallery.txt --out runs
    python benchmarks/gallery.py runs docs/images/gallery.png

Runs are in the order of the prompts; nothing is left out.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from PIL import Image
from splatworks.stages.formats import gltf
from splatworks.stages.geometry.likeness import (
    around,
    directions,
    mesh_picture,
    mesh_scene,
    middle,
    one_by_one,
    over,
)
from splatworks.stages.preview.contact import Row, contact_sheet

VIEWS = 8
BACKGROUND = 0.85


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("runs", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--size-px", type=int, default=112)
    options = parser.parse_args()
    found = sorted(options.runs.glob("*/latest/export/asset.glb"), key=made)
    rows = [row(path, options.size_px) for path in found]
    columns = [f"{azimuth:.0f}°, {elevation:+.0f}°" for azimuth, elevation in directions(VIEWS)]
    sheet = contact_sheet(rows, columns, "Exported meshes", "", BACKGROUND)
    image = Image.fromarray((sheet * 255).round().astype(np.uint8))
    image.quantize(256, dither=Image.Dither.NONE).save(options.picture, optimize=True)


def made(asset: Path) -> float:
    """When the run was made: the time of its prompt."""
    return (run_of(asset) / "inputs" / "prompt.json").stat().st_mtime


def run_of(asset: Path) -> Path:
    return asset.parents[2]


def row(asset: Path, size_px: int) -> Row:
    """The eight sides of one mesh."""
    mesh = gltf.load(asset)
    center = middle(mesh)
    radius = float(np.linalg.norm(mesh.positions - center, axis=1).max())
    scene = mesh_scene(mesh, center)
    views = one_by_one(around(directions(VIEWS), radius, size_px))
    pictures = [over(mesh_picture(scene, view)[0], BACKGROUND) for view in views]
    prompt = json.loads((run_of(asset) / "inputs" / "prompt.json").read_text())["text"]
    return Row(prompt, pictures)


if __name__ == "__main__":
    main()
