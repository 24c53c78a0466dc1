"""Which splat renderers there are, what each makes, and which one to take.

Adding one: a module with `render`, and one line here. Nothing is imported before it is chosen.
"""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from .errors import MissingOutputError
from .scene import Output, Renderer

Device = Literal["cpu", "cuda"]

_ALL: frozenset[Output] = frozenset(
    {"rgb", "alpha", "depth", "median_depth", "normal", "channels", "weights"}
)


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a renderer can do."""

    module: str
    """Full name of the module that holds `render`."""
    outputs: frozenset[Output]
    devices: frozenset[Device]
    differentiable: bool = True
    """By everything in the scene, but not through `median_depth` and `weights`."""


CAPABILITIES: Mapping[str, Capabilities] = MappingProxyType(
    {
        "reference": Capabilities(f"{__package__}.reference", _ALL, frozenset({"cpu", "cuda"})),
        "cpu": Capabilities(f"{__package__}.cpu", _ALL, frozenset({"cpu"})),
        "gsplat": Capabilities(
            f"{__package__}.gsplat", _ALL - {"median_depth"}, frozenset({"cuda"})
        ),
    }
)

_FOR_DEVICE: Mapping[str, str] = MappingProxyType({"cpu": "cpu", "cuda": "gsplat"})


def require(name: str, outputs: frozenset[Output]) -> None:
    """Raise MissingOutputError, naming renderers that could, unless `name` makes all `outputs`."""
    lacking = outputs - CAPABILITIES[name].outputs
    if lacking:
        able = [other for other, has in CAPABILITIES.items() if outputs <= has.outputs]
        raise MissingOutputError(
            f"renderer '{name}' does not make {', '.join(sorted(lacking))};"
            f" these do: {', '.join(able) or 'none'}."
        )


def splat_renderer(
    device: Device, outputs: frozenset[Output] = frozenset({"rgb", "alpha"})
) -> Renderer:
    """The renderer for scenes on `device` that makes `outputs`: on a CPU `cpu`, on CUDA `gsplat`.

    Raises MissingOutputError where that one lacks an output, rather than quietly taking a slower
    one or moving the scene.
    """
    if device not in _FOR_DEVICE:
        raise ValueError(f"device must be one of {sorted(_FOR_DEVICE)}, got {device!r}.")
    name = _FOR_DEVICE[device]
    require(name, outputs)
    return named(name)


def named(name: str) -> Renderer:
    """The renderer of that name."""
    if name not in CAPABILITIES:
        raise ValueError(f"no renderer '{name}'; there are {', '.join(CAPABILITIES)}.")
    return importlib.import_module(CAPABILITIES[name].module).render
