"""The work of `image.py`: photograph in; field, picture and report out."""

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from ...pipeline.contract import Context, replacing
from ...pipeline.errors import ConfigError, InputError
from ..encoding import field_files, uses
from ..encoding.field import Field, FieldSettings
from ..encoding.settings import Settings
from ..encoding.training import Schedule, signature, train
from ..formats import image_files, pictures
from ..randomness import generator
from .image import VERSION, Config

COARSEST = 16.0
SMALLEST_PX = 4


def fit(path: Path, config: Config, ctx: Context) -> tuple[Path, Path, Path]:
    """Returns the paths of field, picture and report."""
    torch.set_num_threads(1)
    pixels = read(path)
    height, width = pixels.shape[:2]
    field = build(width, height, config, ctx.seed, ctx.threads)
    train(
        field,
        lambda iteration: loss(field, pixels, config.batch, ctx.seed, iteration),
        lambda value: f"{_psnr_db(value):.2f} dB",
        Schedule(
            config.iterations, config.rate, config.checkpoint_every_s,
            signature(VERSION, dataclasses.asdict(config), ctx.seed),
        ),
        ctx,
    )  # fmt: skip
    found, psnr_db = picture(field, pixels)
    count = sum(p.numel() for p in field.parameters())
    ctx.log.info(
        "%d x %d pixels: %.2f dB with %d parameters (%.1f numbers of the picture for each)",
        width, height, psnr_db, count, pixels.size / count,
    )  # fmt: skip
    report = {
        "width_px": width,
        "height_px": height,
        "psnr_db": round(psnr_db, 4),
        "parameters": count,
        "pixel_values_per_parameter": round(pixels.size / count, 3),
    }
    with replacing(ctx.out / "report.json") as temporary:
        temporary.write_text(json.dumps(report, indent=1) + "\n", "utf-8")
    return (
        field_files.save(field, ctx.out / "field.safetensors"),
        pictures.save(found, ctx.out / "picture.png"),
        ctx.out / "report.json",
    )


def read(path: Path) -> UInt8[np.ndarray, "height width 3"]:
    """The picture's colors; transparency is refused, since a field of colors has none."""
    if not path.is_file():
        raise InputError(f"{path}: no such file.")
    pixels = image_files.decode(path.read_bytes(), str(path), image_files.Budget())
    if pixels.shape[2] == 4 and (pixels[..., 3] < 255).any():
        raise InputError(f"{path}: is partly transparent. Flatten it onto a background first.")
    if min(pixels.shape[:2]) < SMALLEST_PX:
        height, width = pixels.shape[:2]
        raise InputError(f"{path}: {width} x {height} pixels; at least {SMALLEST_PX} are needed.")
    return np.ascontiguousarray(pixels[..., :3])


def build(width: int, height: int, config: Config, seed: int, threads: int) -> Field:
    """An untrained field for a picture of this size."""
    finest = max(width, height) / config.cell_px
    try:
        encoding = Settings(
            dims=2, lattice=config.lattice, levels=config.levels, table_size=config.table_size,
            n_min=min(COARSEST, max(1.0, finest)), n_max=max(1.0, finest),
        )  # fmt: skip
        settings = FieldSettings(
            kind="image", encoding=encoding, channels=3, hidden=config.hidden, low=(0.0, 0.0)
        )
    except ValueError as error:
        raise ConfigError(f"fit-image: {error}") from None
    return Field(settings, seed=seed, threads=threads)


def loss(
    field: Field,
    pixels: UInt8[np.ndarray, "height width 3"],
    batch: int,
    seed: int,
    iteration: int,
) -> Tensor:
    """Mean squared error over random pixels."""
    height, width = pixels.shape[:2]
    random = generator(seed, iteration, "pixels")
    number = torch.randint(width * height, (batch,), generator=random)
    x, y = number % width, number // width
    points = (torch.stack([x, y], dim=1) + 0.5) / max(width, height)
    wanted = torch.from_numpy(pixels.reshape(-1, 3)[number.numpy()]).float() / 255
    return (field(points) - wanted).square().mean()


def picture(field: Field, pixels: UInt8[np.ndarray, "height width 3"]) -> tuple[np.ndarray, float]:
    """The field's picture, and its PSNR before it is rounded to bytes."""
    height, width = pixels.shape[:2]
    out, top, square = np.empty((height, width, 3), np.float32), 0, 0.0
    for part in uses.rows(field, width, height):
        bottom = top + len(part)
        out[top:bottom] = np.clip(part, 0, 1)
        square += float(
            np.square(out[top:bottom] - pixels[top:bottom] / np.float32(255)).sum(dtype=np.float64)
        )
        top = bottom
    return out, _psnr_db(square / out.size)


def _psnr_db(mean_square: float) -> float:
    return -10 * math.log10(max(mean_square, 1e-10))
