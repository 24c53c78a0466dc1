"""Which guidance a directory holds."""

from pathlib import Path

from . import oracle
from .protocol import Guidance


def load(model_dir: Path, device: str = "cpu") -> Guidance:
    """A diffusers pipeline, or an oracle where the directory holds an `oracle.json`."""
    if (Path(model_dir) / oracle.INDEX_NAME).is_file():
        return oracle.load(Path(model_dir), device)
    from . import diffusion

    return diffusion.load(Path(model_dir), device)
