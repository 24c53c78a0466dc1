"""Photographs baked onto known meshes, against Open3D and against the texture itself.

    python benchmarks/baking.py MESHES --out DIR [--meshes a,b] [--texture-size 1024] [--write F]

MESHES is a directory of textured GLB files. Of each, 32 photographs before a wall are rendered by
the judge's ray caster (`simplify/judge`), the texture is thrown away, and made anew from them on a
fresh atlas:

    bake      the stage, as it is by default
    blended   the same without least squares and without closing seams
    open3d    `TriangleMesh.project_images_to_albedo` on the same atlas
    limit     the true texture asked at every texel of that atlas, without photographs

All are judged by thirteen other views of 512 px, each pixel the mean over 3 x 3 rays as in a
camera (with one ray per pixel, hard edges of the truth have steps, and the true texture itself gets
no more than 30 dB on the rabbit, whatever its size): PSNR over the silhouettes, the difference of
both
sides of charts' borders at the finest level and at mip level 2 (255ths, largest and one in a
thousand), and for `bake` what share of the surface it calls seen, and whether it is right: by a
depth map of each photograph at twice its size.
"""

import argparse
import json
import logging
import os
import shutil
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from baking_scenes import Tripods, averaged, capture, finer, photographs, tripods, views
from baking_seams import seams
from PIL import Image
from simplify.judge import glb
from simplify.judge.model import Model
from simplify.judge.pictures import compare
from simplify.judge.views import Surface, View, stand
from splatworks.pipeline.contract import Context
from splatworks.renderers.open3d_import import open3d
from splatworks.stages.artifacts import CaptureDir, TexturedMeshFile
from splatworks.stages.formats import wild
from splatworks.stages.formats.srgb import encode
from splatworks.stages.geometry.appearance import Appearance, Places
from splatworks.stages.geometry.bake import Maps, fill
from splatworks.stages.texture import bake
from splatworks.stages.texture.bake.layout import Layout, lay_out

PHOTOGRAPHS, SIDE_PX = 32, 800
JUDGED, JUDGED_PX = 13, 512
RAYS = 3
"""Per axis of a pixel of a judged view."""
DEFAULT = ("spot_synth", "ycb_banana", "bunny_tex")


@dataclass(frozen=True)
class Row:
    mesh: str
    method: str
    psnr_db: float
    ssim: float
    seam_largest: float
    seam_permille: float
    seam2_largest: float
    seam2_permille: float
    seconds: float
    seen: float | None = None
    mask_right: float | None = None


def main() -> None:
    options = arguments()
    rows = []
    for name in options.meshes.split(","):
        rows += judged(options.meshes_in / f"{name}.glb", options.out, options.texture_size)
    if options.write:
        options.write.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")


def judged(path: Path, out: Path, size_px: int) -> list[Row]:
    """All methods on one mesh; their results lie below `out`."""
    surface = Surface(glb.read(path))
    place = stand(surface.model)
    cameras = tripods(place, PHOTOGRAPHS, SIDE_PX)
    folder = out / path.stem
    if not (folder / "capture" / "transforms.json").exists():
        shutil.rmtree(folder / "capture", ignore_errors=True)
        capture(folder / "capture", photographs(surface, cameras), cameras)
    others = tripods(place, JUDGED, JUDGED_PX)
    truth = taken(surface, others)
    rows = []
    plain = {"refine": False, "close_seams": False, "gains": "off"}
    for method, settings in (("bake", {}), ("blended", plain)):
        config = bake.Config(texture_size_px=size_px, **settings)
        started = time.process_time()
        made = ours(path, folder, method, config)
        rows.append((method, glb.read(made / "textured.glb"), time.process_time() - started))
    reference = rows[0][1]
    layout = lay_out(
        wild.read(folder / "bake/textured.glb"), size_px, 8, keep_uvs=True, name=str(path)
    )
    started = time.process_time()
    albedo = open3d_albedo(layout, folder / "capture", cameras)
    rows.append(("open3d", painted(reference, albedo), time.process_time() - started))
    rows.append(("limit", painted(reference, true_texture(path, layout)), 0.0))
    found = []
    for method, model, seconds in rows:
        glb.write(folder / f"{method}.glb", model)
        likeness = compare(truth, taken(Surface(model), others), surface.model.diagonal)
        first, second = seams(model, 0), seams(model, 2)
        row = Row(
            path.stem, method, likeness.color_psnr_db, likeness.color_ssim, first.largest,
            first.permille, second.largest, second.permille, seconds,
        )  # fmt: skip
        if method == "bake":
            seen, right = mask_judged(folder / "bake", layout, surface, cameras)
            row = replace(row, seen=seen, mask_right=right)
        found.append(row)
        print(told(row), flush=True)
    return found


def taken(surface: Surface, cameras: Tripods) -> list[View]:
    return averaged(views(surface, finer(cameras, RAYS)), RAYS)


def ours(path: Path, folder: Path, method: str, config: bake.Config) -> Path:
    out, scratch = folder / method, folder / f"{method}-scratch"
    for directory in (out, scratch):
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
    ctx = Context(
        out=out, scratch=scratch, log=logging.getLogger("bake"), progress=silent, seed=0,
        device="cpu", threads=1, memory_bytes=8 << 30,
    )  # fmt: skip
    bake.run(bake.Inputs(TexturedMeshFile(path), CaptureDir(folder / "capture")), config, ctx)
    shutil.rmtree(scratch)
    return out


@contextmanager
def silent(title: str, total: int, done: int = 0):
    class Bar:
        def advance(self, steps: int = 1, note: str = "") -> None:
            pass

    yield Bar()


def open3d_albedo(layout: Layout, folder: Path, cameras: Tripods) -> np.ndarray:
    """The peer's texture, (size, size, 3) bytes, row 0 at the top."""
    o3d = open3d()
    mesh, core = layout.mesh, o3d.core
    made = o3d.t.geometry.TriangleMesh(
        core.Tensor(mesh.positions), core.Tensor(mesh.faces.astype(np.int64))
    )
    assert mesh.uvs is not None
    uvs = mesh.uvs[mesh.faces] * np.float32([1, -1]) + np.float32([0, 1])  # Its v runs up.
    made.triangle.texture_uvs = core.Tensor(np.ascontiguousarray(uvs, np.float32))
    focal, half = cameras.focal_px, cameras.size_px / 2
    lens = np.array([[focal, 0, half], [0, focal, half], [0, 0, 1]])
    pictures = [
        o3d.t.geometry.Image(core.Tensor(np.asarray(Image.open(file))))
        for file in sorted((folder / "images").glob("*.png"))
    ]
    found = made.project_images_to_albedo(
        pictures,
        [core.Tensor(lens)] * len(pictures),
        [core.Tensor(pose) for pose in cameras.world_to_camera],
        layout.size_px,
    )
    pixels = found.as_tensor().numpy()
    return pixels if pixels.dtype == np.uint8 else np.rint(pixels.clip(0, 1) * 255).astype(np.uint8)


def true_texture(path: Path, layout: Layout) -> np.ndarray:
    """The mesh's own colors at the texels' places, found as the nearest points of its surface."""
    from splatworks.stages.geometry.components import Surface as Triangles
    from splatworks.stages.texture.bake.caster import Caster

    looks = Appearance(wild.read(path))
    model = looks.model
    points = layout.points(slice(None))
    surface = Triangles(model.positions.astype(np.float32), model.faces)
    near = Caster(surface, 1).nearest(points.positions)
    places = Places(near.faces, near.barycentrics, 1 / np.maximum(points.texel_m, 1e-30))
    size = layout.size_px
    values, valid = np.zeros((size, size, 3), np.float32), np.zeros((size, size), bool)
    values[layout.rows, layout.columns] = encode(looks.base_color(places)[:, :3])
    valid[layout.rows, layout.columns] = True
    return np.rint(fill(Maps(values, valid), 4).clip(0, 1) * 255).astype(np.uint8)


def painted(model: Model, pixels: np.ndarray) -> Model:
    """The same mesh with another texture."""
    opaque = np.concatenate([pixels, np.full_like(pixels[..., :1], 255)], axis=2)
    first = replace(model.materials[0], pixels=opaque)
    return replace(model, materials=(first, *model.materials[1:]))


def mask_judged(
    folder: Path, layout: Layout, surface: Surface, cameras: Tripods
) -> tuple[float, float]:
    """Share of the texels called seen, and of those where depth maps say the same."""
    mask = np.asarray(Image.open(folder / "unseen.png"))
    inside = np.flatnonzero(layout.inside)
    called = mask[layout.rows[inside], layout.columns[inside]] == 0
    points = layout.points(inside)
    fine = replace(cameras, size_px=2 * cameras.size_px)
    seen = np.zeros(len(inside), bool)
    weighing = bake.Weighing()
    for pose, view in zip(fine.world_to_camera, views(surface, fine), strict=True):
        local = points.positions @ pose[:3, :3].T + pose[:3, 3]
        pixel = local[:, :2] / local[:, 2:] * fine.focal_px + fine.size_px / 2
        column, row = (pixel.astype(int) + 0).clip(0, fine.size_px - 1).T
        ways = -pose[:3, :3].T @ pose[:3, 3] - points.positions
        cosine = np.einsum("px,px->p", ways, points.normals) / np.linalg.norm(ways, axis=1)
        near = local[:, 2] <= view.depth[row, column] + weighing.tolerance * layout.radius_m
        seen |= near & (cosine >= weighing.slanted_cosine)
    return float(called.mean()), float((called == seen).mean())


def told(row: Row) -> str:
    line = (
        f"{row.mesh:12} {row.method:8} {row.psnr_db:6.2f} dB  SSIM {row.ssim:.4f}  seams "
        f"{row.seam_largest:5.1f} {row.seam_permille:5.1f}  at mip 2 {row.seam2_largest:5.1f} "
        f"{row.seam2_permille:5.1f}  {row.seconds:5.1f} s"
    )
    if row.seen is None or row.mask_right is None:
        return line
    return f"{line}  seen {row.seen:.2%}, mask right {row.mask_right:.2%}"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("meshes_in", type=Path, metavar="MESHES")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--meshes", default=",".join(DEFAULT))
    parser.add_argument("--texture-size", type=int, default=1024)
    parser.add_argument("--write", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main()
