"""Kernels that are loaded without numba do what numba makes of them."""

import json
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from splatworks.renderers.cpu import machine_code
from splatworks.renderers.cpu.compiled import _OPTIONS, _lean, inner, lean_kernel


class Pair(NamedTuple):
    values: np.ndarray
    counts: np.ndarray


@inner
def _weighed(values, k, weight):
    return values[k] * weight


@lean_kernel
def _summed(pair, rows, weight, first, squared, out):
    """One of everything: tuples, arrays of two dimensions, each kind of number, several results."""
    total, number = 0.0, 0
    for k in range(first, len(pair.values)):
        number += pair.counts[k]
        value = _weighed(pair.values, k, weight)
        total += value * value if squared else value
        for column in range(rows.shape[1]):
            out[k] += rows[k, column] * np.cos(value)
    return total, number, number > 3


def _given() -> tuple:
    rng = np.random.default_rng(0)
    pair = Pair(rng.normal(size=5), np.arange(5, dtype=np.int32))
    return pair, rng.normal(size=(5, 3)).astype(np.float32), 0.5, 1, True


def test_results_and_what_is_written_are_those_of_python() -> None:
    given = _given()
    expected = np.zeros(5)
    total, number, many = _plain(given, expected)
    for first in (given[0], Pair(given[0].values.copy(), given[0].counts.copy())):
        out = np.zeros(5)
        found = _summed(first, *given[1:], out)
        assert found == (pytest.approx(total, rel=1e-12), number, many)
        assert (type(found[1]), type(found[2])) == (int, bool)
        np.testing.assert_allclose(out, expected, rtol=1e-6)


def _plain(given: tuple, out: np.ndarray) -> tuple[float, int, bool]:
    pair, rows, weight, first, _ = given
    values = weight * pair.values[first:]
    out[first:] += rows[first:].sum(axis=1, dtype=np.float64) * np.cos(values)
    return float((values**2).sum()), int(pair.counts[first:].sum()), pair.counts.sum() > 3


def test_what_cannot_be_passed_flat_goes_through_numba() -> None:
    given, out, strided = _given(), np.zeros(5), np.zeros(10)
    _summed(*given, out)
    _summed(*given, strided[::2])
    np.testing.assert_array_equal(strided[::2], out)
    assert machine_code.kind_of(strided[::2]) is None
    assert machine_code.kind_of((out, strided[::2])) is None


def test_arrays_that_must_not_be_written_are_told_apart() -> None:
    """numba compiles for them anew, and so must this."""
    frozen = np.zeros(3)
    frozen.flags.writeable = False
    assert machine_code.kind_of(frozen) != machine_code.kind_of(np.zeros(3))
    assert machine_code.kind_of(True) != machine_code.kind_of(1) != machine_code.kind_of(1.0)


def test_a_damaged_file_is_made_again(tmp_path: Path) -> None:
    function = _summed.py_func

    def fresh() -> machine_code.Kernel:
        made = _lean(function, _OPTIONS)
        made._folder = lambda: tmp_path
        return made

    one, two = np.zeros(5), np.zeros(5)
    fresh()(*_given(), one)
    (path,) = tmp_path.iterdir()
    damaged = path.read_bytes()[:-9] + b"x" * 9
    path.write_bytes(damaged)
    with pytest.raises(ValueError, match="damaged"):
        machine_code.linked(damaged, ())
    fresh()(*_given(), two)
    np.testing.assert_array_equal(one, two)
    machine_code.linked(path.read_bytes(), ())


def test_code_that_needs_what_is_not_there_is_not_linked() -> None:
    made = machine_code.object_code(_summed.dispatcher, (*_given(), np.zeros(5)))
    assert made is not None
    line, _, code = made.partition(b"\n")
    head = json.loads(line)
    assert not [name for name in head["needs"] if name.startswith(("Py", "NRT", "numba"))]
    head["needs"].append("no_such_function")
    with pytest.raises(ValueError, match="missing"):
        machine_code.linked(json.dumps(head).encode() + b"\n" + code, ())


def test_a_kernel_that_returns_an_array_is_refused() -> None:
    @lean_kernel
    def same(values):
        return values

    with pytest.raises(TypeError, match="returns"):
        same(np.zeros(3))


def test_the_second_process_needs_no_numba() -> None:
    """A whole decimation, in processes that share a cache."""
    code = (
        "import sys, numpy as np\n"
        "from splatworks.stages.geometry.components import Surface\n"
        "from splatworks.stages.geometry.decimation import simplify\n"
        "rng = np.random.default_rng(0)\n"
        "surface = Surface(rng.normal(size=(60, 3)), rng.integers(0, 60, (100, 3)))\n"
        "made = simplify(surface, targets=[20]).levels[-1]\n"
        "print(made.positions.tobytes().hex(), 'numba' in sys.modules)"
    )
    said = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        for _ in range(2)
    ]
    first, second = (one.stdout.split() for one in said)
    assert first[0] == second[0]
    assert second[1] == "False"
