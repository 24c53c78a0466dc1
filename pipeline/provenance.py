"""When, where and with what a step was made. Kept beside the result, never part of it."""

import contextlib
import importlib.metadata
import platform
import sys
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

from .hashing import hash_text

SCHEMA = 1


@dataclass(slots=True)
class Stopwatch:
    """Wall time, processor time and peak memory from its making on."""

    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    _wall: float = field(default_factory=time.monotonic)
    _cpu: float = field(default_factory=time.process_time)

    def __post_init__(self) -> None:
        with contextlib.suppress(OSError):  # Linux: start measuring the peak anew.
            Path("/proc/self/clear_refs").write_text("5")

    def read(self) -> dict[str, Any]:
        return {
            "started": self.started.isoformat(timespec="seconds"),
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "wall_s": round(time.monotonic() - self._wall, 3),
            "cpu_s": round(time.process_time() - self._cpu, 3),
            "peak_memory_bytes": _peak(),
        }


def provenance(
    watch: Stopwatch, stage: ModuleType, *, resumed: bool, **more: Any
) -> dict[str, Any]:
    """Plain data for `provenance.json`."""
    return {
        "schema": SCHEMA,
        **watch.read(),
        "resumed": resumed,
        **more,
        "host": platform.node(),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "command": sys.argv,
        "source_sha256": _source(stage),
        "commit": _commit(Path(__file__).parents[1]),
        "versions": _versions(),
    }


def _peak() -> int:
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    try:
        import resource
    except ImportError:
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _source(stage: ModuleType) -> str:
    """Hash of the stage's own Python files."""
    path = Path(stage.__file__ or "")
    files = sorted(path.parent.glob("*.py")) if path.name == "__init__.py" else [path]
    return hash_text("\0".join(f.read_text("utf-8") for f in files if f.is_file()))


def _commit(folder: Path) -> str | None:
    """The checked-out commit, if the package runs from a git clone."""
    try:
        head = (folder / ".git" / "HEAD").read_text().strip()
        if not head.startswith("ref: "):
            return head
        loose = folder / ".git" / head[5:]
        if loose.is_file():
            return loose.read_text().strip()
        packed = (folder / ".git" / "packed-refs").read_text().splitlines()
        return next((line.split()[0] for line in packed if line.endswith(head[5:])), None)
    except OSError:
        return None


def _versions() -> dict[str, str]:
    """Versions of the libraries that are loaded, as they state them themselves."""
    found = {"splatworks": importlib.metadata.version("splatworks")}
    for name, module in sorted(sys.modules.items()):
        version = getattr(module, "__dict__", {}).get("__version__") if "." not in name else None
        if isinstance(version, str) and not name.startswith("_"):
            found[name] = version
    return found
