"""A field fitted to the views against blending texel by texel, at equal time.

    python benchmarks/gallery.py runs --list gallery
    python benchmarks/texture_methods.py runs/a-yellow-duck runs/a-red-robot --out DIR

Each RUN is one of `pipeline generate`. Its mesh is textured anew from its splats by the package's
stage: `blend` with more and more views, and `field` likewise. A result is judged from twelve sides
against the splats (PSNR where both are opaque), and from eight sides by the independent scorer
(how likely is what the prompt says; sides whose kind is right). Time is CPU time of one thread.

Writes DIR/texture_methods.json and DIR/texture_methods.png. The same line continues.
"""

import argparse
import json
import logging
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import generating
import numpy as np
import score_assets
import torch
from splatworks.pipeline.contract import Context, replacing
from splatworks.stages import texture
from splatworks.stages.artifacts import MeshFile, SplatsFile
from splatworks.stages.formats import gltf, splats
from splatworks.stages.geometry import likeness
from splatworks.stages.geometry.activation import activate
from splatworks.stages.preview.contact import Row, contact_sheet
from splatworks.stages.toybox.scorer import files
from splatworks.stages.toybox.scorer.score import score

TRIED = [("blend", 32), ("blend", 64), ("field", 32)]
"""Methods, and how many views they see; the stage's default is 32."""
JUDGED, JUDGED_PX = 12, 256
SHOWN, SHOWN_PX, BACKGROUND = (0, 3, 6, 9), 192, 0.85


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("runs", type=Path, nargs="+", help="of `pipeline generate`")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    torch.set_num_threads(1)
    scorer = files.load(files.SHIPPED)
    path = options.out / "texture_methods.json"
    known = json.loads(path.read_text("utf-8"))["results"] if path.is_file() else []
    for run in options.runs:
        warmed = False
        for method, views in TRIED:
            if any((r["run"], r["method"], r["views"]) == (run.name, method, views) for r in known):
                continue
            if not warmed:  # Compile before any clock runs.
                textured(run, method, 4, options.out / "warm")
                warmed = True
            seconds, made = textured(
                run, method, views, options.out / f"{run.name}-{method}{views}"
            )
            known.append({"run": run.name, "method": method, "views": views,
                          "seconds": round(seconds, 2), **judged(run, made, scorer)})  # fmt: skip
            print(known[-1], flush=True)
            options.out.mkdir(parents=True, exist_ok=True)
            with replacing(path) as temporary:
                temporary.write_text(json.dumps({"results": known}, indent=1) + "\n", "utf-8")
    rows = [row for run in options.runs for row in shown(run, options.out)]
    columns = [f"{likeness.directions(JUDGED)[k][0]:.0f}°" for k in SHOWN]
    heading = "Textures of one mesh, and the splats they come from"
    sheet = contact_sheet(rows, columns, heading, "", BACKGROUND)
    generating.save_sheet(sheet, options.out / "texture_methods.png")
    return 0


def textured(run: Path, method: Any, views: int, folder: Path) -> tuple[float, Path]:
    """Seconds of CPU time, and the mesh."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "scratch").mkdir(parents=True)
    ctx = Context(
        out=folder, scratch=folder / "scratch", log=logging.getLogger("texture"), progress=silent,
        seed=0, device="cpu", threads=1, memory_bytes=8 << 30,
    )  # fmt: skip
    inputs = texture.Inputs(mesh=MeshFile(mesh_of(run)), splats=SplatsFile(splats_of(run)))
    begun = time.process_time()
    made = texture.run(inputs, texture.Config(method=method, views=views), ctx)
    return time.process_time() - begun, made.textured.path


def mesh_of(run: Path) -> Path:
    return run / "latest" / "mesh" / "mesh.glb"


def splats_of(run: Path) -> Path:
    return run / "latest" / "distill" / "splats.ply"


@contextmanager
def silent(title: str, total: int, done: int = 0) -> Iterator[Any]:
    class Bar:
        def advance(self, steps: int = 1, note: str = "") -> None:
            pass

    yield Bar()


def judged(run: Path, made: Path, scorer: files.Scorer) -> dict[str, Any]:
    pair = likeness.pair(activate(splats.load(splats_of(run))), gltf.load(made))
    found = likeness.compare(pair, views=JUDGED, size_px=JUDGED_PX, threads=1)
    prompt = score_assets.prompt_of(run / "latest" / "export" / "asset.glb")
    opinion = score(score_assets.mesh_views(made, 192), prompt, scorer)
    return {
        "inner psnr dB": round(found.inner_psnr_db or 0.0, 3),
        "psnr dB": round(found.psnr_db, 3),
        "scorer's log-probability": round(opinion.similarity, 3),
        "sides of the right kind": opinion.kind_hits,
    }


def shown(run: Path, out: Path) -> Iterator[Row]:
    """The splats, and both methods as they are by default."""
    meshes = {method: gltf.load(out / f"{run.name}-{method}32" / "textured.glb")
              for method in ("blend", "field")}  # fmt: skip
    pair = likeness.pair(activate(splats.load(splats_of(run))), meshes["blend"])
    toward = [likeness.directions(JUDGED)[k] for k in SHOWN]
    cameras = likeness.one_by_one(likeness.around(toward, pair.radius_m, SHOWN_PX))
    pictures = [likeness.splat_picture(pair.splats, camera) for camera in cameras]
    yield Row(f"{run.name}\nsplats", [over(picture) for picture in pictures])
    for method, mesh in meshes.items():
        scene = likeness.mesh_scene(mesh, likeness.middle(mesh))
        pictures = [likeness.mesh_picture(scene, camera)[0] for camera in cameras]
        yield Row(method, [over(picture) for picture in pictures])


def over(picture: np.ndarray) -> np.ndarray:
    return likeness.over(picture, BACKGROUND)


if __name__ == "__main__":
    sys.exit(main())
