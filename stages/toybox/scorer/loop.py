"""The scorer's training loop, and its ceiling."""

from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from ....pipeline.contract import Context
from ...randomness import generator
from ..networks import seeded
from ..precision import half
from ..trainer import Loss, Rates, Trainer, halves, train_shown
from . import facts
from .ceiling import measure
from .disturb import disturbed
from .files import Scorer, save
from .lessons import UNSAID, Lessons, make_lessons
from .network import ScorerNetwork
from .pictures import SEED
from .train import Config

ALPHA_WEIGHT = 4.0
"""Of where the toy is, beside what it is; see `network.py`."""


def train_scorer(config: Config, ctx: Context) -> Path:
    """Make the pictures, train, measure the ceiling; returns the scorer's directory."""
    known = facts.values(config.kinds)
    network = seeded(
        lambda: ScorerNetwork(config.channels, config.width, known), generator(ctx.seed, SEED)
    )
    ctx.log.info("scorer with %d parameters", sum(p.numel() for p in network.parameters()))
    lessons = make_lessons(config, ctx)
    rates = Rates(
        steps=config.steps, peak=config.learning_rate, warmup=config.warmup_steps, ema=config.ema
    )
    trainer = Trainer(network, rates, threads=ctx.threads, channels_last=True)
    log = train_shown(
        trainer,
        lambda step: batch_loss(lessons, config, ctx.seed, step),
        ctx,
        title="train the scorer",
        batch=config.batch,
        save_every_s=config.save_every_s,
    )
    averaged: Any = trainer.averaged()
    # The ceiling is that of the weights on disk, which are half precision.
    scorer = Scorer(network=half(averaged).float(), facts=known, ceiling={})
    ceiling = measure(scorer, per_kind=config.judged_per_kind, seed=ctx.seed, ctx=ctx)
    out = ctx.out / "scorer"
    out.mkdir()
    save(Scorer(network=scorer.network, facts=known, ceiling=ceiling), out)
    log.copy_to(out / "training.jsonl")
    return out


def batch_loss(lessons: Lessons, config: Config, seed: int, step: int) -> Loss:
    """The loss of one step as a function of the replica and the half."""
    draw = generator(seed, SEED, step)
    numbers = torch.randint(len(lessons), (config.batch,), generator=draw)
    pixels, said = lessons.take(numbers)
    parts = halves(config.batch)
    draws = [generator(seed, SEED, step, half) for half in range(len(parts))]

    def loss(replica: Any, half: int) -> Tensor:
        seen, alpha = disturbed(pixels[parts[half]], draws[half])
        answers, where = replica.see(seen)
        return entropy(answers, said[parts[half]]) + ALPHA_WEIGHT * misplaced(where, alpha)

    return loss


def misplaced(
    where: Float[Tensor, "picture cell cell"], alpha: Float[Tensor, "picture row column"]
) -> Tensor:
    """Cross entropy of the cells' guesses and the share of each that is covered."""
    factor = alpha.shape[-1] // where.shape[-1]
    covered = functional.avg_pool2d(alpha, factor).clamp(0, 1)
    return functional.binary_cross_entropy_with_logits(where, covered)


def entropy(
    found: dict[str, Float[Tensor, "picture value"]], said: Int[Tensor, "picture fact"]
) -> Tensor:
    """Cross entropies of all facts, added: each is a mean over the pictures that have the fact."""
    total = torch.zeros(())
    for number, name in enumerate(facts.NAMES):
        if (said[:, number] != UNSAID).any():
            answers = said[:, number]
            total = total + functional.nll_loss(found[name], answers, ignore_index=UNSAID)
    return total
