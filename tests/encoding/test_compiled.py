"""The compiled encoding against the torch one."""

import itertools

import pytest
import torch
from splatworks.stages.encoding.encoding import SimplexHashEncoding
from splatworks.stages.encoding.placing import NETWORKS
from splatworks.stages.encoding.settings import Settings
from splatworks.stages.randomness import generator

CASES = (
    (2, "simplex", 2), (3, "simplex", 2), (5, "simplex", 1), (7, "simplex", 4),
    (2, "cubic", 2), (3, "cubic", 8), (6, "cubic", 2), (3, "kuhn", 2),
)  # fmt: skip
COUNT = 333
"""No multiple of any vector's width."""


def pair(dims: int, lattice: str, features: int) -> tuple[SimplexHashEncoding, torch.Tensor]:
    """Dense and hashed levels, features of size 1."""
    settings = Settings(
        dims=dims, lattice=lattice, levels=4, features=features, table_size=1 << 11, n_min=2,
        n_max=60, offset="random",
    )  # fmt: skip
    made = SimplexHashEncoding(settings)
    made.table.data = torch.randn(made.table.shape, generator=generator(1))
    return made, torch.rand(COUNT, dims, generator=generator(2))


def away_from_kinks(made: SimplexHashEncoding, points: torch.Tensor) -> torch.Tensor:
    """Which points have the same cell in float32 as in float64, seen by the gradient's jump."""
    exact = SimplexHashEncoding(made.settings, backend="torch").double()
    exact.table.data = made.table.detach().double()
    found = []
    for encoding, where in ((exact, points.double()), (made, points)):
        where = where.clone().requires_grad_()
        encoding.backend = "torch"
        (gradient,) = torch.autograd.grad(encoding(where).sum(), where)
        found.append(gradient.double())
    made.backend = "auto"
    return (found[0] - found[1]).abs().amax(1) < 1e-2


def gradients(made: SimplexHashEncoding, points: torch.Tensor, backend: str) -> tuple:
    made.backend = backend
    where = points.clone().requires_grad_()
    found = made(where)
    weights = torch.randn(found.shape, generator=generator(4))
    to_points, to_table = torch.autograd.grad((found * weights).sum(), (where, made.table))
    return found.detach(), to_points, to_table


@pytest.mark.parametrize(("dims", "lattice", "features"), CASES)
def test_agrees_with_torch(dims: int, lattice: str, features: int) -> None:
    made, points = pair(dims, lattice, features)
    if dims < 5:
        assert {level.dense for level in made.levels} == {True, False}
    plain = away_from_kinks(made, points)
    assert plain.float().mean() > 0.97
    points = points[plain]
    expected, found = (gradients(made, points, name) for name in ("torch", "compiled"))
    # A coordinate of 100 is known to 1e-5 of a cell in float32; a gradient is 100 times larger.
    for ours, theirs, tolerance in zip(found, expected, (3e-4, 3e-2, 3e-4), strict=True):
        torch.testing.assert_close(ours, theirs, atol=tolerance, rtol=1e-4)


@pytest.mark.parametrize("lattice", ("simplex", "cubic"))
def test_threads_do_not_change_a_bit(lattice: str) -> None:
    made, points = pair(3, lattice, 2)
    alone = gradients(made, points, "compiled")
    made.threads = 3
    for one, other in zip(alone, gradients(made, points, "compiled"), strict=True):
        assert torch.equal(one, other)


def test_corners_and_faces_of_the_cube() -> None:
    """Whole numbers and ties, where rounding decides between neighbors."""
    made, _ = pair(3, "simplex", 2)
    grid = torch.tensor([0.0, 0.25, 0.5, 1.0])
    points = torch.cartesian_prod(grid, grid, grid)
    made.backend = "torch"
    expected = made(points)
    made.backend = "compiled"
    torch.testing.assert_close(made(points), expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("lattice", ("simplex", "cubic"))
def test_a_gradient_can_be_differentiated(lattice: str) -> None:
    """An eikonal loss reaches the table through the gradient by the points."""
    made, points = pair(3, lattice, 2)
    found = []
    for backend in ("torch", "compiled"):
        made.backend = backend
        where = points.clone().requires_grad_()
        (slope,) = torch.autograd.grad(made(where).sum(), where, create_graph=True)
        (second,) = torch.autograd.grad((slope.norm(dim=1) - 1).square().sum(), made.table)
        found.append(second)
    assert found[0].abs().max() > 0
    torch.testing.assert_close(*found)


def test_only_what_is_asked_for() -> None:
    made, points = pair(3, "simplex", 2)
    made(points).sum().backward()
    assert made.table.grad is not None and made.table.grad.any()
    made.table.requires_grad_(False)
    where = points.clone().requires_grad_()
    made(where).sum().backward()
    assert where.grad is not None and where.grad.any()


def test_refuses_what_it_cannot_hold() -> None:
    made, points = pair(3, "simplex", 2)
    made.backend = "compiled"
    with pytest.raises(ValueError, match=r"float32 on the CPU; points are torch\.float64"):
        made(points.double())
    made.backend = "auto"
    assert made.chosen(points) == "compiled"
    assert made.chosen(points.double()) == "torch"
    with pytest.raises(ValueError, match="backend must be one of"):
        SimplexHashEncoding(backend="cuda")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="threads"):
        SimplexHashEncoding(Settings(levels=1), threads=0)


@pytest.mark.parametrize("count", NETWORKS)
def test_networks_sort(count: int) -> None:
    """The zero-one principle: what sorts all zeros and ones sorts everything."""
    for values in itertools.product((0, 1), repeat=count):
        row = list(values)
        for low, high in NETWORKS[count]:
            if row[low] < row[high]:
                row[low], row[high] = row[high], row[low]
        assert row == sorted(values, reverse=True)
