"""Images to latents, in blocks that are kept when the stage is interrupted."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL

from ...pipeline.contract import Context, replacing
from .vae_loop import load_images, to_unit

BLOCK = 64
"""Batches per file of intermediate results."""


def encode_all(folder: Path, vae_folder: Path, batch: int, ctx: Context) -> Path:
    """Write `latents.npy`: posterior means, float16, without the scaling factor."""
    images, _ = load_images(folder)
    vae = AutoencoderKL.from_pretrained(vae_folder, local_files_only=True).eval()
    block = batch * BLOCK
    starts = range(0, len(images), block)

    @torch.no_grad()
    def encode(start: int) -> np.ndarray:
        torch.set_num_threads(1)
        pixels = to_unit(images[start : start + batch])
        return vae.encode(pixels).latent_dist.mean.half().numpy()

    with (
        ctx.progress("encode the images", len(starts)) as bar,
        ThreadPoolExecutor(ctx.threads) as pool,
    ):
        for start in starts:
            part = ctx.scratch / f"latents-{start:08d}.npy"
            if not part.exists():
                stop = min(start + block, len(images))
                done = np.concatenate(list(pool.map(encode, range(start, stop, batch))))
                with replacing(part) as temporary, temporary.open("wb") as file:
                    np.save(file, done)
            bar.advance()
    latents = np.concatenate([np.load(ctx.scratch / f"latents-{s:08d}.npy") for s in starts])
    out = ctx.out / "latents"
    out.mkdir()
    with replacing(out / "latents.npy") as temporary, temporary.open("wb") as file:
        np.save(file, latents)
    return out
