"""An earlier model learns new words, and keeps what it knows.

The text encoder learns to read captions with the new words (`reading`), first by their embeddings
alone, then as a whole. That moves what it says of old captions too, so the layers of the denoiser
that listen to it are changed by least squares to hear the old answers: an affine map of the token
states goes into the cross attentions, and the pooled text's projection is fitted anew.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from transformers import CLIPTextModel, PreTrainedTokenizerFast

from .reading import learn_to_read, pool

SOME = 1536
"""Captions of known words by which the denoiser's listening is fitted."""
GENTLY = 0.15
"""Factor of the learning rate in the second part of the reading, in which every parameter moves."""


@torch.no_grad()
def respelled(
    encoder: CLIPTextModel,
    words: Mapping[str, int],
    tokenizer: PreTrainedTokenizerFast,
    draw: torch.Generator,
) -> Bool[Tensor, " word"]:
    """Give `encoder` one embedding per word of `tokenizer`, in place: those of `words` in their new
    order, random ones of the same size for the others. Returns which are random."""
    old = encoder.get_input_embeddings().weight
    fresh = old.std() * torch.randn(len(tokenizer), old.shape[1], generator=draw)
    new_words = torch.ones(len(tokenizer), dtype=torch.bool)
    for word, number in tokenizer.get_vocab().items():
        if word in words:
            fresh[number] = old[words[word]]
            new_words[number] = False
    encoder.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    encoder.get_input_embeddings().weight.copy_(fresh)
    for name in ("pad_token_id", "bos_token_id", "eos_token_id"):
        setattr(encoder.config, name, getattr(tokenizer, name))
    return new_words


def learn_words(
    model: nn.ModuleDict,
    new_words: Bool[Tensor, " word"],
    wordings: Int[Tensor, "image wording token"],
    facts: Int[Tensor, "image wording fact"],
    draw: torch.Generator,
    *,
    steps: int,
    report: Callable[[int, float], None] = lambda step, loss: None,
) -> None:
    """Teach denoiser and text encoder (`model`, in place) the words that are new to them."""
    encoder: Any = model["text_encoder"]
    unet: Any = model["unet"]
    known = known_captions(wordings, new_words, draw)
    states, pooled = listened(encoder, unet.add_embedding, known)
    answers = unet.add_embedding.proj(pooled).detach()
    first = steps // 2
    learn_to_read(
        encoder,
        unet.add_embedding,
        wordings,
        facts,
        draw,
        steps=first,
        only=new_words,
        report=report,
    )
    learn_to_read(
        encoder,
        unet.add_embedding,
        wordings,
        facts,
        draw,
        steps=steps - first,
        gently=GENTLY,
        report=lambda step, loss: report(first + step, loss),
    )
    new_states, new_pooled = listened(encoder, unet.add_embedding, known)
    turn, shift = affine_fit(new_states.flatten(0, 1), states.flatten(0, 1))
    hear_through(unet, turn, shift)
    weight, bias = affine_fit(new_pooled, answers)
    with torch.no_grad():
        unet.add_embedding.proj.weight.copy_(weight)
        unet.add_embedding.proj.bias.copy_(bias)


def known_captions(
    wordings: Int[Tensor, "image wording token"],
    new_words: Bool[Tensor, " word"],
    draw: torch.Generator,
) -> Int[Tensor, "text token"]:
    """At most `SOME` of the captions without a new word."""
    texts = wordings.flatten(0, 1).long()
    known = texts[~new_words[texts].any(1)]
    return known[torch.randperm(len(known), generator=draw)[:SOME]]


@torch.no_grad()
def listened(
    encoder: CLIPTextModel, pooling: Any, ids: Int[Tensor, "text token"]
) -> tuple[Float[Tensor, "text token channel"], Float[Tensor, "text channel"]]:
    """Token states, and the pooled text before its last projection."""
    parts = ids.split(256)
    states = torch.cat([encoder(part).last_hidden_state for part in parts])
    return states, torch.cat([pool(encoder, pooling, part) for part in parts])


def affine_fit(
    x: Float[Tensor, "sample channel"], y: Float[Tensor, "sample out"]
) -> tuple[Float[Tensor, "out channel"], Float[Tensor, " out"]]:
    """Weight W and bias b that minimize |x W^T + b - y|^2 + a little |W|^2, in float64."""
    x_mean, y_mean = x.double().mean(0), y.double().mean(0)
    x0, y0 = x.double() - x_mean, y.double() - y_mean
    square = x0.T @ x0
    square += 1e-4 * square.diagonal().mean() * torch.eye(len(square), dtype=square.dtype)
    weight = torch.linalg.solve(square, x0.T @ y0).T
    return weight.float(), (y_mean - weight @ x_mean).float()


@torch.no_grad()
def hear_through(
    unet: nn.Module, turn: Float[Tensor, "old new"], shift: Float[Tensor, " old"]
) -> None:
    """Let every cross attention see `turn @ state + shift` in place of `state`.

    Keys have no bias and need none: what all of them share does not change a softmax. What the
    values share goes through to the output, weights adding to one.
    """
    for name, module in unet.named_modules():
        if name.endswith("attn2"):
            attention: Any = module
            out = attention.to_out[0]
            out.bias += out.weight @ (attention.to_v.weight @ shift)
            attention.to_k.weight.copy_(attention.to_k.weight @ turn)
            attention.to_v.weight.copy_(attention.to_v.weight @ turn)
