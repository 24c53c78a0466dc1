"""What is given to training on photographs and stays as it is."""

from collections.abc import Sequence
from dataclasses import dataclass

from ...renderers.scene import Renderer
from ..formats.photos import Photo
from . import Config


@dataclass(frozen=True, slots=True)
class Task:
    """What the loop works on, apart from the state."""

    training: Sequence[Photo]
    kept_aside: Sequence[Photo]
    renderer: Renderer
    config: Config
    extent: float
    """Of the cameras, in the capture's units."""
    white_behind: bool
    seed: int
    device: str
