"""Posed characters: rest pose in splats, one picture of another pose, seven other views that judge.

    python benchmarks/edit/characters.py [--cases 12] [--size 128] [--gaussians 3000] [--sheet FILE]

Characters are made of capsules with patterns of their own; proportions, colors and poses differ
from case to case. Their splats lie on the surfaces (they are not fitted to renders, so that nothing
but the edit is measured), and every limb turns rigidly about its joint. Rungs as in `ladder.py`.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import arm
import ladder
import numpy as np
import torch
from scipy.spatial.transform import Rotation
from splatworks.renderers.sh import C0
from splatworks.stages.formats import pictures
from splatworks.stages.formats.splats import RawSplats
from splatworks.stages.scene.affine import about, carried, joined, take

METHODS = ("photometric + ARAP", "+ rotation, distance", "+ patches found again (all)")
"""The second is the paper's own set of losses."""


@dataclass(frozen=True)
class Limb:
    """A capsule that turns about its start, together with what hangs on it."""

    name: str
    parent: int
    start: np.ndarray
    end: np.ndarray
    radius: float


def limbs(rng: np.random.Generator) -> list[Limb]:
    """Torso, head, and arms and legs of two parts each; the front is +Z."""
    torso, girth = rng.uniform(0.26, 0.36), rng.uniform(0.09, 0.13)
    reach, leg = rng.uniform(0.14, 0.2), rng.uniform(0.16, 0.22)
    thick = rng.uniform(0.035, 0.055)
    head = rng.uniform(0.08, 0.12)
    out = [Limb("torso", -1, _at(0, -torso / 2), _at(0, torso / 2), girth)]
    top = torso / 2 + girth + head * 0.6
    out.append(Limb("head", 0, _at(0, top - head / 2), _at(0, top + head / 2), head))
    for side in (-1, 1):
        shoulder = _at(side * girth * 0.9, torso / 2)
        elbow = shoulder + _at(side * reach, -0.02)
        hand = elbow + _at(side * reach, -0.02)
        out.append(Limb("arm", 0, shoulder, elbow, thick))
        out.append(Limb("forearm", len(out) - 1, elbow, hand, thick * 0.9))
        hip = _at(side * girth * 0.6, -torso / 2 - girth * 0.4)
        knee, foot = hip + _at(side * 0.02, -leg), hip + _at(side * 0.02, -2 * leg)
        out.append(Limb("leg", 0, hip, knee, thick * 1.2))
        out.append(Limb("shin", len(out) - 1, knee, foot, thick))
    return out


def _at(x: float, y: float) -> np.ndarray:
    return np.array([x, y, 0.0])


def pose(parts: Sequence[Limb], rng: np.random.Generator) -> list[np.ndarray]:
    """4x4 of each limb: arms swing most in the picture's plane, less out of it."""
    spread_deg = {"torso": 0, "head": 18, "arm": 55, "forearm": 50, "leg": 25, "shin": 25}
    out: list[np.ndarray] = []
    for part in parts:
        most = spread_deg[part.name]
        angle = np.deg2rad(rng.uniform(0.4, 1.0) * most * rng.choice([-1, 1]))
        axis = np.array([rng.normal(0, 0.25), rng.normal(0, 0.25), 1.0])
        turn = Rotation.from_rotvec(angle * axis / np.linalg.norm(axis)).as_matrix()
        own = about(turn, part.start)
        out.append(own if part.parent < 0 else out[part.parent] @ own)
    return out


def splats(
    parts: Sequence[Limb], count: int, rng: np.random.Generator
) -> tuple[RawSplats, np.ndarray]:
    """Flat Gaussians on the capsules, and which limb each belongs to."""
    areas = np.array([_area(part) for part in parts])
    numbers = np.maximum(20, np.rint(count * areas / areas.sum())).astype(int)
    pieces = []
    for part, number in zip(parts, numbers, strict=True):
        points, normals = arm.capsule(part.start, part.end, part.radius, number, rng)
        colors = _pattern(points, rng)
        width = 0.75 * np.sqrt(areas.sum() / count)
        pieces.append(
            RawSplats(
                means=points.astype(np.float32),
                log_scales=np.log(np.tile([width, width, 0.15 * width], (number, 1))).astype("f4"),
                logit_opacities=np.full(number, 3.0, np.float32),
                quaternions=arm.turn_z_to(normals).astype(np.float32),
                sh=((colors - 0.5) / C0)[:, None].astype(np.float32),
            )
        )
    return joined(pieces, pieces[0]), np.repeat(np.arange(len(parts)), numbers)


def _area(part: Limb) -> float:
    length = float(np.linalg.norm(part.end - part.start))
    return 2 * np.pi * part.radius * (length + 2 * part.radius)


def _pattern(points: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A color of the limb's own, with bands and patches."""
    base = rng.uniform(0.2, 0.8, 3)
    waves = rng.normal(0, 14, (3, 3))
    return (base + 0.2 * np.sin(points @ waves + rng.uniform(0, 6, 3))).clip(0.03, 0.97)


def case(seed: int, count: int, size_px: int) -> ladder.Case:
    """One character."""
    rng = np.random.default_rng(seed)
    parts = limbs(rng)
    rest, owner = splats(parts, count, rng)
    moves = pose(parts, rng)
    goal = joined([carried(take(rest, owner == k), moves[k]) for k in range(len(parts))], rest)
    return ladder.case(rest, goal, arm.cameras(size_px), owner > 0)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cases", type=int, default=12)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--gaussians", type=int, default=3000)
    parser.add_argument("--iterations", type=int, default=300)
    parser.add_argument("--sheet", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    chosen = [rung for rung in ladder.rungs(options.iterations) if rung.name in METHODS]
    print("| case | " + " | ".join(f"{name}: edited, novel dB, SSIM" for name in METHODS) + " |")
    print("|---" * (len(METHODS) + 1) + "|")
    scores: list[list[ladder.Score]] = []
    cells = []
    for seed in range(options.cases):
        given = case(seed, options.gaussians, options.size)
        row = []
        cells += [arm.picture(given.rest, given.views)[0], given.truth[0], given.truth[2]]
        for rung in chosen:
            found, shown = ladder.scored(given, rung)
            row.append(found)
            cells += [shown[0], shown[2]]
        scores.append(row)
        print(f"| {seed} | " + " | ".join(_told(one) for one in row) + " |", flush=True)
    means = [
        (np.mean([r[k].reference_db for r in scores]), np.mean([r[k].novel_db for r in scores]),
         np.mean([r[k].novel_ssim for r in scores]))
        for k in range(len(chosen))
    ]  # fmt: skip
    print("| mean | " + " | ".join(f"{a:.1f}, {b:.2f}, {c:.3f}" for a, b, c in means) + " |")
    if options.sheet:
        sheet = pictures.sheet(cells, 3 + 2 * len(chosen))
        pictures.save(sheet, options.sheet)
    return 0


def _told(score: ladder.Score) -> str:
    return f"{score.reference_db:.1f}, {score.novel_db:.1f}, {score.novel_ssim:.3f}"


if __name__ == "__main__":
    sys.exit(main())
