"""What the embedded prior can draw: its samples for every kind, judged by the independent scorer.

    python benchmarks/prior_scores.py [--guidance data/toybox] [--prompts 6] [--json FILE]

For each kind, prompts of combinations that were never trained on, each sampled from eight sides
(DDIM, seed 0, nothing chosen). Printed per kind: single views in which the scorer finds the kind,
beside its ceiling on true pictures, and for how many prompts the color, and the color of what is
on it, is found in the mean of the views.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from splatworks.stages.guidance import diffusion
from splatworks.stages.guidance.sample import sample
from splatworks.stages.toybox import captions, catalog, props
from splatworks.stages.toybox.scorer.score import Score, score

VIEWS = 8
ELEVATION_DEG = 15.0
CAN_DRAW = 0.85
"""Share of the ceiling from which on a kind counts as one that the prior can draw."""


def main() -> None:
    parser = argparse.ArgumentParser()
    data = Path(__file__).parents[1] / "data"
    parser.add_argument("--guidance", type=Path, default=data / "toybox")
    parser.add_argument("--prompts", type=int, default=6, help="per kind")
    parser.add_argument("--scale", type=float, default=3.0)
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    guidance = diffusion.load(options.guidance)
    rows = []
    print(f"{'kind':10} {'views':>6} {'ceiling':>8} {'color':>6} {'second':>7}")
    for kind in catalog.KINDS:
        scores = [
            score(pictures(guidance, prompt, options.scale, options.steps), prompt)
            for prompt in heldout_prompts(kind, options.prompts)
        ]
        rows.append(summed(kind, scores))
        print(line(rows[-1]), flush=True)
    able = [row["kind"] for row in rows if row["views"] >= CAN_DRAW * row["ceiling"]]
    print(f"{len(able)} of {len(rows)} kinds at {CAN_DRAW:.0%} of the ceiling or more.")
    print("Not: " + ", ".join(row["kind"] for row in rows if row["kind"] not in able) + ".")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def heldout_prompts(kind: str, count: int) -> Iterator[str]:
    """Of combinations that were never trained on, spread over the kind's list."""
    held = [toy for toy in props.make(props.Config(kinds=(kind,)), 0) if toy.split == "heldout"]
    texts = list(dict.fromkeys(captions.describe(toy) for toy in held))
    places = np.linspace(0, len(texts) - 1, min(count, len(texts))).round().astype(int)
    yield from (texts[place] for place in places)


def pictures(
    guidance: diffusion.DiffusionGuidance, prompt: str, scale: float, steps: int
) -> np.ndarray:
    """Samples from eight sides, (view, height, width, 3) in 0..1, from the same noise."""
    azimuths = np.arange(VIEWS) * 360.0 / VIEWS
    texts = [guidance.view_text(prompt, float(angle), ELEVATION_DEG) for angle in azimuths]
    noise = torch.randn(
        (1, *guidance.latent_shape), generator=torch.Generator().manual_seed(0)
    ).expand(VIEWS, -1, -1, -1)
    latents = sample(
        guidance, guidance.embed(texts), guidance.embed([""]), noise, steps=steps, scale=scale
    )
    with torch.no_grad():
        return guidance.decode(latents).clamp(0, 1).permute(0, 2, 3, 1).numpy()


def summed(kind: str, scores: list[Score]) -> dict[str, Any]:
    """Shares over the prompts of one kind."""
    seconds = [
        right
        for found in scores
        for name, right in found.right.items()
        if name in ("pattern_color", "part_color")
    ]
    return {
        "kind": kind,
        "views": sum(found.kind_hits for found in scores) / (VIEWS * len(scores)),
        "ceiling": scores[0].ceiling.kind_per_view,
        "color": float(np.mean([found.right["color"] for found in scores])),
        "second": float(np.mean(seconds)) if seconds else None,
    }


def line(row: dict[str, Any]) -> str:
    second = "" if row["second"] is None else f"{row['second']:7.0%}"
    return (
        f"{row['kind']:10} {row['views']:6.0%} {row['ceiling']:8.0%} {row['color']:6.0%} {second}"
    )


if __name__ == "__main__":
    main()
