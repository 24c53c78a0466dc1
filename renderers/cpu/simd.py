"""One vector of floats as one numba value: LLVM vectors without a compiler on the user's machine.

A vector has `LANES` = 16 numbers where the processor has AVX-512 and 8 elsewhere: one register of
AVX2, two of NEON or SSE, so one source serves every machine. A comparison gives a `Mask`, which
stays in vector registers (going to an integer and back costs more than the arithmetic between)
until `bits` makes an integer of it, bit k for lane k. Loads and stores take a flat array and an
index and, unlike numba's own, check and wrap nothing.

Vectors hold float32; `widened` ones hold as many float64, in twice the registers, and what meets
one of them becomes one. `rounded` goes back.

Two traps shape this file: numba's `fastmath` also rewrites what intrinsics emit (rounding by a
magic number is folded away, hence `llvm.rint`), and `llvm.fma` on a CPU without FMA becomes a
library call (hence `llvm.fmuladd`).
"""

import math
import operator

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic, overload

from .compiled import LANES, SCALES_BY_POWERS
from .vectors import (
    BITS,
    F32,
    FLAGS,
    I32,
    I64,
    INTEGERS,
    LANES_TYPE,
    MASK_TYPE,
    PACKED,
    VECTOR,
    WIDE,
    WIDE_TYPE,
    Lanes,
    Mask,
    as_vector,
    as_vectors,
    called,
    common_kind,
    constant,
    folded,
    multiplied_and_added,
)


def _arithmetic(instruction, python_operator):
    @intrinsic
    def apply(typing_context, x, y):
        def emit(context, builder, signature, values):
            x, y = as_vectors(context, builder, signature, values)
            return getattr(builder, instruction)(x, y, flags=FLAGS)

        return common_kind(x, y)(x, y), emit

    @overload(python_operator)
    def implementation(x, y):
        if isinstance(x, Lanes) or isinstance(y, Lanes):
            return lambda x, y: apply(x, y)
        return None


_arithmetic("fadd", operator.add)
_arithmetic("fsub", operator.sub)
_arithmetic("fmul", operator.mul)
_arithmetic("fdiv", operator.truediv)


@intrinsic
def _negated(typing_context, x):
    def emit(context, builder, signature, values):
        return builder.fneg(values[0])

    return x(x), emit


@overload(operator.neg)
def _negative(x):
    return (lambda x: _negated(x)) if isinstance(x, Lanes) else None


def _choice(predicate):
    @intrinsic
    def choose(typing_context, x, y):
        def emit(context, builder, signature, values):
            x, y = as_vectors(context, builder, signature, values)
            better = builder.fcmp_ordered(predicate, x, y, flags=("nnan", "nsz"))
            return builder.select(better, x, y)

        return common_kind(x, y)(x, y), emit

    return choose


smaller = _choice("<")
larger = _choice(">")


def _comparison(predicate):
    @intrinsic
    def compare(typing_context, x, y):
        def emit(context, builder, signature, values):
            return builder.fcmp_ordered(predicate, *as_vectors(context, builder, signature, values))

        return MASK_TYPE(x, y), emit

    return compare


at_least = _comparison(">=")
at_most = _comparison("<=")
below = _comparison("<")
above = _comparison(">")
equal = _comparison("==")


@intrinsic
def _both(typing_context, x, y):
    def emit(context, builder, signature, values):
        return builder.and_(*values)

    return MASK_TYPE(x, y), emit


@overload(operator.and_)
def _and(x, y):
    if isinstance(x, Mask) and isinstance(y, Mask):
        return lambda x, y: _both(x, y)
    return None


@intrinsic
def bits(typing_context, mask):
    """The mask as an integer, bit k for lane k."""

    def emit(context, builder, signature, values):
        return builder.zext(builder.bitcast(values[0], PACKED), I64)

    return types.int64(mask), emit


@intrinsic
def mask_of(typing_context, x):
    """The mask whose lane k is bit k of an integer."""

    def emit(context, builder, signature, values):
        packed = builder.trunc(
            context.cast(builder, values[0], signature.args[0], types.int64), PACKED
        )
        return builder.bitcast(packed, BITS)

    return MASK_TYPE(x), emit


@intrinsic
def broadcast(typing_context, x):
    def emit(context, builder, signature, values):
        return as_vector(context, builder, values[0], signature.args[0])

    return LANES_TYPE(x), emit


@intrinsic
def widened(typing_context, x):
    def emit(context, builder, signature, values):
        return as_vector(context, builder, values[0], signature.args[0], WIDE_TYPE)

    return WIDE_TYPE(x), emit


@intrinsic
def rounded(typing_context, x):
    """float64 to float32."""

    def emit(context, builder, signature, values):
        return builder.fptrunc(values[0], VECTOR)

    return LANES_TYPE(x), emit


@intrinsic
def multiply_add(typing_context, x, y, z):
    """x * y + z."""

    def emit(context, builder, signature, values):
        return multiplied_and_added(builder, *as_vectors(context, builder, signature, values))

    return common_kind(x, y, z)(x, y, z), emit


@intrinsic
def subtract_product(typing_context, z, x, y):
    """z - x * y."""

    def emit(context, builder, signature, values):
        z, x, y = as_vectors(context, builder, signature, values)
        return multiplied_and_added(builder, builder.fneg(x), y, z)

    return common_kind(z, x, y)(z, x, y), emit


@intrinsic
def where(typing_context, mask, x, y):
    """Lanes of x where the mask is set, of y elsewhere."""

    def emit(context, builder, signature, values):
        wanted, (_, x_kind, y_kind) = signature.return_type, signature.args
        x = as_vector(context, builder, values[1], x_kind, wanted)
        y = as_vector(context, builder, values[2], y_kind, wanted)
        return builder.select(values[0], x, y)

    return common_kind(x, y)(mask, x, y), emit


@intrinsic
def unless_negative(typing_context, sign, x):
    """Lanes of x where `sign` is not negative, zero elsewhere; NaN and -0 may count as either.

    With eight lanes one instruction looks at the sign bits; with sixteen a comparison's mask joins
    the instruction that made x.
    """

    def emit(context, builder, signature, values):
        sign, x = values
        zero = constant(0.0)
        if LANES == 16:
            return builder.select(builder.fcmp_ordered(">=", sign, zero), x, zero)
        whole = builder.bitcast(sign, INTEGERS)
        negative = builder.icmp_signed("<", whole, ir.Constant(INTEGERS, [0] * LANES))
        return builder.select(negative, zero, x)

    return LANES_TYPE(sign, x), emit


@intrinsic
def square_root(typing_context, x):
    def emit(context, builder, signature, values):
        return called(builder, "sqrt", values[0])

    return x(x), emit


@intrinsic
def lane_sum(typing_context, x):
    """Sum of the lanes of a float32 vector: halves first, so always in the same order."""

    def emit(context, builder, signature, values):
        return builder.extract_element(folded(builder, values[0], 1), ir.Constant(I32, 0))

    return types.float32(x), emit


@intrinsic
def log2_of(typing_context, x):
    """log2 of positive normal float64 numbers to about 1e-10; rubbish elsewhere, to be masked.

    x = 2^e m with m in [√½, √2), and log2 m = 2 / ln 2 artanh((m - 1) / (m + 1)) as a series.
    """

    def emit(context, builder, signature, values):
        whole = ir.VectorType(I64, LANES)
        shift, least = (ir.Constant(whole, [k] * LANES) for k in (52, 0x3FE6A09E667F3BCD))
        number = builder.bitcast(values[0], whole)
        exponent = builder.ashr(builder.sub(number, least), shift)
        mantissa = builder.bitcast(builder.sub(number, builder.shl(exponent, shift)), WIDE)
        one = constant(1.0, WIDE)
        s = builder.fdiv(builder.fsub(mantissa, one), builder.fadd(mantissa, one))
        square = builder.fmul(s, s)
        series = constant(0.0, WIDE)
        for power in (11, 9, 7, 5, 3, 1):
            term = constant(2 / math.log(2) / power, WIDE)
            series = multiplied_and_added(builder, series, square, term)
        exponent = builder.sitofp(builder.trunc(exponent, INTEGERS), WIDE)
        return multiplied_and_added(builder, s, series, exponent)

    return WIDE_TYPE(x), emit


# Minimax polynomials of 2^f on [-1/2, 1/2] and on [0, 1], relative error 8e-8.
_EXP2 = (0.001327647187, 0.009675541333, 0.05550713274, 0.2402211972, 0.6931469671, 1.000000072)
_EXP2_UP = (0.001877576675, 0.00898934009, 0.05582631805, 0.240153617, 0.6931530732, 0.9999999251)


def _polynomial(builder, coefficients, x):
    value = constant(coefficients[0])
    for coefficient in coefficients[1:]:
        value = multiplied_and_added(builder, value, x, constant(coefficient))
    return value


def _masked(builder, name, *values):
    """An instruction of AVX-512 on all lanes, rounding as the processor does."""
    nothing, everything = constant(0.0), ir.Constant(PACKED, (1 << LANES) - 1)
    values = (*values, nothing, everything, ir.Constant(I32, 4))
    kind = ir.FunctionType(VECTOR, [value.type for value in values])
    name = f"llvm.x86.avx512.mask.{name}.ps.512"
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), values)


@intrinsic
def exp2_over_255(typing_context, x):
    """2^x / 255 for -118 < x < 128, relative error below 3e-7; rubbish elsewhere, to be masked.

    Alpha counts from its cut-off at 1/255: there x is near 0, where float32 is finest. AVX-512
    needs three instructions fewer than other processors.
    """

    def with_avx512(context, builder, signature, values):
        rest = _masked(builder, "reduce", values[0], ir.Constant(I32, 0b1001))  # x - floor(x)
        power = _polynomial(builder, [c / 255 for c in _EXP2_UP], rest)
        return _masked(builder, "scalef", power, values[0])  # power 2^floor(x)

    def emit(context, builder, signature, values):
        whole = called(builder, "rint", values[0])
        rest = builder.fsub(values[0], whole)
        power = _polynomial(builder, [c / 255 for c in _EXP2], rest)
        shift = ir.Constant(INTEGERS, [23] * LANES)
        exponent = builder.shl(builder.fptosi(whole, INTEGERS), shift)
        return builder.bitcast(builder.add(builder.bitcast(power, INTEGERS), exponent), VECTOR)

    return LANES_TYPE(x), with_avx512 if SCALES_BY_POWERS else emit


@intrinsic
def lowest_bit(typing_context, x):
    """Position of the lowest set bit of a nonzero integer."""

    def emit(context, builder, signature, values):
        value = context.cast(builder, values[0], signature.args[0], types.int64)
        return builder.cttz(value, ir.Constant(ir.IntType(1), 1))

    return types.int64(x), emit


@intrinsic
def bit_count(typing_context, x):
    """How many bits of an integer are set."""

    def emit(context, builder, signature, values):
        value = context.cast(builder, values[0], signature.args[0], types.int64)
        return builder.ctpop(value)

    return types.int64(x), emit


@intrinsic
def floor(typing_context, x):
    """Largest integer not above a float32; `math.floor` is a call into a library."""

    def emit(context, builder, signature, values):
        kind = ir.FunctionType(F32, [F32])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.floor.f32")
        value = context.cast(builder, values[0], signature.args[0], types.float32)
        return builder.fptosi(builder.call(function, [value]), I64)

    return types.int64(x), emit


@intrinsic
def float_bits(typing_context, x):
    """The bits of a float32; for positive numbers they sort like the numbers."""

    def emit(context, builder, signature, values):
        value = context.cast(builder, values[0], signature.args[0], types.float32)
        return builder.bitcast(value, I32)

    return types.uint32(x), emit
