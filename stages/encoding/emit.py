"""Writing vector instructions from numba: the alphabet of `placing.py`, and table rows as values.

Numba compiles loops over points well, but a sort of n numbers in registers has to be written out
for every n. Here Python writes it: what is emitted is LLVM's portable vector code, which becomes
AVX-512, AVX2 or NEON, whatever the machine has.
"""

import functools
from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic, models, register_model

from ...renderers.cpu.compiled import LANES

literal_intrinsic: Any = intrinsic(prefer_literal=True)
"""For intrinsics that are written out by the values of their first arguments."""

F32, I32, I64 = ir.FloatType(), ir.IntType(32), ir.IntType(64)
FLOATS, INTEGERS = ir.VectorType(F32, LANES), ir.VectorType(I32, LANES)


def whole(value):
    """A whole number in all lanes."""
    return ir.Constant(INTEGERS, [value] * LANES)


def real(value):
    """A float32 in all lanes."""
    return ir.Constant(FLOATS, [value] * LANES)


def spread(builder, scalar, width):
    """A scalar in all lanes of a vector so wide."""
    kind = ir.VectorType(scalar.type, width)
    undefined = ir.Constant(kind, ir.Undefined)
    first = builder.insert_element(undefined, scalar, ir.Constant(I32, 0))
    lanes = ir.Constant(ir.VectorType(I32, width), [0] * width)
    return builder.shuffle_vector(first, undefined, lanes)


class Code:
    """Emits instructions on vectors of LANES."""

    def __init__(self, context, builder) -> None:
        self.context, self.builder = context, builder

    def data(self, kind, array):
        """Where the elements of a numba array lie."""
        return self.context.make_array(kind)(self.context, self.builder, array).data

    def number(self, numbers, index):
        """One of a tuple of numbers, as a float32 or 32-bit integer in all lanes.

        A tuple and no array: what lies in memory would be read again after every store.
        """
        found = self.builder.extract_value(numbers, index)
        narrow = (
            self.builder.fptrunc(found, F32)
            if isinstance(found.type, ir.DoubleType)
            else self.builder.trunc(found, I32)
        )
        return spread(self.builder, narrow, LANES)

    def _address(self, data, index, kind):
        if isinstance(index, int):
            index = ir.Constant(I64, index)
        return self.builder.bitcast(self.builder.gep(data, [index]), kind.as_pointer())

    def load(self, data, index):
        return self.builder.load(self._address(data, index, FLOATS), align=4)

    def store(self, value, data, index):
        self.builder.store(value, self._address(data, index, value.type), align=4)

    def times(self, x, y):
        return self.builder.fmul(x, y, flags=("contract",))

    def plus(self, x, y):
        return self.builder.fadd(x, y, flags=("contract",))

    def minus(self, x, y):
        return self.builder.fsub(x, y, flags=("contract",))


# --- rows of the table -----------------------------------------------------------------------


class _Row(types.Type):
    """`features` float32 side by side, kept in one register."""

    def __init__(self, features: int) -> None:
        self.features = features
        super().__init__(name=f"features{features}")


@register_model(_Row)
class _RowModel(models.PrimitiveModel):
    def __init__(self, manager, front_end) -> None:
        super().__init__(manager, front_end, ir.VectorType(F32, front_end.features))


def _row_address(context, builder, kind, array, index, features):
    data = context.make_array(kind)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), ir.VectorType(F32, features).as_pointer())


@literal_intrinsic
def no_row(typing_context, features):
    """A row of zeros."""
    width = features.literal_value

    def emit(context, builder, signature, values):
        return ir.Constant(ir.VectorType(F32, width), [0.0] * width)

    return _Row(width)(features), emit


@literal_intrinsic
def load_row(typing_context, features, array, index):
    """array[index : index + features]; features is literal."""
    width = features.literal_value

    def emit(context, builder, signature, values):
        address = _row_address(context, builder, signature.args[1], values[1], values[2], width)
        return builder.load(address, align=4)

    return _Row(width)(features, array, types.int64), emit


@intrinsic
def store_row(typing_context, row, array, index):
    """array[index : index + features] = row."""

    def emit(context, builder, signature, values):
        kind = signature.args[1]
        address = _row_address(context, builder, kind, values[1], values[2], row.features)
        builder.store(values[0], address, align=4)
        return context.get_dummy_value()

    return types.void(row, array, types.int64), emit


@intrinsic
def add_row(typing_context, total, weight, row):
    """total + weight * row."""

    def emit(context, builder, signature, values):
        share = builder.fmul(
            spread(builder, values[1], row.features), values[2], flags=("contract",)
        )
        return builder.fadd(values[0], share, flags=("contract",))

    return total(total, types.float32, row), emit


@intrinsic
def dot_rows(typing_context, x, y):
    """The scalar product of two rows."""

    def emit(context, builder, signature, values):
        product = builder.fmul(*values, flags=("contract",))
        parts = [builder.extract_element(product, ir.Constant(I32, k)) for k in range(x.features)]
        return functools.reduce(lambda a, b: builder.fadd(a, b, flags=("contract",)), parts)

    return types.float32(x, y), emit


# --- from rows of one number per point to rows per point, and back ---------------------------


def _shuffled(builder, x, y, lanes):
    return builder.shuffle_vector(x, y, ir.Constant(INTEGERS, lanes))


def _apart(builder, vectors):
    """Vectors that hold point after point -> one vector per number, in order."""
    if len(vectors) == 1:
        return vectors
    halves = []
    for first in (0, 1):
        lanes = list(range(first, 2 * LANES, 2))
        pairs = zip(vectors[::2], vectors[1::2], strict=True)
        halves.append(_apart(builder, [_shuffled(builder, a, b, lanes) for a, b in pairs]))
    return [one for pair in zip(*halves, strict=True) for one in pair]


def _together(builder, vectors):
    """The inverse of `_apart`."""
    if len(vectors) == 1:
        return vectors
    even, odd = (_together(builder, vectors[first::2]) for first in (0, 1))
    out = []
    for a, b in zip(even, odd, strict=True):
        for start in (0, LANES // 2):
            lanes = [k + shift for k in range(start, start + LANES // 2) for shift in (0, LANES)]
            out.append(_shuffled(builder, a, b, lanes))
    return out


def _mover(rearrange, inward):
    @literal_intrinsic
    def move(typing_context, features, near, near_at, far, count, far_at):
        width = features.literal_value

        def emit(context, builder, signature, values):
            code = Code(context, builder)
            near, far = (code.data(signature.args[k], values[k]) for k in (1, 3))
            blocks = [builder.add(values[2], ir.Constant(I64, k * LANES)) for k in range(width)]
            rows = [
                builder.add(values[5], builder.mul(values[4], ir.Constant(I64, k)))
                for k in range(width)
            ]
            source, start, target, end = (
                (far, rows, near, blocks) if inward else (near, blocks, far, rows)
            )
            found = [code.load(source, k) for k in start]
            for value, k in zip(rearrange(builder, found), end, strict=True):
                code.store(value, target, k)
            return context.get_dummy_value()

        kinds = (features, near, types.int64, far, types.int64, types.int64)
        return types.void(*kinds), emit

    return move


gather_points = _mover(_together, True)
"""(features, near, near_at, far, count, far_at): LANES points of `features` rows of `count` numbers
in `far`, from `far_at` on, into `near`, point after point; features is literal."""
scatter_points = _mover(_apart, False)
"""The same arguments, from `near` into the rows."""
