"""The ways from splats to a surface. Adding one: a module with a function, and one line here."""

import importlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Protocol

from ..geometry.components import Surface
from .settings import Method
from .task import Task


class Extractor(Protocol):
    """Nothing to inherit, nothing to register."""

    def __call__(self, task: Task) -> Surface:
        """The surface in the coordinates of the splats, perhaps open and in many parts, in no
        particular order. Raises InputError where there is none."""
        ...


EXTRACTORS: Mapping[Method, str] = MappingProxyType(
    {
        "sugar": ".poisson:from_level",
        "poisson": ".poisson:from_ridge",
        "tsdf": ".tsdf:fused",
        "tsdf-contracted": ".tsdf:fused_contracted",
        "tets": ".tets:marched",
        "preview": ".preview:density_surface",
    }
)


def extractor(method: Method) -> Extractor:
    """The function of that name, imported on use."""
    module, _, name = EXTRACTORS[method].partition(":")
    return getattr(importlib.import_module(module, __package__), name)
