"""Open3D for stages: absent or broken, it is the user's to mend (MissingError, exit code 2)."""

from types import ModuleType

from ...pipeline.errors import MissingError
from ...renderers.errors import UnavailableError
from ...renderers.open3d_import import open3d as load


def open3d() -> ModuleType:
    """The module `open3d`, imported on the first call (most of a second)."""
    try:
        return load()
    except UnavailableError as error:
        raise MissingError(str(error)) from None
