"""One vector of float32 as one numba value: LLVM vectors without a compiler on the user's machine.

A vector has `LANES` = 16 numbers where the processor has AVX-512 and 8 elsewhere: one register of
AVX2, two of NEON or SSE, so one source serves every machine. A comparison gives a `Mask`, which
stays in vector registers (going to an integer and back costs more than the arithmetic between)
until `bits` makes an integer of it, bit k for lane k. Loads and stores take a flat array and an
index and, unlike numba's own, check and wrap nothing.

Two traps shape this file: numba's `fastmath` also rewrites what intrinsics emit (rounding by a
magic number is folded away, hence `llvm.rint`), and `llvm.fma` on a CPU without FMA becomes a
library call (hence `llvm.fmuladd`).
"""

import operator

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic, models, overload, register_model

from .compiled import LANES

_F32, _I1, _I32, _I64 = ir.FloatType(), ir.IntType(1), ir.IntType(32), ir.IntType(64)
_VECTOR = ir.VectorType(_F32, LANES)
_INTEGERS = ir.VectorType(_I32, LANES)
_BITS = ir.VectorType(_I1, LANES)
_PACKED = ir.IntType(LANES)
_FLAGS = ("contract", "nsz", "arcp")


class _Lanes(types.Type):
    def __init__(self) -> None:
        super().__init__(name=f"f32x{LANES}")


class _Mask(types.Type):
    def __init__(self) -> None:
        super().__init__(name=f"mask{LANES}")


LANES_TYPE, MASK_TYPE = _Lanes(), _Mask()


@register_model(_Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager, front_end) -> None:
        super().__init__(manager, front_end, _VECTOR)


@register_model(_Mask)
class _MaskModel(models.PrimitiveModel):
    def __init__(self, manager, front_end) -> None:
        super().__init__(manager, front_end, _BITS)


def _constant(value):
    return ir.Constant(_VECTOR, [value] * LANES)


def _shuffle(builder, x, y, lanes):
    pattern = ir.Constant(ir.VectorType(_I32, len(lanes)), lanes)
    return builder.shuffle_vector(x, y, pattern)


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
    return _call(builder, f"llvm.fmuladd.v{LANES}f32", x, y, z)


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
            return builder.fcmp_ordered(predicate, *_vectors(context, builder, signature, values))

        return MASK_TYPE(x, y), emit

    return compare


at_least = _comparison(">=")
at_most = _comparison("<=")
below = _comparison("<")


@intrinsic
def _both(typing_context, x, y):
    def emit(context, builder, signature, values):
        return builder.and_(*values)

    return MASK_TYPE(x, y), emit


@overload(operator.and_)
def _and(x, y):
    if isinstance(x, _Mask) and isinstance(y, _Mask):
        return lambda x, y: _both(x, y)
    return None


@intrinsic
def bits(typing_context, mask):
    """The mask as an integer, bit k for lane k."""

    def emit(context, builder, signature, values):
        return builder.zext(builder.bitcast(values[0], _PACKED), _I64)

    return types.int64(mask), emit


@intrinsic
def mask_of(typing_context, x):
    """The mask whose lane k is bit k of an integer."""

    def emit(context, builder, signature, values):
        packed = builder.trunc(
            context.cast(builder, values[0], signature.args[0], types.int64), _PACKED
        )
        return builder.bitcast(packed, _BITS)

    return MASK_TYPE(x), emit


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
        x = _vector(context, builder, values[1], signature.args[1])
        y = _vector(context, builder, values[2], signature.args[2])
        return builder.select(values[0], x, y)

    return LANES_TYPE(mask, x, y), emit


@intrinsic
def square_root(typing_context, x):
    def emit(context, builder, signature, values):
        return _call(builder, f"llvm.sqrt.v{LANES}f32", values[0])

    return LANES_TYPE(x), emit


# Minimax polynomial of 2^f on [-1/2, 1/2], relative error 8e-8.
_EXP2 = (0.001327647187, 0.009675541333, 0.05550713274, 0.2402211972, 0.6931469671, 1.000000072)


@intrinsic
def exp2_over_255(typing_context, x):
    """2^x / 255 for -118 < x < 128, relative error below 3e-7; rubbish elsewhere, to be masked.

    Alpha counts from its cut-off at 1/255: there x is near 0, where float32 is finest.
    """

    def emit(context, builder, signature, values):
        whole = _call(builder, f"llvm.rint.v{LANES}f32", values[0])
        rest = builder.fsub(values[0], whole)
        power = _constant(_EXP2[0] / 255)
        for coefficient in _EXP2[1:]:
            power = _multiply_add(builder, power, rest, _constant(coefficient / 255))
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


@intrinsic
def members(typing_context, masks, index, bit):
    """Which of masks[index : index + 64] have that bit set: bit k of the result for the k-th."""

    def emit(context, builder, signature, values):
        (kind, index_kind, bit_kind), (array, at, which) = signature.args, values
        many = ir.VectorType(_I32, 64)
        address = _address(context, builder, kind, array, at, index_kind)
        words = builder.load(builder.bitcast(address, many.as_pointer()), align=4)
        which = context.cast(builder, which, bit_kind, types.uint32)
        chosen = builder.insert_element(
            ir.Constant(many, ir.Undefined), which, ir.Constant(_I32, 0)
        )
        chosen = _shuffle(builder, chosen, ir.Constant(many, ir.Undefined), [0] * 64)
        # To the sign, which one instruction collects from a whole vector.
        lifted = builder.shl(words, builder.sub(ir.Constant(many, [31] * 64), chosen))
        negative = builder.icmp_signed("<", lifted, ir.Constant(many, [0] * 64))
        return builder.bitcast(negative, _I64)

    return types.int64(masks, index, bit), emit


@intrinsic
def prefetch(typing_context, array, index):
    """Bring array[index] towards the processor; harmless past the end."""

    def emit(context, builder, signature, values):
        (kind, index_kind), (data, at) = signature.args, values
        address = _address(context, builder, kind, data, at, index_kind)
        byte = ir.IntType(8).as_pointer()
        request = ir.FunctionType(ir.VoidType(), [byte, _I32, _I32, _I32])
        function = cgutils.get_or_insert_function(builder.module, request, "llvm.prefetch.p0")
        hints = [ir.Constant(_I32, k) for k in (0, 3, 1)]  # to read, keep, data
        builder.call(function, [builder.bitcast(address, byte), *hints])
        return context.get_dummy_value()

    return types.void(array, index), emit


def _pairs(builder, x, y, first, second):
    """Shuffle x and y twice alike in every group of four lanes, then add."""

    def pick(pattern):
        quads = range(0, LANES, 4)
        return _shuffle(
            builder, x, y, [q + (m if m < 4 else LANES - 4 + m) for q in quads for m in pattern]
        )

    return builder.fadd(pick(first), pick(second))


def _four_sums(builder, a, b, c, d):
    """The sums of the lanes of a, b, c and d, as four lanes."""
    ab = _pairs(builder, a, b, (0, 4, 1, 5), (2, 6, 3, 7))
    cd = _pairs(builder, c, d, (0, 4, 1, 5), (2, 6, 3, 7))
    sums = _pairs(builder, ab, cd, (0, 1, 4, 5), (2, 3, 6, 7))
    width = LANES
    while width > 4:
        width //= 2
        low, high = (list(range(k, k + width)) for k in (0, width))
        sums = builder.fadd(_shuffle(builder, sums, sums, low), _shuffle(builder, sums, sums, high))
    return sums


@intrinsic
def add_sums9(typing_context, array, index, a0, a1, a2, a3, a4, a5, a6, a7, a8):
    """array[index + k] += sum of the lanes of a_k for k = 0..8 (and += 0 for k = 9..11).

    Transposed trees, four sums at a time, in a fixed order.
    """

    def emit(context, builder, signature, values):
        zero = _constant(0.0)
        v = [*values[2:], zero, zero, zero]
        four = ir.VectorType(_F32, 4).as_pointer()
        start = builder.bitcast(_lanes_address(context, builder, signature, values), four)
        for k in range(3):
            address = builder.gep(start, [ir.Constant(_I32, k)])
            sums = _four_sums(builder, *v[4 * k : 4 * k + 4])
            builder.store(builder.fadd(builder.load(address, align=4), sums), address, align=4)
        return context.get_dummy_value()

    arguments = (array, index, a0, a1, a2, a3, a4, a5, a6, a7, a8)
    return types.void(*arguments), emit
