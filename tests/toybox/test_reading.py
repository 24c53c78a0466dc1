"""The text encoder learns what captions say."""

import re
from itertools import product

import torch
from splatworks.stages.toybox import captions, catalog, images, networks, props, reading
from splatworks.stages.toybox.networks import token_ids
from torch.nn.functional import linear, one_hot


def material() -> tuple[list[props.Prop], list[images.Entry], list[list[str]]]:
    """Every 40th prop of the toybox from all sides, with its captions."""
    toys = list(props.make(props.Config(), 0))[::40]
    entries = [
        e for n, toy in enumerate(toys) for e in images.plan(toy, images.Config(), 0, 99 * n)
    ]
    by_id = {toy.id: toy for toy in toys}
    return toys, entries, [captions.wordings(by_id[e.prop], e, 0) for e in entries]


def test_facts_are_what_the_captions_say() -> None:
    """Read back from the canonical wording, word by word."""
    toys, entries, texts = material()
    index = [{name: getattr(e, name) for name in e.__slots__} for e in entries]
    facts = reading.facts_of(index, {toy.id: toy for toy in toys})
    assert facts.shape == (len(entries), 2 * captions.WORDINGS, len(reading.FACTS))
    for row, wordings in list(zip(facts, texts, strict=True))[::7]:
        for number in (0, captions.WORDINGS):
            said = {
                fact: values[row[number, k]]
                for k, (fact, values) in enumerate(reading.FACTS.items())
            }
            text = wordings[number]
            assert f" {said['color']} {said['kind']}" in text
            assert f"{said['azimuth']} view, {said['elevation']}" in text
            assert text.startswith("close-up of") == (said["close_up"] == "close-up")
            assert text.endswith(f"{said['background']} background") == bool(said["background"])
            assert bool(said["background"]) == (number == captions.WORDINGS)
            assert (f"with {said['pattern_color']} {said['pattern']}" in text) == (
                said["pattern"] != "none"
            )
            assert not re.search(r"\ba (?=[aeiou])", text)
            if said["part_color"]:
                assert f"{said['part_color']} {catalog.PARTS[said['kind']]}" in text


def test_every_fact_becomes_a_visible_part_of_the_pooled_text() -> None:
    """The words of the sides begin as good as equal. Afterwards sides, colors and kinds of captions
    that were never read are told apart by a linear map."""
    kinds_, colors, sides = ("mug", "car", "duck"), ("red", "blue", "green"), ("front", "back")
    cases = list(product(range(3), range(3), range(2)))
    texts = [f"a {colors[c]} {kinds_[k]}, {sides[a]} view, low" for k, c, a in cases]
    tokenizer = networks.build_tokenizer(
        sorted({w for t in texts for w in t.replace(",", "").split()}), length=12
    )
    ids = token_ids(tokenizer, texts)
    facts = torch.zeros(len(cases), 1, len(reading.FACTS), dtype=torch.long)
    names = list(reading.FACTS)
    for row, (k, c, a) in enumerate(cases):
        facts[row, 0, names.index("kind")] = k
        facts[row, 0, names.index("color")] = c
        facts[row, 0, names.index("azimuth")] = a
    seen = torch.tensor([(k + c + a) % 4 != 0 for k, c, a in cases])
    unet = networks.seeded(
        lambda: networks.build_unet((16, 16), (1, 1), latent_size=8, text_width=32),
        torch.Generator().manual_seed(0),
    )
    encoder = networks.seeded(
        lambda: networks.build_text_encoder(tokenizer, width=32, layers=1),
        torch.Generator().manual_seed(1),
    )
    table = encoder.get_input_embeddings().weight
    front, back = (tokenizer.get_vocab()[word] for word in ("front", "back"))
    with torch.no_grad():
        table[back] = table[front] + 0.01 * torch.randn(
            32, generator=torch.Generator().manual_seed(3)
        )
    before = share(reading.pool(encoder, unet.add_embedding, ids).detach(), cases)
    losses: list[float] = []
    reading.learn_to_read(
        encoder,
        unet.add_embedding,
        ids[seen][:, None],
        facts[seen],
        torch.Generator().manual_seed(2),
        steps=300,
        batch=32,
        report=lambda step, loss: losses.append(loss),
    )
    pooled = reading.pool(encoder, unet.add_embedding, ids).detach()
    assert losses[-1] < 0.05 < losses[0]
    assert before < 1e-3
    assert share(pooled, cases) > 0.05
    for target in (0, 1, 2):
        truth = one_hot(torch.tensor([case[target] for case in cases])).float()
        weights = torch.linalg.lstsq(padded(pooled[seen]), truth[seen], driver="gelsd").solution
        told = linear(padded(pooled), weights.T).argmax(1)
        assert (told == truth.argmax(1)).float().mean() > 0.85
    assert all(parameter.grad is None for parameter in encoder.parameters())


def padded(pooled: torch.Tensor) -> torch.Tensor:
    return torch.cat([pooled, torch.ones(len(pooled), 1)], dim=1)


def share(pooled: torch.Tensor, cases: list[tuple[int, int, int]]) -> float:
    """Variance of the two sides' means, relative to all variance."""
    side = torch.tensor([case[2] for case in cases])
    means = torch.stack([pooled[side == s].mean(0) for s in (0, 1)])
    return (means.var(0, correction=0).sum() / pooled.var(0, correction=0).sum()).item()
