"""Sixteen float32 lanes as one numba value: LLVM vectors without a compiler on the user's machine.

LLVM turns `<16 x float>` into one AVX-512 register, two AVX2 or four NEON/SSE registers, so one
source serves every machine. A mask is a plain integer whose bit k belongs to lane k. Loads and
stores take a flat array and an index and, unlike numba's own, check and wrap nothing.

Two traps shape this file: numba's `fastmath` also rewrites what intrinsics emit (rounding by a
magic number is folded away, hence `llvm.rint`), and `llvm.fma` on a CPU without FMA becomes a
library call (hence `llvm.fmuladd`).
"""

import operator

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic, models, overload, register_model

LANES = 16

_F32, _I16, _I32, _I64 = ir.FloatType(), ir.IntType(16), ir.IntType(32), ir.IntType(64)
_VECTOR = ir.VectorType(_F32, LANES)
_INTEGERS = ir.VectorType(_I32, LANES)
_BITS = ir.VectorType(ir.IntType(1), LANES)
_FLAGS = ("contract", "nsz", "arcp")


class _Lanes(types.Type):
    def __init__(self) -> None:
        super().__init__(name="f32x16")


LANES_TYPE = _Lanes()


@register_model(_Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager, front_end) -> None:
        super().__init__(manager, front_end, _VECTOR)


def _constant(value):
    return ir.Constant(_VECTOR, [value] * LANES)


def _shuffle(builder, x, y, lanes):
    return builder.shuffle_vector(x, y, ir.Constant(_INTEGERS, lanes))


def _vector(context, builder, value, kind):
    """A vector as it is; a scalar number in all lanes."""
    if isinstance(kind, _Lanes):
        return value
    undefined = ir.Constant(_VECTOR, ir.Undefined)
    scalar = context.cast(builder, value, kind, types.float32)
    first = builder.insert_element(undefined, scalar, ir.Constant(_I32, 0))
    return _shuffle(builder, first, undefined, [0] * LANES)


def _vectors(context, builder, signature, values):
    return [_vector(context, builder, v, k) for v, k in zip(values, signature.args, strict=True)]


def _call(builder, name, *values):
    kind = ir.FunctionType(_VECTOR, [_VECTOR] * len(values))
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), values)


def _multiply_add(builder, x, y, z):
    return _call(builder, "llvm.fmuladd.v16f32", x, y, z)


def _mask(builder, bits):
    return builder.zext(builder.bitcast(bits, _I16), _I64)


def _unmask(context, builder, value, kind):
    return builder.bitcast(context.cast(builder, value, kind, types.uint16), _BITS)


def _address(context, builder, kind, array, index, index_kind):
    index = context.cast(builder, index, index_kind, types.int64)
    return builder.gep(context.make_array(kind)(context, builder, array).data, [index])


def _lanes_address(context, builder, signature, values):
    (kind, index_kind), (array, index) = signature.args[:2], values[:2]
    address = _address(context, builder, kind, array, index, index_kind)
    return builder.bitcast(address, _VECTOR.as_pointer())


# --- arithmetic and comparison -------------------------------------------------------------------


def _arithmetic(instruction, python_operator):
    @intrinsic
    def apply(typing_context, x, y):
        def emit(context, builder, signature, values):
            x, y = _vectors(context, builder, signature, values)
            return getattr(builder, instruction)(x, y, flags=_FLAGS)

        return LANES_TYPE(x, y), emit

    @overload(python_operator)
    def implementation(x, y):
        if isinstance(x, _Lanes) or isinstance(y, _Lanes):
            return lambda x, y: apply(x, y)
        return None


_arithmetic("fadd", operator.add)
_arithmetic("fsub", operator.sub)
_arithmetic("fmul", operator.mul)
_arithmetic("fdiv", operator.truediv)


def _choice(predicate):
    @intrinsic
    def choose(typing_context, x, y):
        def emit(context, builder, signature, values):
            x, y = _vectors(context, builder, signature, values)
            better = builder.fcmp_ordered(predicate, x, y, flags=("nnan", "nsz"))
            return builder.select(better, x, y)

        return LANES_TYPE(x, y), emit

    return choose


smaller = _choice("<")
larger = _choice(">")


def _comparison(predicate):
    @intrinsic
    def compare(typing_context, x, y):
        def emit(context, builder, signature, values):
            x, y = _vectors(context, builder, signature, values)
            return _mask(builder, builder.fcmp_ordered(predicate, x, y))

        return types.int64(x, y), emit

    return compare


at_least = _comparison(">=")
at_most = _comparison("<=")
below = _comparison("<")


@intrinsic
def broadcast(typing_context, x):
    def emit(context, builder, signature, values):
        return _vector(context, builder, values[0], signature.args[0])

    return LANES_TYPE(x), emit


@intrinsic
def multiply_add(typing_context, x, y, z):
    """x * y + z."""

    def emit(context, builder, signature, values):
        return _multiply_add(builder, *_vectors(context, builder, signature, values))

    return LANES_TYPE(x, y, z), emit


@intrinsic
def subtract_product(typing_context, z, x, y):
    """z - x * y."""

    def emit(context, builder, signature, values):
        z, x, y = _vectors(context, builder, signature, values)
        return _multiply_add(builder, builder.fneg(x), y, z)

    return LANES_TYPE(z, x, y), emit


@intrinsic
def where(typing_context, mask, x, y):
    """Lanes of x where the mask is set, of y elsewhere."""

    def emit(context, builder, signature, values):
        bits = _unmask(context, builder, values[0], signature.args[0])
        x = _vector(context, builder, values[1], signature.args[1])
        y = _vector(context, builder, values[2], signature.args[2])
        return builder.select(bits, x, y)

    return LANES_TYPE(mask, x, y), emit


# Minimax polynomial of 2^f on [-1/2, 1/2], relative error 8e-8.
_EXP2 = (0.001327647187, 0.009675541333, 0.05550713274, 0.2402211972, 0.6931469671, 1.000000072)


@intrinsic
def exp2(typing_context, x):
    """2^x for -126 < x < 128; anything outside is rubbish for the caller to mask."""

    def emit(context, builder, signature, values):
        whole = _call(builder, "llvm.rint.v16f32", values[0])
        rest = builder.fsub(values[0], whole)
        power = _constant(_EXP2[0])
        for coefficient in _EXP2[1:]:
            power = _multiply_add(builder, power, rest, _constant(coefficient))
        shift = ir.Constant(_INTEGERS, [23] * LANES)
        exponent = builder.shl(builder.fptosi(whole, _INTEGERS), shift)
        return builder.bitcast(builder.add(builder.bitcast(power, _INTEGERS), exponent), _VECTOR)

    return LANES_TYPE(x), emit


# --- memory --------------------------------------------------------------------------------------


@intrinsic
def load_lanes(typing_context, array, index):
    def emit(context, builder, signature, values):
        return builder.load(_lanes_address(context, builder, signature, values), align=4)

    return LANES_TYPE(array, index), emit


@intrinsic
def store_lanes(typing_context, array, index, value):
    def emit(context, builder, signature, values):
        builder.store(values[2], _lanes_address(context, builder, signature, values), align=4)
        return context.get_dummy_value()

    return types.void(array, index, value), emit


@intrinsic
def load(typing_context, array, index):
    def emit(context, builder, signature, values):
        (kind, index_kind), (data, at) = signature.args, values
        return builder.load(_address(context, builder, kind, data, at, index_kind))

    return array.dtype(array, index), emit


@intrinsic
def store(typing_context, array, index, value):
    def emit(context, builder, signature, values):
        kind, index_kind, value_kind = signature.args
        value = context.cast(builder, values[2], value_kind, kind.dtype)
        address = _address(context, builder, kind, values[0], values[1], index_kind)
        builder.store(value, address)
        return context.get_dummy_value()

    return types.void(array, index, value), emit


@intrinsic
def lowest_bit(typing_context, x):
    """Position of the lowest set bit of a nonzero integer."""

    def emit(context, builder, signature, values):
        value = context.cast(builder, values[0], signature.args[0], types.int64)
        return builder.cttz(value, ir.Constant(ir.IntType(1), 1))

    return types.int64(x), emit


@intrinsic
def float_bits(typing_context, x):
    """The bits of a float32; for positive numbers they sort like the numbers."""

    def emit(context, builder, signature, values):
        value = context.cast(builder, values[0], signature.args[0], types.float32)
        return builder.bitcast(value, _I32)

    return types.uint32(x), emit


def _pairs(builder, x, y, first, second):
    """Shuffle x and y twice alike in every group of four lanes, then add."""

    def pick(pattern):
        lanes = [4 * q + m if m < 4 else 12 + 4 * q + m for q in range(4) for m in pattern]
        return _shuffle(builder, x, y, lanes)

    return builder.fadd(pick(first), pick(second))


def _quads(builder, x, y):
    """Sums of neighbouring groups of four lanes: two groups from x, then two from y."""

    def pick(groups):
        lanes = [(0 if q < 2 else 16) + 4 * g + j for q, g in enumerate(groups) for j in range(4)]
        return _shuffle(builder, x, y, lanes)

    return builder.fadd(pick([0, 2, 0, 2]), pick([1, 3, 1, 3]))


@intrinsic
def add_sums9(typing_context, array, index, a0, a1, a2, a3, a4, a5, a6, a7, a8):
    """array[index + k] += sum of the lanes of a_k for k = 0..8 (and += 0 for k = 9..15).

    One transposed tree of 15 additions for all nine, in a fixed order.
    """

    def emit(context, builder, signature, values):
        zero = _constant(0.0)
        v = [*values[2:], zero, zero, zero]
        two = [_pairs(builder, v[k], v[k + 1], (0, 4, 1, 5), (2, 6, 3, 7)) for k in range(0, 12, 2)]
        four = [
            _pairs(builder, two[k], two[k + 1], (0, 1, 4, 5), (2, 3, 6, 7)) for k in range(0, 6, 2)
        ]
        sums = _quads(builder, _quads(builder, four[0], four[1]), _quads(builder, four[2], zero))
        address = _lanes_address(context, builder, signature, values)
        builder.store(builder.fadd(builder.load(address, align=4), sums), address, align=4)
        return context.get_dummy_value()

    arguments = (array, index, a0, a1, a2, a3, a4, a5, a6, a7, a8)
    return types.void(*arguments), emit
