"""Stages without numbers, for testing the runner."""

from collections.abc import Mapping
from types import MappingProxyType

TABLE: Mapping[str, str] = MappingProxyType(
    {name: f"{__name__}.{name}" for name in ("make", "upper", "loop", "join")}
)
