"""A sheet of samples: what a guidance model draws for prompts, seen from four sides.

    python benchmarks/prior_sheet.py PROMPTS.txt SHEET.png [--guidance data/toybox] [--scale 3]

One row per prompt, one column per side, all from seed 0: nothing is chosen.
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
    options = parser.parse_args()
    torch.set_num_threads(1)
    guidance = diffusion.load(options.guidance)
    lines = options.prompts.read_text(encoding="utf-8").splitlines()
    prompts = [line.strip() for line in lines if line.strip()]
    rows = [row(guidance, prompt, options.scale, options.steps) for prompt in prompts]
    Image.fromarray(np.concatenate(rows)).save(options.sheet)


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
