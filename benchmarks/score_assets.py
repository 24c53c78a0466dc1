"""Do exported meshes look like their prompts? The independent scorer's table, beside its ceiling.

    python benchmarks/gallery.py runs --list gallery
    python benchmarks/score_assets.py runs --prompts runs/prompts.txt --json scores.json

Each mesh is rendered from eight sides by the package's own renderer and judged by
`stages/toybox/scorer`, which had no part in making it. Beside it stands the same scorer's verdict
on the true toy of that prompt from the same sides (`true`). A prompt whose mesh is missing or
cannot be read counts as wrong from all sides; nothing is left out. Runs are matched with prompts
by their text, single GLB files by their order.

What the JSON file has already, for the same mesh, prompt and scorer, is not judged again.
"""

import argparse
import hashlib
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from splatworks.pipeline.contract import replacing
from splatworks.pipeline.errors import InputError, SplatworksError
from splatworks.stages.formats import gltf
from splatworks.stages.geometry.likeness import (
    around,
    directions,
    mesh_picture,
    mesh_scene,
    middle,
    one_by_one,
)
from splatworks.stages.toybox import props, raycast
from splatworks.stages.toybox.scorer import facts, files
from splatworks.stages.toybox.scorer.pictures import picture, plain_shot
from splatworks.stages.toybox.scorer.score import Score, score

VIEWS = 8
Row = dict[str, Any]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("assets", type=Path, nargs="+", help="a directory of runs, or GLB files")
    parser.add_argument("--prompts", type=Path, required=True, help="one prompt per line")
    parser.add_argument("--json", type=Path, help="where to keep the scores")
    parser.add_argument("--scorer", type=Path, default=files.SHIPPED)
    parser.add_argument("--size-px", type=int, default=192, help="of the renders")
    options = parser.parse_args()
    torch.set_num_threads(1)
    try:
        rows = judge_all(options)
    except SplatworksError as error:
        print(f"score_assets: {error}", file=sys.stderr)
        return 2
    print(table(rows))
    return 0


def judge_all(options: argparse.Namespace) -> list[Row]:
    """One row per prompt, in their order; written down after each."""
    lines = options.prompts.read_text(encoding="utf-8").splitlines()
    prompts = [line.strip() for line in lines if line.strip()]
    for prompt in prompts:
        facts.read(prompt)  # All prompts can be judged, or none is.
    scorer = files.load(options.scorer)
    judge = digest(options.scorer / files.WEIGHTS)
    known = {key(row): row for row in read_rows(options.json)}
    rows: list[Row] = []
    for prompt, path in matched(options.assets, prompts):
        row: Row = {
            "prompt": prompt,
            "asset": str(path) if path else None,
            "sha256": digest(path) if path else None,
            "scorer_sha256": judge,
            "size_px": options.size_px,
        }
        found = known.get(key(row))
        rows.append({**found, "asset": row["asset"]} if found else judged(row, path, scorer))
        if options.json:
            with replacing(options.json) as temporary:
                text = json.dumps({"rows": rows, "ceiling": scorer.ceiling}, indent=1)
                temporary.write_text(text + "\n", "utf-8")
    return rows


def judged(row: Row, path: Path | None, scorer: files.Scorer) -> Row:
    """The row with both verdicts, or with the reason why there is only one."""
    true = score(true_views(row["prompt"]), row["prompt"], scorer)
    row = {**row, "true": verdict(true)}
    if path is None:
        return {**row, "problem": "there is no mesh"}
    try:
        views = mesh_views(path, row["size_px"])
    except SplatworksError as error:
        return {**row, "problem": str(error)}
    return {**row, "mesh": verdict(score(views, row["prompt"], scorer))}


def verdict(found: Score) -> Row:
    return {**asdict(found), "right": found.right}


def mesh_views(path: Path, size_px: int) -> np.ndarray:
    """Premultiplied sRGB and alpha, (view, height, width, 4)."""
    mesh = gltf.load(path)
    center = middle(mesh)
    radius = float(np.linalg.norm(mesh.positions - center, axis=1).max())
    scene = mesh_scene(mesh, center)
    cameras = one_by_one(around(directions(VIEWS), max(radius, 1e-6), size_px))
    return np.stack([mesh_picture(scene, camera)[0] for camera in cameras])


def true_views(prompt: str) -> np.ndarray:
    """The toy that the prompt means, from the same sides."""
    said = facts.read(prompt)
    toy = props.Prop(id=0, shape_seed=0, split="heldout", **asdict(said))
    model = raycast.Model(toy)
    pixels = [picture(model, plain_shot(*direction)) for direction in directions(VIEWS)]
    return np.stack(pixels).astype(np.float32) / 255


def matched(assets: list[Path], prompts: list[str]) -> list[tuple[str, Path | None]]:
    """Each prompt with its mesh, `None` where there is none."""
    if len(assets) == 1 and assets[0].is_dir():
        runs = sorted(assets[0].glob("*/latest/export/asset.glb"))
        if runs:
            texts = {prompt_of(path): path for path in runs}
            return [(prompt, texts.get(prompt)) for prompt in prompts]
        assets = sorted(assets[0].glob("*.glb"))
    if len(assets) != len(prompts):
        raise InputError(f"{len(assets)} meshes for {len(prompts)} prompts; give one for each.")
    return list(zip(prompts, assets, strict=True))


def prompt_of(asset: Path) -> str:
    """Of a run that `pipeline generate` made."""
    path = asset.parents[2] / "inputs" / "prompt.json"
    return json.loads(path.read_text("utf-8"))["text"].strip()


def key(row: Row) -> tuple[Any, ...]:
    return tuple(row[name] for name in ("prompt", "sha256", "scorer_sha256", "size_px"))


def read_rows(path: Path | None) -> list[Row]:
    if path is None or not path.exists():
        return []
    try:
        return json.loads(path.read_text("utf-8"))["rows"]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: no scores of this benchmark ({error!r}).") from error


def digest(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}.") from error


def table(rows: list[Row]) -> str:
    """Per prompt: rank of its kind among all, hits of eight sides, what else was found right."""
    out = [
        f"{'prompt':52} {'rank':>4} {'hits':>4} {'true':>4} {'ceiling':>7}  "
        f"{'color':9} {'pattern':17} part"
    ]
    for row in rows:
        true, found = row["true"], row.get("mesh")
        start = f"{row['prompt'][:52]:52}"
        ceiling = f"{true['kind_hits']:4} {true['ceiling']['kind_per_view']:7.2f}"
        if found is None:
            out.append(f"{start} {'-':>4} {0:4} {ceiling}  {row['problem']}")
            continue
        pattern = " ".join(filter(None, (told(found, "pattern_color"), told(found, "pattern"))))
        out.append(
            f"{start} {found['kind_rank']:4} {found['kind_hits']:4} {ceiling}  "
            f"{told(found, 'color'):9} {pattern:17} {told(found, 'part_color')}"
        )
    return "\n".join([*out, "", *summary(rows)])


def told(found: Row, name: str) -> str:
    """What was found, marked where it is wrong; empty where the prompt says nothing."""
    value = found["found"].get(name, "")
    return value if found["right"].get(name, True) else f"{value}!"


def summary(rows: list[Row]) -> list[str]:
    hits = sum(row["mesh"]["kind_hits"] if "mesh" in row else 0 for row in rows)
    true = sum(row["true"]["kind_hits"] for row in rows)
    views, count = VIEWS * len(rows), len(rows)
    ceiling = sum(row["true"]["ceiling"]["kind_per_view"] for row in rows) / count
    first = sum("mesh" in row and row["mesh"]["kind_rank"] == 1 for row in rows)
    color = sum("mesh" in row and row["mesh"]["right"]["color"] for row in rows)
    true_color = sum(row["true"]["right"]["color"] for row in rows)
    return [
        f"Right kind: {hits} of {views} views ({hits / views:.1%}); of the true toys {true} "
        f"({true / views:.1%}); share {hits / max(true, 1):.1%}.",
        f"The scorer's ceiling for these kinds, single views of held-out toys in any light: "
        f"{ceiling:.1%}; share {hits / views / max(ceiling, 1e-9):.1%}.",
        f"Right kind on the mean of the views: {first} of {count}; right color: {color} of "
        f"{count} (true toys {true_color}).",
        "A ! marks what was found instead of what the prompt says.",
    ]


if __name__ == "__main__":
    sys.exit(main())
