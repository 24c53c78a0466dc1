"""Several scenes as one input."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from ..contract import replacing
from ..store import remove


def gather(scenes: Sequence[Path], folder: Path) -> None:
    """One directory with all scenes, which stay where they are where links are possible."""
    remove(folder)
    folder.mkdir(parents=True)
    names = [str(number) for number in range(1, len(scenes) + 1)]
    for name, scene in zip(names, scenes, strict=True):
        for file in (scene, scene.with_suffix(".json")):
            if file.is_file():
                _link(file, folder / f"{name}{file.suffix.lower()}")
    with replacing(folder / "index.json") as temporary:
        rows = [{"name": name} for name in names]
        temporary.write_text(json.dumps({"kind": "scenes/1", "scenes": rows}) + "\n", "utf-8")


def _link(file: Path, link: Path) -> None:
    try:
        link.symlink_to(file.absolute())
    except OSError:  # Windows without the right to make links, and some file systems.
        shutil.copyfile(file, link)
