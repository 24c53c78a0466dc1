"""The text encoder learns to read before the denoiser learns to draw.

A denoiser alone teaches its text encoder badly: what a caption says about the side that is seen
changes a picture less than the noise does, so for hours these words stay a hundredth of the
pooled text's variance (0.012 after 195 000 pictures, and 0.41 for "close-up"), and a direction
of a hundredth of the variance is learned a hundred times more slowly. Here encoder and pooling
first learn to tell every fact that a caption states, by one linear layer per fact; that takes
half a minute, after which every fact is a visible part of the pooled text.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional
from transformers import CLIPTextModel

from . import catalog
from .captions import WORDINGS
from .props import Prop

UNSAID = ""
FACTS: Mapping[str, tuple[str, ...]] = {
    "kind": catalog.KINDS,
    "color": tuple(catalog.LOOKS),
    "pattern": catalog.PATTERNS,
    "pattern_color": (UNSAID, *catalog.COLORS),
    "part_color": (UNSAID, *catalog.COLORS),
    "azimuth": tuple(catalog.AZIMUTHS),
    "elevation": tuple(catalog.ELEVATIONS),
    "background": (UNSAID, *catalog.BACKGROUNDS),
    "close_up": ("", "close-up"),
}
"""What a caption can state, and the values it can have."""


def facts_of(
    index: Sequence[Mapping[str, Any]], toys: Mapping[int, Prop]
) -> Int[Tensor, "image wording fact"]:
    """The facts of every caption, as positions in `FACTS`; `captions` fixes the order of the
    wordings: as many without the background as with it."""
    return torch.tensor([_of_picture(entry, toys[entry["prop"]]) for entry in index])


def learn_to_read(
    encoder: CLIPTextModel,
    pooling: Any,
    wordings: Int[Tensor, "image wording token"],
    facts: Int[Tensor, "image wording fact"],
    draw: torch.Generator,
    *,
    steps: int,
    batch: int = 128,
    rate: float = 2e-3,
    gently: float = 1.0,
    only: Bool[Tensor, " word"] | None = None,
    report: Callable[[int, float], None] = lambda step, loss: None,
) -> None:
    """Train `encoder` and `pooling` (diffusers' `TextTimeEmbedding`) in place.

    The layers that read the facts off the pooled text are thrown away. Cross entropies are
    added, so every fact counts the same however little of a picture it decides.

    Args:
        gently: Factor of the rate for `encoder` and `pooling`, not for the layers that are thrown
            away.
        only: Train the embeddings of these words and nothing else: what the encoder says of
            captions without them does not change.
    """
    width = pooling.proj.in_features
    layers = [linear(width, len(values), draw) for values in FACTS.values()]
    words = encoder.get_input_embeddings().weight
    students = [*encoder.parameters(), *pooling.norm1.parameters(), *pooling.pool.parameters()]
    if only is not None:
        students = [words]
    readers = [part for layer in layers for part in layer]
    learned = [*students, *readers]
    for tensor in learned:
        tensor.requires_grad_(True)
    adam = torch.optim.Adam([{"params": students}, {"params": readers}])
    for step in range(steps):
        now = rate * min((step + 1) / 50, 1 - step / steps)
        for group, factor in zip(adam.param_groups, (gently, 1.0), strict=True):
            group["lr"] = now * factor
        images = torch.randint(len(wordings), (batch,), generator=draw)
        picks = torch.randint(wordings.shape[1], (batch,), generator=draw)
        pooled = pool(encoder, pooling, wordings[images, picks].long())
        said = facts[images, picks]
        loss = sum(
            (
                functional.cross_entropy(functional.linear(pooled, *layer), said[:, number])
                for number, layer in enumerate(layers)
            ),
            torch.zeros(()),
        )
        gradients = torch.autograd.grad(loss, learned, allow_unused=True)
        for tensor, gradient in zip(learned, gradients, strict=True):
            tensor.grad = gradient
        if only is not None:
            # Adam leaves alone what never had a gradient.
            words.grad = words.grad * only[:, None]
        adam.step()
        report(step + 1, loss.item() / len(layers))
    for tensor in students:
        tensor.grad = None


def pool(
    encoder: CLIPTextModel, pooling: Any, ids: Int[Tensor, "text token"]
) -> Float[Tensor, "text channel"]:
    """The pooled text before its last projection."""
    return pooling.pool(pooling.norm1(encoder(ids).last_hidden_state))


def linear(width: int, out: int, draw: torch.Generator) -> tuple[Tensor, Tensor]:
    """Weight and bias of a linear layer."""
    return torch.randn(out, width, generator=draw) / width**0.5, torch.zeros(out)


def _of_picture(entry: Mapping[str, Any], toy: Prop) -> list[list[int]]:
    said = {
        "kind": toy.kind,
        "color": toy.color,
        "pattern": toy.pattern,
        "pattern_color": toy.pattern_color,
        "part_color": toy.part_color,
        "azimuth": entry["azimuth"],
        "elevation": entry["elevation"],
        "close_up": "close-up" if entry["zoom"] > 1 else "",
    }
    without = said | {"background": UNSAID}
    named = said | {"background": entry["background"]}
    rows = [without] * WORDINGS + [named] * WORDINGS
    return [[values.index(row[fact]) for fact, values in FACTS.items()] for row in rows]
