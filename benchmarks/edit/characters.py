"""Posed characters: rest pose in splats, one picture of another pose, seven other views that judge.

    python benchmarks/edit/characters.py OUT [--cases 0 1 2 ...] [--methods all ...]
                                        [--minutes M] [--sheet FILE.jpg]

In the spirit of the 3DBiCar test of Luo et al. 2024. Characters and poses are those of
`figures.py`. Splats are trained on 50 renders of the rest pose, from points of its surface; the
edited picture and the seven that judge are renders of the posed mesh. All methods have 650
iterations. A row per case and method is kept in OUT, and a run goes on where another one ended.

Beside the methods stand the scene as it was, and the splats carried along by the true skinning,
which no method can beat by much.
"""

import argparse
import json
import logging
import math
import os
import sys
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import arm
import figures
import ladder
import numpy as np
import torch
from PIL import Image
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation
from splatworks.renderers import meshes
from splatworks.renderers.choose import named
from splatworks.renderers.meshes import MeshScene
from splatworks.renderers.scene import Cameras
from splatworks.stages.edit import moving
from splatworks.stages.edit.difference import difference
from splatworks.stages.edit.photometric import ssim
from splatworks.stages.edit.pictures_in import Retouched
from splatworks.stages.edit.settings import Coarse
from splatworks.stages.edit.skinning import Pose
from splatworks.stages.edit.views import pick
from splatworks.stages.edit.work import carried
from splatworks.stages.formats import pictures, splats
from splatworks.stages.formats.lens import Lens
from splatworks.stages.formats.photos import Photo
from splatworks.stages.formats.splats import RawSplats
from splatworks.stages.geometry.activation import Parameters
from splatworks.stages.geometry.components import face_areas
from splatworks.stages.geometry.orbit import look_at_origin
from splatworks.stages.reconstruct import Config, checkpoint
from splatworks.stages.reconstruct.loop import step
from splatworks.stages.reconstruct.settings import Density, Rates, Views
from splatworks.stages.reconstruct.task import Task

SIZE_PX, GAUSSIANS = 128, 4000
TRAINING_VIEWS, TRAINING_ITERATIONS = 50, 700
FASTER = 4.0
"""Than the rates of `reconstruct`, whose training is ten times as long."""
DISTANCE_M, FOVY_DEG = {"person": 1.9, "beast": 1.6}, 40.0
ON_SHEET = ("photometric + ARAP", "the paper's losses", "all")
VIEWS, ELEVATION_DEG = 8, 10.0
"""Around the character; the first is edited."""
BUDGET = 650
SHOWN = (0, 1, 3, 6)
"""Views on the sheet."""


@dataclass(frozen=True)
class Case:
    """A character to be posed."""

    rest: RawSplats
    views: Cameras
    truth: np.ndarray
    shot: Retouched
    ideal: RawSplats
    """The splats as the true skinning carries them."""


@dataclass(frozen=True)
class Row:
    """What is kept of one case and method."""

    case: int
    kind: str
    method: str
    edited_db: float
    novel_db: float
    novel_ssim: float
    seconds: float


NAMES = ("not edited", "photometric + ARAP", "GESI-like", "the paper's losses", "all",
         "true skinning")  # fmt: skip


def methods() -> dict[str, ladder.Rung]:
    """Every one with the same number of iterations."""
    everything = ladder.rungs(300)
    photometric, paper, ours = everything[0], everything[4], everything[-1]
    fine = 200
    plain = replace(photometric.coarse, iterations=BUDGET)
    return {
        "photometric + ARAP": replace(photometric, coarse=plain),
        "GESI-like": ladder.Rung(
            "GESI-like", False,
            replace(paper.matching, color=0.5), replace(paper.rigidity, reset_every=0),
            replace(plain, edges=5, place_rate=0.005, turn_rate=0.03),
        ),
        "the paper's losses": replace(paper, coarse=replace(plain, iterations=BUDGET - fine)),
        "all": replace(ours, coarse=Coarse()),
    }  # fmt: skip


def case(number: int, folder: Path) -> Case:
    """Made anew, but for its splats, which are kept in `folder`."""
    kind = figures.KINDS[number]
    figure = figures.figure(kind, number)
    still = np.tile(np.eye(4), (len(figure.bones), 1, 1))
    moves = figures.pose(figure.bones, np.random.default_rng(1000 + number))
    path = folder / f"{number:02d}.ply"
    if not path.exists():
        splats.save(trained(figure.posed(still), figure, number), path)
    rest = splats.load(path)
    views = around(kind)
    truth = pictured(figure.posed(moves), views)
    own = arm.picture(rest, views)[0]
    found = difference(own, truth[0])
    shot = Retouched(pick(views, 0), own, truth[0], found.mask, np.ones(3, np.float32), found.noise)
    return Case(rest, views, truth, shot, truly_posed(rest, figure, moves))


def around(kind: str) -> Cameras:
    return look_at_origin(
        [360.0 * k / VIEWS for k in range(VIEWS)], [ELEVATION_DEG] * VIEWS,
        distance_m=DISTANCE_M[kind], fovy_deg=FOVY_DEG, size_px=(SIZE_PX, SIZE_PX),
    )  # fmt: skip


def pictured(mesh: MeshScene, views: Cameras) -> np.ndarray:
    """On white."""
    frames = meshes.render(mesh, views, supersample=3)
    return (frames.rgb + 1 - frames.alpha).numpy()


def trained(mesh: MeshScene, figure: figures.Figure, number: int) -> RawSplats:
    """Splats of the rest pose, by the package's own training."""
    rng = np.random.default_rng(2000 + number)
    kind = figures.KINDS[number]
    views = look_at_origin(
        rng.uniform(0, 360, TRAINING_VIEWS).tolist(),
        np.degrees(np.arcsin(rng.uniform(-0.95, 0.95, TRAINING_VIEWS))).tolist(),
        distance_m=DISTANCE_M[kind], fovy_deg=FOVY_DEG, size_px=(SIZE_PX, SIZE_PX),
    )  # fmt: skip
    rates = Rates()
    names = ("means", "means_final", "log_scales", "quaternions", "sh")
    faster = {name: FASTER * getattr(rates, name) for name in names}
    config = Config(
        iterations=TRAINING_ITERATIONS, sh_degree=0,
        views=Views(coarse_levels=0, background="random"), rates=replace(rates, **faster),
        density=Density(every=0), evaluate_every=0,
    )  # fmt: skip
    task = Task(
        training=photographs(mesh, views), kept_aside=(), renderer=named("cpu"), config=config,
        extent=1.1 * DISTANCE_M[kind], white_behind=False, seed=number, device="cpu",
    )  # fmt: skip
    state = checkpoint.start(strewn(figure, rng))
    for _ in range(TRAINING_ITERATIONS):
        step(task, state)
    values = state.population.values
    return RawSplats(
        **{name: getattr(values, name).detach().numpy() for name in
           ("means", "log_scales", "logit_opacities", "quaternions", "sh")}
    )  # fmt: skip


def photographs(mesh: MeshScene, views: Cameras) -> list[Photo]:
    frames = meshes.render(mesh, views, supersample=3)
    pixels = torch.cat([frames.rgb, frames.alpha], dim=-1).mul(255).round().byte()
    lens = Lens(
        width_px=SIZE_PX, height_px=SIZE_PX, focal_px=tuple(views.focal_px[0].tolist()),
        center_px=tuple(views.center_px[0].tolist()),
    )  # fmt: skip
    return [
        Photo(f"{k:03d}", lens, pose, picture[:3], picture[3:], None)
        for k, (pose, picture) in enumerate(
            zip(views.world_to_camera, pixels.permute(0, 3, 1, 2), strict=True)
        )
    ]


def strewn(figure: figures.Figure, rng: np.random.Generator) -> Parameters:
    """Round ones in gray on points of the surface, as a capture's sparse points would have it."""
    areas = face_areas(figure.surface)
    faces = rng.choice(len(areas), GAUSSIANS, p=areas / areas.sum())
    weights = rng.dirichlet(np.ones(3), GAUSSIANS)
    corners = figure.surface.positions[figure.surface.faces[faces]]
    points = torch.from_numpy(np.einsum("nk,nkj->nj", weights, corners)).float()
    width = 0.6 * math.sqrt(float(areas.sum()) / GAUSSIANS)
    return Parameters(
        means=points, log_scales=torch.full((GAUSSIANS, 3), math.log(width)),
        logit_opacities=torch.zeros(GAUSSIANS),
        quaternions=torch.tensor([[1.0, 0, 0, 0]]).repeat(GAUSSIANS, 1),
        sh=torch.zeros(GAUSSIANS, 1, 3),
    )  # fmt: skip


def truly_posed(rest: RawSplats, figure: figures.Figure, moves: np.ndarray) -> RawSplats:
    """Each Gaussian carried by the skinning of the vertex next to it."""
    _, near = cKDTree(figure.surface.positions).query(rest.means)
    blended = np.einsum("nb,bij->nij", figure.weights[near], moves)
    means = np.einsum("nij,nj->ni", blended[:, :3, :3], rest.means) + blended[:, :3, 3]
    turns = Rotation.from_matrix(blended[:, :3, :3]).as_quat()[:, [3, 0, 1, 2]]
    rows, none = torch.arange(len(means)), torch.zeros(0, 3)
    moved = moving.Moved(
        rows=rows, means=torch.from_numpy(means).float(), turns=torch.from_numpy(turns).float(),
        growth=torch.zeros(len(means), 3), rest=none, pose=Pose(none, torch.zeros(0, 4)),
        error_before=0.0, error_coarse=0.0, error_after=0.0,
    )  # fmt: skip
    return carried(rest, moved)


def scored(number: int, given: Case, method: str, after: RawSplats, seconds: float) -> Row:
    now = arm.picture(after, given.views)
    alike = [
        float(ssim(torch.from_numpy(a), torch.from_numpy(b)).mean())
        for a, b in zip(now[1:], given.truth[1:], strict=True)
    ]
    decibels = [ladder.psnr(a, b) for a, b in zip(now, given.truth, strict=True)]
    return Row(
        number, figures.KINDS[number], method, decibels[0], float(np.mean(decibels[1:])),
        float(np.mean(alike)), seconds,
    )  # fmt: skip


def run(number: int, folder: Path, wanted: list[str], deadline: float) -> bool:
    """What is wanted of one case and still missing; False if time ran out."""
    solvers = methods()
    paths = {name: folder / f"{number:02d}-{k}" for k, name in enumerate(NAMES)}
    todo = [name for name in wanted if not paths[name].with_suffix(".json").exists()]
    given = case(number, folder) if todo else None
    for name in todo:
        assert given is not None
        if time.monotonic() > deadline:
            return False
        begun = time.process_time()
        if name in solvers:
            everything = np.ones(len(given.rest), bool)
            posed = ladder.Case(
                given.rest, given.ideal, given.views, everything, given.shot, given.truth
            )
            after = ladder.solve(posed, solvers[name])[0]
        else:
            after = given.rest if name == "not edited" else given.ideal
        row = scored(number, given, name, after, time.process_time() - begun)
        shown = arm.picture(after, given.views)[list(SHOWN)]
        pictures.save(pictures.sheet(list(shown), len(SHOWN), 0), paths[name].with_suffix(".png"))
        truth = pictures.sheet(list(given.truth[list(SHOWN)]), len(SHOWN), 0)
        pictures.save(truth, folder / f"{number:02d}-truth.png")
        paths[name].with_suffix(".json").write_text(json.dumps(asdict(row)) + "\n", "utf-8")
        print(row, flush=True)
    return True


def told(rows: list[Row]) -> str:
    """The table: per case, then means over the cases that are complete."""
    names = [name for name in NAMES if any(row.method == name for row in rows)]
    lines = ["| case | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    for number in sorted({row.case for row in rows}):
        found = {row.method: row for row in rows if row.case == number}
        cells = [f"{found[n].novel_db:.1f} ({found[n].novel_ssim:.3f})" if n in found else ""
                 for n in names]  # fmt: skip
        kind = next(iter(found.values())).kind
        lines.append(f"| {number} {kind} | " + " | ".join(cells) + " |")
    whole = complete(rows)
    if not whole:
        return "\n".join(lines)
    for title, of in (
        ("mean, novel views", lambda row: row.novel_db), ("SSIM", lambda row: row.novel_ssim),
        ("edited view", lambda row: row.edited_db), ("seconds", lambda row: row.seconds),
    ):  # fmt: skip
        means = [np.mean([of(row) for row in whole if row.method == name]) for name in names]
        cells = [f"{mean:.3g}" if mean < 1 else f"{mean:.2f}" for mean in means]
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def complete(rows: list[Row]) -> list[Row]:
    """Of the cases that every method of the rows has done."""
    names = {row.method for row in rows}
    done = {
        number
        for number in {row.case for row in rows}
        if {row.method for row in rows if row.case == number} == names
    }
    return [row for row in rows if row.case in done]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--cases", type=int, nargs="*", default=list(range(len(figures.KINDS))))
    parser.add_argument("--methods", nargs="*", default=list(NAMES), choices=NAMES)
    parser.add_argument("--minutes", type=float, default=math.inf)
    parser.add_argument("--sheet", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    logging.basicConfig(level=logging.WARNING)
    options.out.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + 60 * options.minutes
    for number in options.cases:
        if not run(number, options.out, options.methods, deadline):
            break
    kept = sorted(options.out.glob("??-?.json"))
    rows = [Row(**json.loads(path.read_text("utf-8"))) for path in kept]
    rows = [row for row in rows if row.method in options.methods]
    print(told(rows))
    if options.sheet:
        sheet = pictures.to_bytes(contact(options.out, options.cases))
        Image.fromarray(sheet).save(options.sheet, quality=80)
    return 0


def contact(folder: Path, cases: list[int]) -> np.ndarray:
    """One case per line, from four sides each: the truth, photometric, the paper's, all."""
    cells = []
    for number in cases:
        names = ["truth", *(str(NAMES.index(name)) for name in ON_SHEET)]
        paths = [folder / f"{number:02d}-{name}.png" for name in names]
        if all(path.exists() for path in paths):
            cells += [pictures.load(path) for path in paths]
    halves = [(a[::2, ::2] + a[1::2, ::2] + a[::2, 1::2] + a[1::2, 1::2]) / 4 for a in cells]
    return pictures.sheet(halves, 1 + len(ON_SHEET), 8)


if __name__ == "__main__":
    sys.exit(main())
