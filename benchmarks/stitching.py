"""The stitch stage against other ways to close a seam, on pairs of parts that meet.

    python benchmarks/stitching.py [--data DATA] [--count 3000] [--only NAME ...]
        [--write results.json] [--sheet sheet.png] [--time 50000]

DATA holds `meshes/*.glb`, `garden.npz` and `fox.ply` (instant-ngp's fox by `pipeline reconstruct`,
taken as it is, whatever the count). Without `fox.ply` its pairs are left out, without DATA all but
the procedural ones. All methods are judged by the same boundary, cameras and figures:

    seam      mean color difference (CIE 1976) of the boundary to its source neighbors
    step      the same between pixels on both sides of the seam, in pictures of the whole;
              beside: between pixels of one part near the seam
    texture   correlation of the target's slopes with those before, away from the boundary
    truth     where both parts were cut from one thing: mean color difference to it
    seconds   of processor time, one thread

`--time` runs the whole stage on two parts of so many Gaussians instead.
"""

import argparse
import json
import logging
import os
import tempfile
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import stitching_parts
import torch
from PIL import Image, ImageDraw
from splatworks.pipeline.contract import Context
from splatworks.renderers.choose import splat_renderer
from splatworks.renderers.scene import Cameras
from splatworks.stages.artifacts import SplatsFile
from splatworks.stages.formats import pictures, splats
from splatworks.stages.formats.splats import RawSplats
from splatworks.stages.geometry.activation import activate
from splatworks.stages.geometry.likeness import one_by_one
from splatworks.stages.scene.affine import joined
from splatworks.stages.scene.recolor import base_colors
from splatworks.stages.stitch import Config, Inputs, Weights, run
from splatworks.stages.stitch.boundary import Boundary
from splatworks.stages.stitch.checkpoint import begun
from splatworks.stages.stitch.harmonize import harmonized, posed, source_palette
from splatworks.stages.stitch.seam import lab, seam_difference, texture_kept
from splatworks.stages.stitch.step import Crossing, crossings, visible_step
from splatworks.stages.stitch.views import View, around, views_of
from splatworks.stages.stitch.work import seam_of
from stitching_parts import Pair
from stitching_peers import PEERS

OURS = {
    "paper": Config(start="original", weights=Weights(color=1.0, palette=2.0)),
    "stitch": Config(),
}
SHOWN = ("naive merge", "mean color", "histogram", "laplacian, solved", "paper", "stitch")
CELL_PX = 220


@dataclass(frozen=True)
class Row:
    """One method on one pair."""

    seam: float
    step: float | None
    beside: float | None
    texture: float
    truth: float | None
    seconds: float


@dataclass(frozen=True)
class Case:
    """A pair, and by what all methods are judged."""

    pair: Pair
    size: float
    boundary: Boundary
    cameras: Cameras
    views: list[View]
    crossings: list[Crossing]

    def judged(self, sh: np.ndarray, seconds: float) -> Row:
        before, source = (torch.from_numpy(p.sh) for p in (self.pair.target, self.pair.source))
        after = torch.from_numpy(np.ascontiguousarray(sh))
        step = visible_step(self.crossings, after, source)
        truth = None
        if self.pair.truth is not None:
            gaps = lab(base_colors(sh)) - lab(base_colors(self.pair.truth.sh))
            truth = float(np.linalg.norm(gaps, axis=1).mean())
        return Row(
            seam=seam_difference(after, source, self.boundary),
            step=step.across,
            beside=step.beside,
            texture=texture_kept(self.views, before, after, self.boundary),
            truth=truth,
            seconds=seconds,
        )


def posed_case(pair: Pair) -> Case:
    """With the stage's own boundary and cameras."""
    degree = max(pair.target.sh.shape[1], pair.source.sh.shape[1])
    target, source = (_filled(part, degree) for part in (pair.target, pair.source))
    config = Config()
    size, boundary = seam_of(target, source, config)
    points = np.concatenate([target.means, source.means]).astype(np.float64)
    low, high = np.percentile(points, [1, 99], axis=0)
    radius = 0.5 * float(np.linalg.norm(high - low))
    cameras = around((low + high) / 2, radius, config.views, config.size_px)
    own, theirs = activate(target), activate(source)
    return Case(
        pair=replace(pair, target=target, source=source),
        size=size,
        boundary=boundary,
        cameras=cameras,
        views=views_of(own, cameras, 1),
        crossings=crossings(own, theirs, cameras, config.beta * size, 1),
    )


def _filled(part: RawSplats, coefficients: int) -> RawSplats:
    more = coefficients - part.sh.shape[1]
    return replace(part, sh=np.pad(part.sh, ((0, 0), (0, more), (0, 0))))


def ours(case: Case, config: Config) -> np.ndarray:
    """All that the stage does between reading and writing, but for the views of the target."""
    own, theirs = activate(case.pair.target), activate(case.pair.source)
    palette = source_palette(views_of(theirs, case.cameras, 1), theirs.sh, 0)
    problem = posed(own, theirs, case.boundary, case.views, case.size, config)
    with tempfile.TemporaryDirectory() as folder:
        context = quiet(Path(folder), 1)
        return harmonized(problem, palette, config, context, begun(problem.start)).numpy()


def compared(case: Case) -> tuple[dict[str, Row], dict[str, np.ndarray]]:
    """Every method's figures and harmonics."""
    target, source = case.pair.target, case.pair.source
    methods: dict[str, Callable[[], np.ndarray]] = {
        name: lambda peer=peer: peer(target, source, case.boundary) for name, peer in PEERS.items()
    }
    methods |= {name: lambda config=config: ours(case, config) for name, config in OURS.items()}
    rows, results = {}, {}
    for name, method in methods.items():
        start = time.process_time()
        results[name] = method()
        rows[name] = case.judged(results[name], time.process_time() - start)
    return rows, results


def shown(case: Case, results: dict[str, np.ndarray]) -> list[np.ndarray]:
    """Each method from the camera that sees most of the seam."""
    pairs = [int(one.across[0].sum() + one.across[1].sum()) for one in case.crossings]
    camera = one_by_one(case.cameras)[int(np.argmax(pairs))]
    scale = CELL_PX / camera.width_px
    camera = replace(
        camera,
        focal_px=camera.focal_px * scale,
        center_px=camera.center_px * scale,
        width_px=CELL_PX,
        height_px=CELL_PX,
    )
    cells = []
    for name in SHOWN:
        target = replace(case.pair.target, sh=results[name])
        with torch.no_grad():
            both = activate(joined([target, case.pair.source], target))
            frames = splat_renderer("cpu")(both, camera)
        assert frames.rgb is not None and frames.alpha is not None
        cells.append((frames.rgb + 1 - frames.alpha)[0].numpy())
    return cells


def save_sheet(rows: dict[str, list[np.ndarray]], path: Path) -> None:
    """A row per pair, a column per method, with names."""
    head = 16
    size = (CELL_PX * len(SHOWN), (CELL_PX + head) * len(rows) + head)
    sheet = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    for column, name in enumerate(SHOWN):
        draw.text((column * CELL_PX + 4, 2), name, fill="black")
    for line, (name, cells) in enumerate(rows.items()):
        top = head + line * (CELL_PX + head)
        draw.text((4, top + 2), name.replace("_", " "), fill="gray")
        for column, cell in enumerate(cells):
            picture = Image.fromarray(pictures.to_bytes(cell))
            sheet.paste(picture, (column * CELL_PX, top + head))
    sheet.save(path, format="PNG", optimize=True)


def timed(count: int) -> dict[str, float]:
    """Seconds of the whole stage on two parts with view-dependent colors, two threads."""
    pair = stitching_parts.marbles(count, None)
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        files = [
            SplatsFile(splats.save(part, folder / f"{number}.ply"))
            for number, part in enumerate((pair.target, pair.source))
        ]
        start, busy = time.perf_counter(), time.process_time()
        run(Inputs(*files), Config(), quiet(folder, 2))
        wall, busy = time.perf_counter() - start, time.process_time() - busy
    return {"gaussians_each": count, "wall_s": wall, "processor_s": busy}


def quiet(folder: Path, threads: int) -> Context:
    """Where a stage runs, without a word."""

    @contextmanager
    def silent(title: str, total: int, done: int = 0):
        class Bar:
            def advance(self, steps: int = 1, note: str = "") -> None: ...

        yield Bar()

    out, scratch = folder / "out", folder / "scratch"
    out.mkdir()
    scratch.mkdir()
    log = logging.getLogger("stitching")
    return Context(out, scratch, log, silent, 0, "cpu", threads, 2**31)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--count", type=int, default=3000)
    parser.add_argument("--only", nargs="*", default=())
    parser.add_argument("--write", type=Path)
    parser.add_argument("--sheet", type=Path)
    parser.add_argument("--time", type=int)
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.time:
        print(json.dumps(timed(given.time)))
        return
    makers = dict(stitching_parts.PROCEDURAL)
    if given.data is not None:
        makers |= stitching_parts.FROM_FILES
    makers = {name: maker for name, maker in makers.items() if not given.only or name in given.only}
    results, sheet = {}, {}
    for name, maker in makers.items():
        try:
            case = posed_case(maker(given.count, given.data))
        except FileNotFoundError as missing:
            print(f"{name}: left out, {missing}", flush=True)
            continue
        rows, harmonics = compared(case)
        print(f"{name}: boundary of {len(case.boundary.members)}", flush=True)
        for method, row in rows.items():
            print("  ", f"{method:22}", _line(row), flush=True)
        results[name] = {method: asdict(row) for method, row in rows.items()}
        sheet[name] = shown(case, harmonics)
        if given.write is not None:
            document = {"gaussians_each": given.count, "pairs": results}
            given.write.write_text(json.dumps(document, indent=1) + "\n", "utf-8")
        if given.sheet is not None:
            save_sheet(sheet, given.sheet)


def _line(row: Row) -> str:
    figures = asdict(row)
    return "  ".join(f"{k} {v:.3g}" if v is not None else f"{k} -" for k, v in figures.items())


if __name__ == "__main__":
    main()
