"""Which levels a decimation has to make, and which of those become levels of detail."""

from dataclasses import dataclass

from ...pipeline.errors import InputError
from ..geometry.decimation import Decimation
from . import Config

STEP = 0.95
"""Where errors are asked for, the run keeps a level whenever so many faces are left of the last;
the coarsest that is within the error becomes the level of detail."""


@dataclass(frozen=True, slots=True)
class Target:
    """One level of detail."""

    level: int
    """Of the decimation."""
    ratio: float
    """Of the input's faces."""
    whole: bool = False
    """It is the input as it came."""


def run_targets(faces: int, config: Config) -> list[int]:
    """Falling face counts for the one run."""
    if config.faces:
        if config.faces[0] > faces:
            raise InputError(
                f"{config.faces[0]} faces are asked for, but the mesh has only {faces}."
            )
        return list(config.faces)
    if config.errors:
        if len(config.errors) == 1:
            return [1]
        counts = [faces]
        while counts[-1] > 1:
            counts.append(min(int(counts[-1] * STEP), counts[-1] - 1))
        return counts
    return [count for _, count in _by_ratio(faces, config)]


def chosen(
    made: Decimation, counts: list[int], faces: int, errors_m: list[float], config: Config
) -> list[Target]:
    """The levels of detail, finest first."""
    if errors_m:
        return _by_error(made, faces, errors_m)
    if config.faces:
        return [Target(k, count / faces, count == faces) for k, count in enumerate(counts)]
    ratios = _by_ratio(faces, config)
    return [Target(k, ratio, count >= faces) for k, (ratio, count) in enumerate(ratios)]


def _by_error(made: Decimation, faces: int, errors_m: list[float]) -> list[Target]:
    found = []
    for error in errors_m:
        within = [k for k, lod in enumerate(made.levels) if lod.error_m <= error]
        level = max(within, default=0)
        found.append(Target(level, len(made.levels[level].faces) / faces))
    return found


def _by_ratio(faces: int, config: Config) -> list[tuple[float, int]]:
    """(ratio, count) per level; the finest always stays."""
    finest = min(faces, config.max_faces)
    wanted = [(ratio, max(round(finest * ratio), 1)) for ratio in config.ratios]
    return [wanted[0], *(pair for pair in wanted[1:] if pair[1] >= config.min_faces)]
