"""An earlier model learns new words: it can tell them apart, and answers old captions as before."""

from itertools import product

import pytest
import torch
from splatworks.stages.toybox import networks, reading, rewording
from torch import Tensor, nn

KINDS = ("mug", "car", "duck", "barrel")
COLORS = ("red", "blue", "green")
SIDES = ("front", "back")
NEW = frozenset({"barrel", "green"})
WIDTH = 32


def drawn(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def captions() -> tuple[list[str], Tensor]:
    """All captions, and what they say."""
    texts, rows = [], []
    names = list(reading.FACTS)
    for kind, color, side in product(KINDS, COLORS, SIDES):
        texts.append(f"a {color} {kind} {side} view low")
        row = [0] * len(names)
        for fact, value in (("kind", kind), ("color", color), ("azimuth", side)):
            row[names.index(fact)] = reading.FACTS[fact].index(value)
        rows.append([row])
    return texts, torch.tensor(rows)


def words(*, new: bool) -> list[str]:
    texts, _ = captions()
    return [w for w in sorted({w for t in texts for w in t.split()}) if new or w not in NEW]


def model_that_reads(tokenizer) -> nn.ModuleDict:
    """Reads the old words, and answers something (fresh denoisers answer nothing)."""
    texts, facts = captions()
    old = torch.tensor([not NEW & set(text.split()) for text in texts])
    ids = networks.token_ids(tokenizer, [t for t, k in zip(texts, old, strict=True) if k])
    unet = networks.seeded(
        lambda: networks.build_unet((16, 16), (1, 1), latent_size=8, text_width=WIDTH), drawn(0)
    )
    encoder = networks.seeded(
        lambda: networks.build_text_encoder(tokenizer, width=WIDTH, layers=1), drawn(1)
    )
    with torch.no_grad():
        for parameter in unet.parameters():
            if not parameter.any():
                parameter.copy_(0.2 * torch.randn(parameter.shape, generator=drawn(2)))
    reading.learn_to_read(
        encoder, unet.add_embedding, ids[:, None], facts[old], drawn(3), steps=200, batch=32
    )
    return nn.ModuleDict({"unet": unet.eval(), "text_encoder": encoder.eval()})


@pytest.fixture(scope="module")
def taught():
    before = networks.build_tokenizer(words(new=False), length=10)
    after = networks.build_tokenizer(words(new=True), length=10)
    model = model_that_reads(before)
    texts, facts = captions()
    known = [text for text in texts if not NEW & set(text.split())]
    first = answers(model, networks.token_ids(before, known))
    new_words = rewording.respelled(model["text_encoder"], before.get_vocab(), after, drawn(4))
    respelled = answers(model, networks.token_ids(after, known))
    ids = networks.token_ids(after, texts)
    rewording.learn_words(model, new_words, ids[:, None], facts, drawn(5), steps=500)
    model.eval()
    second = answers(model, networks.token_ids(after, known))
    return model, after, new_words, first, respelled, second


@torch.no_grad()
def answers(model: nn.ModuleDict, ids: Tensor) -> Tensor:
    z = torch.randn(1, 4, 8, 8, generator=drawn(6)).expand(len(ids), -1, -1, -1)
    states = model["text_encoder"](ids).last_hidden_state
    return model["unet"](z, torch.full((len(ids),), 600), states).sample


def test_only_words_that_it_did_not_know_are_new_and_the_rest_keeps_its_answer(taught) -> None:
    _, tokenizer, new_words, first, respelled, _ = taught
    vocabulary = tokenizer.get_vocab()
    assert {w for w, n in vocabulary.items() if new_words[n]} == NEW
    torch.testing.assert_close(first, respelled)


def test_old_captions_are_answered_as_before(taught) -> None:
    """Far closer than captions are to one another."""
    *_, first, _, second = taught
    between = (first - first.roll(1, 0)).square().mean()
    assert (second - first).square().mean() < 0.02 * between


def test_new_words_can_be_told_and_are_heard(taught) -> None:
    model, tokenizer, *_ = taught
    texts, facts = captions()
    ids = networks.token_ids(tokenizer, texts)
    pooled = reading.pool(model["text_encoder"], model["unet"].add_embedding, ids).detach()
    one = torch.cat([pooled, torch.ones(len(pooled), 1)], 1)
    for fact in ("kind", "color", "azimuth"):
        said = facts[:, 0, list(reading.FACTS).index(fact)]
        truth = nn.functional.one_hot(said).float()
        told = one @ torch.linalg.lstsq(one, truth, driver="gelsd").solution
        assert (told.argmax(1) == said).float().mean() > 0.95
    heard = answers(
        model, networks.token_ids(tokenizer, [f"a red {k} front view low" for k in KINDS])
    )
    apart = (heard[:, None] - heard[None]).square().mean((2, 3, 4))
    old, new = apart[:3, :3].sum() / 6, apart[3, :3].mean()
    assert new > 0.2 * old


def test_an_affine_map_is_found() -> None:
    x = torch.randn(400, 6, generator=drawn(7))
    weight, bias = torch.randn(3, 6, generator=drawn(8)), torch.tensor([4.0, -2.0, 0.5])
    found = rewording.affine_fit(x + 10, (x + 10) @ weight.T + bias)
    torch.testing.assert_close(found[0], weight, atol=2e-3, rtol=0)
    torch.testing.assert_close(found[1], bias, atol=2e-2, rtol=0)


def test_cross_attentions_hear_through_a_map() -> None:
    unet = networks.seeded(
        lambda: networks.build_unet((16, 16), (1, 1), latent_size=8, text_width=WIDTH), drawn(0)
    ).eval()
    with torch.no_grad():
        for parameter in unet.parameters():
            parameter.copy_(0.2 * torch.randn(parameter.shape, generator=drawn(9)))
        # The pooled text is not the cross attentions' matter.
        unet.add_embedding.proj.weight.zero_()
    z = torch.randn(2, 4, 8, 8, generator=drawn(10))
    states = torch.randn(2, 5, WIDTH, generator=drawn(11))
    turn = torch.randn(WIDTH, WIDTH, generator=drawn(12)) / WIDTH**0.5
    shift = torch.randn(WIDTH, generator=drawn(13))
    times = torch.tensor([100, 900])
    with torch.no_grad():
        wanted = unet(z, times, states @ turn.T + shift).sample
        plain = unet(z, times, states).sample
        rewording.hear_through(unet, turn, shift)
        heard = unet(z, times, states).sample
    torch.testing.assert_close(heard, wanted, atol=1e-4, rtol=1e-4)
    assert (plain - wanted).abs().max() > 1e-2
