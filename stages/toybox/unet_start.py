"""What the denoiser and its text encoder begin with."""

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from jaxtyping import Bool
from torch import Tensor, nn
from transformers import CLIPTextModel, PreTrainedTokenizerFast

from ...pipeline.contract import Context
from ...pipeline.errors import InputError
from ..artifacts import GuidanceDir
from ..randomness import generator
from .networks import build_text_encoder, build_unet, seeded, spread_conditions
from .reading import learn_to_read
from .rewording import learn_words, respelled
from .train_unet import Config
from .unet_lessons import Lessons

SOME = 512
"""Captions by which the text's way into the denoiser is scaled."""


def first_model(
    start: GuidanceDir | None,
    config: Config,
    tokenizer: PreTrainedTokenizerFast,
    lessons: Lessons,
    ctx: Context,
) -> nn.ModuleDict:
    """Denoiser and text encoder: those of `start`, or new ones that have learned to read."""
    wordings, facts = lessons.wordings[lessons.chosen], lessons.facts[lessons.chosen]
    if start is not None:
        model, new_words = loaded(start, config, tokenizer, ctx.seed)
        ctx.log.info(
            "begins with the weights in %s, new moments and %d steps of warm-up",
            start.path,
            config.warmup_steps,
        )
        if new_words.any():
            ctx.log.info("%d words are new to it", int(new_words.sum()))
            with ctx.progress("learn new words", config.reading_steps) as bar:
                learn_words(
                    model,
                    new_words,
                    wordings,
                    facts,
                    generator(ctx.seed, "reading"),
                    steps=config.reading_steps,
                    report=lambda step, loss: bar.advance(note=f"loss {loss:.4f}"),
                )
        return model
    model = new(config, tokenizer, lessons.latents.shape[2], ctx.seed)
    with ctx.progress("learn to read", config.reading_steps) as bar:
        learn_to_read(
            model["text_encoder"],
            model["unet"].add_embedding,
            wordings,
            facts,
            generator(ctx.seed, "reading"),
            steps=config.reading_steps,
            report=lambda step, loss: bar.advance(note=f"loss {loss:.4f}"),
        )
    draw = generator(ctx.seed, "captions")
    images = torch.randint(len(wordings), (SOME,), generator=draw)
    picks = torch.randint(wordings.shape[1], (SOME,), generator=draw)
    spread_conditions(model["text_encoder"], model["unet"], wordings[images, picks].long())
    return model


def new(
    config: Config, tokenizer: PreTrainedTokenizerFast, latent_size: int, seed: int
) -> nn.ModuleDict:
    """Untrained networks of the sizes in `config`."""
    unet = seeded(
        lambda: build_unet(
            config.channels,
            config.heads,
            latent_size=latent_size,
            text_width=config.text_width,
        ),
        generator(seed, "unet"),
    )
    text_encoder = seeded(
        lambda: build_text_encoder(tokenizer, width=config.text_width, layers=config.text_layers),
        generator(seed, "text encoder"),
    )
    return nn.ModuleDict({"unet": unet, "text_encoder": text_encoder})


def loaded(
    start: GuidanceDir, config: Config, tokenizer: PreTrainedTokenizerFast, seed: int
) -> tuple[nn.ModuleDict, Bool[Tensor, " word"]]:
    """Networks of an earlier training, of the same sizes, and which words are new to them.

    Words that it knows keep their meaning, bit for bit; new ones get fresh embeddings.
    """
    try:
        words = PreTrainedTokenizerFast.from_pretrained(start.path / "tokenizer").get_vocab()
        unet = UNet2DConditionModel.from_pretrained(
            start.path / "unet", torch_dtype=torch.float32, local_files_only=True
        )
        text_encoder = CLIPTextModel.from_pretrained(
            start.path / "text_encoder", dtype=torch.float32, local_files_only=True
        )
    except (OSError, ValueError) as error:
        raise InputError(f"{start.path} is not a model to begin with: {error}") from error
    if tuple(unet.config["block_out_channels"]) != config.channels:
        raise InputError(
            f"{start.path} has channels {tuple(unet.config['block_out_channels'])}, the settings "
            f"say {config.channels}."
        )
    new_words = respelled(text_encoder, words, tokenizer, generator(seed, "new words"))
    unet.set_attn_processor(AttnProcessor())
    return nn.ModuleDict({"unet": unet.train(), "text_encoder": text_encoder.train()}), new_words
