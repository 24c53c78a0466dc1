"""The scorer's network: an image tower, and a vector for every word that a fact can be.

A picture becomes a vector v; every value of every fact has a word vector w and a bias, and

    log p(value | picture) = log softmax over the fact's values of (w . v + bias).

A prompt is the sum of the word vectors of the facts it states, so its similarity with a picture
is the dot product of the two towers up to the normalizers: a CLIP (Radford et al. 2021) whose
text tower is a bag of words. It is trained by cross entropies per fact and not by contrast within
a batch: the words are a closed list, so every wrong value is a distractor at every step, and two
red mugs in a batch are no mistake. That is the stronger signal per picture, and a sum of
log-probabilities is a figure with a meaning.

Before the last level every cell is weighed by how much it looks like a toy, which is learned from
the pictures' alpha: backgrounds are anything, and what is none of the toy's matter should not get
through. This also teaches the early layers from the first step on.

No norms: they would take the flat colors away that are to be told, and cost as much as the
convolutions on a CPU. Residual branches begin as nothing instead (De & Smith 2020).
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

Picture = Float[Tensor, "picture 3 row column"]


class Residual(nn.Module):
    """x + conv(act(conv(act(x)))), the last convolution zero at first."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = _conv(channels, channels)
        self.second = _conv(channels, channels)
        nn.init.zeros_(self.second.weight)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(functional.relu(self.first(functional.relu(x))))


class ScorerNetwork(nn.Module):
    """Both towers."""

    def __init__(
        self, channels: Sequence[int], width: int, facts: Mapping[str, Sequence[str]]
    ) -> None:
        """One level per number of channels, each of half the side of the one before."""
        super().__init__()
        self.channels, self.width = tuple(channels), width
        near: list[nn.Module] = [_conv(3, channels[0], side=5, stride=2)]
        for before, after in pairwise(channels[:-1]):
            near += [nn.ReLU(), _conv(before, after, stride=2), Residual(after)]
        last = channels[-1]
        self.near = nn.Sequential(*near, nn.ReLU())
        self.where = nn.Conv2d(channels[-2], 1, 1)
        down = _conv(channels[-2], last, stride=2)
        self.far = nn.Sequential(down, Residual(last), Residual(last), nn.ReLU())
        self.embed = nn.Linear(2 * last, width)
        self.words = nn.ModuleDict({name: nn.Linear(width, len(v)) for name, v in facts.items()})

    def forward(self, pictures: Picture) -> dict[str, Float[Tensor, "picture value"]]:
        """Log-probabilities per fact, of sRGB pictures in 0..1."""
        return self.see(pictures)[0]

    def see(
        self, pictures: Picture
    ) -> tuple[dict[str, Float[Tensor, "picture value"]], Float[Tensor, "picture cell cell"]]:
        """The same, and per cell of the last level but one the logit of its being toy."""
        x = self.near((4 * pictures - 2).contiguous(memory_format=torch.channels_last))
        where = self.where(x)
        x = self.far(x * (2 * where.sigmoid()))
        pooled = torch.cat([x.mean((2, 3)), x.amax((2, 3))], dim=1)
        vector = functional.relu(self.embed(pooled))
        answers = {
            name: functional.log_softmax(words(vector), dim=-1)
            for name, words in self.words.items()
        }
        return answers, where[:, 0]


def _conv(before: int, after: int, *, side: int = 3, stride: int = 1) -> nn.Conv2d:
    """Keeps the size of what a ReLU lets through (He et al. 2015)."""
    layer = nn.Conv2d(before, after, side, stride=stride, padding=side // 2)
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    nn.init.zeros_(layer.bias)
    return layer
