"""The lattice, the levels and the torch encoding against the definition and its consequences."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from splatworks.stages.encoding import torch_backend
from splatworks.stages.encoding.encoding import SimplexHashEncoding
from splatworks.stages.encoding.settings import Settings, levels
from splatworks.stages.randomness import generator

from . import by_hand

LATTICES = ("simplex", "cubic", "kuhn")
quick = settings(max_examples=25, deadline=None, derandomize=True)


def encoding(dims: int, lattice: str, **changes) -> SimplexHashEncoding:
    """Two dense levels and two hashed ones, with features of size 1, in float64."""
    given = {"levels": 4, "table_size": 1 << 10, "n_min": 2, "n_max": 60, **changes}
    made = SimplexHashEncoding(Settings(dims=dims, lattice=lattice, **given), backend="torch")
    made = made.double()
    made.table.data = torch.randn(made.table.shape, generator=generator(3), dtype=torch.float64)
    return made


def points(dims: int, count: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(count, dims, generator=generator(seed, "points"), dtype=torch.float64)


@pytest.mark.parametrize("lattice", LATTICES)
@pytest.mark.parametrize("dims", (2, 3, 4, 5))
@pytest.mark.parametrize("offset", ("half", "random"))
def test_encodes_as_the_definition_says(dims: int, lattice: str, offset: str) -> None:
    made = encoding(dims, lattice, offset=offset)
    assert {level.dense for level in made.levels} == {True, False} or dims > 3
    where = points(dims, 24)
    expected = [
        by_hand.encode(p, made.table.detach().numpy(), lattice, made.levels) for p in where.numpy()
    ]
    np.testing.assert_allclose(made(where).detach().numpy(), expected, atol=1e-11)


@quick
@given(st.integers(2, 6), st.sampled_from(LATTICES), st.integers(0, 10**6))
def test_weights_are_a_convex_combination_of_the_position(
    dims: int, lattice: str, seed: int
) -> None:
    made = Settings(dims=dims, lattice=lattice, levels=2, n_max=300)
    level = levels(made)[1]
    where = points(dims, 200, seed)
    vertices, weights = torch_backend.surround(where, made, level)
    assert (weights >= 0).all()
    torch.testing.assert_close(weights.sum(1), torch.ones(200, dtype=torch.float64))
    position = level.resolution * where + 0.5
    position = position + made.skew * position.sum(1, keepdim=True)
    mean = (weights[..., None] * vertices).sum(1)
    torch.testing.assert_close(mean, position, atol=1e-9, rtol=0)
    assert all(len({tuple(v) for v in found.tolist()}) == made.vertices for found in vertices[:20])


@pytest.mark.parametrize("dims", (2, 3, 4, 5))
def test_affine_functions_are_reproduced(dims: int) -> None:
    """A dense level whose features are an affine function of the vertex's place."""
    made = encoding(dims, "simplex", levels=1, n_min=3, n_max=3, table_size=1 << 18)
    (level,) = made.levels
    assert level.dense
    backwards = np.linalg.inv(by_hand.skew_matrix(dims))
    slope = np.random.default_rng(0).normal(size=(dims, 2))
    sides = [range(math.ceil(3.5 * math.sqrt(dims + 1)) + 1)] * dims
    for vertex in itertools.product(*sides):
        place = (backwards @ vertex - 0.5) / level.resolution
        number = by_hand.row(vertex, level)
        if number < level.rows:
            made.table.data[number] = torch.tensor(place @ slope + 7)
    where = points(dims, 300)
    torch.testing.assert_close(made(where), where @ torch.tensor(slope) + 7, atol=1e-9, rtol=0)


@pytest.mark.parametrize("lattice", LATTICES)
@pytest.mark.parametrize("dims", (2, 3, 5))
def test_continuous_across_faces(dims: int, lattice: str) -> None:
    """Along random segments no step is larger than the slope allows, however many faces lie
    between."""
    made = encoding(dims, lattice)
    a, b = points(dims, 20, 1), points(dims, 20, 2)
    share = torch.linspace(0, 1, 2001, dtype=torch.float64)[:, None, None]
    values = made((a + share * (b - a)).reshape(-1, dims)).reshape(2001, 20, -1)
    steps = (values[1:] - values[:-1]).abs().amax(dim=(1, 2))
    finest = made.levels[-1].resolution
    longest = (b - a).abs().sum(1).max().item() / 2000
    assert steps.max() <= longest * finest * (1 + dims) * 2 * made.table.abs().max()
    tiny = made((a + (share[:1] + 0.5) * (b - a)).reshape(-1, dims))
    moved = made((a + (share[:1] + 0.5 + 1e-9) * (b - a)).reshape(-1, dims))
    assert (tiny - moved).abs().max() < 1e-5


@pytest.mark.parametrize("dims", (2, 3, 4, 5, 6))
def test_simplices_are_congruent_and_as_regular_as_known(dims: int) -> None:
    """n! of them, of one volume; longest to shortest edge as derived for the A_n* lattice."""
    backwards = np.linalg.inv(by_hand.skew_matrix(dims))
    volumes, profiles = set(), set()
    for path in by_hand.paths(dims):
        corners = path @ backwards.T
        volumes.add(round(abs(np.linalg.det(corners[1:] - corners[0])), 9))
        lengths = [np.linalg.norm(p - q) for p, q in itertools.combinations(corners, 2)]
        profiles.add(tuple(np.round(sorted(lengths), 9)))
    assert len(volumes) == len(profiles) == 1
    assert volumes.pop() == pytest.approx(1 / math.sqrt(dims + 1))
    (profile,) = profiles
    known = {2: 1.0, 3: 1.155, 4: 1.225, 5: 1.342, 6: 1.414}
    assert profile[-1] / profile[0] == pytest.approx(known[dims], abs=1e-3)


@pytest.mark.parametrize("lattice", LATTICES)
@pytest.mark.parametrize("dims", (2, 3, 4))
def test_dense_levels_keep_every_vertex_apart(dims: int, lattice: str) -> None:
    """Also at the far corner of the cube, and also where float32 rounds up."""
    for resolution in (1, 3.3, 7):
        made = Settings(
            dims=dims, lattice=lattice, levels=1, n_min=resolution, n_max=resolution,
            table_size=1 << 20, offset="random", offset_seed=int(resolution),
        )  # fmt: skip
        (level,) = levels(made)
        corners = torch.tensor(list(itertools.product((0.0, 1.0), repeat=dims)))
        where = torch.cat([torch.rand(4000, dims, generator=generator(5)), corners])
        vertices, _ = torch_backend.surround(where, made, level)
        rows = torch_backend.row(vertices, level)
        pairs = {(tuple(v), r) for v, r in zip(
            vertices.reshape(-1, dims).tolist(), rows.reshape(-1).tolist(), strict=True
        )}  # fmt: skip
        assert level.dense
        assert len({v for v, _ in pairs}) == len({r for _, r in pairs}) == len(pairs)
        assert int(rows.min()) >= 0 and int(rows.max()) < level.rows


def test_share_of_the_bounding_box_and_matched_density() -> None:
    """The skewed square fills (n + 1)^(-(n - 1)/2) of its box; matched levels have as many
    vertices as cubic ones."""
    size, counts = 64.0, {}
    for name, lattice, matched in (
        ("simplex", "simplex", False), ("matched", "simplex", True), ("cubic", "cubic", False),
    ):  # fmt: skip
        made = Settings(
            dims=2, lattice=lattice, levels=1, n_min=size, n_max=size, density_matched=matched
        )
        (level,) = levels(made)
        vertices, _ = torch_backend.surround(points(2, 400_000), made, level)
        rows = torch_backend.row(vertices, level)
        counts[name] = len(rows.unique())
        if name == "simplex":
            assert counts[name] / level.rows == pytest.approx(1 / math.sqrt(3), rel=0.05)
    assert counts["matched"] == pytest.approx(counts["cubic"], rel=0.1)
    assert counts["simplex"] / counts["cubic"] == pytest.approx(math.sqrt(3), rel=0.05)


@pytest.mark.parametrize("lattice", LATTICES)
@pytest.mark.parametrize("dims", (2, 3, 6))
def test_gradients_are_central_differences(dims: int, lattice: str) -> None:
    made = encoding(dims, lattice)
    where = points(dims, 50).requires_grad_()
    along = torch.randn(50, dims, generator=generator(9), dtype=torch.float64)
    weights = torch.randn(50, made.settings.width, generator=generator(8), dtype=torch.float64)
    (gradient,) = torch.autograd.grad((made(where) * weights).sum(), where)
    step = 1e-7
    with torch.no_grad():
        ends = [((made(where + s * along)) * weights).sum(1) for s in (step, -step)]
    measured = (ends[0] - ends[1]) / (2 * step)
    relative = ((gradient * along).sum(1) - measured).abs() / measured.abs().clamp(min=1)
    assert relative.median() < 1e-6
    assert (relative < 1e-5).float().mean() >= 0.96  # A kink may lie between the two ends.


@pytest.mark.parametrize("lattice", LATTICES)
def test_differentiates_twice(lattice: str) -> None:
    made = encoding(2, lattice, levels=2, table_size=16, n_max=5)
    where = points(2, 3).requires_grad_()

    def function(table: torch.Tensor, where: torch.Tensor) -> torch.Tensor:
        return torch_backend.encode(where, table, made.settings, made.levels)

    table = made.table.detach().clone().requires_grad_()
    assert torch.autograd.gradcheck(function, (table, where))
    assert torch.autograd.gradgradcheck(function, (table, where))


def test_window_opens_from_coarse_to_fine() -> None:
    made = encoding(3, "simplex")
    where = points(3, 10)
    whole = made(where)
    assert (made(where, window=0.0) == 0).all()
    assert torch.equal(made(where, window=1.0), whole)
    half = made(where, window=0.625)  # Two of four levels, and half of the third.
    torch.testing.assert_close(half[:, :4], whole[:, :4])
    torch.testing.assert_close(half[:, 4:6], whole[:, 4:6] / 2)
    assert (half[:, 6:] == 0).all()
    with pytest.raises(ValueError, match=r"window must lie between 0 and 1, got 1\.5"):
        made(where, window=1.5)


@pytest.mark.parametrize(
    ("changes", "said"),
    (
        ({"table_size": 1000}, "power of two, got 1000; 1024 is near"),
        ({"table_size": 0}, "power of two, got 0"),
        ({"n_max": 1e7}, "no longer tells them apart. Lower n_max to 83"),
        ({"n_max": math.nan}, "n_min <= n_max"),
        ({"n_min": 0.5}, "n_min"),
        ({"dims": 8}, "dims must lie between 2 and 7, got 8"),
        ({"dims": 1}, "dims"),
        ({"lattice": "square"}, "simplex, cubic or kuhn, got 'square'"),
        ({"lattice": "cubic", "density_matched": True}, "no other"),
        ({"features": 3}, "features must be 1, 2, 4 or 8, got 3"),
        ({"levels": 0}, "levels"),
        ({"offset": "some"}, "offset"),
        ({"table_size": 1 << 40}, "at most"),
    ),
)
def test_bad_settings_are_named(changes: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said.replace("(", r"\(")):
        Settings(**changes)


def test_the_named_limit_is_one() -> None:
    """What the message proposes is accepted, and reaches no further than float32 does."""
    with pytest.raises(ValueError) as told:
        Settings(dims=5, n_max=1e9)
    limit = int(str(told.value).rsplit(" ", 1)[1].rstrip("."))
    Settings(dims=5, n_max=limit)
    with pytest.raises(ValueError):
        Settings(dims=5, n_max=limit * 1.001)


def test_points_outside_are_errors_or_clamped() -> None:
    made = encoding(3, "simplex")
    where = points(3, 5)
    where[2, 1] = 1.25
    with pytest.raises(ValueError, match=r"1 points lie outside .*first: point 2, \[.*clamp"):
        made(where)
    made.outside = "clamp"
    where.requires_grad_()
    inside = where.detach().clamp(0, 1)
    assert torch.equal(made(where), made(inside))
    (gradient,) = torch.autograd.grad(made(where).sum(), where)
    assert gradient[2, 1] == 0 and (gradient[0] != 0).all()


@pytest.mark.parametrize("outside", ("error", "clamp"))
def test_nan_is_named(outside: str) -> None:
    made = SimplexHashEncoding(Settings(levels=2), outside=outside)
    where = torch.rand(5, 3, generator=generator(0))
    where[3, 0] = torch.nan
    where[4, 2] = torch.nan
    with pytest.raises(ValueError, match=r"2 points have NaN coordinates \(first: point 3\)"):
        made(where)
    with pytest.raises(ValueError, match=r"shape \(count, 3\), got \(5, 2\)"):
        made(where[:, :2])


def test_no_points() -> None:
    for backend in ("torch", "compiled"):
        made = SimplexHashEncoding(Settings(levels=2), backend=backend)
        empty = torch.zeros(0, 3, requires_grad=True)
        found = made(empty)
        found.sum().backward()
        assert found.shape == (0, 4)
        assert made.table.grad is not None and not made.table.grad.any()
