"""The one place that imports OpenUSD (`pxr`), which is optional."""

from types import ModuleType
from typing import Any

from ...pipeline.errors import MissingError

ADVICE = "Install it: pip install 'splatworks[usd]' (or pip install usd-core)."


def pxr(name: str) -> Any:
    """The module `pxr.NAME`. Raises MissingError in one line where there is no OpenUSD."""
    import importlib

    try:
        module: ModuleType = importlib.import_module(f"pxr.{name}")
    except ImportError as error:
        raise MissingError(f"USD files need the package usd-core ({error}). {ADVICE}") from None
    return module


def version() -> str:
    """Of the installed OpenUSD, such as 26.11."""
    _, minor, patch = pxr("Usd").GetVersion()
    return f"{minor}.{patch:02d}"
