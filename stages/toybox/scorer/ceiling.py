"""How often the scorer is right about true pictures of toys that it never saw: what results are
measured against."""

from collections import Counter
from typing import Any

import numpy as np
import torch

from ....pipeline.contract import Context
from ..props import Prop
from . import facts
from .files import Scorer
from .looking import look
from .pictures import heldout

VIEWS = 8


def measure(scorer: Scorer, *, per_kind: int, seed: int, ctx: Context) -> dict[str, Any]:
    """Shares of right answers on held-out toys, each seen from eight sides in random light.

    `kind_per_view` counts every picture; `kind`, `color`, `pattern`, `pattern_color` and
    `part_color` are of the mean of the log-probabilities over the eight sides; `kinds` has the
    first two for each kind; `confused` are the commonest wrong answers for single pictures.
    """
    kinds = tuple(scorer.facts["kind"])
    views: dict[str, list[bool]] = {kind: [] for kind in kinds}
    right: dict[str, list[bool]] = {name: [] for name in facts.NAMES}
    right_kinds: dict[str, list[bool]] = {kind: [] for kind in kinds}
    wrong: Counter[tuple[str, str]] = Counter()
    with ctx.progress("ceiling of the scorer", per_kind * len(kinds)) as bar:
        for toy, pixels in heldout(kinds, per_kind, VIEWS, seed):
            answers = look(scorer, pixels.astype(np.float32) / 255)
            seen = [kinds[int(k)] for k in answers["kind"].argmax(-1)]
            views[toy.kind] += [kind == toy.kind for kind in seen]
            wrong.update((toy.kind, kind) for kind in seen if kind != toy.kind)
            for name, correct in judged(scorer, answers, toy).items():
                right[name].append(correct)
            right_kinds[toy.kind].append(kinds[best(answers["kind"])] == toy.kind)
            bar.advance()
    return {
        "toys": per_kind * len(kinds),
        "views": VIEWS,
        "kind_per_view": share([hit for hits in views.values() for hit in hits]),
        **{name: share(right[name]) for name in facts.NAMES if right[name]},
        "kinds": {
            kind: {"per_view": share(views[kind]), "of_all_views": share(right_kinds[kind])}
            for kind in kinds
        },
        "confused": [
            {"shown": shown, "taken_for": taken, "pictures": count}
            for (shown, taken), count in wrong.most_common(12)
        ],
    }


def judged(scorer: Scorer, answers: dict[str, torch.Tensor], toy: Prop) -> dict[str, bool]:
    """For every fact that the toy has, whether the mean over the views finds it."""
    return {
        name: scorer.facts[name][best(answers[name])] == value
        for name, value in facts.of(toy).said().items()
    }


def best(answers: torch.Tensor) -> int:
    """The value of the highest mean over the views."""
    return int(answers.mean(0).argmax())


def share(hits: list[bool]) -> float:
    """Of true ones."""
    return round(sum(hits) / len(hits), 4)
