"""One export on its way: what is wanted, how files are called, and what has to be said."""

from dataclasses import dataclass, field
from pathlib import Path

from .profiles import Up, unit_m, up_axis
from .settings import Config, Format, Tool

ENDINGS: dict[str, str] = {"usd-splats": ".usdc", "gltf-splats": ".glb"}


@dataclass(slots=True)
class Job:
    """Made by `deliver`, handed to whoever writes."""

    config: Config
    format: Format
    out: Path
    name: str
    """As the tool shall call it."""
    stem: str
    """What the textures are named after."""
    remarks: list[str] = field(default_factory=list)

    @property
    def tool(self) -> Tool:
        return self.config.tool

    @property
    def up(self) -> Up:
        """The axis that points up in the file."""
        return up_axis(self.tool, self.format)

    @property
    def unit_m(self) -> float:
        """Metres per unit of the file."""
        return unit_m(self.tool, self.format)

    def path(self, suffix: str = "") -> Path:
        """Where the file goes; `suffix` tells levels apart."""
        if self.config.file is not None:
            return self.out / self.config.file
        ending = ENDINGS.get(self.format, f".{self.format}")
        return self.out / f"{self.name}{suffix}{ending}"

    def say(self, remark: str) -> None:
        if remark not in self.remarks:
            self.remarks.append(remark)
