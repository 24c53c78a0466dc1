"""The small network of a field, piece by piece.

The hidden values of a whole batch are larger than a core's cache, so that every step over them
waits for memory. On the CPU some points at a time go through all layers, forward and backward.
What is computed is `plain`, which also differentiates twice.

Notation: h values of a hidden layer, g gradient by the values of a layer.
"""

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

NUMBERS = 1 << 17
"""Hidden values of one layer that are at hand together: half a MiB of float32."""


def network(
    inputs: Sequence[Float[Tensor, "point _"]],
    weights: Sequence[Float[Tensor, "_ _"]],
    biases: Sequence[Float[Tensor, " _"]],
) -> Float[Tensor, "point channel"]:
    """Linear layers with ReLU between them.

    Args:
        inputs: Count as joined side by side, but are not copied for it.
        weights: Per layer, what goes out by what comes in.
    """
    if inputs[0].device.type != "cpu":
        return plain(inputs, weights, biases)
    if torch.is_grad_enabled():
        sizes = (len(inputs), len(weights))
        return _Pieces.apply(sizes, *inputs, *weights, *biases)  # type: ignore[return-value]
    out = inputs[0].new_empty(len(inputs[0]), len(weights[-1]))
    for a, b in _pieces(len(out), weights):
        out[a:b] = plain([part[a:b] for part in inputs], weights, biases)
    return out


def plain(inputs: Sequence[Tensor], weights: Sequence[Tensor], biases: Sequence[Tensor]) -> Tensor:
    """The same for all points at once."""
    values = biases[0]
    for part, weight in zip(inputs, _split(weights[0], inputs), strict=True):
        values = torch.addmm(values, part, weight.t())
    for weight, bias in zip(weights[1:], biases[1:], strict=True):
        values = torch.addmm(bias, torch.relu(values), weight.t())
    return values


class _Pieces(torch.autograd.Function):
    """(sizes, inputs, weights, biases) -> values; sizes say how many of each there are."""

    @staticmethod
    def forward(ctx, sizes, *tensors):
        inputs, weights, biases = _sorted(sizes, tensors)
        count, shares = len(inputs[0]), _split(weights[0], inputs)
        values = [inputs[0].new_empty(count, len(weight)) for weight in weights]
        for a, b in _pieces(count, weights):
            h = values[0][a:b].copy_(biases[0])
            for share, part in zip(shares, inputs, strict=True):
                h.addmm_(part[a:b], share.t())
            for k in range(1, len(weights)):
                h = torch.addmm(biases[k], h.relu_(), weights[k].t(), out=values[k][a:b])
        ctx.sizes = sizes
        ctx.save_for_backward(*tensors, *values[:-1])
        return values[-1]

    @staticmethod
    def backward(ctx, gradient):  # type: ignore[override]
        number = ctx.sizes[0] + 2 * ctx.sizes[1]
        tensors, hidden = ctx.saved_tensors[:number], ctx.saved_tensors[number:]
        parts = _sorted(ctx.sizes, tensors)
        wanted = ctx.needs_input_grad[1:]
        if torch.is_grad_enabled():  # The caller will differentiate what we return.
            asked = [tensor for tensor, want in zip(tensors, wanted, strict=True) if want]
            found = iter(torch.autograd.grad(plain(*parts), asked, gradient, create_graph=True))
            return None, *(next(found) if want else None for want in wanted)
        return None, *_gradients(*parts, hidden, gradient, wanted[: len(parts[0])])


def _gradients(inputs, weights, biases, hidden, gradient, wanted) -> list[Tensor | None]:
    """By all inputs that are wanted, weights and biases, in this order."""
    count, shares = len(gradient), _split(weights[0], inputs)
    by_inputs = [
        part.new_empty(part.shape[1], count).t() if want else None
        for part, want in zip(inputs, wanted, strict=True)
    ]
    by_weights, by_biases = ([torch.zeros_like(one) for one in many] for many in (weights, biases))
    by_shares = _split(by_weights[0], inputs)
    for a, b in _pieces(count, weights):
        g = gradient[a:b]
        for k in range(len(weights) - 1, 0, -1):
            h = hidden[k - 1][a:b]
            by_biases[k] += g.sum(dim=0)
            by_weights[k].addmm_(g.t(), h)
            g = g @ weights[k]
            torch.ops.aten.threshold_backward(g, h, 0, grad_input=g)
        by_biases[0] += g.sum(dim=0)
        for part, share, by_input, by_share in zip(
            inputs, shares, by_inputs, by_shares, strict=True
        ):
            by_share.addmm_(g.t(), part[a:b])
            if by_input is not None:
                torch.mm(g, share, out=by_input[a:b])
    return [*by_inputs, *by_weights, *by_biases]


def _sorted(sizes: tuple[int, int], tensors: Sequence[Tensor]) -> tuple[Sequence[Tensor], ...]:
    """Inputs, weights, biases."""
    first, second = sizes[0], sizes[0] + sizes[1]
    return tensors[:first], tensors[first:second], tensors[second:]


def _split(weight: Tensor, inputs: Sequence[Tensor]) -> Sequence[Tensor]:
    """The columns that belong to each input."""
    return weight.split([part.shape[1] for part in inputs], dim=1)


def _pieces(count: int, weights: Sequence[Tensor]) -> Iterator[tuple[int, int]]:
    length = max(1, NUMBERS // max(len(weight) for weight in weights))
    return ((a, a + length) for a in range(0, count, length))
