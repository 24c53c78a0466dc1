"""Importing Open3D, in one place, because its wheel forgets one shared library.

`libopen3d` wants `libusb-1.0.so.0`, which bare machines lack; the `libusb-package` wheel has it.
"""

import ctypes
import warnings
from types import ModuleType

from .errors import UnavailableError


def open3d() -> ModuleType:
    """The module `open3d`, imported on the first call (some seconds)."""
    try:
        import libusb_package

        ctypes.CDLL(str(libusb_package.get_library_path()), mode=ctypes.RTLD_GLOBAL)
    except (ImportError, OSError):
        pass  # The system may have its own.
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
