"""What a check has to say."""

from dataclasses import dataclass
from typing import Literal

Level = Literal["fact", "note", "warning", "error"]
"""`error`: programs refuse it or show it wrong; `warning`: some will; `note`: may surprise."""


@dataclass(frozen=True, slots=True)
class Remark:
    level: Level
    what: str
    do: str = ""
    """What helps, where something does."""


def fact(what: str) -> Remark:
    return Remark("fact", what)


def share(count: int, total: int) -> str:
    """`12 (0.1 %)`."""
    return f"{count:,} ({count / max(1, total):.1%})"
