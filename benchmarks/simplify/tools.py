"""The tools: how each is called, and running one in a process of its own."""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ADAPTERS = Path(__file__).parent / "adapters"
LIMIT_S = 600
TEXTURE_PX = 1024
"""Of our maps; the others keep the textures they were given."""


@dataclass(frozen=True)
class Peers:
    """Where the other tools are installed; `None` leaves those out that need it."""

    python: str | None = None
    """With pymeshlab, meshoptimizer, pyfqmr and fast-simplification."""
    blender: str | None = None
    """A Python with bpy (and NumPy below 2)."""
    gltfpack: str | None = None


@dataclass(frozen=True)
class Tool:
    title: str
    line: tuple[str, ...]
    """Command; IN, FACES and OUT stand for the two files and the number between them."""
    textured: bool
    """Otherwise scored with the original's own colors at the nearest point of its surface."""
    ours: bool = False


@dataclass(frozen=True)
class Run:
    """What a tool took. Seconds are of the processor."""

    error: str | None
    core_s: float | None
    """Of the simplification alone, as far as the tool lets it be told apart."""
    total_s: float
    peak_bytes: int


def tools(peers: Peers) -> dict[str, Tool]:
    """All that can be run here, ours first."""

    def adapter(name: str, python: str | None, *variant: str | None) -> tuple[str, ...] | None:
        if python is None or None in variant:
            return None
        return (python, str(ADAPTERS / f"{name}.py"), "IN", "FACES", "OUT", *variant)  # type: ignore

    here, other = sys.executable, peers.python
    ours = (here, "-m", "splatworks.pipeline.cli", "simplify", "IN", "--faces", "FACES")
    ours = (*ours, "--out", "OUT", "--threads", "1", "--texture-size", str(TEXTURE_PX))
    geometry = "geometry_peers"
    rows = {
        "ours": (ours, "ours", True),
        "ours-global": ((*ours, "--virtual-edges", "global"), "ours, virtual edges (global)", True),
        "ours-local": ((*ours, "--virtual-edges", "local"), "ours, virtual edges (local)", True),
        "ours-no_fit": ((*ours, "--no-fit"), "ours, not fitted", True),
        "ours-no_visibility": ((*ours, "--no-visibility"), "ours, visibility ignored", True),
        "ours-unfiltered": (adapter("ours_unfiltered", here), "ours, no normal filter", True),
        "blender": (adapter("blender", peers.blender), "Blender decimate", True),
        "meshlab_textured": (
            adapter("meshlab_textured", other), "MeshLab quadric, texture-aware", True,
        ),
        "gltfpack": (adapter("gltfpack", other, peers.gltfpack), "gltfpack", True),
        "meshopt_textured": (
            adapter("meshopt_textured", other), "meshoptimizer with attributes", True,
        ),
        "ours_geometry": (adapter("ours_geometry", here), "ours, collapses alone", False),
        "ours_geometry-global": (
            adapter("ours_geometry", here, '{"virtual_edges": "global"}'),
            "ours, collapses, virtual edges (global)", False,
        ),
        "ours_geometry-local": (
            adapter("ours_geometry", here, '{"virtual_edges": "local"}'),
            "ours, collapses, virtual edges (local)", False,
        ),
        "ours_geometry-no_area": (
            adapter("ours_geometry", here, '{"boundary_area": false}'),
            "ours, collapses, no area term", False,
        ),
        "meshlab": (adapter(geometry, other, "meshlab"), "MeshLab quadric", False),
        "meshopt": (adapter(geometry, other, "meshoptimizer"), "meshoptimizer positions", False),
        "open3d": (adapter(geometry, here, "open3d"), "Open3D", False),
        "pyfqmr": (adapter(geometry, other, "pyfqmr"), "pyfqmr", False),
        "fast_simplification": (
            adapter(geometry, other, "fast_simplification"), "fast-simplification", False,
        ),
    }  # fmt: skip
    return {
        name: Tool(title, line, textured, name.startswith("ours"))
        for name, (line, title, textured) in rows.items()
        if line is not None
    }


def run(tool: Tool, source: Path, faces: int, out: Path) -> Run:
    """One thread. A tool that fails or takes longer than `LIMIT_S` is an error, not a stop.

    What Python compiles to byte code may be kept, as it is for what is installed.
    """
    words = {"IN": str(source), "FACES": str(faces), "OUT": str(out)}
    line = [words.get(word, word) for word in tool.line]
    threads = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL", "NUMBA")}
    kept = {name: v for name, v in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    out.unlink(missing_ok=True)
    with tempfile.TemporaryFile("w+") as written:
        process = subprocess.Popen(
            line, env={**kept, **threads}, stdout=written, stderr=subprocess.STDOUT
        )
        status, used, peak = _wait(process)
        written.seek(0)
        said = written.read()
    error = None
    if status is None:
        error = f"stopped after {LIMIT_S} s"
    elif status != 0:
        error = f"exit status {status}: {said.strip()[-300:]}"
    elif not out.is_file():
        error = "wrote nothing"
    own = _own_words(said)
    return Run(
        error=error,
        core_s=own.get("seconds"),
        total_s=used.ru_utime + used.ru_stime,
        peak_bytes=max(peak, own.get("peak_bytes", 0)),
    )


def _wait(process: subprocess.Popen) -> tuple[int | None, resource.struct_rusage, int]:
    begun, peak = time.monotonic(), 0
    while True:
        found, status, used = os.wait4(process.pid, os.WNOHANG)
        if found:
            process.returncode = os.waitstatus_to_exitcode(status)
            return process.returncode, used, peak
        peak = max(peak, _peak_bytes(process.pid))
        if time.monotonic() - begun > LIMIT_S:
            process.kill()
            _, status, used = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            return None, used, peak
        time.sleep(0.01)


def _peak_bytes(process: int) -> int:
    """So far. Not from `wait4`: there it begins with that of the process that started this one."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return 0
    found = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")]
    return 1024 * int(found[0]) if found else 0


def _own_words(said: str) -> dict[str, float]:
    """The line of JSON that adapters end with."""
    for line in reversed(said.splitlines()):
        try:
            return {str(key): value for key, value in json.loads(line).items()}
        except (ValueError, AttributeError):
            continue
    return {}
