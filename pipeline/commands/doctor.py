"""`pipeline doctor`: what this machine offers, and whether the package works on it."""

import contextlib
import importlib
import importlib.metadata
import os
import platform
import shutil
import sys
import time
from collections.abc import Callable
from types import MappingProxyType

from ..guidance_source import EMBEDDED, INDEX
from ..hashing import cache_dir
from ..machine import cores, has_driver, memory
from ..progress import size

PACKAGES = (
    *("torch", "diffusers", "transformers", "safetensors", "numpy", "numba", "gsplat"),
    *("open3d", "trimesh", "xatlas", "pillow", "imageio", "tyro", "rich"),
)
ALSO_CALLED = MappingProxyType({"open3d": "open3d-cpu"})


def doctor() -> int:
    """Print what is installed and run a short self-test. Needs nothing, changes nothing."""
    print(f"{'splatworks':14} {_version('splatworks')}")
    print(f"{'python':14} {platform.python_version()}  {sys.executable}")
    print(f"{'system':14} {platform.platform()}")
    print(f"{'cores':14} {cores()}")
    print(f"{'free memory':14} {size(memory())}")
    for name in PACKAGES:
        print(f"{name:14} {_version(name)}")
    print(f"{'cuda':14} {_cuda()}")
    print(f"{'compiler':14} {_compiler()}")
    print(f"{'cache':14} {cache_dir()}{_writable()}")
    present = (EMBEDDED / INDEX).is_file()
    absent = f"missing at {EMBEDDED}; use --guidance PATH"
    print(f"{'built-in model':14} {EMBEDDED if present else absent}")
    good = True
    for name, test in (("numbers", _test_torch), ("splat renderer", _test_renderer)):
        start = time.monotonic()
        verdict = _tried(test)
        good = good and not verdict.startswith("FAILED")
        print(f"{name:14} {verdict} ({time.monotonic() - start:.1f} s)")
    print("all well" if good else "something above FAILED")
    return 0 if good else 1


def _version(name: str) -> str:
    for distribution in (name, ALSO_CALLED.get(name, name)):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            return importlib.metadata.version(distribution)
    return "not installed"


def _cuda() -> str:
    if not has_driver():
        return "no NVIDIA driver or card: the CPU is used"
    try:
        torch = importlib.import_module("torch")
    except ImportError:
        return "driver found, but no torch"
    if not torch.cuda.is_available():
        return "driver found, but this torch has no CUDA: the CPU is used"
    return f"{torch.cuda.get_device_name(0)}, CUDA {torch.version.cuda}"


def _compiler() -> str:
    names = ("nvcc", "cl") if os.name == "nt" else ("nvcc", "c++", "ninja")
    found = [name for name in names if shutil.which(name)]
    return f"{', '.join(found) or 'none'} (needed only for CUDA kernels)"


def _writable() -> str:
    folder = cache_dir()
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
    return "" if os.access(folder, os.W_OK) else "  not writable: large files are hashed each time"


def _tried(test: Callable[[], str]) -> str:
    """The doctor reports, whatever is broken."""
    try:
        return test()
    except ModuleNotFoundError as error:
        return f"skipped: {error.name} is not there"
    except Exception as error:
        return f"FAILED: {type(error).__name__}: {' '.join(str(error).split())[:200]}"


def _test_torch() -> str:
    torch = importlib.import_module("torch")
    a = torch.arange(9.0, dtype=torch.float64).reshape(3, 3) + torch.eye(3, dtype=torch.float64)
    error = float((torch.linalg.inv(a) @ a - torch.eye(3, dtype=torch.float64)).abs().max())
    return "works" if error < 1e-9 else f"FAILED: inverse is off by {error:.1e}"


def _test_renderer() -> str:
    """One round splat in front of a camera: opaque in the middle, empty at the border.

    By the reference renderer, which needs no compiling.
    """
    torch = importlib.import_module("torch")
    scene = importlib.import_module("...renderers.scene", __package__)
    reference = importlib.import_module("...renderers.reference", __package__)
    splat = scene.Gaussians(
        means=torch.tensor([[0.0, 0.0, 2.0]]),
        quaternions=torch.tensor([[1.0, 0.0, 0.0, 0.0]]),
        scales=torch.full((1, 3), 0.1),
        opacities=torch.tensor([0.9]),
        sh=torch.zeros(1, 1, 3),
    )
    camera = scene.Cameras(
        world_to_camera=torch.eye(4)[None],
        focal_px=torch.full((1, 2), 32.0),
        center_px=torch.full((1, 2), 16.0),
        width_px=32,
        height_px=32,
    )
    alpha = reference.render(splat, camera).alpha[0, :, :, 0]
    middle, border = float(alpha[16, 16]), float(alpha[0, 0])
    if middle > 0.7 and border < 0.01:
        return "works"
    return f"FAILED: alpha is {middle:.2f} in the middle, {border:.2f} at the border"
