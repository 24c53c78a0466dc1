"""What a pipeline's directory must hold, checked before anything of it is loaded."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors

from ...pipeline.errors import InputError
from ..formats import documents

PARTS: Mapping[str, tuple[str, ...]] = {
    "unet": ("UNet2DConditionModel",),
    "vae": ("AutoencoderKL", "AutoencoderTiny"),
    "text_encoder": ("CLIPTextModel",),
    "tokenizer": (
        "CLIPTokenizer",
        "CLIPTokenizerFast",
        "PreTrainedTokenizerFast",
        "TokenizersBackend",  # What transformers 5 calls the one before.
    ),
}
"""The parts of a pipeline that are used, and the classes that are understood."""


def read_index(model_dir: Path) -> dict[str, Any]:
    """`model_index.json`, if it names parts that are understood."""
    path = model_dir / "model_index.json"
    if not model_dir.is_dir():
        raise InputError(
            f"{model_dir}: no such directory. A guidance model is a local directory in "
            f"diffusers' layout."
        )
    if not path.is_file():
        raise InputError(f"{model_dir}: no diffusion pipeline: model_index.json is missing.")
    index = read_json(path)
    for part, classes in _parts_of(index).items():
        entry = index.get(part)
        name = entry[1] if isinstance(entry, list) and len(entry) == 2 else None
        if name not in classes:
            raise InputError(
                f"{path}: {part} is {name!r}, expected one of {', '.join(classes)}. Stable "
                f"Diffusion 1.x, 2.x and XL pipelines and their like are supported."
            )
    return index


def text_endings(index: Mapping[str, Any]) -> tuple[str, ...]:
    """What the names of the text encoders end with: SDXL has two."""
    second = index.get("text_encoder_2")
    return ("", "_2") if isinstance(second, list) and any(second) else ("",)


def has_control(index: Mapping[str, Any]) -> bool:
    """Whether there is a ControlNet, as diffusers' ControlNet pipelines save one."""
    entry = index.get("controlnet")
    return isinstance(entry, list) and any(entry)


def _parts_of(index: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    parts = dict(PARTS)
    if has_control(index):
        parts["controlnet"] = ("ControlNetModel",)
    if len(text_endings(index)) == 2:
        parts["text_encoder_2"] = ("CLIPTextModelWithProjection",)
        parts["tokenizer_2"] = PARTS["tokenizer"]
    return parts


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object."""
    if not path.exists():
        raise InputError(f"{path}: no such file; the pipeline is not complete.")
    return documents.read_any(path)


def fingerprint(model_dir: Path) -> tuple[object, ...]:
    """Tells a directory from a changed one: path, and size and time of each file."""
    root = model_dir.resolve()
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return (root, *((p.relative_to(root), p.stat().st_size, p.stat().st_mtime_ns) for p in files))


def check_weights(folder: Path) -> str | None:
    """Whether all weight files can be opened; returns the variant to load."""
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        pickled = sorted(path.name for path in folder.glob("*.bin"))
        if pickled:
            raise InputError(
                f"{folder / pickled[0]}: pickled weights are never loaded, as they can run any "
                f"code. Use a copy of the model with .safetensors files."
            )
        raise InputError(f"{folder}: holds no .safetensors file; the pipeline is not complete.")
    plain = [path for path in files if not path.stem.endswith((".fp16", ".non_ema"))]
    variant = None if plain else files[0].stem.rsplit(".", 1)[1]
    for path in plain or files:
        try:
            with safetensors.safe_open(str(path), framework="pt") as file:
                file.keys()
        except (safetensors.SafetensorError, OSError) as error:
            raise InputError(
                f"{path}: no readable safetensors file, or cut short ({error})."
            ) from None
    return variant


def check_tokenizer(folder: Path) -> None:
    """Whether there is a vocabulary: some versions make an empty tokenizer without a word."""
    files = {path.name for path in folder.glob("*")}
    if "tokenizer.json" not in files and not {"vocab.json", "merges.txt"} <= files:
        raise InputError(f"{folder}: neither tokenizer.json nor vocab.json with merges.txt.")
