"""Does an object look like its prompt? Pictures from several sides in, a verdict out."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from ....pipeline.errors import InputError
from . import facts
from .ceiling import best
from .files import Scorer, load
from .looking import look


@dataclass(frozen=True, slots=True, kw_only=True)
class Ceiling:
    """The scorer's own accuracy on true pictures of held-out toys."""

    kind_per_view: float
    """Of single pictures of this kind."""
    kind: float
    """Of this kind, on the mean over eight sides."""
    color: float
    """Of all kinds, on the mean over eight sides."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """What the scorer thinks of one object."""

    said: dict[str, str]
    """The facts that the prompt states."""
    found: dict[str, str]
    """For the same facts, the likeliest value on the mean over the views."""
    kind_rank: int
    """Place of the prompt's kind among all kinds, on the mean over the views; 1 is right."""
    kind_hits: int
    """Views whose likeliest kind is the prompt's."""
    views: int
    similarity: float
    """Mean over the views of the log-probability of all that the prompt states; at most 0."""
    ceiling: Ceiling

    @property
    def right(self) -> dict[str, bool]:
        """Whether each stated fact was found."""
        return {name: self.found[name] == value for name, value in self.said.items()}


def score(
    pictures: Float[np.ndarray, "view height width channel"],
    prompt: str,
    scorer: Scorer | None = None,
) -> Score:
    """Judge renders of one object from several sides.

    Args:
        pictures: See `looking.look`; any size.
        prompt: In the captions' words, without view or background.
        scorer: The shipped one where none is given.

    Raises:
        InputError: A prompt or pictures that cannot be read; see `facts.read` and `look`.
    """
    scorer = load() if scorer is None else scorer
    said = facts.read(prompt).said()
    for name, value in said.items():
        if value not in scorer.facts[name]:
            raise InputError(f'The prompt "{prompt}" has {value!r}; this scorer does not know it.')
    answers = look(scorer, pictures)
    places = {name: scorer.facts[name].index(value) for name, value in said.items()}
    kinds, kind = answers["kind"], places["kind"]
    mean = kinds.mean(0)
    per_kind = scorer.ceiling["kinds"][said["kind"]]
    return Score(
        said=said,
        found={name: scorer.facts[name][best(answers[name])] for name in said},
        kind_rank=1 + int((mean > mean[kind]).sum()),
        kind_hits=int((kinds.argmax(-1) == kind).sum()),
        views=len(pictures),
        similarity=sum(float(answers[name].mean(0)[k]) for name, k in places.items()),
        ceiling=Ceiling(
            kind_per_view=per_kind["per_view"],
            kind=per_kind["of_all_views"],
            color=scorer.ceiling["color"],
        ),
    )
