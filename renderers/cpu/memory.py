"""Vectors from and to flat arrays, whole blocks of pixels, and sums over lanes.

Unlike numba's own, these loads and stores take an index into a flat array and check and wrap
nothing.
"""

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from .compiled import LANES
from .vectors import (
    F32,
    I16,
    I32,
    I64,
    LANES_TYPE,
    VECTOR,
    address_of,
    folded,
    lanes_address,
    shuffled,
)


@intrinsic
def load_lanes(typing_context, array, index):
    def emit(context, builder, signature, values):
        return builder.load(lanes_address(context, builder, signature, values), align=4)

    return LANES_TYPE(array, index), emit


@intrinsic(prefer_literal=True)
def load_repeated(typing_context, array, index, count):
    """`count` floats, a number known when compiling, again and again until the vector is full."""
    kind, count = count, count.literal_value

    def emit(context, builder, signature, values):
        address = address_of(context, builder, signature.args[0], *values[:2], signature.args[1])
        some = ir.VectorType(F32, count)
        part = builder.load(builder.bitcast(address, some.as_pointer()), align=4)
        return shuffled(builder, part, part, [k % count for k in range(LANES)])

    return LANES_TYPE(array, index, kind), emit


@intrinsic
def store_lanes(typing_context, array, index, value):
    def emit(context, builder, signature, values):
        builder.store(values[2], lanes_address(context, builder, signature, values), align=4)
        return context.get_dummy_value()

    return types.void(array, index, value), emit


def _rows(context, builder, signature, values, width):
    """Addresses of LANES / 4 rows of `width` floats; arguments are array, index, pitch."""
    (kind, index_kind, pitch_kind), (array, index, pitch) = signature.args[:3], values[:3]
    row = ir.VectorType(F32, width).as_pointer()
    start = address_of(context, builder, kind, array, index, index_kind)
    pitch = context.cast(builder, pitch, pitch_kind, types.int64)
    for k in range(LANES // 4):
        yield builder.bitcast(builder.gep(start, [builder.mul(pitch, ir.Constant(I64, k))]), row)


def _joined(builder, parts):
    """Vectors of one type, two to the power of something of them, end to end."""
    while len(parts) > 1:
        order = list(range(2 * parts[0].type.count))
        pairs = zip(parts[::2], parts[1::2], strict=True)
        parts = [shuffled(builder, x, y, order) for x, y in pairs]
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
            _joined(builder, [shuffled(builder, r, r, range(c, 12, 3)) for r in rows])
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
            pairs = shuffled(builder, both, both, [i + j * LANES for i in first for j in (0, 1)])
            third = shuffled(builder, c, c, [*first, 0, 0, 0, 0])
            order = [i for j in range(4) for i in (2 * j, 2 * j + 1, 8 + j)]
            builder.store(shuffled(builder, pairs, third, order), row, align=4)
        return context.get_dummy_value()

    return types.void(array, index, pitch, a, b, c), emit


@intrinsic
def load_triples(typing_context, array, index):
    """LANES triples of values in a row, as three vectors."""

    def emit(context, builder, signature, values):
        address = address_of(context, builder, signature.args[0], *values, signature.args[1])
        row = ir.VectorType(F32, 3 * LANES).as_pointer()
        whole = builder.load(builder.bitcast(address, row), align=4)
        planes = [shuffled(builder, whole, whole, range(c, 3 * LANES, 3)) for c in range(3)]
        return context.make_tuple(builder, signature.return_type, planes)

    return types.UniTuple(LANES_TYPE, 3)(array, index), emit


@intrinsic
def store_triples(typing_context, array, index, a, b, c):
    """The way back of `load_triples`."""

    def emit(context, builder, signature, values):
        address = address_of(context, builder, signature.args[0], *values[:2], signature.args[1])
        ab, cc = (_joined(builder, [x, y]) for x, y in (values[2:4], [values[4]] * 2))
        order = [k + plane * LANES for k in range(LANES) for plane in range(3)]
        row = ir.VectorType(F32, 3 * LANES).as_pointer()
        builder.store(shuffled(builder, ab, cc, order), builder.bitcast(address, row), align=4)
        return context.get_dummy_value()

    return types.void(array, index, a, b, c), emit


@intrinsic
def turn_over(typing_context, array, index, pitch, out, out_index, out_pitch):
    """Transpose LANES x LANES numbers; a pitch is from one row to the next."""

    def emit(context, builder, signature, values):
        (kind, index_kind, pitch_kind), (out_kind, out_index_kind, out_pitch_kind) = (
            signature.args[:3],
            signature.args[3:],
        )
        vector = VECTOR.as_pointer()

        def rows(kind, array, index, index_kind, pitch, pitch_kind):
            start = address_of(context, builder, kind, array, index, index_kind)
            pitch = context.cast(builder, pitch, pitch_kind, types.int64)
            for k in range(LANES):
                row = builder.gep(start, [builder.mul(pitch, ir.Constant(I64, k))])
                yield builder.bitcast(row, vector)

        given = rows(kind, values[0], values[1], index_kind, values[2], pitch_kind)
        v = [builder.load(row, align=4) for row in given]
        half = 1
        while half < LANES:  # Swap the off-diagonal quarters of all squares of 2 half.
            low = [k if not k & half else LANES + k - half for k in range(LANES)]
            high = [k + half if not k & half else LANES + k for k in range(LANES)]
            for k in range(LANES):
                if not k & half:
                    x, y = v[k], v[k + half]
                    v[k], v[k + half] = (shuffled(builder, x, y, order) for order in (low, high))
            half *= 2
        taken = rows(out_kind, values[3], values[4], out_index_kind, values[5], out_pitch_kind)
        for row, value in zip(taken, v, strict=True):
            builder.store(value, row, align=4)
        return context.get_dummy_value()

    return types.void(array, index, pitch, out, out_index, out_pitch), emit


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
            part = shuffled(builder, values[3], values[3], range(4 * k, 4 * k + 4))
            builder.store(part, row, align=4)
        return context.get_dummy_value()

    return types.void(array, index, pitch, value), emit


@intrinsic
def load(typing_context, array, index):
    def emit(context, builder, signature, values):
        (kind, index_kind), (data, at) = signature.args, values
        return builder.load(address_of(context, builder, kind, data, at, index_kind))

    return array.dtype(array, index), emit


@intrinsic
def store(typing_context, array, index, value):
    def emit(context, builder, signature, values):
        kind, index_kind, value_kind = signature.args
        value = context.cast(builder, values[2], value_kind, kind.dtype)
        address = address_of(context, builder, kind, values[0], values[1], index_kind)
        builder.store(value, address)
        return context.get_dummy_value()

    return types.void(array, index, value), emit


@intrinsic
def members(typing_context, masks, index, bit):
    """Which of masks[index : index + 64] have that bit set: bit k of the result for the k-th."""

    def emit(context, builder, signature, values):
        (kind, index_kind, bit_kind), (array, at, which) = signature.args, values
        many = ir.VectorType(I32, 64)
        address = address_of(context, builder, kind, array, at, index_kind)
        words = builder.load(builder.bitcast(address, many.as_pointer()), align=4)
        which = context.cast(builder, which, bit_kind, types.uint32)
        chosen = builder.insert_element(ir.Constant(many, ir.Undefined), which, ir.Constant(I32, 0))
        chosen = shuffled(builder, chosen, ir.Constant(many, ir.Undefined), [0] * 64)
        # To the sign, which one instruction collects from a whole vector.
        lifted = builder.shl(words, builder.sub(ir.Constant(many, [31] * 64), chosen))
        negative = builder.icmp_signed("<", lifted, ir.Constant(many, [0] * 64))
        return builder.bitcast(negative, I64)

    return types.int64(masks, index, bit), emit


@intrinsic
def meeting(typing_context, words, index, wanted):
    """Which of words[index : index + 64], of 16 bits, share a bit with `wanted`: bit k for the
    k-th."""

    def emit(context, builder, signature, values):
        (kind, index_kind, wanted_kind), (array, at, bits) = signature.args, values
        many = ir.VectorType(I16, 64)
        address = address_of(context, builder, kind, array, at, index_kind)
        found = builder.load(builder.bitcast(address, many.as_pointer()), align=2)
        bits = context.cast(builder, bits, wanted_kind, types.uint16)
        nothing = ir.Constant(many, ir.Undefined)
        first = builder.insert_element(nothing, bits, ir.Constant(I32, 0))
        shared = builder.and_(found, shuffled(builder, first, nothing, [0] * 64))
        return builder.bitcast(
            builder.icmp_unsigned("!=", shared, ir.Constant(many, [0] * 64)), I64
        )

    return types.int64(words, index, wanted), emit


@intrinsic
def prefetch(typing_context, array, index):
    """Bring array[index] towards the processor; harmless past the end."""

    def emit(context, builder, signature, values):
        (kind, index_kind), (data, at) = signature.args, values
        address = address_of(context, builder, kind, data, at, index_kind)
        byte = ir.IntType(8).as_pointer()
        request = ir.FunctionType(ir.VoidType(), [byte, I32, I32, I32])
        function = cgutils.get_or_insert_function(builder.module, request, "llvm.prefetch.p0")
        hints = [ir.Constant(I32, k) for k in (0, 3, 1)]  # to read, keep, data
        builder.call(function, [builder.bitcast(address, byte), *hints])
        return context.get_dummy_value()

    return types.void(array, index), emit


def _pairs(builder, x, y, first, second):
    """Shuffle x and y twice alike in every group of four of their eight lanes, then add."""

    def pick(pattern):
        return shuffled(
            builder, x, y, [q + (m if m < 4 else 4 + m) for q in (0, 4) for m in pattern]
        )

    return builder.fadd(pick(first), pick(second))


def _four_sums(builder, a, b, c, d):
    """The sums of each half of a, b, c and d: those of the lower halves, then the others."""
    ab = _pairs(builder, a, b, (0, 4, 1, 5), (2, 6, 3, 7))
    cd = _pairs(builder, c, d, (0, 4, 1, 5), (2, 6, 3, 7))
    return _pairs(builder, ab, cd, (0, 1, 4, 5), (2, 3, 6, 7))


@intrinsic
def add_sums9(typing_context, array, index, a0, a1, a2, a3, a4, a5, a6, a7, a8):
    """array[index + k] += sum of the lanes of a_k for k = 0..8.

    Eight of them as one transposed tree; short vectors first, they cost half. In a fixed order.
    """

    def emit(context, builder, signature, values):
        v = [folded(builder, value, 8) for value in values[2:10]]
        lower, upper = _four_sums(builder, *v[:4]), _four_sums(builder, *v[4:])
        low, high = ([*range(k, k + 4), *range(8 + k, 12 + k)] for k in (0, 4))
        sums = builder.fadd(
            shuffled(builder, lower, upper, low), shuffled(builder, lower, upper, high)
        )
        start = address_of(context, builder, signature.args[0], *values[:2], signature.args[1])
        eight = builder.bitcast(start, ir.VectorType(F32, 8).as_pointer())
        builder.store(builder.fadd(builder.load(eight, align=4), sums), eight, align=4)
        last = builder.extract_element(folded(builder, values[10], 1), ir.Constant(I32, 0))
        ninth = builder.gep(start, [ir.Constant(I64, 8)])
        builder.store(builder.fadd(builder.load(ninth), last), ninth)
        return context.get_dummy_value()

    arguments = (array, index, a0, a1, a2, a3, a4, a5, a6, a7, a8)
    return types.void(*arguments), emit
