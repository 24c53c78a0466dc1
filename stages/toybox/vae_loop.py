"""The autoencoder's training loop, its gate, and the sheet to look at."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor, nn

from ...pipeline.contract import Context, replacing
from ...pipeline.errors import InputError
from ..randomness import generator
from .kinds import VaeDir
from .networks import build_vae, normalize_latents, psnr_db, seeded
from .train_vae import Config, Inputs
from .trainer import Loss, Rates, Trainer, halves, train_shown

Pixels = UInt8[np.ndarray, "image row column 3"]

JUDGED = 256
"""Held-out images that the gate looks at, spread over all of them."""
MEASURED = 1024
"""Training images that the latents' mean and deviation are measured on."""


def load_images(folder: Path) -> tuple[Pixels, list[dict[str, Any]]]:
    """Images (memory-mapped) and what the index says about each."""
    images = np.load(folder / "images.npy", mmap_mode="r", allow_pickle=False)
    lines = [json.loads(line) for line in (folder / "index.jsonl").read_text().splitlines()]
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3:
        raise InputError(
            f"{folder}/images.npy: uint8 [n, height, width, 3] expected, "
            f"found {images.dtype} {images.shape}."
        )
    if len(lines) != len(images):
        raise InputError(
            f"{folder}: {len(images)} images, but {len(lines)} lines in index.jsonl; "
            "make the images again."
        )
    return images, lines


def of_split(lines: list[dict[str, Any]], split: str) -> np.ndarray:
    """Numbers of the images of one split."""
    return np.array([i for i, line in enumerate(lines) if line["split"] == split], dtype=np.int64)


def to_unit(images: Pixels) -> Float[Tensor, "image 3 row column"]:
    """Bytes to [-1, 1], channels first: what diffusers' autoencoders take."""
    return torch.from_numpy(np.array(images)).permute(0, 3, 1, 2).float() / 127.5 - 1


def train_vae(inputs: Inputs, config: Config, ctx: Context) -> Path:
    """Train, normalize the latents, pass the gate; returns the model's directory."""
    folder = inputs.images.path
    images, lines = load_images(folder)
    chosen = of_split(lines, "train")
    side = images.shape[1]
    if side % config.crop_px:
        raise InputError(f"{folder}: images of {side} px are no multiple of {config.crop_px} px.")
    model = first_vae(inputs.start, config, side, ctx)
    ctx.log.info("VAE with %d parameters", sum(p.numel() for p in model.parameters()))
    rates = Rates(
        steps=config.steps,
        peak=config.learning_rate,
        warmup=config.warmup_steps,
        ema=config.ema,
    )
    trainer = Trainer(model, rates, threads=ctx.threads)
    log = train_shown(
        trainer,
        lambda step: batch_loss(images, chosen, config, ctx.seed, step),
        ctx,
        title="train the VAE",
        batch=config.batch,
        save_every_s=config.save_every_s,
    )
    vae = trainer.averaged()
    assert isinstance(vae, AutoencoderKL)
    if inputs.start is None:
        settle_latents(vae, to_unit(images[spread(chosen, MEASURED)]))
    held_out = of_split(lines, "heldout")
    judged = spread(held_out if len(held_out) else chosen, JUDGED)
    quality = judge(vae, images[judged])
    ctx.log.info("PSNR on %d held-out images: %.2f dB", len(judged), quality)
    if quality < config.gate_db:
        raise InputError(
            f"The VAE reaches {quality:.2f} dB on held-out props, {config.gate_db:g} dB are "
            "asked for; train for more steps or with more channels."
        )
    out = ctx.out / "vae"
    vae.save_pretrained(out)
    log.copy_to(out / "training.jsonl")
    with replacing(out / "quality.json") as temporary:
        temporary.write_text(json.dumps({"heldout_psnr_db": round(quality, 3)}) + "\n")
    with replacing(out / "reconstructions.png") as temporary:
        sheet(vae, images[spread(judged, 24)]).save(temporary, format="png")
    return out


def first_vae(start: VaeDir | None, config: Config, side: int, ctx: Context) -> AutoencoderKL:
    """The autoencoder of `start`, or a new one."""
    if start is None:
        return seeded(
            lambda: build_vae(config.channels, image_size_px=side), generator(ctx.seed, "vae")
        )
    try:
        vae = AutoencoderKL.from_pretrained(
            start.path, torch_dtype=torch.float32, local_files_only=True
        )
    except (OSError, ValueError) as error:
        raise InputError(f"{start.path} is not a VAE to begin with: {error}") from error
    if tuple(vae.config["block_out_channels"]) != config.channels:
        raise InputError(
            f"{start.path} has channels {tuple(vae.config['block_out_channels'])}, the settings "
            f"say {config.channels}."
        )
    ctx.log.info("begins with the weights in %s", start.path)
    return vae.train()


def batch_loss(images: Pixels, chosen: np.ndarray, config: Config, seed: int, step: int) -> Loss:
    """The loss of one step as a function of the replica and the half."""
    side = images.shape[1]
    whole = step % config.whole_every == 0
    crop = side if whole else config.crop_px
    batch = max(2, config.batch * config.crop_px**2 // crop**2 // 2 * 2)
    draw = generator(seed, step, "crops")
    numbers = chosen[torch.randint(len(chosen), (batch,), generator=draw).numpy()]
    corners = torch.randint(side - crop + 1, (batch, 2), generator=draw).tolist()
    pixels = to_unit(
        np.stack(
            [
                images[n, y : y + crop, x : x + crop]
                for n, (y, x) in zip(numbers, corners, strict=True)
            ]
        )
    )
    noise = torch.randn(batch, 4, crop // 4, crop // 4, generator=draw)
    parts = halves(batch)

    def loss(replica: nn.Module, half: int) -> Tensor:
        return autoencoder_loss(replica, pixels[parts[half]], noise[parts[half]], config)

    return loss


def autoencoder_loss(
    vae: Any,
    pixels: Float[Tensor, "image 3 row column"],
    noise: Float[Tensor, "image channel r c"],
    config: Config,
) -> Tensor:
    """Absolute and squared error, absolute error of neighbor differences, and KL."""
    with torch.autocast("cpu", torch.bfloat16, enabled=config.bfloat16):
        posterior = vae.encode(pixels).latent_dist
        mean, log_variance = posterior.mean.float(), posterior.logvar.float()
        out = vae.decode(mean + noise * (0.5 * log_variance).exp()).sample.float()
    error = out - pixels
    edges = error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()
    kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean()
    return (
        error.abs().mean()
        + error.square().mean()
        + config.edge_weight * edges
        + config.kl_weight * kl
    )


def settle_latents(vae: AutoencoderKL, pixels: Float[Tensor, "image 3 row column"]) -> None:
    """Normalize the latents per channel and store the remaining deviation as scaling factor."""
    mean, std = moments(vae, pixels)
    normalize_latents(vae, mean, std)
    _, std = moments(vae, pixels)
    vae.register_to_config(scaling_factor=float(1 / std.square().mean().sqrt()))


@torch.no_grad()
def moments(
    vae: AutoencoderKL, pixels: Float[Tensor, "image 3 row column"]
) -> tuple[Float[Tensor, " channel"], Float[Tensor, " channel"]]:
    """Mean and standard deviation of the latents, per channel."""
    latents = torch.cat([vae.encode(part).latent_dist.mean for part in pixels.split(8)]).double()
    mean, std = latents.mean((0, 2, 3)), latents.std((0, 2, 3))
    return mean.float(), std.float()


@torch.no_grad()
def reconstruct(vae: AutoencoderKL, images: Pixels) -> Float[Tensor, "image 3 row column"]:
    """Encoded and decoded, in [0, 1]."""
    parts = [
        vae.decode(vae.encode(part).latent_dist.mean).sample for part in to_unit(images).split(8)
    ]
    return ((torch.cat(parts) + 1) / 2).clamp(0, 1)


def judge(vae: AutoencoderKL, images: Pixels) -> float:
    """PSNR over all pixels of all images."""
    return psnr_db(reconstruct(vae, images), (to_unit(images) + 1) / 2)


def spread(numbers: np.ndarray, count: int) -> np.ndarray:
    """About `count` of them at even distances."""
    return numbers[np.linspace(0, len(numbers) - 1, min(count, len(numbers))).round().astype(int)]


def sheet(vae: AutoencoderKL, images: Pixels, *, columns: int = 8) -> Image.Image:
    """Originals above reconstructions."""
    made = (reconstruct(vae, images).permute(0, 2, 3, 1).numpy() * 255).round().astype(np.uint8)
    rows = []
    for start in range(0, len(images) - columns + 1, columns):
        rows.append(np.concatenate(list(images[start : start + columns]), axis=1))
        rows.append(np.concatenate(list(made[start : start + columns]), axis=1))
    return Image.fromarray(np.concatenate(rows) if rows else np.concatenate(list(made), axis=1))
