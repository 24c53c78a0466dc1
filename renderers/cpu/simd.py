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
from numba.extending import intrinsic, models, overload, register_model

from .compiled import LANES

_F32, _F64 = ir.FloatType(), ir.DoubleType()
_I1, _I32, _I64 = ir.IntType(1), ir.IntType(32), ir.IntType(64)
_VECTOR, _WIDE = ir.VectorType(_F32, LANES), ir.VectorType(_F64, LANES)
_INTEGERS = ir.VectorType(_I32, LANES)
_BITS = ir.VectorType(_I1, LANES)
_PACKED = ir.IntType(LANES)
_FLAGS = ("contract", "nsz", "arcp")


class _Lanes(types.Type):
    def __init__(self, element: types.Float, vector: ir.VectorType) -> None:
        self.element, self.vector = element, vector
        super().__init__(name=f"{element}x{LANES}")


class _Mask(types.Type):
    def __init__(self) -> None:
        super().__init__(name=f"mask{LANES}")


LANES_TYPE, WIDE_TYPE = _Lanes(types.float32, _VECTOR), _Lanes(types.float64, _WIDE)
MASK_TYPE = _Mask()


@register_model(_Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager, front_end) -> None:
        super().__init__(manager, front_end, front_end.vector)


@register_model(_Mask)
class _MaskModel(models.PrimitiveModel):
    def __init__(self, manager, front_end) -> None:
        super().__init__(manager, front_end, _BITS)


def _constant(value, vector=_VECTOR):
    return ir.Constant(vector, [value] * LANES)


def _shuffle(builder, x, y, lanes):
    pattern = ir.Constant(ir.VectorType(_I32, len(lanes)), list(lanes))
    return builder.shuffle_vector(x, y, pattern)


def _common(*kinds):
    """The type in which values of these types meet."""
    return WIDE_TYPE if WIDE_TYPE in kinds else LANES_TYPE


def _vector(context, builder, value, kind, wanted=LANES_TYPE):
    """A vector as it is, or widened; a scalar number in all lanes."""
    if isinstance(kind, _Lanes):
        return value if kind == wanted else builder.fpext(value, wanted.vector)
    undefined = ir.Constant(wanted.vector, ir.Undefined)
    scalar = context.cast(builder, value, kind, wanted.element)
    first = builder.insert_element(undefined, scalar, ir.Constant(_I32, 0))
    return _shuffle(builder, first, undefined, [0] * LANES)


def _vectors(context, builder, signature, values):
    wanted = _common(*signature.args)
    pairs = zip(values, signature.args, strict=True)
    return [_vector(context, builder, value, kind, wanted) for value, kind in pairs]


def _call(builder, name, *values):
    """An operation of LLVM on vectors of one type."""
    vector = values[0].type
    suffix = "f64" if vector == _WIDE else "f32"
    kind = ir.FunctionType(vector, [vector] * len(values))
    function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.{name}.v{LANES}{suffix}")
    return builder.call(function, values)


def _multiply_add(builder, x, y, z):
    return _call(builder, "fmuladd", x, y, z)


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

        return _common(x, y)(x, y), emit

    @overload(python_operator)
    def implementation(x, y):
        if isinstance(x, _Lanes) or isinstance(y, _Lanes):
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
    return (lambda x: _negated(x)) if isinstance(x, _Lanes) else None


def _choice(predicate):
    @intrinsic
    def choose(typing_context, x, y):
        def emit(context, builder, signature, values):
            x, y = _vectors(context, builder, signature, values)
            better = builder.fcmp_ordered(predicate, x, y, flags=("nnan", "nsz"))
            return builder.select(better, x, y)

        return _common(x, y)(x, y), emit

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
above = _comparison(">")
equal = _comparison("==")


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
def widened(typing_context, x):
    def emit(context, builder, signature, values):
        return _vector(context, builder, values[0], signature.args[0], WIDE_TYPE)

    return WIDE_TYPE(x), emit


@intrinsic
def rounded(typing_context, x):
    """float64 to float32."""

    def emit(context, builder, signature, values):
        return builder.fptrunc(values[0], _VECTOR)

    return LANES_TYPE(x), emit


@intrinsic
def multiply_add(typing_context, x, y, z):
    """x * y + z."""

    def emit(context, builder, signature, values):
        return _multiply_add(builder, *_vectors(context, builder, signature, values))

    return _common(x, y, z)(x, y, z), emit


@intrinsic
def subtract_product(typing_context, z, x, y):
    """z - x * y."""

    def emit(context, builder, signature, values):
        z, x, y = _vectors(context, builder, signature, values)
        return _multiply_add(builder, builder.fneg(x), y, z)

    return _common(z, x, y)(z, x, y), emit


@intrinsic
def where(typing_context, mask, x, y):
    """Lanes of x where the mask is set, of y elsewhere."""

    def emit(context, builder, signature, values):
        wanted, (_, x_kind, y_kind) = signature.return_type, signature.args
        x = _vector(context, builder, values[1], x_kind, wanted)
        y = _vector(context, builder, values[2], y_kind, wanted)
        return builder.select(values[0], x, y)

    return _common(x, y)(mask, x, y), emit


@intrinsic
def square_root(typing_context, x):
    def emit(context, builder, signature, values):
        return _call(builder, "sqrt", values[0])

    return x(x), emit


@intrinsic
def log2_of(typing_context, x):
    """log2 of positive normal float64 numbers to about 1e-10; rubbish elsewhere, to be masked.

    x = 2^e m with m in [√½, √2), and log2 m = 2 / ln 2 artanh((m - 1) / (m + 1)) as a series.
    """

    def emit(context, builder, signature, values):
        whole = ir.VectorType(_I64, LANES)
        shift, least = (ir.Constant(whole, [k] * LANES) for k in (52, 0x3FE6A09E667F3BCD))
        number = builder.bitcast(values[0], whole)
        exponent = builder.ashr(builder.sub(number, least), shift)
        mantissa = builder.bitcast(builder.sub(number, builder.shl(exponent, shift)), _WIDE)
        one = _constant(1.0, _WIDE)
        s = builder.fdiv(builder.fsub(mantissa, one), builder.fadd(mantissa, one))
        square = builder.fmul(s, s)
        series = _constant(0.0, _WIDE)
        for power in (11, 9, 7, 5, 3, 1):
            term = _constant(2 / math.log(2) / power, _WIDE)
            series = _multiply_add(builder, series, square, term)
        exponent = builder.sitofp(builder.trunc(exponent, _INTEGERS), _WIDE)
        return _multiply_add(builder, s, series, exponent)

    return WIDE_TYPE(x), emit


# Minimax polynomial of 2^f on [-1/2, 1/2], relative error 8e-8.
_EXP2 = (0.001327647187, 0.009675541333, 0.05550713274, 0.2402211972, 0.6931469671, 1.000000072)


@intrinsic
def exp2_over_255(typing_context, x):
    """2^x / 255 for -118 < x < 128, relative error below 3e-7; rubbish elsewhere, to be masked.

    Alpha counts from its cut-off at 1/255: there x is near 0, where float32 is finest.
    """

    def emit(context, builder, signature, values):
        whole = _call(builder, "rint", values[0])
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


def _rows(context, builder, signature, values, width):
    """Addresses of LANES / 4 rows of `width` floats; arguments are array, index, pitch."""
    (kind, index_kind, pitch_kind), (array, index, pitch) = signature.args[:3], values[:3]
    row = ir.VectorType(_F32, width).as_pointer()
    start = _address(context, builder, kind, array, index, index_kind)
    pitch = context.cast(builder, pitch, pitch_kind, types.int64)
    for k in range(LANES // 4):
        yield builder.bitcast(builder.gep(start, [builder.mul(pitch, ir.Constant(_I64, k))]), row)


def _joined(builder, parts):
    """Vectors of one type, two to the power of something of them, end to end."""
    while len(parts) > 1:
        order = list(range(2 * parts[0].type.count))
        pairs = zip(parts[::2], parts[1::2], strict=True)
        parts = [_shuffle(builder, x, y, order) for x, y in pairs]
    return parts[0]


@intrinsic
def load_block3(typing_context, array, index, pitch):
    """A block of pixels, 4 wide, of three interleaved values each, as three vectors.

    `pitch` is from one row of pixels to the next.
    """

    def emit(context, builder, signature, values):
        rows = [
            builder.load(row, align=4) for row in _rows(context, builder, signature, values, 12)
        ]
        planes = [
            _joined(builder, [_shuffle(builder, r, r, range(c, 12, 3)) for r in rows])
            for c in range(3)
        ]
        return context.make_tuple(builder, signature.return_type, planes)

    return types.UniTuple(LANES_TYPE, 3)(array, index, pitch), emit


@intrinsic
def store_block3(typing_context, array, index, pitch, a, b, c):
    """The way back of `load_block3`."""

    def emit(context, builder, signature, values):
        a, b, c = values[3:]
        both = _joined(builder, [a, b])
        for k, row in enumerate(_rows(context, builder, signature, values, 12)):
            first = range(4 * k, 4 * k + 4)
            pairs = _shuffle(builder, both, both, [i + j * LANES for i in first for j in (0, 1)])
            third = _shuffle(builder, c, c, [*first, 0, 0, 0, 0])
            order = [i for j in range(4) for i in (2 * j, 2 * j + 1, 8 + j)]
            builder.store(_shuffle(builder, pairs, third, order), row, align=4)
        return context.get_dummy_value()

    return types.void(array, index, pitch, a, b, c), emit


@intrinsic
def load_block(typing_context, array, index, pitch):
    """A block of pixels, 4 wide, of one value each."""

    def emit(context, builder, signature, values):
        rows = _rows(context, builder, signature, values, 4)
        return _joined(builder, [builder.load(row, align=4) for row in rows])

    return LANES_TYPE(array, index, pitch), emit


@intrinsic
def store_block(typing_context, array, index, pitch, value):
    """The way back of `load_block`."""

    def emit(context, builder, signature, values):
        for k, row in enumerate(_rows(context, builder, signature, values, 4)):
            part = _shuffle(builder, values[3], values[3], range(4 * k, 4 * k + 4))
            builder.store(part, row, align=4)
        return context.get_dummy_value()

    return types.void(array, index, pitch, value), emit


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
def floor(typing_context, x):
    """Largest integer not above a float32; `math.floor` is a call into a library."""

    def emit(context, builder, signature, values):
        kind = ir.FunctionType(_F32, [_F32])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.floor.f32")
        value = context.cast(builder, values[0], signature.args[0], types.float32)
        return builder.fptosi(builder.call(function, [value]), _I64)

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
    """Shuffle x and y twice alike in every group of four of their eight lanes, then add."""

    def pick(pattern):
        return _shuffle(
            builder, x, y, [q + (m if m < 4 else 4 + m) for q in (0, 4) for m in pattern]
        )

    return builder.fadd(pick(first), pick(second))


def _four_sums(builder, a, b, c, d):
    """The sums of each half of a, b, c and d: those of the lower halves, then the others."""
    ab = _pairs(builder, a, b, (0, 4, 1, 5), (2, 6, 3, 7))
    cd = _pairs(builder, c, d, (0, 4, 1, 5), (2, 6, 3, 7))
    return _pairs(builder, ab, cd, (0, 1, 4, 5), (2, 3, 6, 7))


def _folded(builder, x, width):
    """Lower and upper halves added, until there are `width` lanes."""
    while (count := x.type.count) > width:
        half = count // 2
        low, high = (
            _shuffle(builder, x, x, range(half)),
            _shuffle(builder, x, x, range(half, count)),
        )
        x = builder.fadd(low, high)
    return x


@intrinsic
def add_sums9(typing_context, array, index, a0, a1, a2, a3, a4, a5, a6, a7, a8):
    """array[index + k] += sum of the lanes of a_k for k = 0..8.

    Eight of them as one transposed tree; short vectors first, they cost half. In a fixed order.
    """

    def emit(context, builder, signature, values):
        v = [_folded(builder, value, 8) for value in values[2:10]]
        lower, upper = _four_sums(builder, *v[:4]), _four_sums(builder, *v[4:])
        low, high = ([*range(k, k + 4), *range(8 + k, 12 + k)] for k in (0, 4))
        sums = builder.fadd(
            _shuffle(builder, lower, upper, low), _shuffle(builder, lower, upper, high)
        )
        start = _address(context, builder, signature.args[0], *values[:2], signature.args[1])
        eight = builder.bitcast(start, ir.VectorType(_F32, 8).as_pointer())
        builder.store(builder.fadd(builder.load(eight, align=4), sums), eight, align=4)
        last = builder.extract_element(_folded(builder, values[10], 1), ir.Constant(_I32, 0))
        ninth = builder.gep(start, [ir.Constant(_I64, 8)])
        builder.store(builder.fadd(builder.load(ninth), last), ninth)
        return context.get_dummy_value()

    arguments = (array, index, a0, a1, a2, a3, a4, a5, a6, a7, a8)
    return types.void(*arguments), emit
