"""The network in pieces against itself at once, and against central differences."""

import itertools

import pytest
import torch
from splatworks.stages.encoding import network as module
from splatworks.stages.encoding.network import network, plain
from splatworks.stages.randomness import generator
from torch import Tensor

COUNT = 77


def setting(layers: int, dtype: torch.dtype = torch.float32) -> tuple[list[Tensor], ...]:
    """Two inputs side by side, `layers` hidden layers of 12, 3 numbers out."""
    random = generator(layers, "network")

    def some(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=random).to(dtype).requires_grad_()

    widths = [5 + 2, *[12] * layers, 3]
    weights = [some(few, many) for many, few in itertools.pairwise(widths)]
    return [some(COUNT, 5), some(COUNT, 2)], weights, [some(few) for few in widths[1:]]


@pytest.fixture(autouse=True)
def pieces_of_eight(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nine whole pieces and a shorter one."""
    monkeypatch.setattr(module, "NUMBERS", 8 * 12)


@pytest.mark.parametrize("layers", (0, 1, 2, 3))
def test_pieces_are_the_whole(layers: int) -> None:
    parts = setting(layers, torch.float64)
    tensors = [tensor for part in parts for tensor in part]
    found, wanted = network(*parts), plain(*parts)
    torch.testing.assert_close(found, wanted)
    gradient = torch.randn_like(wanted)
    ours = torch.autograd.grad(found, tensors, gradient)
    theirs = torch.autograd.grad(wanted, tensors, gradient)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other)
    with torch.no_grad():
        torch.testing.assert_close(network(*parts), wanted)


def test_gradients_are_central_differences_twice() -> None:
    parts = setting(2, torch.float64)
    sizes = [len(part) for part in parts]

    def run(*tensors: Tensor) -> Tensor:
        a, b = sizes[0], sizes[0] + sizes[1]
        return network(tensors[:a], tensors[a:b], tensors[b:])

    tensors = [tensor for part in parts for tensor in part]
    tensors[:2] = [tensor[:11].detach().requires_grad_() for tensor in tensors[:2]]
    assert torch.autograd.gradcheck(run, tensors)
    assert torch.autograd.gradgradcheck(run, tensors)


def test_only_what_is_asked_for() -> None:
    inputs, weights, biases = setting(2)
    inputs[0] = inputs[0].detach()
    network(inputs, weights, biases).sum().backward()
    assert inputs[0].grad is None and inputs[1].grad is not None
    assert all(one.grad is not None for one in (*weights, *biases))


def test_inputs_and_gradients_may_lie_either_way() -> None:
    """The compiled encoding hands out columns."""
    inputs, weights, biases = setting(2)
    turned = [part.detach().t().contiguous().t().requires_grad_() for part in inputs]
    gradient = torch.randn(3, COUNT).t()
    for given in (inputs, turned):
        network(given, weights, biases).backward(gradient)
    for one, other in zip(inputs, turned, strict=True):
        torch.testing.assert_close(one.grad, other.grad)


def test_no_points() -> None:
    inputs, weights, biases = setting(2)
    inputs = [part[:0] for part in inputs]
    found = network(inputs, weights, biases)
    found.sum().backward()
    assert found.shape == (0, 3) and not weights[0].grad.any()
