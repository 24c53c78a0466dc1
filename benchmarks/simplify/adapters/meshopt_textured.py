"""meshoptimizer with texture coordinates as attributes, vertices split where those differ."""

import ctypes
from dataclasses import replace

import meshoptimizer
import numpy as np
from adapter import main
from judge import glb
from meshoptimizer._loader import lib

UV_WEIGHT = 10.0
# The bindings do not declare this function and then fail to pass the error limit.
_floats, _indices = ctypes.POINTER(ctypes.c_float), ctypes.POINTER(ctypes.c_uint)
lib.meshopt_simplifyWithAttributes.argtypes = [
    _indices, _indices, ctypes.c_size_t, _floats, ctypes.c_size_t, ctypes.c_size_t, _floats,
    ctypes.c_size_t, _floats, ctypes.c_size_t, ctypes.POINTER(ctypes.c_ubyte), ctypes.c_size_t,
    ctypes.c_float, ctypes.c_uint, _floats,
]  # fmt: skip
lib.meshopt_simplifyWithAttributes.restype = ctypes.c_size_t


def run(source, target, out, variant, timer):
    model = glb.read(source)
    corners = np.concatenate(
        [
            model.positions[model.faces].reshape(-1, 3),
            model.uvs.reshape(-1, 2),
            np.repeat(model.material, 3)[:, None],
        ],
        axis=1,
    ).astype(np.float32)
    rows, index = np.unique(corners, axis=0, return_inverse=True)
    indices = np.ascontiguousarray(index.reshape(-1), np.uint32)
    result = np.zeros_like(indices)
    with timer:
        count = meshoptimizer.simplify_with_attributes(
            result,
            indices,
            np.ascontiguousarray(rows[:, :3]),
            np.ascontiguousarray(rows[:, 3:5]),
            np.full(2, UV_WEIGHT, np.float32),
            target_index_count=3 * target,
            target_error=1e10,
        )
    faces = result[:count].reshape(-1, 3).astype(np.int64)
    simplified = replace(
        model,
        positions=rows[:, :3].astype(np.float64),
        faces=faces,
        uvs=rows[faces][..., 3:5].astype(np.float64),
        colors=np.ones((len(faces), 3, 4)),
        material=rows[faces[:, 0], 5].astype(np.int64),
    )
    glb.write(out, simplified)


main(run)
