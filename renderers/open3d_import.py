"""Importing Open3D, in one place, because its wheel forgets one shared library.

`libopen3d` wants `libusb-1.0.so.0`, which bare machines lack; the `libusb-package` wheel has it.
"""

import ctypes
import warnings
from types import ModuleType

from .errors import UnavailableError


def libusb() -> str | None:
    """Where the wheel's copy of the library is; None without it: the system may have its own."""
    try:
        import libusb_package
    except ImportError:
        return None
    path = libusb_package.get_library_path()
    return None if path is None else str(path)


def open3d() -> ModuleType:
    """The module `open3d`, imported on the first call (some seconds)."""
    try:
        if found := libusb():
            ctypes.CDLL(found, mode=ctypes.RTLD_GLOBAL)
    except OSError:
        pass  # Then Open3D says what is missing.
    try:
        with warnings.catch_warnings():
            # Of the libraries it pulls in, on some versions.
            warnings.simplefilter("ignore")
            import open3d as module
    except (ImportError, OSError) as error:
        raise UnavailableError(
            f"Open3D does not load ({error}): pip install open3d libusb-package."
        ) from None
    return module
