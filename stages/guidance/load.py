"""Which guidance a directory holds."""

from pathlib import Path

from . import oracle
from .protocol import Guidance

LARGE_TEXT_BYTES = 200_000_000


def load(model_dir: Path, device: str = "cpu") -> Guidance:
    """A diffusers pipeline, or an oracle where the directory holds an `oracle.json`."""
    if (Path(model_dir) / oracle.INDEX_NAME).is_file():
        return oracle.load(Path(model_dir), device)
    from . import diffusion

    return diffusion.load(Path(model_dir), device)


def free_text(guidance: Guidance) -> Guidance:
    """The same model without its text encoders, where these are large and all texts embedded.

    Small ones stay: the next run of the same process needs them again.
    """
    from . import diffusion
    from .memory import parameter_bytes

    if not isinstance(guidance, diffusion.DiffusionGuidance):
        return guidance
    if parameter_bytes(*(each.network for each in guidance.text_encoders)) < LARGE_TEXT_BYTES:
        return guidance
    diffusion.forget()
    return guidance.without_text()
