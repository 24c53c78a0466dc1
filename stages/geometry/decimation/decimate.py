"""A whole decimation: complex, virtual edges, collapses, levels; and the way back for points."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float64, Int, Int64

from ..components import Surface
from . import collapse, complex, floor, heap, quadrics, virtual_edges, web
from .history import History, Recorder
from .mapping import barycentrics, follow
from .rules import Rules

BATCH = 4096
"""Collapses between two looks at the clock: some 50 ms."""


@dataclass(frozen=True, slots=True)
class Report:
    """What was found in the input and what was done to it beforehand."""

    welded_vertices: int
    """Vertices of the input less those of the complex."""
    degenerate_faces: int
    duplicate_faces: int
    components: int
    pruned_components: int
    virtual_edges: int


@dataclass(frozen=True, slots=True)
class Level:
    """The mesh at one moment of the decimation."""

    positions: Float64[np.ndarray, "v 3"]
    faces: Int64[np.ndarray, "f 3"]
    """Welded: corners at one place are one vertex."""
    face_ids: Int64[np.ndarray, " f"]
    """For each face the one of the input whose number it carries; says nothing about its place."""
    error_m: float
    """Largest root-mean-square distance to the planes (and border lines) that a vertex stands
    for, times the root of its importance. Never falls from one level to the next."""
    history_end: int
    """How many records of the history lead here."""
    quadrics: Float64[np.ndarray, "v 10"]
    """The planes that each vertex stands for (`quadrics`), in diagonals about the center."""
    locked: Bool[np.ndarray, " v"]
    """Vertices that had to stay."""
    flips: History | None = None
    """Edges that were flipped afterwards; its last record is the latest."""


@dataclass(frozen=True, slots=True)
class Decimation:
    """The levels, finest first, and how they came about."""

    surface: Surface
    levels: tuple[Level, ...]
    history: History
    report: Report
    numbers: Int64[np.ndarray, " f"]
    """For each face of the complex, the one of the input."""
    parts: Int64[np.ndarray, " f"]
    """For each face of the complex, the number of its component; virtual edges connect."""
    center_m: Float64[np.ndarray, " 3"]
    diagonal_m: float


def simplify(
    surface: Surface,
    *,
    targets: Sequence[int],
    max_error_m: float | None = None,
    rules: Rules = Rules(),  # noqa: B008 - frozen
    locked: Bool[np.ndarray, " v"] | None = None,
    importance: Float[np.ndarray, " v"] | None = None,
    shown: Float[np.ndarray, " v"] | None = None,
    charts: Int[np.ndarray, " f"] | None = None,
    progress: Callable[[float], None] | None = None,
) -> Decimation:
    """Collapse edges until each of the falling face counts is reached, and keep a level of each.

    A level has at most its target's faces, usually that many or one less. It has more only where
    locks, `keep_topology` or `max_error_m` end the run early; the levels that remain are then
    equal. A target above the input's count gives the cleaned input. At least one face stays.

    Args:
        surface: As loaded; need not be welded or be a surface at all.
        targets: Face counts, falling.
        max_error_m: Stop before `Level.error_m` would exceed this.
        locked: Vertices that stay where they are.
        importance: Factor on the quadrics around each vertex; 1 is usual.
        shown: Share of the surface around each vertex that is not transparent, above 0: factor on
            the areas that borders sweep.
        charts: A number per face of the input; seams between faces of different numbers are kept
            in place as far as possible.
        progress: Told the share of the way done, rising to 1, several times a second. May raise.

    Raises:
        ValueError: A corner that is not finite, targets that do not fall, arrays of wrong size.
    """
    _check(surface, targets, max_error_m, locked, importance, shown)
    if charts is not None and len(charts) != len(surface.faces):
        raise ValueError(f"charts has {len(charts)} values for {len(surface.faces)} faces.")
    found = complex.build(surface)
    found, pruned = complex.prune(found, rules.prune_share) if rules.prune_share else (found, 0)
    of_vertex = complex.labels(found)
    real = len(found.edges)
    if rules.virtual_edges != "off" and not rules.keep_topology:
        found = virtual_edges.link(found, of_vertex, rules.virtual_edges)
    report = Report(
        welded_vertices=len(surface.positions) - len(found.positions),
        degenerate_faces=found.degenerate,
        duplicate_faces=found.duplicates,
        components=int(of_vertex.max(initial=-1)) + 1 + pruned,
        pruned_components=pruned,
        virtual_edges=len(found.edges) - real,
    )
    of_vertex = complex.labels(found, virtual=True)
    state = web.build(found, int(of_vertex.max(initial=0)) + 1)
    settings = _prepare(state, found, rules, locked, importance, shown)
    floor.measure(state, of_vertex)
    if charts is not None and rules.seam_weight > 0:
        quadrics.sum_seams(state, complex.seams(found, charts[found.face_ids]), rules.seam_weight)
    collapse.first_keys(state, settings)
    heap.fill(state)
    recorder = Recorder(found.positions)
    levels = _run(state, found, settings, targets, max_error_m, recorder, progress)
    return Decimation(
        surface=surface,
        levels=levels,
        history=recorder.finish(len(found.faces)),
        report=report,
        numbers=found.face_ids,
        parts=of_vertex[found.faces[:, 0]].astype(np.int64),
        center_m=found.center_m,
        diagonal_m=found.diagonal_m,
    )


def correspond(
    decimation: Decimation,
    level: int,
    faces: Int[np.ndarray, " p"],
    points: Float[np.ndarray, "p 3"],
    *,
    filtered: bool = True,
    threads: int = 1,
) -> tuple[Int64[np.ndarray, " p"], Float64[np.ndarray, "p 3"]]:
    """Where points on a level were on the input: its face, and weights of its three corners.

    Args:
        faces: Index into the level's faces.
        points: On these faces, metres.
        filtered: Pass over surface that looks away from the point's face, so that a point does
            not end up on the far side of a thin wall.
        threads: The result does not depend on it.
    """
    made = decimation.levels[level]
    living = np.searchsorted(decimation.numbers, made.face_ids)
    corners = (made.positions[made.faces] - decimation.center_m) / decimation.diagonal_m
    origins, facing = np.zeros((len(decimation.numbers), 3)), None
    origins[living] = corners[:, 0]
    if filtered:
        facing = np.zeros_like(origins)
        facing[living] = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    points = points.astype(np.float64)
    local = (points - decimation.center_m) / decimation.diagonal_m
    living = living[faces]
    if made.flips is not None:
        flipped = len(made.flips.starts) - 1
        living = follow(made.flips, flipped, living, local, origins, facing, threads=threads)
    found = follow(
        decimation.history, made.history_end, living, local, origins, facing, threads=threads
    )
    numbers = decimation.numbers[found]
    whole = decimation.surface
    positions = whole.positions.astype(np.float64)
    return numbers, barycentrics(positions, whole.faces, numbers, points)


def _check(surface, targets, max_error_m, locked, importance, shown) -> None:
    if not len(targets) or min(targets) < 1 or any(np.diff(targets) > 0):
        raise ValueError(f"targets must be falling counts of at least 1, got {list(targets)}.")
    if max_error_m is not None and not max_error_m >= 0:
        raise ValueError(f"max_error_m must not be negative, got {max_error_m}.")
    for name, values in (("locked", locked), ("importance", importance), ("shown", shown)):
        if values is not None and len(values) != len(surface.positions):
            raise ValueError(
                f"{name} has {len(values)} values for {len(surface.positions)} vertices."
            )
    for name, values in (("importance", importance), ("shown", shown)):
        if values is not None and not (np.isfinite(values) & (values > 0)).all():
            raise ValueError(f"{name} must be positive and finite everywhere.")


def _prepare(state: web.Web, found: complex.Complex, rules: Rules, locked, importance, shown):
    """Quadrics, locks and the heap. Returns the settings for the kernels."""
    of = found.vertex_of
    weights = _welded(importance, found)
    state.reals[:, web.SHOWN] = _welded(shown, found)
    if locked is not None:
        state.vertices[of[(of >= 0) & locked], web.LOCKED] = 1
    if rules.lock_borders:
        hanging = found.edge_faces
        state.vertices[found.edges[(hanging == 1) | (hanging > 2)], web.LOCKED] = 1
    settings = np.zeros(collapse.SETTINGS)
    settings[collapse.BORDER] = rules.border_weight * rules.boundary_area
    settings[collapse.PULL] = rules.placement_pull
    settings[collapse.REACH] = rules.placement_reach**2
    settings[collapse.FLIP] = rules.flip_penalty
    settings[collapse.THIN] = rules.sliver_penalty
    settings[collapse.BEND] = rules.bend_penalty
    settings[collapse.VANISH] = rules.vanish_penalty
    settings[collapse.SHRINK] = rules.shrink_penalty
    settings[collapse.GROW] = rules.grow_penalty * settings[collapse.BORDER]
    settings[collapse.FLOOR] = rules.part_floor
    settings[collapse.LARGE] = rules.part_share
    settings[collapse.EARNED] = rules.part_faces
    settings[collapse.TOPOLOGY] = rules.keep_topology
    settings[collapse.CLOSING] = rules.virtual_edges != "off"
    quadrics.sum_planes(state, rules.line_weight, weights, np.zeros((len(weights), 3)))
    if settings[collapse.BORDER] > 0:
        quadrics.sum_all_borders(state, settings[collapse.BORDER])
    return settings


def _welded(values: np.ndarray | None, found: complex.Complex) -> np.ndarray:
    """Of each welded vertex the largest; 1 where none are given."""
    if values is None:
        return np.ones(len(found.positions))
    out, of = np.zeros(len(found.positions)), found.vertex_of
    np.maximum.at(out, of[of >= 0], values[of >= 0])
    return out


def _run(state, found, settings, targets, max_error_m, recorder, progress) -> tuple[Level, ...]:
    limit = np.inf if max_error_m is None else max_error_m / found.diagonal_m
    faces = max(len(found.faces), 1)
    error, ended = 0.0, False
    levels = []
    for target in targets:
        while not ended:
            room = recorder.room(BATCH)
            records, error, reason = collapse.run(state, settings, target, error, limit, *room)
            recorder.keep(room, records)
            if progress is not None:
                left = state.counts[web.FACES] - targets[-1]
                progress(1 - max(left, 0) / max(faces - targets[-1], 1))
            if reason == 1:
                break
            ended = reason > 1
        levels.append(_level(state, found, error * found.diagonal_m, recorder.records))
    if progress is not None:
        progress(1.0)
    return tuple(levels)


def _level(state: web.Web, found: complex.Complex, error_m: float, records: int) -> Level:
    alive = np.flatnonzero(state.faces[:, 0] >= 0)
    used, faces = np.unique(state.faces[alive, :3], return_inverse=True)
    positions = state.reals[used, :3] * found.diagonal_m + found.center_m
    return Level(
        positions=positions,
        faces=faces.reshape(-1, 3).astype(np.int64),
        face_ids=found.face_ids[alive].astype(np.int64),
        error_m=error_m,
        history_end=records,
        quadrics=state.reals[used, web.PLANES : web.PLANES + 10].copy(),
        locked=state.vertices[used, web.LOCKED] > 0,
    )
