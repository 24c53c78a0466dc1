"""The optimizer against torch's Adam, and numbers at rest."""

import pytest
import torch
from splatworks.stages.encoding.optimizer import BETAS, EPSILON, FieldAdam
from splatworks.stages.randomness import generator

ROWS = 50


def gradient(k: int, dtype: torch.dtype) -> torch.Tensor:
    return torch.randn(ROWS, 2, generator=generator(k, "gradient")).to(dtype)


@pytest.mark.parametrize("sparse", (True, False))
@pytest.mark.parametrize("dtype", (torch.float32, torch.float64))
def test_is_adam_where_everything_is_touched(sparse: bool, dtype: torch.dtype) -> None:
    decay = 0.0 if sparse else 0.01
    ours, theirs = (torch.nn.Parameter(torch.ones(ROWS, 2, dtype=dtype)) for _ in range(2))
    mine = FieldAdam([{"params": [ours], "lr": 0.03, "sparse": sparse, "weight_decay": decay}])
    other = torch.optim.Adam([theirs], lr=0.03, betas=BETAS, eps=EPSILON, weight_decay=decay)
    for k in range(20):
        for parameter, optimizer in ((ours, mine), (theirs, other)):
            parameter.grad = gradient(k, dtype)
            optimizer.step()
    torch.testing.assert_close(ours, theirs, rtol=2e-5, atol=2e-5)
    for name in ("exp_avg", "exp_avg_sq", "step"):
        torch.testing.assert_close(mine.state[ours][name], other.state[theirs][name])


@pytest.mark.parametrize("dtype", (torch.float32, torch.float64))
def test_untouched_numbers_stay_at_rest(dtype: torch.dtype) -> None:
    """After a first step, so that there are moments that could push them."""
    table = torch.nn.Parameter(torch.ones(ROWS, 2, dtype=dtype))
    optimizer = FieldAdam([{"params": [table], "lr": 0.1, "sparse": True}])
    table.grad = gradient(0, dtype)
    optimizer.step()
    before = [t.detach().clone() for t in (table, *_moments(optimizer, table))]
    table.grad = gradient(1, dtype)
    table.grad[10:40] = 0
    table.grad[20, 1] = 5
    optimizer.step()
    still = table.grad == 0
    assert still.sum() == 59
    for old, new in zip(before, (table.detach(), *_moments(optimizer, table)), strict=True):
        assert torch.equal(old[still], new[still])
        assert (old[~still] != new[~still]).all()


def _moments(optimizer: FieldAdam, table: torch.nn.Parameter) -> tuple[torch.Tensor, torch.Tensor]:
    state = optimizer.state[table]
    return state["exp_avg"], state["exp_avg_sq"]
