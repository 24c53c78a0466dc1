"""What the denoiser learns from: latents, captions as numbers, and what the captions say."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from ...pipeline.errors import InputError
from . import catalog, props
from .captions import WORDINGS
from .networks import build_scheduler, min_snr_weight, token_ids
from .reading import facts_of
from .train_unet import Config, Inputs
from .vae_loop import of_split

CLOSE_UPS = 0.1
"""Share of close-ups among the pictures that are drawn. Less than there are (0.3): what a whole
object looks like from each side is what a short training needs most."""
FRONTED = 2
"""Times that a picture of a kind with a front counts: there is more to learn about its sides."""


@dataclass(frozen=True, slots=True)
class Lessons:
    """What the denoiser learns from, and the noise it learns to take away."""

    latents: np.ndarray
    """float16, image channel row column; memory-mapped, unscaled."""
    chosen: Int[np.ndarray, " drawn"]
    """Numbers of the training images."""
    wordings: Int[Tensor, "image wording token"]
    facts: Int[Tensor, "image wording fact"]
    """See `reading.FACTS`."""
    empty: Int[Tensor, " token"]
    scaling_factor: float
    alphas_cumprod: Float[Tensor, " timestep"]
    weights: Float[Tensor, " timestep"]


def load_lessons(
    inputs: Inputs, config: Config, tokenizer: PreTrainedTokenizerFast, scaling_factor: float
) -> Lessons:
    """Check that images, captions and latents belong together, and turn words into numbers."""
    latents = np.load(inputs.latents.path / "latents.npy", mmap_mode="r", allow_pickle=False)
    index = [
        json.loads(line) for line in (inputs.images.path / "index.jsonl").read_text().splitlines()
    ]
    toys = {toy.id: toy for toy in props.load(inputs.props)}
    captions = [
        json.loads(line)
        for line in (inputs.captions.path / "captions.jsonl").read_text().splitlines()
    ]
    missing = {entry["prop"] for entry in index} - set(toys)
    if missing:
        raise InputError(
            f"{inputs.images.path} shows prop {min(missing)}, which {inputs.props.path} does not "
            "have; take the pictures of these props."
        )
    if not len(latents) == len(index) == len(captions):
        raise InputError(
            f"{len(latents)} latents, {len(index)} images and {len(captions)} captions do not "
            "belong together; make them again from the same images."
        )
    counts = {len(wordings) for wordings in captions}
    if counts != {2 * WORDINGS}:
        raise InputError(
            f"{inputs.captions.path}: images have {sorted(counts)} wordings; "
            f"{2 * WORDINGS} are expected for each."
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
        chosen=drawn_pictures(index, toys),
        facts=facts_of(index, toys),
        wordings=wordings.view(len(captions), min(counts), -1).to(torch.int16),
        empty=token_ids(tokenizer, [""])[0],
        scaling_factor=scaling_factor,
        alphas_cumprod=alphas_cumprod,
        weights=min_snr_weight(alphas_cumprod, config.snr_cap),
    )


def drawn_pictures(
    index: Sequence[Mapping[str, Any]], toys: Mapping[int, props.Prop]
) -> Int[np.ndarray, " image"]:
    """Numbers of the training images, with close-ups thinned out evenly to their share and kinds
    with a front counted `FRONTED` times."""
    train = of_split(index, "train")
    zoomed = np.array([index[number]["zoom"] > 1 for number in train])
    whole, close = train[~zoomed], train[zoomed]
    kept = min(len(close), round(len(whole) * CLOSE_UPS / (1 - CLOSE_UPS)))
    thinned = close[np.linspace(0, len(close) - 1, kept).round().astype(int)] if kept else close[:0]
    drawn = np.concatenate([whole, thinned])
    fronted = [toys[index[number]["prop"]].kind in catalog.FRONTED for number in drawn]
    return np.sort(np.repeat(drawn, np.where(fronted, FRONTED, 1)))
