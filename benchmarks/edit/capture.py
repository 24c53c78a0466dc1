"""Three edits of a real capture, made with ordinary image tools: a shift, a recoloring, a pattern.

    python benchmarks/edit/capture.py SPLATS.ply CAMERAS.json OUT [--edits shift board scarf]
                                      [--sheet FILE.jpg]

For the fox of instant-ngp (`pipeline reconstruct fox --max-side 480 --max-gaussians 60000`), whose
outlines are given below in pixels of its frontal camera, 288 x 512. Selections are polygons, as one
draws them in a paint program; what a moved part uncovers is smudged over. Each edit is a
run of `pipeline edit` in OUT; those that are there already are not repeated.
"""

import argparse
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import arm
import numpy as np
from PIL import Image, ImageDraw, ImageFilter
from scipy import ndimage
from splatworks.renderers.scene import Cameras
from splatworks.stages.edit.views import pick
from splatworks.stages.formats import cameras, pictures, splats
from splatworks.stages.formats.splats import RawSplats

FRONT, AROUND = 8, (0, 4, 12, 16)
"""Cameras: the edited view, and those it is looked at from."""
SIZE_PX = (288, 512)
SHIFT_PX = 64
Outline = tuple[tuple[int, int], ...]

FUR: Outline = (
    (78, 190), (82, 230), (84, 262), (86, 290), (92, 308), (104, 320), (118, 327), (129, 332),
    (140, 326), (150, 334), (165, 333), (178, 318), (186, 300), (193, 283), (198, 258), (196, 235),
    (200, 204),
)  # fmt: skip
BOARD: Outline = (
    (78, 206), (63, 218), (64, 230), (69, 250), (69, 275), (66, 300), (69, 318), (78, 335),
    (92, 350), (110, 357), (128, 365), (139, 374), (148, 366), (160, 360), (180, 352), (195, 342),
    (205, 328), (211, 310), (209, 290), (206, 260), (207, 235), (212, 216), (199, 206),
)  # fmt: skip
HEAD: Outline = (
    (199, 185), (199, 160), (201, 135), (203, 115), (211, 95), (213, 80), (210, 71), (200, 75),
    (185, 85), (165, 105), (150, 118), (135, 127), (125, 120), (115, 108), (100, 98), (85, 80),
    (68, 66), (62, 72), (62, 90), (65, 110), (66, 130), (72, 155), (78, 175),
)  # fmt: skip
SCARF: Outline = (
    (83, 262), (100, 272), (120, 278), (142, 280), (165, 277), (185, 268), (197, 258), (193, 284),
    (180, 296), (160, 304), (140, 306), (118, 304), (98, 298), (86, 290),
)  # fmt: skip
DOTS = tuple((x, 283 + round(0.0025 * (x - 140) ** 2 * -3) + 6 * (k % 2)) for k, x in
             enumerate(range(92, 192, 12)))  # fmt: skip
WHAT = {"shift": "geometry", "board": "texture", "scarf": "texture"}


def selection(outline: Outline, feather_px: float = 1.0) -> np.ndarray:
    """1 inside, soft at the border."""
    mask = Image.new("L", SIZE_PX)
    ImageDraw.Draw(mask).polygon(outline, fill=255)
    soft = mask.filter(ImageFilter.GaussianBlur(feather_px))
    return np.asarray(soft, np.float32)[..., None] / 255


def shifted(picture: np.ndarray) -> np.ndarray:
    """Head and board moved down; smudged where they were."""
    chosen = selection(HEAD + BOARD)
    hole = selection(HEAD + BOARD, 3.0) > 0.02
    kept, known = np.where(hole, 0, picture), np.where(hole, 0.0, 1.0)
    fill = np.zeros_like(picture)
    for radius_px in (40.0, 20.0, 10.0, 5.0):
        weight = blurred(known, radius_px)
        fill = np.where(weight > 0.02, blurred(kept, radius_px) / np.maximum(weight, 0.02), fill)
    ground = np.where(hole, fill, picture)
    down = np.roll(np.concatenate([picture, chosen], axis=2), SHIFT_PX, axis=0)
    return ground * (1 - down[..., 3:]) + down[..., :3] * down[..., 3:]


def blurred(picture: np.ndarray, radius_px: float) -> np.ndarray:
    return ndimage.gaussian_filter(picture, (radius_px, radius_px, 0))


def blue_board(picture: np.ndarray) -> np.ndarray:
    """The wood's own light and dark, in blue."""
    chosen = selection(BOARD) * (1 - selection(FUR, 2.0))
    gray = picture.mean(axis=2, keepdims=True)
    return picture * (1 - chosen) + (0.06 + gray * [0.6, 1.3, 2.4]).clip(0, 1) * chosen


def scarfed(picture: np.ndarray) -> np.ndarray:
    """A red scarf with white dots, shaded as the fur is."""
    chosen = selection(SCARF)
    paint = Image.new("RGB", SIZE_PX, (190, 25, 35))
    for x, y in DOTS:
        ImageDraw.Draw(paint).ellipse((x - 4, y - 4, x + 4, y + 4), fill=(250, 245, 235))
    shade = blurred(picture.mean(axis=2, keepdims=True), 12.0) / 0.55
    painted = np.asarray(paint, np.float32) / 255 * shade.clip(0.35, 1.1)
    return picture * (1 - chosen) + painted.clip(0, 1) * chosen


EDITS = {"shift": shifted, "board": blue_board, "scarf": scarfed}


def front(all_cameras: Cameras) -> Cameras:
    """The frontal camera with a picture of `SIZE_PX`."""
    camera = pick(all_cameras, FRONT)
    factor = SIZE_PX[1] / camera.height_px
    return replace(
        camera, focal_px=camera.focal_px * factor, center_px=camera.center_px * factor,
        width_px=SIZE_PX[0], height_px=SIZE_PX[1],
    )  # fmt: skip


def edited(name: str, source: Path, camera: Path, own: np.ndarray, out: Path) -> RawSplats:
    """The scene after an edit."""
    folder = out / name
    result = folder / "latest" / "edit" / "scene.ply"
    if not result.exists():
        image = pictures.save(EDITS[name](own).astype(np.float32), out / f"{name}.png")
        words = ["edit", source, "--camera", camera, "--image", image, "--what", WHAT[name],
                 "--set", "edit.background=white", "--out", folder]  # fmt: skip
        module = [sys.executable, "-m", "splatworks.pipeline.cli"]
        subprocess.run([*module, *(str(word) for word in words)], check=True)
    return splats.load(result)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("splats", type=Path)
    parser.add_argument("cameras", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--edits", nargs="*", default=list(EDITS), choices=list(EDITS))
    parser.add_argument("--sheet", type=Path)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    everywhere = cameras.load(options.cameras)
    camera = front(everywhere)
    path = cameras.save(camera, options.out / "front.camera.json")
    before = splats.load(options.splats)
    own = arm.picture(before, camera)[0]
    rows = []
    for name in options.edits:
        after = edited(name, options.splats, path, own, options.out)
        shown = pictures.load(options.out / f"{name}.png")
        cells = [own, shown, arm.picture(after, camera)[0]]
        cells += [arm.picture(after, pick(everywhere, k))[0] for k in AROUND]
        rows += [small(cell) for cell in cells]
    if options.sheet:
        sheet = pictures.to_bytes(pictures.sheet(rows, 3 + len(AROUND)))
        Image.fromarray(sheet).save(options.sheet, quality=80)
    return 0


def small(picture: np.ndarray) -> np.ndarray:
    image = Image.fromarray(pictures.to_bytes(picture)).resize((135, 240), Image.Resampling.LANCZOS)
    return np.asarray(image, np.float32) / 255


if __name__ == "__main__":
    sys.exit(main())
