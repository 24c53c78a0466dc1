from dataclasses import dataclass
from pathlib import Path

from splatworks.pipeline.contract import Artifact


@dataclass(frozen=True, slots=True)
class TextFile(Artifact):
    kind = "text/1"

    @classmethod
    def companions(cls, path: Path) -> tuple[Path, ...]:
        return (path.with_suffix(".json"),)


@dataclass(frozen=True, slots=True)
class TextDir(Artifact):
    kind = "texts/1"
