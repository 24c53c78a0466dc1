"""Who says how well pictures fit a prompt.

`truth` compares them with the true toy of the prompt from the same cameras; it needs no network
and knows only prompts in the prior's own words. Others may be named as `package.module:function`,
a function without arguments that returns a `Scorer`.
"""

import importlib
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import toys
from jaxtyping import Float

Pictures = Float[np.ndarray, "view size size 3"]
"""sRGB in 0..1 on `toys.GRAY`, from `toys.VIEWS`."""


class Scorer(Protocol):
    """Higher is a better fit. Scores of one picture under several prompts can be compared."""

    def score(self, images: Pictures, prompt: str) -> Float[np.ndarray, " view"]: ...


class Truth:
    """Minus the mean squared difference from pictures of the true toy."""

    def __init__(self) -> None:
        self._known: dict[str, Pictures] = {}

    def score(self, images: Pictures, prompt: str) -> Float[np.ndarray, " view"]:
        if prompt not in self._known:
            toy = toys.named(prompt)
            if toy is None:
                raise SystemExit(f"'{prompt}' names no toy whose true look is known.")
            self._known[prompt] = toys.of_toy(toy).rgb
        return -((images - self._known[prompt]) ** 2).mean(axis=(1, 2, 3))


def scorer_named(name: str) -> Scorer:
    """`truth`, or what a function returns."""
    if name == "truth":
        return Truth()
    module, _, function = name.partition(":")
    return getattr(importlib.import_module(module), function)()


def best_of(
    scorer: Scorer, images: Pictures, prompts: Sequence[str]
) -> tuple[list[int], Float[np.ndarray, "prompt view"]]:
    """Per view, which prompt fits best, and all scores."""
    scores = np.stack([scorer.score(images, prompt) for prompt in prompts])
    return [int(k) for k in scores.argmax(axis=0)], scores
