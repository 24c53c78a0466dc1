"""A sheet of samples: what a guidance model draws for prompts, seen from four sides.

    python benchmarks/prior_sheet.py PROMPTS.txt SHEET.png [--guidance data/toybox] [--scale 3]

One row per prompt, one column per side, all from seed 0: nothing is chosen. With `--columns 2`
the second half of the rows stands to the right of the first.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from splatworks.stages.guidance import diffusion
from splatworks.stages.guidance.sample import sample

VIEWS_DEG = ((0.0, 15.0), (90.0, 15.0), (180.0, 15.0), (315.0, 45.0))
"""Azimuth and elevation of each column."""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("prompts", type=Path)
    parser.add_argument("sheet", type=Path)
    shipped = Path(__file__).parents[1] / "data" / "toybox"
    parser.add_argument("--guidance", type=Path, default=shipped)
    parser.add_argument("--scale", type=float, default=3.0)
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--columns", type=int, default=1, help="of rows beside each other")
    options = parser.parse_args()
    torch.set_num_threads(1)
    guidance = diffusion.load(options.guidance)
    lines = options.prompts.read_text(encoding="utf-8").splitlines()
    prompts = [line.strip() for line in lines if line.strip()]
    rows = [row(guidance, prompt, options.scale, options.steps) for prompt in prompts]
    rows += [np.full_like(rows[0], 255)] * (-len(rows) % options.columns)
    tall = len(rows) // options.columns
    parts = [np.concatenate(rows[k : k + tall]) for k in range(0, len(rows), tall)]
    Image.fromarray(np.concatenate(parts, axis=1)).save(options.sheet, optimize=True)


def row(guidance: diffusion.DiffusionGuidance, prompt: str, scale: float, steps: int) -> np.ndarray:
    """The views of one prompt beside each other, (height, views * width, 3) uint8."""
    texts = [guidance.view_text(prompt, *view) for view in VIEWS_DEG]
    noise = torch.randn(
        (len(texts), *guidance.latent_shape), generator=torch.Generator().manual_seed(0)
    )
    latents = sample(
        guidance, guidance.embed(texts), guidance.embed([""]), noise, steps=steps, scale=scale
    )
    with torch.no_grad():
        pictures = guidance.decode(latents).clamp(0, 1).permute(0, 2, 3, 1)
    return np.concatenate(list((pictures.numpy() * 255).round().astype(np.uint8)), axis=1)


if __name__ == "__main__":
    main()
