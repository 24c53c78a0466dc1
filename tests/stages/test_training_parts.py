"""What the loops that train on photographs share."""

from dataclasses import dataclass

import torch
from splatworks.stages.geometry.adam import PUBLISHED_BETAS, adam_steps, sh_rates
from splatworks.stages.randomness import in_rounds


@dataclass(frozen=True)
class Pair:
    means: torch.Tensor
    sh: torch.Tensor


def test_each_is_due_once_per_round_and_rounds_differ() -> None:
    rounds = [tuple(in_rounds(5, 7 * r + k, 7) for k in range(7)) for r in range(4)]
    assert all(sorted(order) == list(range(7)) for order in rounds)
    assert len(set(rounds)) == 4
    assert rounds[0] != tuple(in_rounds(6, k, 7) for k in range(7))


def test_every_field_moves_as_torchs_adam_moves_it_at_its_own_rate() -> None:
    random = torch.Generator().manual_seed(0)

    def drawn() -> Pair:
        return Pair(
            torch.randn(6, 3, generator=random, dtype=torch.float64),
            torch.randn(6, 4, 3, generator=random, dtype=torch.float64),
        )

    values, gradients = drawn(), [drawn() for _ in range(5)]
    leaves = [values.means.clone(), values.sh[:, :1].clone(), values.sh[:, 1:].clone()]
    theirs = torch.optim.Adam(
        [{"params": [p], "lr": r} for p, r in zip(leaves, (0.1, 0.02, 0.001), strict=True)],
        betas=PUBLISHED_BETAS,
        eps=1e-15,
    )
    first = second = Pair(torch.zeros_like(values.means), torch.zeros_like(values.sh))
    for step, gradient in enumerate(gradients):
        rates = {"means": 0.1, "sh": sh_rates(gradient.sh, 0.02, 0.001)}
        values, first, second = adam_steps(
            values, gradient, first, second, rates, steps_before=step, betas=PUBLISHED_BETAS
        )
        for leaf, g in zip(
            leaves, (gradient.means, gradient.sh[:, :1], gradient.sh[:, 1:]), strict=True
        ):
            leaf.grad = g.clone()
        theirs.step()
    torch.testing.assert_close(values.means, leaves[0])
    torch.testing.assert_close(values.sh, torch.cat(leaves[1:], dim=1))
