"""Steps of the optimizer, and the file that an interrupted stage goes on from."""

from pathlib import Path

import pytest
import torch
from splatworks.stages.edit import state as states
from splatworks.stages.edit.state import State, advance, value
from splatworks.stages.edit.transport import Match, Potentials


def begun(seed: int = 0) -> State:
    generator = torch.Generator().manual_seed(seed)
    values = {
        "vectors": value(torch.randn(5, 3, generator=generator), 0.1),
        "numbers": value(torch.randn(4, generator=generator), 0.2, vectors=False),
        "fixed": value(torch.zeros(2), 0.0, vectors=False),
    }
    return State(values, [None, None])


def loss(state: State) -> torch.Tensor:
    weights = torch.tensor([1.0, 1e-4, 3.0])
    vectors = (weights * (state["vectors"] - 1).square()).sum()
    return vectors + (state["numbers"] ** 4).sum() + state["fixed"].sum()


def test_numbers_step_as_torchs_adam() -> None:
    state = begun()
    leaf = state["numbers"].detach().clone().requires_grad_()
    adam = torch.optim.Adam([leaf], lr=0.2, betas=states.BETAS, eps=states.EPSILON)
    for _ in range(20):
        advance(state, loss(state), 1.0)
        adam.zero_grad()
        (leaf**4).sum().backward()
        adam.step()
    assert torch.allclose(state["numbers"], leaf, atol=1e-5)


def test_vectors_step_along_their_gradient_and_not_along_its_signs() -> None:
    state = begun()
    before = state["vectors"].detach().clone()
    (gradient,) = torch.autograd.grad(loss(state), state["vectors"])
    advance(state, loss(state), 1.0)
    step = before - state["vectors"].detach()
    assert torch.nn.functional.cosine_similarity(step, gradient, dim=1).min() > 0.9999
    assert (step[:, 1] / step[:, 0]).abs().max() < 0.01
    assert step.square().mean(dim=1).sqrt() == pytest.approx([0.1] * 5, rel=1e-4)


def test_what_has_no_rate_stays_and_shares_scale_the_step() -> None:
    whole, half = begun(), begun()
    start = whole["vectors"].detach().clone()
    advance(whole, loss(whole), 1.0)
    advance(half, loss(half), 0.5)
    assert torch.equal(whole["fixed"].detach(), torch.zeros(2))
    moved = (one["vectors"].detach() - start for one in (whole, half))
    first, second = moved
    assert torch.allclose(first, 2 * second, atol=1e-6)


def test_a_saved_state_goes_on_with_the_same_bits(tmp_path: Path) -> None:
    straight, stopped = begun(), begun()
    for _ in range(7):
        advance(straight, loss(straight), 0.9)
    for _ in range(4):
        advance(stopped, loss(stopped), 0.9)
    numbers = [torch.arange(3.0) + k for k in range(4)]
    stopped.matches[1] = Match(torch.ones(3, 2), numbers[0], Potentials(*numbers[1:]))
    states.save(stopped, tmp_path / "s.safetensors", "mine")
    fresh = begun(seed=9)
    assert not states.restored(fresh, tmp_path / "s.safetensors", "another")
    assert not states.restored(fresh, tmp_path / "absent.safetensors", "mine")
    assert states.restored(fresh, tmp_path / "s.safetensors", "mine")
    assert fresh.iteration == 4
    assert fresh.losses == stopped.losses
    assert fresh.matches[0] is None
    found = fresh.matches[1]
    assert found is not None
    assert torch.equal(found.potentials.own, numbers[3])
    assert torch.equal(found.trust, numbers[0])
    for _ in range(3):
        advance(fresh, loss(fresh), 0.9)
    for name in straight.values:
        assert torch.equal(fresh[name], straight[name])


def test_a_file_that_was_cut_short_is_not_used(tmp_path: Path) -> None:
    path = tmp_path / "s.safetensors"
    states.save(begun(), path, "mine")
    path.write_bytes(path.read_bytes()[:-9])
    assert not states.restored(begun(), path, "mine")
