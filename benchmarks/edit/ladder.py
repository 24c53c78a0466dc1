"""What each loss of the single-image edit is worth, on an arm whose truth is known.

    python benchmarks/edit/ladder.py [--angle 45] [--size 128] [--gaussians 2000] [--iterations 300]
                                     [--sheet FILE.png]

One picture of the bent arm is the edit; seven others judge. Every rung has the same number of
iterations and the same optimizer. The first two have no anchors: every Gaussian moves by itself.
`hidden` is the mean distance to the truth, in percent of the arm's length, of moved Gaussians that
the edited view does not show.
"""

import argparse
import logging
import os
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import arm
import numpy as np
import torch
from splatworks.renderers.scene import Cameras, Gaussians
from splatworks.stages.edit import (
    Config,
    anchors,
    coarse,
    fine,
    groups,
    moving,
    reach,
    skinning,
    tries,
)
from splatworks.stages.edit.difference import difference
from splatworks.stages.edit.photometric import ssim
from splatworks.stages.edit.pictures_in import Retouched
from splatworks.stages.edit.settings import Coarse, Matching, Rigidity
from splatworks.stages.edit.state import State
from splatworks.stages.edit.views import pick, weights_inside
from splatworks.stages.edit.work import carried
from splatworks.stages.formats import pictures
from splatworks.stages.formats.splats import RawSplats
from splatworks.stages.geometry.activation import activate

LOG = logging.getLogger("edit")
LENGTH_M = 2 * (arm.LENGTH_M + arm.RADIUS_M)


@dataclass(frozen=True)
class Rung:
    """One set of losses."""

    name: str
    anchors: bool
    matching: Matching
    rigidity: Rigidity
    coarse: Coarse
    fine: bool = False


@dataclass(frozen=True)
class Score:
    """How near a rung comes to the truth."""

    reference_db: float
    novel_db: float
    novel_ssim: float
    moved_error: float
    hidden_error: float
    joint_masks: float
    link_masks: float
    seconds: float


def rungs(iterations: int) -> list[Rung]:
    """The paper's table 2, and what this package adds."""
    whole = Rigidity(settled=1.0)
    arap = replace(whole, rotation=0, distance=0, adaptive=False)
    plain = Coarse(iterations=iterations, smoothing=0.0, stay=0.0, own_share=1.0,
                   group_iterations=0, along_surface=False, limbs=False)  # fmt: skip
    free = Coarse(iterations=iterations, along_surface=False, limbs=False)
    none = Matching(weight=0.0, find_pairs=False)
    ot = Matching(leaving=None, find_pairs=False, until_share=0.75)
    own = Matching(find_pairs=False)
    return [
        Rung("photometric + ARAP", False, none, arap, plain),
        Rung("+ positional (OT)", False, ot, arap, plain),
        Rung("+ anchors", True, ot, arap, plain, fine=True),
        Rung("+ adaptive masks", True, ot, replace(arap, adaptive=True), plain, fine=True),
        Rung("+ rotation, distance", True, ot, whole, plain, fine=True),
        Rung("+ smoothed steps, leaving, staying", True, own, Rigidity(),
             replace(free, group_iterations=0), fine=True),
        Rung("+ rigid groups", True, own, Rigidity(), free, fine=True),
        Rung("+ patches found again", True, Matching(), Rigidity(), free, fine=True),
        Rung("+ ways along the surface, limbs (all)", True, Matching(), Rigidity(),
             Coarse(iterations=iterations), fine=True),
    ]  # fmt: skip


@dataclass(frozen=True)
class Case:
    """An edit whose truth is known."""

    rest: RawSplats
    goal: RawSplats
    views: Cameras
    moving: np.ndarray
    shot: Retouched
    truth: np.ndarray


def case(rest: RawSplats, goal: RawSplats, views, moving: np.ndarray) -> Case:
    truth = arm.picture(goal, views)
    own = arm.picture(rest, views)[0]
    found = difference(own, truth[0])
    ground = np.ones(3, np.float32)
    shot = Retouched(pick(views, 0), own, truth[0], found.mask, ground, 0.0)
    return Case(rest, goal, views, moving, shot, truth)


def solve(given: Case, rung: Rung) -> tuple[RawSplats, coarse.Problem, State]:
    """Run one rung to its end."""
    scene = activate(given.rest)
    config = Config(
        matching=rung.matching, rigidity=rung.rigidity, coarse=rung.coarse, what="geometry"
    )
    problem = reach.posed_problem(scene, [given.shot], config, 1)
    if not rung.anchors:
        problem = direct(problem)
    state = coarse.start(problem, tries.first_pose(problem)[0] if rung.coarse.limbs else None)
    for _ in range(rung.coarse.iterations):
        tries.step(problem, state)
    pose = coarse.pose_of(problem, state)
    if rung.coarse.group_iterations:
        pose = settled(problem, state)
    result = moving.moved_by(problem, pose)
    if rung.fine:
        result = refined(result, problem, config)
    return carried(given.rest, result), problem, state


def settled(problem: coarse.Problem, state: State) -> skinning.Pose:
    """The rigid groups without their files."""
    found = coarse.pose_of(problem, state)
    pieces = groups.grouped(problem.skin.rest, found, problem.edges)
    if pieces is None:
        return found
    last = groups.start(problem, pieces)
    for _ in range(problem.coarse.group_iterations):
        groups.step(problem, pieces, state["masks"].detach(), last)
    rigid = groups.pose_of(problem, pieces, last)
    return moving.better(problem, found, rigid, int(pieces.moves.sum()), LOG)


def refined(result: moving.Moved, problem: coarse.Problem, config: Config) -> moving.Moved:
    """The fine stage without its files."""
    second = moving.fine_problem(result, problem, config)
    state = fine.start(second)
    for _ in range(config.fine.iterations):
        fine.step(second, state)
    return moving.with_fine(result, state)


def direct(problem: coarse.Problem) -> coarse.Problem:
    """Every movable Gaussian is its own anchor."""
    points = problem.scene.means[problem.movable].double().numpy()
    edges = anchors.graph(points, problem.coarse.edges)
    skin = skinning.bind(points, points, edges, 1)
    # Sparse: with thousands of points a dense one costs more than the renderer.
    return replace(problem, edges=edges, skin=skin, smoothing=torch.eye(len(points)).to_sparse())


def scored(given: Case, rung: Rung) -> tuple[Score, np.ndarray]:
    start = time.process_time()
    after, problem, state = solve(given, rung)
    seconds = time.process_time() - start
    now = arm.picture(after, given.views)
    novel = [psnr(now[k], given.truth[k]) for k in range(1, len(now))]
    alike = [
        float(ssim(torch.from_numpy(now[k]), torch.from_numpy(given.truth[k])).mean())
        for k in range(1, len(now))
    ]
    error = np.linalg.norm(after.means - given.goal.means, axis=1)
    hidden = given.moving & unseen(activate(given.rest), given)
    joint, link = mask_means(given, problem, state)
    score = Score(
        psnr(now[0], given.truth[0]), float(np.mean(novel)), float(np.mean(alike)),
        float(error[given.moving].mean()), float(error[hidden].mean()), joint, link, seconds,
    )  # fmt: skip
    return score, now


def unseen(scene: Gaussians, given: Case) -> np.ndarray:
    """Gaussians that the edited view shows less of than a hundredth of a pixel."""
    everything = torch.ones(given.shot.mask.shape, dtype=torch.bool)
    return (weights_inside(scene, [given.shot.camera], [everything]) < 0.01).numpy()


def mask_means(given: Case, problem: coarse.Problem, state: State) -> tuple[float, float]:
    """sigma(m) of ARAP on edges across the joint, and on all others."""
    places = problem.skin.rest.numpy()
    second = places[:, 0] > 0
    start, end = problem.edges.start.numpy(), problem.edges.end.numpy()
    across = second[start] != second[end]
    shown = torch.sigmoid(state["masks"].detach())[0].numpy()
    return float(shown[across].mean()), float(shown[~across].mean())


def psnr(left: np.ndarray, right: np.ndarray) -> float:
    return float(-10 * np.log10(np.square(left - right).mean() + 1e-12))


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--angle", type=float, default=45.0)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--gaussians", type=int, default=2000)
    parser.add_argument("--iterations", type=int, default=300)
    parser.add_argument("--sheet", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rest = arm.arm(options.gaussians)
    given = case(
        rest, arm.bent(rest, options.angle), arm.cameras(options.size), arm.second_link(rest)
    )
    print("| losses | edited view dB | novel views dB | SSIM | moved % | hidden % | masks at joint"
          " / links | s |\n|---|---|---|---|---|---|---|---|")  # fmt: skip
    rows = [given.truth[:4]]
    for rung in rungs(options.iterations):
        found, shown = scored(given, rung)
        rows.append(shown[:4])
        moved, hidden = (100 * e / LENGTH_M for e in (found.moved_error, found.hidden_error))
        print(
            f"| {rung.name} | {found.reference_db:.1f} | {found.novel_db:.1f}"
            f" | {found.novel_ssim:.3f} | {moved:.2f} | {hidden:.2f}"
            f" | {found.joint_masks:.2f} / {found.link_masks:.2f} | {found.seconds:.0f} |",
            flush=True,
        )
    if options.sheet:
        names = ["the truth", *(rung.name for rung in rungs(options.iterations))]
        cells = [
            pictures.label(cell, name) if column == 0 else cell
            for name, row in zip(names, rows, strict=True)
            for column, cell in enumerate(row)
        ]
        pictures.save(pictures.sheet(cells, 4), options.sheet)
    return 0


if __name__ == "__main__":
    sys.exit(main())
