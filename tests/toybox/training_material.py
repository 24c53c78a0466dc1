"""Tiny stand-ins for the toybox's images and captions, and a context to run stages in."""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from splatworks.pipeline.contract import Context
from splatworks.stages.toybox import kinds, latents, props, train_unet, train_vae

SIDE = 32
COUNT = 20
WORDS = ["a", "back", "background", "front", "gray", "mug", "red", "view"]

VAE_CONFIG = train_vae.Config(
    channels=(8, 8, 8), steps=6, batch=4, crop_px=16, whole_every=3, warmup_steps=2, gate_db=1.0
)
UNET_CONFIG = train_unet.Config(
    channels=(16, 16),
    text_width=32,
    text_layers=1,
    heads=(1, 2),
    tokens=8,
    reading_steps=4,
    steps=6,
    batch=4,
    warmup_steps=2,
    drop_caption=0.25,
)


class QuietBar:
    def advance(self, steps: int = 1, note: str = "") -> None:
        pass


@contextmanager
def quiet(title: str, total: int, done: int = 0) -> Iterator[QuietBar]:
    yield QuietBar()


def context(root: Path, *, threads: int = 1, seed: int = 3) -> Context:
    """A context in `root`; called again with the same `root`, it continues there."""
    (root / "out").mkdir(parents=True, exist_ok=True)
    (root / "scratch").mkdir(exist_ok=True)
    return Context(
        out=root / "out",
        scratch=root / "scratch",
        log=logging.getLogger("test"),
        progress=quiet,
        seed=seed,
        device="cpu",
        threads=threads,
        memory_bytes=1 << 30,
    )


def images(root: Path) -> kinds.ToyImagesDir:
    """Rectangles on plain backgrounds; every fifth is held out."""
    root.mkdir(parents=True)
    rng = np.random.default_rng(0)
    pixels = np.zeros((COUNT, SIDE, SIDE, 3), np.uint8)
    pixels[:] = rng.integers(0, 255, (COUNT, 1, 1, 3))
    pixels[:, 8:20, 8:24] = rng.integers(0, 255, (COUNT, 1, 1, 3))
    np.save(root / "images.npy", pixels)
    splits = ["heldout" if i % 5 == 0 else "train" for i in range(COUNT)]
    lines = [
        {
            "prop": i % 2,
            "split": split,
            "azimuth": "back" if i % 3 else "front",
            "elevation": "low",
            "background": "gray",
            "zoom": 3.0 if i % 4 == 1 else 1.0,
        }
        for i, split in enumerate(splits)
    ]
    (root / "index.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return kinds.ToyImagesDir(root)


def toys(root: Path) -> props.PropsDir:
    """Two red mugs."""
    config = props.Config(kinds=("mug",), plain_props=2)
    made = [toy for toy in props.make(config, 0) if (toy.color, toy.pattern) == ("red", "none")]
    root.mkdir(parents=True)
    entries = [asdict(replace(toy, id=number)) for number, toy in enumerate(made)]
    (root / "props.json").write_text(json.dumps(entries))
    return props.PropsDir(root)


def captions(root: Path) -> kinds.ToyCaptionsDir:
    """Six wordings per image, three with the background."""
    root.mkdir(parents=True)
    plain = ["a red mug, front view", "red mug, front view", "a mug, front view"]
    wordings = plain + [f"{text}, gray background" for text in plain]
    (root / "captions.jsonl").write_text(COUNT * (json.dumps(wordings) + "\n"))
    (root / "vocabulary.json").write_text(json.dumps(WORDS))
    (root / "view_words.json").write_text('{"template": "{prompt}, {azimuth} view"}')
    return kinds.ToyCaptionsDir(root)


def unet_inputs(root: Path) -> train_unet.Inputs:
    """Everything the denoiser needs, made by the stages before it."""
    pictures = images(root / "images")
    vae = train_vae.run(train_vae.Inputs(pictures), VAE_CONFIG, context(root / "vae")).vae
    coded = latents.run(
        latents.Inputs(pictures, vae), latents.Config(batch=4), context(root / "latents")
    ).latents
    return train_unet.Inputs(
        toys(root / "props"), pictures, captions(root / "captions"), coded, vae
    )


def contents(folder: Path) -> dict[str, bytes]:
    """Every file but the log, whose seconds differ."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "training.jsonl"
    }
