"""What the steps run on: device, threads, memory, and where progress is shown."""

import ctypes
import importlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from .contract import Bar, Progress
from .errors import MissingError

Device = Literal["auto", "cpu", "cuda"]


class _Silent:
    def advance(self, steps: int = 1, note: str = "") -> None:
        pass


@contextmanager
def silent(title: str, total: int, done: int = 0) -> Iterator[Bar]:
    """A progress that shows nothing."""
    yield _Silent()


def cores() -> int:
    """Cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1


def memory() -> int:
    """Bytes that can be had without swapping, within the container's limit; 4 GiB if unknown."""
    found: list[int] = []
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                found.append(int(line.split()[1]) * 1024)
    except OSError:
        pass
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text().strip()
        used = Path("/sys/fs/cgroup/memory.current").read_text().strip()
        if limit != "max":
            found.append(max(0, int(limit) - int(used)))
    except (OSError, ValueError):
        pass
    return min(found, default=4 << 30)


@dataclass(frozen=True, slots=True)
class Machine:
    """Shapes no result. `device` is settled when a step really runs."""

    device: Device = "auto"
    threads: int = field(default_factory=cores)
    memory_bytes: int = field(default_factory=memory)
    progress: Progress = silent
    fresh: bool = False
    """Hash everything again instead of trusting the cache (`--verify`)."""


def settle(device: Device) -> str:
    """`cpu` or `cuda`. Loads torch only where there is an NVIDIA driver to talk to."""
    if device == "cpu":
        return "cpu"
    if has_driver():
        try:
            if importlib.import_module("torch").cuda.is_available():
                return "cuda"
        except ModuleNotFoundError:
            pass
        reason = "the installed torch has no CUDA. Install a CUDA build of torch"
    else:
        reason = "there is no NVIDIA driver or no NVIDIA card"
    if device == "cuda":
        raise MissingError(f"--device cuda: {reason}, or use --device cpu.")
    return "cpu"


def has_driver() -> bool:
    """Whether the CUDA driver sees at least one device."""
    try:
        driver = ctypes.CDLL("nvcuda.dll" if os.name == "nt" else "libcuda.so.1")
    except OSError:
        return False
    count = ctypes.c_int(0)
    return driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0 < count.value
