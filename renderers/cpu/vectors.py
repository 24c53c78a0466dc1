"""Vectors of floats as numba types, and how instructions on them are written down.

What the intrinsics of `simd.py` and `memory.py` are made of.
"""

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import models, register_model

from .compiled import LANES

F32, F64 = ir.FloatType(), ir.DoubleType()
I1, I16, I32, I64 = (ir.IntType(width) for width in (1, 16, 32, 64))
VECTOR, WIDE = ir.VectorType(F32, LANES), ir.VectorType(F64, LANES)
INTEGERS = ir.VectorType(I32, LANES)
BITS = ir.VectorType(I1, LANES)
PACKED = ir.IntType(LANES)
FLAGS = ("contract", "nsz", "arcp")


class Lanes(types.Type):
    def __init__(self, element: types.Float, vector: ir.VectorType) -> None:
        self.element, self.vector = element, vector
        super().__init__(name=f"{element}x{LANES}")


class Mask(types.Type):
    def __init__(self) -> None:
        super().__init__(name=f"mask{LANES}")


LANES_TYPE, WIDE_TYPE = Lanes(types.float32, VECTOR), Lanes(types.float64, WIDE)
MASK_TYPE = Mask()


@register_model(Lanes)
class LanesModel(models.PrimitiveModel):
    def __init__(self, manager, front_end) -> None:
        super().__init__(manager, front_end, front_end.vector)


@register_model(Mask)
class MaskModel(models.PrimitiveModel):
    def __init__(self, manager, front_end) -> None:
        super().__init__(manager, front_end, BITS)


def constant(value, vector=VECTOR):
    return ir.Constant(vector, [value] * LANES)


def shuffled(builder, x, y, lanes):
    pattern = ir.Constant(ir.VectorType(I32, len(lanes)), list(lanes))
    return builder.shuffle_vector(x, y, pattern)


def folded(builder, x, width):
    """Lower and upper halves added, until there are `width` lanes."""
    while (count := x.type.count) > width:
        half = count // 2
        low, high = (
            shuffled(builder, x, x, range(half)),
            shuffled(builder, x, x, range(half, count)),
        )
        x = builder.fadd(low, high)
    return x


def common_kind(*kinds):
    """The type in which values of these types meet."""
    return WIDE_TYPE if WIDE_TYPE in kinds else LANES_TYPE


def as_vector(context, builder, value, kind, wanted=LANES_TYPE):
    """A vector as it is, or widened; a scalar number in all lanes."""
    if isinstance(kind, Lanes):
        return value if kind == wanted else builder.fpext(value, wanted.vector)
    undefined = ir.Constant(wanted.vector, ir.Undefined)
    scalar = context.cast(builder, value, kind, wanted.element)
    first = builder.insert_element(undefined, scalar, ir.Constant(I32, 0))
    return shuffled(builder, first, undefined, [0] * LANES)


def as_vectors(context, builder, signature, values):
    wanted = common_kind(*signature.args)
    pairs = zip(values, signature.args, strict=True)
    return [as_vector(context, builder, value, kind, wanted) for value, kind in pairs]


def called(builder, name, *values):
    """An operation of LLVM on vectors of one type."""
    vector = values[0].type
    suffix = "f64" if vector == WIDE else "f32"
    kind = ir.FunctionType(vector, [vector] * len(values))
    function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.{name}.v{LANES}{suffix}")
    return builder.call(function, values)


def multiplied_and_added(builder, x, y, z):
    return called(builder, "fmuladd", x, y, z)


def address_of(context, builder, kind, array, index, index_kind):
    index = context.cast(builder, index, index_kind, types.int64)
    return builder.gep(context.make_array(kind)(context, builder, array).data, [index])


def lanes_address(context, builder, signature, values):
    (kind, index_kind), (array, index) = signature.args[:2], values[:2]
    address = address_of(context, builder, kind, array, index, index_kind)
    return builder.bitcast(address, VECTOR.as_pointer())
