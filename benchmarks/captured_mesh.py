"""Meshes of a capture beside its splats: where the decibels between them are lost, and a picture.

    python benchmarks/captured_mesh.py CAPTURE SPLATS.ply poisson=baked.glb tets=mesh.glb \
        --out DIR [--exposures exposures.json] [--max-side 480] [--views 3]

For each subject, over the photographs that `reconstruct` keeps aside:

    all        PSNR of the whole picture (what a mesh does not cover is black)
    covered    only where the mesh is: the rest is lost to holes and rims
    evened     there, after one factor of light per photograph, or after the exposures that
               `reconstruct` found for it: lost to the capture's exposures
    light      there, without differences wider than `WIDE` of the picture's height: lost to sheen,
               shadows and whatever else a texture cannot show; what is left is lost to misplaced
               and blurred detail

The sheet shows, per photograph: it, the splats, and of each mesh a gray model, its normals and its
colors; below, the same meshes from behind. `DIR/table.json` keeps the figures.
"""

import argparse
import json
import logging
import os
from dataclasses import dataclass, replace
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from splatworks.renderers.scene import Cameras
from splatworks.stages.evaluate.sights import Camera2View, kept_aside, of_mesh, of_splats
from splatworks.stages.formats import captures, exposures, pictures, splats, wild
from splatworks.stages.formats.photos import load_all, target_of
from splatworks.stages.geometry.activation import activate
from splatworks.stages.geometry.exposure import Exposure
from splatworks.stages.geometry.focus import focus
from splatworks.stages.geometry.psnr import exposed, psnr_db

WIDE = 1 / 30
"""Standard deviation, in heights of the picture."""


@dataclass(frozen=True, slots=True)
class Photograph:
    camera: Cameras
    rgb: torch.Tensor
    """sRGB, "3 height width"."""
    exposure: Exposure | None
    """Where it is known."""


def judged(photo: Photograph, seen: Camera2View) -> dict[str, float]:
    """The columns of the table, for one photograph."""
    view = seen(photo.camera)
    picture, truth = view.rgb.clamp(0, 1), photo.rgb
    there = (view.alpha > 0.5).float()
    if photo.exposure is not None:
        evened = photo.exposure.of(picture).clamp(0, 1)
    else:
        evened, _ = exposed(picture, truth, there)
    without = evened - wide(evened - truth, there)
    return {
        "all": psnr_db(picture, truth, None),
        "covered": psnr_db(picture, truth, there),
        "evened": psnr_db(evened, truth, there),
        "light": psnr_db(without, truth, there),
        "share": float(there.mean()),
    }


def wide(difference: torch.Tensor, there: torch.Tensor) -> torch.Tensor:
    """The slow part of a difference, known only where `there` is 1."""
    mask = there[0].numpy()
    sigma = WIDE * mask.shape[0]
    weight = np.maximum(gaussian_filter(mask, sigma), 1e-6)
    slow = [gaussian_filter(plane * mask, sigma) / weight for plane in difference.numpy()]
    return torch.from_numpy(np.stack(slow).astype(np.float32))


def behind(camera: Cameras, center: np.ndarray) -> Cameras:
    """Through the center to the other side, looking back at it, as high as before."""
    pose = camera.world_to_camera[0].double().numpy()
    place = -pose[:3, :3].T @ pose[:3, 3]
    turn = np.diag([-1.0, 1.0, -1.0]) @ pose[:3, :3]  # Half a turn about the picture's own y.
    moved = np.eye(4)
    moved[:3, :3] = turn
    moved[:3, 3] = -turn @ (2 * center - place)
    return replace(camera, world_to_camera=torch.from_numpy(moved)[None].float())


def shown(model, camera: Cameras) -> list[np.ndarray]:
    """Gray model, normals, colors."""
    view = of_mesh(model, model.positions)(camera)
    assert view.normal is not None
    normals = view.normal * 2 - 1
    ahead = camera.world_to_camera[0, 2, :3]
    # Lit from the camera; what is not covered is white.
    gray = 0.2 + 0.7 * torch.einsum("chw,c->hw", normals, ahead).abs()
    gray = (gray * view.alpha[0] + (1 - view.alpha[0])).clamp(0, 1)
    return [
        gray[..., None].expand(-1, -1, 3).numpy(),
        view.normal.permute(1, 2, 0).numpy(),
        (view.rgb + (1 - view.alpha)).permute(1, 2, 0).numpy(),
    ]


def main() -> None:
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("capture", type=Path)
    parser.add_argument("splats", type=Path)
    parser.add_argument("meshes", nargs="+", metavar="NAME=PATH")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--exposures", type=Path, help="exposures.json of the splats")
    parser.add_argument("--max-side", type=int, default=480)
    parser.add_argument("--views", type=int, default=2, help="photographs in the picture")
    options = parser.parse_args()

    shots = kept_aside(captures.load(options.capture), 8)
    targets = [
        target_of(photo, 0, "cpu")
        for photo in load_all(shots, options.max_side, logging.getLogger())
    ]
    known: list[Exposure | None] = [None] * len(shots)
    if options.exposures is not None:
        listed = exposures.load(options.exposures)
        known = [listed.of(exposures.name_of(shot.path, options.capture)) for shot in shots]
    photos = [
        Photograph(target.cameras, target.rgb, exposure)
        for target, exposure in zip(targets, known, strict=True)
    ]
    models = {name: wild.read(Path(path)) for name, _, path in map(_split, options.meshes)}
    by_splats = of_splats(activate(splats.load(options.splats)))
    subjects = {"splats": by_splats} | {
        name: of_mesh(model, model.positions) for name, model in models.items()
    }

    table = {}
    print(
        f"{'':18}{'faces':>9}" + "".join(f"{n:>9}" for n in ("all", "covered", "evened", "light"))
    )
    for name, seen in subjects.items():
        rows = [judged(photo, seen) for photo in photos]
        means = {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}
        table[name] = {"faces": len(models[name].faces) if name in models else 0, **means}
        figures = "".join(f"{means[key]:9.2f}" for key in ("all", "covered", "evened", "light"))
        print(
            f"{name:18}{table[name]['faces']:9d}{figures}   {means['share']:.1%} covered",
            flush=True,
        )

    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "table.json").write_text(json.dumps(table, indent=1) + "\n")
    chosen = photos[:: max(1, len(photos) // options.views)][: options.views]
    center, _ = focus(torch.cat([photo.camera.world_to_camera for photo in photos]))
    tiles: list[np.ndarray] = []
    for photo in chosen:
        tiles += [photo.rgb.permute(1, 2, 0).numpy()]
        tiles += [by_splats(photo.camera).rgb.permute(1, 2, 0).numpy()]
        tiles += [tile for model in models.values() for tile in shown(model, photo.camera)]
    back = behind(chosen[0].camera, center.numpy())
    tiles += [np.ones_like(tiles[0]), by_splats(back).rgb.permute(1, 2, 0).numpy()]
    tiles += [tile for model in models.values() for tile in shown(model, back)]
    small = [np.clip(tile, 0, 1).astype(np.float32)[::2, ::2] for tile in tiles]
    pictures.save(pictures.sheet(small, columns=2 + 3 * len(models)), options.out / "sheet.png")


def _split(word: str) -> tuple[str, str, str]:
    name, equals, path = word.partition("=")
    if not equals:
        raise SystemExit(f"{word}: say NAME=PATH.")
    return name, equals, path


if __name__ == "__main__":
    main()
