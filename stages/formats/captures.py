"""`capture/1`: photographs with cameras, as other programs leave them.

A nerfstudio folder (`transforms.json`), a Blender-synthetic one (`transforms_train.json`), or a
COLMAP model beside its images. Nothing is written. Cameras become OpenCV world-to-camera; the
world is left as it is, so that what is made of a capture fits to what else was made of it.
"""

from collections.abc import Sequence
from pathlib import Path

from ...pipeline.errors import InputError
from . import capture_colmap, capture_transforms
from .shots import Capture


def load(folder: Path) -> Capture:
    """Whichever kind of capture a folder holds."""
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such directory. A capture is a folder of photographs.")
    if (folder / "transforms.json").is_file():
        capture = capture_transforms.load(folder)
    elif (folder / "transforms_train.json").is_file():
        capture = capture_transforms.load_splits(folder)
    elif (model := capture_colmap.model_folder(folder)) is not None:
        capture = capture_colmap.load(folder, model)
    else:
        raise InputError(
            f"{folder}: no capture: neither transforms.json (nerfstudio), transforms_train.json "
            f"(Blender) nor a COLMAP model (sparse/0/cameras.bin or .txt). Of photographs without "
            f"cameras: pipeline reconstruct {folder} --poses colmap finds them."
        )
    if len(capture.shots) < 2:
        raise InputError(
            f"{folder}: {len(capture.shots)} of the listed photographs are there; at least 2 are "
            f"needed{_named(capture.missing)}."
        )
    return capture


def _named(missing: Sequence[str]) -> str:
    if not missing:
        return ""
    more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
    return f" (missing: {', '.join(missing[:5])}{more})"
