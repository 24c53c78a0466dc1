"""The denoiser's training loop: v-prediction, min-SNR weights, text encoder trained jointly."""

import json
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL
from jaxtyping import Float, Int
from torch import Tensor

from ...pipeline.contract import Context
from ..randomness import generator
from .assembly import save_pipeline
from .networks import TIMESTEPS, build_tokenizer
from .train_unet import Config, Inputs
from .trainer import Loss, Rates, Trainer, halves, train_shown
from .unet_lessons import Lessons, load_lessons
from .unet_start import first_model

WORDINGS = torch.tensor([0.2, 0.05, 0.05, 0.5, 0.1, 0.1])
"""How often each wording of a caption is drawn. The first and the fourth are the canonical ones,
without and with the background, in the form that `view_words.json` makes: most is learned where
it is asked for."""
EARLY = 0.65
"""Timesteps are drawn as u^EARLY with uniform u: a third of them, not a fifth, lie where noise
hides the shape (SNR below 0.1) and only the caption can tell it."""


def train_unet(inputs: Inputs, config: Config, ctx: Context) -> Path:
    """Train and assemble; returns the pipeline's directory."""
    vae = AutoencoderKL.from_pretrained(inputs.vae.path, local_files_only=True).eval()
    words = json.loads((inputs.captions.path / "vocabulary.json").read_text())
    tokenizer = build_tokenizer(words, length=config.tokens)
    lessons = load_lessons(inputs, config, tokenizer, float(vae.config["scaling_factor"]))
    model = first_model(inputs.start, config, tokenizer, lessons, ctx)
    for name, part in model.items():
        ctx.log.info("%s: %d parameters", name, sum(p.numel() for p in part.parameters()))
    trainer = Trainer(
        model,
        rates(config),
        threads=ctx.threads,
        channels_last=True,
        slower={"unet.add_embedding.": config.text_rate, "text_encoder.": config.text_rate},
    )
    log = train_shown(
        trainer,
        lambda step: batch_loss(lessons, config, ctx.seed, step),
        ctx,
        title="train the denoiser",
        batch=config.batch,
        save_every_s=config.save_every_s,
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
