"""The denoiser's training loop: v-prediction, min-SNR weights, text encoder trained jointly."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import PreTrainedTokenizerFast

from ...pipeline.contract import Context
from ...pipeline.errors import InputError
from ..randomness import generator
from .assembly import save_pipeline
from .networks import (
    TIMESTEPS,
    build_scheduler,
    build_text_encoder,
    build_tokenizer,
    build_unet,
    min_snr_weight,
    seeded,
    spread_conditions,
    token_ids,
)
from .train_unet import Config, Inputs
from .trainer import Loss, Rates, Trainer, halves, train
from .vae_loop import of_split

WORDINGS = torch.tensor([0.2, 0.05, 0.05, 0.5, 0.1, 0.1])
"""How often each wording of a caption is drawn. The first and the fourth are the canonical ones,
without and with the background, in the form that `view_words.json` makes: most is learned where
it is asked for."""
CLOSE_UPS = 0.1
"""Share of close-ups among the pictures that are drawn. Less than there are (0.3): what a whole
object looks like from each side is what a short training needs most."""
EARLY = 0.65
"""Timesteps are drawn as u^EARLY with uniform u: a third of them, not a fifth, lie where noise
hides the shape (SNR below 0.1) and only the caption can tell it."""
SOME = 512
"""Captions by which the text's way into the denoiser is scaled at the start."""


@dataclass(frozen=True, slots=True)
class Lessons:
    """What the denoiser learns from, and the noise it learns to take away."""

    latents: np.ndarray
    """float16, image channel row column; memory-mapped, unscaled."""
    chosen: Int[np.ndarray, " drawn"]
    """Numbers of the training images."""
    wordings: Int[Tensor, "image wording token"]
    empty: Int[Tensor, " token"]
    scaling_factor: float
    alphas_cumprod: Float[Tensor, " timestep"]
    weights: Float[Tensor, " timestep"]


def train_unet(inputs: Inputs, config: Config, ctx: Context) -> Path:
    """Train and assemble; returns the pipeline's directory."""
    vae = AutoencoderKL.from_pretrained(inputs.vae.path, local_files_only=True).eval()
    words = json.loads((inputs.captions.path / "vocabulary.json").read_text())
    tokenizer = build_tokenizer(words, length=config.tokens)
    lessons = load_lessons(inputs, config, tokenizer, float(vae.config["scaling_factor"]))
    model = build_model(config, tokenizer, lessons, ctx.seed)
    for name, part in model.items():
        ctx.log.info("%s: %d parameters", name, sum(p.numel() for p in part.parameters()))
    trainer = Trainer(
        model,
        rates(config),
        threads=ctx.threads,
        channels_last=True,
        slower={"unet.add_embedding.": config.text_rate, "text_encoder.": config.text_rate},
    )
    trainer.resume(ctx.scratch)
    with ctx.progress("train the denoiser", config.steps, trainer.step) as bar:
        recent: list[float] = []

        def report(step: int, loss: float) -> None:
            bar.advance(note=f"loss {loss:.4f}")
            recent.append(loss)
            if step % 100 == 0:
                mean = sum(recent) / len(recent)
                ctx.log.info("step %d of %d: loss %.5f", step, config.steps, mean)
                recent.clear()

        log = train(
            trainer,
            lambda step: batch_loss(lessons, config, ctx.seed, step),
            ctx.scratch,
            batch=config.batch,
            save_every_s=config.save_every_s,
            log_every=50,
            report=report,
        )
    averaged: Any = trainer.averaged()
    out = ctx.out / "model"
    out.mkdir()
    save_pipeline(
        out,
        vae=vae,
        unet=averaged["unet"],
        text_encoder=averaged["text_encoder"],
        tokenizer=tokenizer,
        view_words=inputs.captions.path / "view_words.json",
    )
    log.copy_to(out / "training.jsonl")
    return out


def rates(config: Config) -> Rates:
    """The optimizer's part of the config."""
    return Rates(
        steps=config.steps,
        peak=config.learning_rate,
        warmup=config.warmup_steps,
        ema=config.ema,
    )


def build_model(
    config: Config, tokenizer: PreTrainedTokenizerFast, lessons: Lessons, seed: int
) -> nn.ModuleDict:
    """Denoiser and text encoder with their initial values."""
    unet = seeded(
        lambda: build_unet(
            config.channels,
            config.heads,
            latent_size=lessons.latents.shape[2],
            text_width=config.text_width,
        ),
        generator(seed, "unet"),
    )
    text_encoder = seeded(
        lambda: build_text_encoder(tokenizer, width=config.text_width, layers=config.text_layers),
        generator(seed, "text encoder"),
    )
    draw = generator(seed, "captions")
    some = lessons.chosen[torch.randint(len(lessons.chosen), (SOME,), generator=draw).numpy()]
    picks = torch.randint(lessons.wordings.shape[1], (SOME,), generator=draw)
    spread_conditions(text_encoder, unet, lessons.wordings[torch.from_numpy(some), picks].long())
    return nn.ModuleDict({"unet": unet, "text_encoder": text_encoder})


def load_lessons(
    inputs: Inputs, config: Config, tokenizer: PreTrainedTokenizerFast, scaling_factor: float
) -> Lessons:
    """Check that images, captions and latents belong together, and turn words into numbers."""
    latents = np.load(inputs.latents.path / "latents.npy", mmap_mode="r", allow_pickle=False)
    index = [
        json.loads(line) for line in (inputs.images.path / "index.jsonl").read_text().splitlines()
    ]
    captions = [
        json.loads(line)
        for line in (inputs.captions.path / "captions.jsonl").read_text().splitlines()
    ]
    captions = [line["captions"] if isinstance(line, dict) else line for line in captions]
    if not len(latents) == len(index) == len(captions):
        raise InputError(
            f"{len(latents)} latents, {len(index)} images and {len(captions)} captions do not "
            "belong together; make them again from the same images."
        )
    counts = {len(wordings) for wordings in captions}
    if counts != {len(WORDINGS)}:
        raise InputError(
            f"{inputs.captions.path}: images have {sorted(counts)} wordings; "
            f"{len(WORDINGS)} are expected for each."
        )
    wordings = token_ids(tokenizer, [text for texts in captions for text in texts])
    if (wordings == tokenizer.unk_token_id).any():
        number = int((wordings == tokenizer.unk_token_id).any(1).nonzero()[0, 0]) // min(counts)
        raise InputError(
            f"{inputs.captions.path}: image {number} has a word that is not in "
            f"vocabulary.json: {captions[number]}."
        )
    alphas_cumprod = build_scheduler().alphas_cumprod.float()
    return Lessons(
        latents=latents,
        chosen=drawn_pictures(index),
        wordings=wordings.view(len(captions), min(counts), -1).to(torch.int16),
        empty=token_ids(tokenizer, [""])[0],
        scaling_factor=scaling_factor,
        alphas_cumprod=alphas_cumprod,
        weights=min_snr_weight(alphas_cumprod, config.snr_cap),
    )


def drawn_pictures(index: Sequence[Mapping[str, Any]]) -> Int[np.ndarray, " image"]:
    """Numbers of the training images, with close-ups thinned out evenly to their share."""
    train = of_split(index, "train")
    zoomed = np.array([index[number]["zoom"] > 1 for number in train])
    whole, close = train[~zoomed], train[zoomed]
    kept = min(len(close), round(len(whole) * CLOSE_UPS / (1 - CLOSE_UPS)))
    thinned = close[np.linspace(0, len(close) - 1, kept).round().astype(int)] if kept else close[:0]
    return np.sort(np.concatenate([whole, thinned]))


def batch_loss(lessons: Lessons, config: Config, seed: int, step: int) -> Loss:
    """The loss of one step as a function of the replica and the half."""
    batch = config.batch
    draw = generator(seed, step, "batch")
    numbers = lessons.chosen[torch.randint(len(lessons.chosen), (batch,), generator=draw).numpy()]
    picks = torch.multinomial(WORDINGS, batch, replacement=True, generator=draw)
    ids = lessons.wordings[torch.from_numpy(numbers), picks].long()
    ids[torch.rand(batch, generator=draw) < config.drop_caption] = lessons.empty
    z = torch.from_numpy(lessons.latents[numbers]).float() * lessons.scaling_factor
    noise = torch.randn(z.shape, generator=draw)
    # One draw per stratum of the schedule: every batch sees all noise levels. The order of the
    # strata is shuffled so that each half does too.
    strata = torch.randperm(batch, generator=draw) + torch.rand(batch, generator=draw)
    t = ((strata / batch) ** EARLY * TIMESTEPS).long().clamp(max=TIMESTEPS - 1)
    parts = halves(batch)

    def loss(replica: Any, half: int) -> Tensor:
        part = parts[half]
        return denoising_loss(replica, z[part], noise[part], t[part], ids[part], lessons, config)

    return loss


def denoising_loss(
    model: Any,
    z: Float[Tensor, "image channel row column"],
    noise: Float[Tensor, "image channel row column"],
    t: Int[Tensor, " image"],
    ids: Int[Tensor, "image token"],
    lessons: Lessons,
    config: Config,
) -> Tensor:
    """Weighted squared error of v = alpha noise - sigma z at z_t = alpha z + sigma noise."""
    alpha = lessons.alphas_cumprod[t].sqrt()[:, None, None, None]
    sigma = (1 - lessons.alphas_cumprod[t]).sqrt()[:, None, None, None]
    with torch.autocast("cpu", torch.bfloat16, enabled=config.bfloat16):
        states = model["text_encoder"](ids).last_hidden_state
        noisy = (alpha * z + sigma * noise).contiguous(memory_format=torch.channels_last)
        v = model["unet"](noisy, t, states).sample.float()
    error = (v - (alpha * noise - sigma * z)).square().mean((1, 2, 3))
    return (lessons.weights[t] * error).mean()
