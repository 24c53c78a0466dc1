"""Where the diffusion model of `--guidance` lies. Only a path is settled here; stages load it."""

import importlib
import os
import re
from pathlib import Path

from .errors import InputError, MissingError

EMBEDDED = Path(__file__).parents[1] / "data" / "toybox"
INDEX = "model_index.json"
HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
WANTED = (INDEX, "view_words.json", "*/*.json", "*/*.txt", "*/*.model", "*/*.safetensors")
UNWANTED = ("*.fp16.safetensors", "*non_ema*", "safety_checker/*")


def find_guidance(name: str) -> Path:
    """A local model directory for `toybox`, a path, or a hub name."""
    path = EMBEDDED if name == "toybox" else Path(name).expanduser()
    if path.is_dir():
        if not (path / INDEX).is_file():
            raise InputError(
                f"--guidance {name}: {path} is no diffusers pipeline: it has no {INDEX}."
                " Give the directory that holds it."
            )
        os.environ["HF_HUB_OFFLINE"] = "1"  # Local means local.
        return path
    if name == "toybox":
        raise MissingError(
            f"--guidance toybox: the built-in model is not at {path}."
            " Install the package whole, or give a model directory."
        )
    if path.exists():
        raise InputError(f"--guidance {name} is a file, expected a diffusers model directory.")
    if not HUB_NAME.fullmatch(name):
        raise InputError(
            f"--guidance {name}: there is no such directory, and it is neither 'toybox' nor a hub"
            " name OWNER/NAME."
        )
    return _from_hub(name)


def _from_hub(name: str) -> Path:
    try:
        hub = importlib.import_module("huggingface_hub")
    except ModuleNotFoundError:
        raise MissingError(
            f"--guidance {name}: downloading needs huggingface_hub. pip install huggingface_hub"
        ) from None
    reason = ""
    for local in (False, True):
        try:
            return Path(
                hub.snapshot_download(
                    name,
                    allow_patterns=list(WANTED),
                    ignore_patterns=list(UNWANTED),
                    local_files_only=local,
                )
            )
        except (OSError, ValueError, RuntimeError, hub.errors.HfHubHTTPError) as error:
            reason = reason or type(error).__name__
    raise MissingError(
        f"--guidance {name}: no such directory here, and the model hub cannot be reached or does"
        f" not have it ({reason}). Check the name and the connection, or give a local directory."
    )
