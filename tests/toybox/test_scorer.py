"""The independent scorer, trained for seconds on three kinds."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from splatworks.pipeline.errors import InputError
from splatworks.stages.toybox.props import split_of
from splatworks.stages.toybox.scorer import ceiling, facts, files, lessons, loop, pictures, train
from splatworks.stages.toybox.scorer.looking import GRAYS, look
from splatworks.stages.toybox.scorer.score import score

from .training_material import contents, context

KINDS = ("mushroom", "car", "chair")
CONFIG = train.Config(
    kinds=KINDS,
    channels=(16, 24, 48),
    width=32,
    blocks=2,
    shapes_per_block=27,
    steps=350,
    batch=16,
    warmup_steps=20,
    learning_rate=2e-3,
    ema=0.98,
    judged_per_kind=4,
)
TINY = replace(CONFIG, blocks=2, shapes_per_block=3, steps=6, batch=4, judged_per_kind=1)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = context(tmp_path_factory.mktemp("scorer"))
    return train.run(train.Inputs(), CONFIG, where).scorer.path


@pytest.fixture(scope="module")
def scorer(trained: Path) -> files.Scorer:
    return files.load(trained)


def test_it_beats_chance_by_far_on_toys_it_never_saw(scorer: files.Scorer) -> None:
    """Chance is 32 of 96 pictures with a deviation of 4.6; half of them is 3.5 deviations more."""
    found = scorer.ceiling
    assert found["toys"] == 12 and found["views"] == 8
    assert found["kind_per_view"] > 0.5
    assert found["kind"] > 0.5
    assert set(found["kinds"]) == set(KINDS)


def test_facts_and_places_are_learned(trained: Path) -> None:
    """Well below the cross entropies of answers that know only how many values there are."""
    log = [json.loads(line) for line in (trained / "training.jsonl").read_text().splitlines()]
    chance = sum(math.log(len(v)) for v in facts.values(KINDS).values())
    chance += loop.ALPHA_WEIGHT * math.log(2)
    assert [line["step"] for line in log] == list(range(50, 351, 50))
    assert log[-1]["loss"] < 0.8 * chance


def test_the_loss_is_the_mean_over_pictures_that_have_the_fact() -> None:
    draw = torch.Generator().manual_seed(0)
    known = facts.values(KINDS)
    found = {
        name: torch.randn(3, len(v), generator=draw).log_softmax(-1) for name, v in known.items()
    }
    said = torch.tensor([[0, 1, 0, -1, -1], [2, 3, 1, 4, -1], [1, 0, 3, 2, -1]])
    expected = 0.0
    for number, name in enumerate(known):
        rows = [(k, int(v)) for k, v in enumerate(said[:, number]) if v >= 0]
        if rows:
            expected -= sum(float(found[name][k, v]) for k, v in rows) / len(rows)
    assert float(loop.entropy(found, said)) == pytest.approx(expected, rel=1e-6)


def test_trained_in_pieces_on_two_threads_it_is_the_same(tmp_path: Path) -> None:
    class Stop(Exception):
        pass

    def stopping(after: int, function: Callable) -> Callable:
        calls = 0

        def inner(*given, **named):
            nonlocal calls
            calls += 1
            if calls > after:
                raise Stop
            return function(*given, **named)

        return inner

    whole = train.run(train.Inputs(), TINY, context(tmp_path / "whole")).scorer
    pieces = replace(TINY, save_every_s=0.0)
    for module, name, after in ((lessons, "block", 1), (loop, "batch_loss", 4)):
        with pytest.MonkeyPatch.context() as patch, pytest.raises(Stop):
            patch.setattr(module, name, stopping(after, getattr(module, name)))
            train.run(train.Inputs(), pieces, context(tmp_path / "pieces"))
    again = train.run(train.Inputs(), TINY, context(tmp_path / "pieces", threads=2)).scorer
    assert contents(again.path) == contents(whole.path)


def test_the_files_are_small_half_precision_and_read_back(trained: Path, scorer) -> None:
    weights = load_file(trained / files.WEIGHTS)
    assert {t.dtype for t in weights.values()} == {torch.float16}
    own = scorer.network.state_dict()
    assert all(torch.equal(own[name], t.float()) for name, t in weights.items())
    assert sum(len(data) for data in contents(trained).values()) < 3_000_000


def test_the_ceiling_is_measured_on_the_weights_that_are_written(scorer, tmp_path: Path) -> None:
    found = ceiling.measure(scorer, per_kind=CONFIG.judged_per_kind, seed=3, ctx=context(tmp_path))
    assert found == scorer.ceiling


def test_the_default_network_fits_into_three_megabytes() -> None:
    config = train.Config()
    network = files.ScorerNetwork(config.channels, config.width, facts.values())
    assert 2 * sum(p.numel() for p in network.parameters()) < 2_900_000


def test_folders_that_hold_no_scorer_are_refused(trained: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not a scorer"):
        files.load(tmp_path)
    described = json.loads((trained / files.WORDS).read_text())
    (tmp_path / files.WEIGHTS).write_bytes((trained / files.WEIGHTS).read_bytes())
    (tmp_path / files.WORDS).write_text(json.dumps({**described, "width": 48}))
    with pytest.raises(InputError, match="is not a scorer"):
        files.load(tmp_path)
    (tmp_path / files.WORDS).write_text(json.dumps({**described, "format": "other/1"}))
    with pytest.raises(InputError, match="format 'other/1'"):
        files.load(tmp_path)


@pytest.fixture(scope="module")
def held() -> list[tuple]:
    return list(pictures.heldout(KINDS, 1, 8, seed=77))


def test_a_score_is_what_the_network_says(scorer: files.Scorer, held) -> None:
    toy, pixels = held[0]
    views = pixels.astype(np.float32) / 255
    prompt = f"a {toy.color} mushroom"
    found = score(views, prompt, scorer)
    answers = look(scorer, views)
    kinds = answers["kind"].mean(0).tolist()
    assert found.kind_rank == 1 + sorted(kinds, reverse=True).index(kinds[0])
    assert found.kind_hits == sum(int(row.argmax()) == 0 for row in answers["kind"])
    color = scorer.facts["color"].index(toy.color)
    none = scorer.facts["pattern"].index("none")
    expected = kinds[0] + float(answers["color"].mean(0)[color] + answers["pattern"].mean(0)[none])
    assert found.similarity == pytest.approx(expected, rel=1e-5)
    assert found.said == {"kind": "mushroom", "color": toy.color, "pattern": "none"}
    assert found.right["kind"] == (found.kind_rank == 1)
    assert found.ceiling.kind_per_view == scorer.ceiling["kinds"]["mushroom"]["per_view"]


def test_prompts_that_differ_in_the_kind_are_ranked_by_it(scorer: files.Scorer, held) -> None:
    for _, pixels in held:
        views = pixels.astype(np.float32) / 255
        likeness = [score(views, f"a red {kind}", scorer).similarity for kind in KINDS]
        kinds = look(scorer, views)["kind"].mean(0)
        assert np.array_equal(np.argsort(likeness), kinds.argsort().numpy())


def test_pictures_with_alpha_are_judged_before_both_grays(scorer: files.Scorer, held) -> None:
    views = held[1][1].astype(np.float32) / 255
    joined = look(scorer, views)["kind"]
    each = [look(scorer, views[..., :3] + (1 - views[..., 3:]) * g)["kind"] for g in GRAYS]
    mean = ((each[0] + each[1]) / 2).log_softmax(-1)
    torch.testing.assert_close(joined, mean)


def test_size_does_not_matter(scorer: files.Scorer, held) -> None:
    views = held[2][1].astype(np.float32) / 255
    large = views.repeat(3, axis=1).repeat(3, axis=2)
    near, far = look(scorer, views)["kind"], look(scorer, large)["kind"]
    assert (near.exp() - far.exp()).abs().max() < 0.15


@pytest.mark.parametrize(
    ("shape", "value", "text"),
    [
        ((2, 32, 48, 3), 0.5, "expected squares"),
        ((2, 32, 32, 2), 0.5, "expected squares"),
        ((2, 32, 32, 4), 2.0, "from 0 to 1"),
        ((2, 32, 32, 4), math.nan, "from 0 to 1"),
    ],
)
def test_pictures_that_are_none_are_refused(scorer, shape, value, text) -> None:
    with pytest.raises(InputError, match=text):
        score(np.full(shape, value, np.float32), "a red car", scorer)


def test_a_kind_that_this_scorer_does_not_know_is_refused(scorer: files.Scorer, held) -> None:
    with pytest.raises(InputError, match="'rocket'; this scorer does not know it"):
        score(held[0][1].astype(np.float32) / 255, "a red rocket", scorer)


def test_lessons_and_held_out_toys_never_share_a_combination(held) -> None:
    toys, pixels = pictures.block(KINDS, 0, 6, seed=5)
    assert pixels.shape == (48, 64, 64, 4)
    assert {toy.kind for toy in toys} == set(KINDS)
    assert len({toy.shape_seed for toy in toys[:8]}) == 8, "words are drawn for every picture"

    def split(toy):
        return split_of(toy.kind, toy.color, toy.pattern, toy.part_color)

    assert {split(toy) for toy in toys} == {"train"}
    assert {split(toy) for toy, _ in held} == {"heldout"}


def test_a_block_is_the_same_whatever_was_made_before() -> None:
    toys, pixels = pictures.block(KINDS, 1, 2, seed=5)
    again, same = pictures.block(KINDS, 1, 2, seed=5)
    assert toys == again and np.array_equal(pixels, same)
    _, other = pictures.block(KINDS, 1, 2, seed=6)
    assert not np.array_equal(pixels, other)


def test_facts_are_positions_and_unsaid_ones_are_marked() -> None:
    toys, _ = pictures.block(("mushroom", "donut"), 0, 2, seed=1)
    rows = lessons.positions(toys, replace(CONFIG, kinds=("mushroom", "donut")))
    known = facts.values(("mushroom", "donut"))
    for toy, row in zip(toys, rows.tolist(), strict=True):
        for name, place in zip(facts.NAMES, row, strict=True):
            assert (known[name][place] if place >= 0 else "") == getattr(toy, name)
    assert (rows[:, facts.NAMES.index("part_color")] == lessons.UNSAID).any()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("kinds", ("car",)),
        ("kinds", ("car", "unicorn")),
        ("channels", (20, 30)),
        ("batch", 3),
        ("steps", 0),
        ("learning_rate", 0.0),
        ("ema", 1.0),
    ],
)
def test_settings_are_checked(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=field):
        replace(CONFIG, **{field: value})
