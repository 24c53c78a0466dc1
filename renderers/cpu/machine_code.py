"""Kernels whose machine code is loaded without numba: importing that and reading from its cache
take about a second, which is more than many commands have to do.

The first call for some types of arguments compiles with numba, takes the optimized LLVM module,
strips it of all but the kernel (numba's wrappers need its runtime), and keeps the object code as a
file. From then on llvmlite alone links that and `ctypes` calls it, by numba's calling convention:

    int32 kernel(result *, exception **, arguments, flat)

An array is (memory info, parent, items, bytes of an item, data, shape, strides), the first two of
them null, a tuple its members, and the status 0 or -2 (nothing to return) if all went well. Such
a kernel must make no arrays. Arguments are C-contiguous arrays, integers, floats, booleans and
tuples of these; for others it is numba's as always.
"""

import ctypes
import functools
import hashlib
import json
import os
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import llvmlite
import llvmlite.binding as llvm
import numpy as np

_FINE = (0, -2)
_NUMBERS: dict[str, Any] = {
    "i": ctypes.c_int64, "f": ctypes.c_double, "b": ctypes.c_uint8,
}  # fmt: skip
_LOCK = threading.RLock()


class Kernel:
    """A function that numba compiles on its first call on this machine, and nobody after that."""

    def __init__(
        self,
        function: Callable,
        compiled: Callable[[], Any],
        cached: Callable[[], Any],
        folder: Callable[[], Path],
    ) -> None:
        """
        Args:
            compiled: Makes numba's dispatcher, without a cache of its own.
            cached: The same with one, for arguments that cannot be passed flat.
            folder: Where object code is kept.
        """
        functools.update_wrapper(self, function)
        self.py_func = function
        self._compiled, self._cached, self._folder = compiled, cached, folder
        self._loaded: dict[tuple, Callable[[tuple], Any]] = {}

    @functools.cached_property
    def dispatcher(self) -> Any:
        """As numba has it: what it takes this for where another kernel calls it."""
        return self._compiled()

    @property
    def _numba_type_(self) -> Any:
        return self.dispatcher._numba_type_

    @functools.cached_property
    def _usual(self) -> Any:
        return self._cached()

    def __call__(self, *arguments: Any) -> Any:
        kinds = tuple(map(kind_of, arguments))
        if None in kinds:
            return self._usual(*arguments)
        if kinds not in self._loaded:
            with _LOCK:
                if kinds not in self._loaded:
                    self._loaded[kinds] = self._load(kinds, arguments)
        return self._loaded[kinds](arguments)

    def _load(self, kinds: tuple, arguments: tuple) -> Callable[[tuple], Any]:
        path = self._folder() / f"{self.py_func.__name__}-{_digest(self.py_func, kinds)}.o"
        try:
            return linked(path.read_bytes(), kinds)
        except (OSError, ValueError):
            pass
        if not hasattr(self.dispatcher, "inspect_llvm"):  # NUMBA_DISABLE_JIT
            return lambda values: self.py_func(*values)
        made = object_code(self.dispatcher, arguments)
        if made is None:
            return lambda values: self._usual(*values)
        _keep(made, path)
        return linked(made, kinds)


def kind_of(value: Any) -> Any:
    """What a kernel is compiled anew for; `None` for what it cannot be given flat."""
    if isinstance(value, np.ndarray):
        flat = value.flags.c_contiguous and value.flags.aligned
        if flat and value.dtype.kind in "biuf" and value.dtype.isnative:
            return (value.dtype.str, value.ndim, value.flags.writeable)
        return None
    if isinstance(value, bool | np.bool_):
        return "b"
    if isinstance(value, int | np.signedinteger):
        return "i"
    if isinstance(value, float):
        return "f"
    if isinstance(value, tuple):
        members = tuple(map(kind_of, value))
        return None if None in members else (type(value).__qualname__, *members)
    return None


def processor() -> tuple[str, str]:
    """Name and features of what is compiled for; numba's variables change them."""
    name, features = os.environ.get("NUMBA_CPU_NAME"), os.environ.get("NUMBA_CPU_FEATURES")
    return name or _host()[0], _host()[1] if features is None else features


@functools.cache
def _host() -> tuple[str, str]:
    return llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten()


def object_code(dispatcher: Any, arguments: Sequence) -> bytes | None:
    """A line of JSON about the kernel for such arguments, and its object code; `None` where it
    needs more than the C library."""
    import numba

    types = tuple(_canonical(numba, numba.typeof(value)) for value in arguments)
    dispatcher.compile(types)
    found = dispatcher.overloads[types]
    returned = _returned(numba.types, found.signature.return_type)
    entry = found.fndesc.llvm_func_name
    if returned is None:
        raise TypeError(f"{dispatcher.__name__} returns {found.signature.return_type}.")
    machine = _machine()
    module = _alone(dispatcher.inspect_llvm(types), entry, machine)
    needs = [f.name for f in module.functions if f.is_declaration]
    needs = [name for name in needs if not name.startswith("llvm.")]
    if not _all_there(needs):
        return None
    code = machine.emit_object(module)
    digest = hashlib.sha256(code).hexdigest()
    head = {"entry": entry, "returns": returned, "needs": needs, "sha256": digest}
    return json.dumps(head).encode() + b"\n" + code


def linked(made: bytes, kinds: tuple) -> Callable[[tuple], Any]:
    """The function for arguments of these kinds, to be given all of them as one tuple.

    Raises:
        ValueError: What is there is not the code of a kernel.
    """
    line, _, code = made.partition(b"\n")
    head = json.loads(line)
    if hashlib.sha256(code).hexdigest() != head.get("sha256"):
        raise ValueError("the file is damaged.")
    if not _all_there(head["needs"]):
        raise ValueError("symbols are missing.")
    module = llvm.parse_assembly("")
    engine = llvm.create_mcjit_compiler(module, _machine())
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    address = engine.get_function_address(head["entry"])
    if not address:
        raise ValueError("the kernel is missing.")
    return _caller(engine, address, kinds, head["returns"])


def _caller(engine: Any, address: int, kinds: tuple, returns: str) -> Callable[[tuple], Any]:
    pointers = (ctypes.c_void_p, ctypes.c_void_p)
    function = ctypes.CFUNCTYPE(ctypes.c_int32, *pointers, *_flat_types(kinds))(address)
    fields = [(f"m{k}", _NUMBERS[kind]) for k, kind in enumerate(returns.strip("()"))]
    room = type("Result", (ctypes.Structure,), {"_fields_": fields})

    def call(arguments: tuple, _engine: Any = engine) -> Any:
        flat: list[Any] = []
        _flatten(arguments, flat)
        result, exception = room(), ctypes.c_void_p()
        status = function(ctypes.byref(result), ctypes.byref(exception), *flat)
        if status not in _FINE:
            raise RuntimeError(f"a kernel ended with status {status}.")
        values = tuple(_plain(kind, getattr(result, name)) for (name, _), kind in zip(
            fields, returns.strip("()"), strict=True
        ))  # fmt: skip
        if returns.startswith("("):
            return values
        return values[0] if values else None

    return call


def _plain(kind: str, value: Any) -> Any:
    return bool(value) if kind == "b" else value


def _flat_types(kinds: tuple) -> Iterator[Any]:
    """Of all that `_flatten` makes of such arguments."""
    for kind in kinds:
        if isinstance(kind, str):
            yield _NUMBERS[kind]
        elif isinstance(kind[1], int):
            yield from (ctypes.c_void_p, ctypes.c_void_p, *(3 + 2 * kind[1]) * (ctypes.c_int64,))
        else:
            yield from _flat_types(kind[1:])


def _flatten(values: tuple, flat: list[Any]) -> None:
    for value in values:
        if isinstance(value, np.ndarray):
            place = value.__array_interface__["data"][0]
            flat += (None, None, value.size, value.itemsize, place, *value.shape, *value.strides)
        elif isinstance(value, tuple):
            _flatten(value, flat)
        else:
            flat.append(value.item() if isinstance(value, np.generic) else value)


def _canonical(numba: Any, kind: Any) -> Any:
    """Integers of any size are passed as 64 bits."""
    return numba.types.int64 if isinstance(kind, numba.types.Integer) else kind


def _returned(types: Any, kind: Any) -> str | None:
    """A letter for a number, letters in parentheses for a tuple, nothing for nothing."""
    letters = {types.int64: "i", types.float64: "f", types.boolean: "b", types.none: ""}
    if isinstance(kind, types.BaseTuple):
        members = [letters.get(member) for member in kind.types]
        return None if None in members or "" in members else f"({''.join(map(str, members))})"
    return letters.get(kind)


def _alone(text: str, entry: str, machine: Any) -> Any:
    """The module without all that the kernel does not use."""
    module = llvm.parse_assembly(text)
    for function in module.functions:
        if not function.is_declaration and function.name != entry:
            function.linkage = "internal"
    passes = llvm.create_new_module_pass_manager()
    passes.add_global_dead_code_eliminate_pass()
    passes.add_strip_dead_prototype_pass()
    passes.run(module, llvm.create_pass_builder(machine, llvm.PipelineTuningOptions()))
    return module


def _all_there(symbols: Sequence[str]) -> bool:
    """Whether the process has them: the linker would end it for one that is missing."""
    return all(llvm.address_of_symbol(name) for name in symbols)


@functools.cache
def _prepared() -> Any:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return llvm.Target.from_default_triple()


def _machine() -> Any:
    name, features = processor()
    return _prepared().create_target_machine(
        cpu=name, features=features, opt=3, codemodel="jitdefault", jit=True
    )


def _digest(function: Callable, kinds: tuple) -> str:
    """Sources are not in it: the folder knows them."""
    code = function.__code__
    what = (code.co_filename, code.co_firstlineno, kinds, processor(), llvmlite.__version__)
    return hashlib.sha256(repr(what).encode()).hexdigest()[:16]


def _keep(made: bytes, path: Path) -> None:
    """All at once, or not at all where nothing can be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
            file.write(made)
        os.replace(file.name, path)
    except OSError:
        pass
