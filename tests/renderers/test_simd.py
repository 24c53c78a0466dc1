"""One vector of floats, operation by operation, against NumPy.

Compiled with the options of the kernels, whose fast mathematics may rewrite what is emitted.
"""

import operator
from collections.abc import Callable

import numba
import numpy as np
import pytest
from splatworks.renderers.cpu import compiled, memory, simd
from splatworks.renderers.cpu.memory import load_lanes, store_lanes
from splatworks.renderers.cpu.simd import LANES

RNG = np.random.default_rng(0)
X, Y, Z = (RNG.uniform(-3, 3, LANES).astype(np.float32) for _ in range(3))
TIES = np.where(np.arange(LANES) % 3 == 0, X, Y)
"""Every third lane equals X's."""
PATTERN = 0b1010_0110_0001_1101 & ((1 << LANES) - 1)


def jit(function: Callable) -> Callable:
    """As `kernel`, without the cache on disk: these are tests' own functions."""
    return numba.njit(**compiled._OPTIONS)(function)


def lanes(function: Callable, *vectors: np.ndarray) -> np.ndarray:
    """A jitted function of as many vectors; they start and end in the middle of arrays."""
    data = np.concatenate([np.zeros(3, np.float32), *vectors])
    out = np.full(LANES + 5, 7, np.float32)
    apply = jit(function)

    def one(data, out):
        store_lanes(out, 2, apply(load_lanes(data, 3)))

    def two(data, out):
        store_lanes(out, 2, apply(load_lanes(data, 3), load_lanes(data, 3 + LANES)))

    def three(data, out):
        x, y = load_lanes(data, 3), load_lanes(data, 3 + LANES)
        store_lanes(out, 2, apply(x, y, load_lanes(data, 3 + 2 * LANES)))

    jit((one, two, three)[len(vectors) - 1])(data, out)
    assert (out[:2] == 7).all() and (out[2 + LANES :] == 7).all(), "only one vector is written"
    return out[2 : 2 + LANES]


def test_powers_of_two_to_the_last_digits() -> None:
    """Over the range where it is promised; alpha needs 0 to 8."""
    power = jit(lambda data, out: store_lanes(out, 0, simd.exp2_over_255(load_lanes(data, 0))))
    worst, data, out = 0.0, np.zeros(LANES, np.float32), np.zeros(LANES, np.float32)
    for x in (np.linspace(0, 8, 4096), np.linspace(-117, 127.4, 4096)):
        for part in x.reshape(-1, LANES):
            data[:] = part
            power(data, out)
            worst = max(worst, np.abs(out * 255.0 / np.exp2(data.astype(np.float64)) - 1).max())
    assert worst < 3e-7


@pytest.mark.parametrize("name", ["add", "sub", "mul", "truediv"])
def test_arithmetic_takes_vectors_and_scalars(name: str) -> None:
    apply = getattr(operator, name)
    two = np.float32(2.5)
    for function, vectors, wanted in (
        (lambda x, y: apply(x, y), (X, Y), apply(X, Y)),
        (lambda x: apply(x, two), (X,), apply(X, two)),
        (lambda x: apply(two, x), (X,), apply(two, X)),
    ):
        np.testing.assert_allclose(lanes(function, *vectors), wanted, rtol=3e-7)


def test_products_with_a_sum() -> None:
    x, y, z = (v.astype(np.float64) for v in (X, Y, Z))
    found = lanes(lambda x, y, z: simd.multiply_add(x, y, z), X, Y, Z)
    np.testing.assert_allclose(found, x * y + z, rtol=0, atol=2e-6)
    found = lanes(lambda x, y, z: simd.subtract_product(x, y, z), X, Y, Z)
    np.testing.assert_allclose(found, x - y * z, rtol=0, atol=2e-6)


def test_choices_and_roots() -> None:
    np.testing.assert_array_equal(lanes(lambda x, y: simd.smaller(x, y), X, Y), np.minimum(X, Y))
    np.testing.assert_array_equal(lanes(lambda x, y: simd.larger(x, y), X, Y), np.maximum(X, Y))
    wanted = np.where([PATTERN >> k & 1 for k in range(LANES)], X, Y)
    found = lanes(lambda x, y: simd.where(simd.mask_of(PATTERN), x, y), X, Y)
    np.testing.assert_array_equal(found, wanted)
    np.testing.assert_array_equal(lanes(lambda x: simd.broadcast(1.5), X), 1.5)
    squares = (X * X).astype(np.float32)
    found = lanes(lambda x: simd.square_root(x), squares)
    np.testing.assert_allclose(found, np.sqrt(squares), rtol=2e-7)


@pytest.mark.parametrize(
    ("name", "compare"),
    [
        ("at_least", np.greater_equal),
        ("at_most", np.less_equal),
        ("below", np.less),
        ("above", np.greater),
        ("equal", np.equal),
    ],
)
def test_comparisons_give_one_bit_per_lane(name: str, compare) -> None:
    """Bit k for lane k and no sign; false wherever something is not a number."""
    operation = getattr(simd, name)

    @jit
    def run(x, y):
        return simd.bits(operation(load_lanes(x, 0), load_lanes(y, 0)))

    spoiled = TIES.copy()
    spoiled[4] = np.nan
    for x, y in ((X, TIES), (X, spoiled), (spoiled, X), (-np.abs(X), np.abs(X))):
        assert run(x, y) == sum(int(c) << k for k, c in enumerate(compare(x, y)))


def test_wide_vectors_keep_the_digits_of_float64() -> None:
    """1 + x - 1 loses x in float32; every operation with one wide operand is wide."""
    small = (X * 1e-9).astype(np.float32)
    for function in (
        lambda x: simd.rounded((simd.widened(x) + 1.0) - 1.0),
        lambda x: simd.rounded((1.0 - simd.widened(x)) / -1.0 + 1.0),
        lambda x: simd.rounded(simd.multiply_add(simd.widened(x), 1.0, 1.0) - 1.0),
        lambda x: simd.rounded(1.0 - simd.subtract_product(1.0, x, simd.widened(1.0))),
        lambda x: simd.rounded(-(-simd.widened(x) - 1.0) - 1.0),
        lambda x: simd.rounded(simd.smaller(simd.larger(x, simd.widened(-2.0)), 2.0)),
        lambda x: simd.rounded(simd.where(simd.below(simd.widened(x), 2.0), x, 1.0)),
    ):
        np.testing.assert_allclose(lanes(function, small), small, rtol=2e-6)
    root = lanes(lambda x: simd.rounded(simd.square_root(1.0 + simd.widened(x)) - 1.0), small)
    wanted = np.sqrt(1 + small.astype(np.float64)) - 1
    np.testing.assert_allclose(root, wanted, rtol=0, atol=1e-15)


def test_logarithms_of_any_normal_number() -> None:
    """Of opacities, 255 times: from 1 to what float32 can say, and at the series' ends."""
    log2 = jit(
        lambda data, out: store_lanes(
            out, 0, simd.rounded(1e5 * simd.log2_of(simd.widened(load_lanes(data, 0))))
        )
    )
    out, worst = np.zeros(LANES, np.float32), 0.0
    ends = np.float32(np.sqrt(0.5)) * np.array([0.5, 1, 2, 1 + 1e-7, 1 - 1e-7])
    x = np.concatenate([np.geomspace(1e-37, 3e38, 2000), np.linspace(0.9, 1.1, 500), ends])
    x = np.resize(x, -(-len(x) // LANES) * LANES).astype(np.float32)
    for part in x.reshape(-1, LANES):
        log2(part.copy(), out)
        wanted = 1e5 * np.log2(part.astype(np.float64))
        worst = max(worst, (np.abs(out - wanted) / np.maximum(np.abs(wanted), 1)).max())
    assert worst < 2e-7


def test_masks_meet_and_survive_integers() -> None:
    @jit
    def both(x, y):
        return simd.bits(simd.mask_of(x) & simd.mask_of(y))

    full = (1 << LANES) - 1
    for x, y in ((full, full), (PATTERN, full ^ 1), (PATTERN, ~PATTERN & full), (0, full)):
        assert both(x, y) == x & y


def test_nine_sums_are_added_to_what_is_there() -> None:
    @jit
    def run(data, out):
        a, b, c = load_lanes(data, 0), load_lanes(data, LANES), load_lanes(data, 2 * LANES)
        d, e = load_lanes(data, 3 * LANES), load_lanes(data, 4 * LANES)
        f, g = load_lanes(data, 5 * LANES), load_lanes(data, 6 * LANES)
        h, i = load_lanes(data, 7 * LANES), load_lanes(data, 8 * LANES)
        memory.add_sums9(out, 5, a, b, c, d, e, f, g, h, i)

    # Powers of two: a lane that is lost, doubled or in another's sum shows in every digit.
    values = np.exp2(np.arange(LANES)) * (1 + np.arange(9)[:, None])
    before = np.arange(30, dtype=np.float32)
    out = before.copy()
    run(values.astype(np.float32).ravel(), out)
    before[5:14] += values.sum(axis=1).astype(np.float32)
    np.testing.assert_array_equal(out, before)


def test_members_of_sixty_four_masks() -> None:
    """Also the last bit, which is a sign, and from the middle of an array."""
    masks = np.random.default_rng(1).integers(0, 1 << 32, 70, dtype=np.uint64).astype(np.uint32)

    @jit
    def run(masks, first, bit):
        return memory.members(masks, first, bit)

    for first in (0, 5):
        for bit in (0, 7, 31):
            wanted = sum(int(m >> bit & 1) << k for k, m in enumerate(masks[first : first + 64]))
            assert run(masks, first, bit) % (1 << 64) == wanted


def test_single_values_and_bits() -> None:
    @jit
    def copy(data, out, index):
        memory.store(out, index, memory.load(data, index + 1))

    out = np.zeros(4, np.float64)
    copy(X[:4].copy(), out, 2)
    np.testing.assert_array_equal(out, [0, 0, X[3], 0])
    whole = jit(lambda x: simd.floor(x))
    assert [whole(np.float32(x)) for x in (2.0, 1.99, -0.01, -3.0, 1e12)] == [
        2, 1, -1, -3, 999_999_995_904,
    ]  # fmt: skip
    lowest = jit(lambda x: simd.lowest_bit(x))
    assert [lowest(x) for x in (1, 0b1100, 1 << 15, -1 << 62)] == [0, 2, 15, 62]
    key = jit(lambda x: simd.float_bits(x))
    above = np.nextafter(np.float32(1), np.float32(2))
    keys = [key(depth) for depth in np.array([1e-30, 0.01, 1.0, above, 3e5], np.float32)]
    assert keys == sorted(set(keys)) and keys[2] == 0x3F80_0000 and keys[3] == keys[2] + 1


def test_blocks_of_pixels_come_and_go() -> None:
    """A block in the middle of a picture, of one value and of three; nothing else is touched."""

    @jit
    def copy(one, three, to_one, to_three, pixel, width):
        memory.store_block(to_one, pixel, width, memory.load_block(one, pixel, width) + 1.0)
        a, b, c = memory.load_block3(three, 3 * pixel, 3 * width)
        memory.store_block3(to_three, 3 * pixel, 3 * width, a + 10.0, b + 20.0, c + 30.0)

    high, width = LANES // 4 + 2, 11
    one, three = (np.arange(high * width * k, dtype=np.float32) for k in (1, 3))
    to_one, to_three = one.copy(), three.copy()
    copy(one, three, to_one, to_three, 1 * width + 5, width)
    one, three = one.reshape(high, width), three.reshape(high, width, 3)
    one[1:-1, 5:9] += 1
    three[1:-1, 5:9] += [10, 20, 30]
    np.testing.assert_array_equal(to_one, one.ravel())
    np.testing.assert_array_equal(to_three, three.ravel())


def test_triples_come_apart_and_together() -> None:
    """LANES of them from the middle of an array; nothing else is touched."""

    @jit
    def copy(data, out):
        a, b, c = memory.load_triples(data, 2)
        memory.store_triples(out, 1, a + 10.0, b + 20.0, c + 30.0)

    data = np.arange(3 * LANES + 4, dtype=np.float32)
    out = np.full(3 * LANES + 2, 7, np.float32)
    copy(data, out)
    np.testing.assert_array_equal(out[1:-1] - data[2:-2], [10, 20, 30] * LANES)
    assert out[0] == out[-1] == 7


def test_squares_are_turned_over() -> None:
    """From rows of one pitch to rows of another; what lies between them stays."""
    turn = jit(lambda data, out: memory.turn_over(data, 1, LANES + 3, out, 2, LANES + 1))
    data = np.arange(2 + LANES * (LANES + 3), dtype=np.float32)
    out = np.full(2 + LANES * (LANES + 1), -1, np.float32)
    turn(data, out)
    square = data[1:-1].reshape(LANES, LANES + 3)[:, :LANES]
    found = out[2:].reshape(LANES, LANES + 1)
    np.testing.assert_array_equal(found[:, :LANES], square.T)
    assert (out[:2] == -1).all() and (found[:, LANES] == -1).all()


def test_a_few_numbers_fill_a_vector() -> None:
    four = jit(lambda data, out: store_lanes(out, 0, memory.load_repeated(data, 3, 4)))
    out = np.zeros(LANES, np.float32)
    four(X, out)
    np.testing.assert_array_equal(out, np.tile(X[3:7], LANES // 4))


def test_the_lanes_of_a_vector_are_summed() -> None:
    total = jit(lambda data: simd.lane_sum(load_lanes(data, 0)))
    powers = np.exp2(np.arange(LANES)).astype(np.float32)
    assert total(powers) == (1 << LANES) - 1


def test_words_that_share_a_bit() -> None:
    """Of sixty-four from the middle of an array: also the highest bit, and the last word."""
    words = np.zeros(80, np.uint16)
    words[[3, 5, 66]], words[[4, 65]] = 0x8001, 0x0100
    run = jit(lambda words, first, wanted: memory.meeting(words, first, wanted))
    for first, wanted in ((0, 0x8000), (3, 0x0101), (3, 0x0100), (2, 0xFFFF), (10, 0x7E)):
        shared = [int(word) & wanted != 0 for word in words[first : first + 64]]
        assert run(words, first, wanted) % (1 << 64) == sum(b << k for k, b in enumerate(shared))


def test_set_bits_are_counted() -> None:
    count = jit(lambda x: simd.bit_count(x))
    assert [count(x) for x in (0, 1, 0b1011, -1, 1 << 62)] == [0, 1, 3, 64, 1]
