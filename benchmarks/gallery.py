"""One picture of many results: prompts made as a user would make them, seen from eight sides.

    python benchmarks/gallery.py OUT [--list gallery] [--preset draft] [--seeds 0 1] [--minutes 30]

Runs `pipeline generate` for every prompt of a list of docs/gallery_prompts.txt (or of `--prompts`),
some at once on one thread each, then writes OUT/gallery.png and OUT/gallery.json and prints where
the time went. Repeat the line to continue; a run that is finished is not made again. Runs appear
in the order of the prompts; nothing is left out, failures included.
"""

import argparse
import json
import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import generating
import numpy as np
import true_toys as toys
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


def main() -> int:
    parser = argparse.ArgumentParser(description="Many prompts, each from eight sides.")
    parser.add_argument("out", type=Path)
    generating.add_options(parser, preset="draft", names="gallery")
    parser.add_argument("--picture", type=Path, help="another place than OUT/gallery.png")
    parser.add_argument("--size-px", type=int, default=112)
    options = parser.parse_args()
    texts = generating.read_list(options.prompts, options.list)
    jobs = [
        generating.Job(
            prompt=text,
            run=options.out / generating.name_of(text, seed),
            preset=options.preset,
            seed=seed,
            settings=options.set,
            guidance=options.guidance,
        )
        for text in texts
        for seed in options.seeds
    ]
    ended = generating.run_all(jobs, at_once=options.jobs, minutes=options.minutes)
    if generating.unfinished(ended):
        return 1
    results = [result_of(one) for one in ended]
    rows = [row(one, found, options.size_px) for one, found in zip(ended, results, strict=True)]
    columns = [f"{azimuth:.0f}°, {elevation:+.0f}°" for azimuth, elevation in directions(VIEWS)]
    heading = f"Exported meshes, preset {options.preset}"
    sheet = contact_sheet(rows, columns, heading, "", BACKGROUND)
    generating.save_sheet(sheet, options.picture or options.out / "gallery.png")
    document = {
        "preset": options.preset,
        "guidance": options.guidance,
        "set": options.set,
        "at_once": options.jobs,
        "machine": generating.machine_of([one.job.run for one in ended]),
        "results": results,
    }
    text = json.dumps(document, indent=1, ensure_ascii=False) + "\n"
    (options.out / "gallery.json").write_text(text, "utf-8")
    (options.out / "prompts.txt").write_text("\n".join(texts) + "\n", "utf-8")
    print("\n".join(times(results)))
    return 0


def result_of(ended: generating.Ended) -> dict[str, Any]:
    """What is known of one run without looking at it."""
    job = ended.job
    toy = toys.named(job.prompt)
    steps = generating.seconds_of(job.run)
    return {
        "prompt": job.prompt,
        "seed": job.seed,
        "run": job.run.name,
        "unseen": None if toy is None else toys.unseen(toy),
        "failed": ended.said if ended.code else None,
        "seconds": round(sum(steps.values()), 1),
        "steps_s": {name: round(seconds, 1) for name, seconds in steps.items()},
        "continued": generating.interrupted(job.run),
    }


def row(ended: generating.Ended, result: Mapping[str, Any], size_px: int) -> Row:
    """The eight sides of one mesh, or empty places where there is none."""
    job = ended.job
    notes = [f"seed {job.seed}"] if job.seed else []
    notes += ["unseen"] if result["unseen"] else []
    notes += ["failed"] if ended.code else [f"{result['seconds']:.0f} s"]
    asset = job.run / "latest" / "export" / "asset.glb"
    if ended.code:
        empty = np.full((size_px, size_px, 3), BACKGROUND)
        return Row(f"{job.prompt}\n{', '.join(notes)}", [empty] * VIEWS)
    return Row(f"{job.prompt}\n{', '.join(notes)}", sides(asset, size_px))


def sides(asset: Path, size_px: int) -> list[np.ndarray]:
    """A mesh from all sides, so near that it fills the pictures."""
    mesh = gltf.load(asset)
    center = middle(mesh)
    radius = float(np.linalg.norm(mesh.positions - center, axis=1).max())
    scene = mesh_scene(mesh, center)
    views = one_by_one(around(directions(VIEWS), radius, size_px))
    return [over(mesh_picture(scene, view)[0], BACKGROUND) for view in views]


def times(results: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Markdown: median and longest seconds of each step and of a whole run.

    Runs that were interrupted are left out: their notes hold the last stretch only.
    """
    whole = [one for one in results if not one["failed"] and not one["continued"]]
    yield f"Seconds on one thread, {len(whole)} of {len(results)} runs (uninterrupted):"
    if not whole:
        return
    yield ""
    yield "| step | median | longest |"
    yield "|---|--:|--:|"
    for name in whole[0]["steps_s"]:
        found = [one["steps_s"].get(name, 0.0) for one in whole]
        yield f"| {name} | {statistics.median(found):.1f} | {max(found):.1f} |"
    found = [one["seconds"] for one in whole]
    yield f"| all | {statistics.median(found):.1f} | {max(found):.1f} |"


if __name__ == "__main__":
    sys.exit(main())
