"""Stage `toybox-images`: pictures of every prop from all sides, on eight flat backgrounds.

Each prop is seen from every side and on every background, some of them twice at another height.
One picture in ten is a close-up, cut from the same camera's picture. A
picture depends on the seed and its own number alone, so an interrupted run continues with
identical bytes.
"""

import json
import multiprocessing
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ...pipeline.contract import Context, replacing
from ...pipeline.errors import InputError
from . import catalog, props
from .kinds import ToyImagesDir

if TYPE_CHECKING:
    import numpy as np

VERSION = 2

BLOCK_PROPS = 40
"""Props between two checkpoints: about 15 s."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What one picture shows and how it was taken: one line of `index.jsonl`."""

    image: int
    prop: int
    split: str
    azimuth: str
    elevation: str
    azimuth_deg: float
    elevation_deg: float
    background: str
    zoom: float
    """Focal length in units of the full view's; above 1: a close-up."""
    center: tuple[float, float]
    """Middle of the picture in the full view, -1..1 to the right and up."""
    light: float
    """Strength of the key light, relative."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """The toys."""

    props: props.PropsDir


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """How many pictures, and how they vary."""

    views_per_prop: int = 12
    """Pictures of each prop that is trained on, at most 16."""
    heldout_views_per_prop: int = 4
    """Pictures of each prop that is held out, at most 16."""
    close_up_fraction: float = 0.1
    """Share of pictures that are close-ups."""
    close_up_zoom: tuple[float, float] = (2.0, 4.0)
    """Smallest and largest zoom of a close-up."""
    light_variation: float = 0.15
    """Range of the light's strength over the props, centered at 1."""

    def __post_init__(self) -> None:
        for name in ("views_per_prop", "heldout_views_per_prop"):
            if not 1 <= getattr(self, name) <= 16:
                raise ValueError(f"{name} must be in 1..16, got {getattr(self, name)}.")
        if not 0 <= self.close_up_fraction <= 1:
            raise ValueError(f"close_up_fraction must be in [0, 1], got {self.close_up_fraction}.")
        if not 1 < self.close_up_zoom[0] <= self.close_up_zoom[1]:
            raise ValueError(f"close_up_zoom must rise from above 1, got {self.close_up_zoom}.")
        if not 0 <= self.light_variation < 1:
            raise ValueError(f"light_variation must be in [0, 1), got {self.light_variation}.")


@dataclass(frozen=True, slots=True)
class Outputs:
    """The pictures."""

    images: ToyImagesDir


def run(inputs: Inputs, config: Config, ctx: Context) -> Outputs:
    """Take all pictures, block by block; finished blocks are not taken again."""
    toys = props.load(inputs.props)
    counts = [_views(toy, config) for toy in toys]
    pixels = _open(ctx.scratch / "images.npy", sum(counts))
    starts = [sum(counts[:k]) for k in range(0, len(toys), BLOCK_PROPS)]
    blocks = [toys[k : k + BLOCK_PROPS] for k in range(0, len(toys), BLOCK_PROPS)]
    del pixels
    done = sum(len(block) for k, block in enumerate(blocks) if _index(ctx.scratch, k).exists())
    with ctx.progress("pictures of props", len(toys), done=done) as bar:
        missing = [k for k in range(len(blocks)) if not _index(ctx.scratch, k).exists()]
        jobs = {k: (blocks[k], config, ctx.seed, starts[k], ctx.scratch, k) for k in missing}
        if ctx.threads == 1:
            for job in jobs.values():
                _take_block(*job, advance=bar.advance)
        else:
            _side_by_side(list(jobs.values()), ctx.threads, bar.advance)
    folder = ctx.out / "images"
    folder.mkdir(exist_ok=True)
    with replacing(folder / "index.jsonl") as path:
        parts = [
            _index(ctx.scratch, number).read_text(encoding="utf-8") for number in range(len(blocks))
        ]
        path.write_text("".join(parts), encoding="utf-8")
    _publish(ctx.scratch / "images.npy", folder / "images.npy")
    return Outputs(ToyImagesDir(folder))


def load_index(artifact: ToyImagesDir) -> list[Entry]:
    """Read `index.jsonl` strictly."""
    path = artifact.path / "index.jsonl"
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        return [Entry(**json.loads(line)) for line in lines]
    except (OSError, TypeError, ValueError) as error:
        raise InputError(f"{path} is not an index of pictures: {error}") from error


def plan(toy: props.Prop, config: Config, seed: int, first: int) -> Iterator[Entry]:
    """The pictures of one prop, close-ups not yet framed.

    The eight view words come in a random order, then again; each word misses one of the three
    heights, chosen so that heights are balanced too.
    """

    def shuffled(items: list, label: str) -> list:
        return sorted(items, key=lambda item: catalog.fraction(seed, toy.id, label, str(item)))

    words = shuffled(list(catalog.AZIMUTHS), "azimuths")
    heights = shuffled(list(catalog.ELEVATIONS), "elevations")
    grounds = shuffled(list(catalog.BACKGROUNDS), "backgrounds")
    light = 1 + config.light_variation * (catalog.fraction(seed, toy.id, "light") - 0.5)
    for view in range(_views(toy, config)):
        azimuth, elevation = words[view % 8], heights[(view + 2 * (view // 8)) % 3]

        def drawn(label: str, view: int = view) -> float:
            return catalog.fraction(seed, toy.id, view, label)

        zoom = 1.0
        if drawn("close-up") < config.close_up_fraction:
            low, high = config.close_up_zoom
            zoom = low * (high / low) ** drawn("zoom")
        turn = catalog.AZIMUTH_JITTER_DEG * (2 * drawn("azimuth") - 1)
        tilt = catalog.ELEVATION_JITTER_DEG * (2 * drawn("elevation") - 1)
        yield Entry(
            image=first + view,
            prop=toy.id,
            split=toy.split,
            azimuth=azimuth,
            elevation=elevation,
            azimuth_deg=round(catalog.AZIMUTHS[azimuth] + turn, 4),
            elevation_deg=round(catalog.ELEVATIONS[elevation] + tilt, 4),
            background=grounds[(view + 3 * (view // 8)) % 8],
            zoom=round(zoom, 4),
            center=(0.0, 0.0),
            light=round(light, 4),
        )


def _views(toy: props.Prop, config: Config) -> int:
    return config.views_per_prop if toy.split == "train" else config.heldout_views_per_prop


def _take_block(
    block: Sequence[props.Prop],
    config: Config,
    seed: int,
    start: int,
    scratch: Path,
    number: int,
    *,
    advance: Callable[[], None] = lambda: None,
) -> int:
    """Take and index a block's pictures, in their own rows of the file; returns its props."""
    import numpy as np

    pixels = np.lib.format.open_memmap(scratch / "images.npy", mode="r+")
    entries: list[Entry] = []
    for toy in block:
        entries.extend(_take(toy, config, seed, start + len(entries), pixels))
        advance()
    pixels.flush()
    _write_index(_index(scratch, number), entries)
    return len(block)


def _side_by_side(jobs: Sequence[tuple], workers: int, advance: Callable[[int], None]) -> None:
    """Blocks do not depend on one another: each in one of `workers` processes."""
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=fresh) as pool:
        futures = [pool.submit(_take_block, *job) for job in jobs]
        try:
            for future in as_completed(futures):
                advance(future.result())
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _take(
    toy: props.Prop, config: Config, seed: int, first: int, pixels: "np.ndarray"
) -> Iterator[Entry]:
    """Fill in the pictures of one prop."""
    from . import raycast

    model = raycast.Model(toy)
    for entry in plan(toy, config, seed, first):
        view = raycast.View(entry.azimuth_deg, entry.elevation_deg, light=entry.light)
        if entry.zoom > 1:
            label = catalog.digest(seed, toy.id, entry.image - first, "window")
            view = raycast.closer(model, view, entry.zoom, label)
        background = catalog.BACKGROUNDS[entry.background]
        pixels[entry.image] = model.picture(view, background)
        yield Entry(**(asdict(entry) | {"center": view.center}))


def _open(path: Path, count: int) -> "np.ndarray":
    """The pictures' file, mapped into memory; made when it is missing or of another size."""
    import numpy as np

    size = catalog.IMAGE_SIZE_PX
    shape = (count, size, size, 3)
    if path.exists():
        known = np.lib.format.open_memmap(path, mode="r+")
        if known.shape == shape:
            return known
    return np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)


def _index(scratch: Path, block: int) -> Path:
    return scratch / f"index-{block:04d}.jsonl"


def _write_index(path: Path, entries: list[Entry]) -> None:
    with replacing(path) as temporary:
        lines = "".join(json.dumps(asdict(entry)) + "\n" for entry in entries)
        temporary.write_text(lines, encoding="utf-8")


def _publish(source: Path, target: Path) -> None:
    """A second name for the file (a gigabyte), or a copy where the disk knows no hard links.

    The first name stays, so that a step killed here can still finish.
    """
    with replacing(target) as temporary:
        try:
            os.link(source, temporary)
        except OSError:
            shutil.copyfile(source, temporary)
