"""A surface cut into flat charts, in pieces small enough for xatlas.

xatlas's time grows faster than a piece's size, and it has crashed on large ones, as well as on
values that it does not expect. So it only ever sees pieces of at most `PIECE_FACES` sound faces,
moved and scaled to about 1; faces without area are laid out here, as charts of their own.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from .components import Surface, components
from .connected import connected

PIECE_FACES = 2_000
FLAT = 1e-7
"""A face is degenerate where it is less than this high, in shares of its longest side."""


@dataclass(frozen=True, slots=True)
class Charts:
    """Vertices split along the charts' borders."""

    vertices: Int[np.ndarray, " vertex"]
    """Index of each in the surface that came in."""
    faces: Int[np.ndarray, "face 3"]
    """Same faces in the same order."""
    flat: Float[np.ndarray, "vertex 2"]
    """Metres, each chart in a plane of its own and of the area of its faces."""
    chart: Int[np.ndarray, " vertex"]
    count: int


def cut(surface: Surface, kinds: Int[np.ndarray, " face"] | None = None) -> Charts:
    """Cut and flatten. Deterministic.

    Args:
        kinds: A number per face; no chart has faces of different numbers.
    """
    faces = surface.faces
    sound = _sound(surface)
    vertices: list[np.ndarray] = []
    flats: list[np.ndarray] = []
    out = np.zeros_like(faces)
    total = 0
    groups = np.zeros(len(faces), np.int64) if kinds is None else kinds
    for piece in (
        piece
        for kind in np.unique(groups)
        for piece in _pieces(surface, np.flatnonzero(sound & (groups == kind)))
    ):
        used, own, flat = _flatten(surface, faces[piece])
        out[piece] = own + total
        vertices.append(used)
        flats.append(flat)
        total += len(used)
    rest = np.flatnonzero(~sound)
    if len(rest):
        # A point each: it has no area, and so nothing to show.
        out[rest] = np.arange(3 * len(rest)).reshape(-1, 3) + total
        vertices.append(faces[rest].reshape(-1))
        flats.append(np.zeros((3 * len(rest), 2)))
        total += 3 * len(rest)
    chart = connected(total, out[:, [0, 1, 1, 2]].reshape(-1, 2))
    count = int(chart.max(initial=-1)) + 1
    kept = np.concatenate(vertices)
    flat = _to_scale(surface, faces, out, np.concatenate(flats), chart, count)
    return Charts(kept, out, flat, chart, count)


def _sound(surface: Surface) -> Bool[np.ndarray, " face"]:
    corners = surface.positions[surface.faces].astype(np.float64)
    sides = np.roll(corners, -1, axis=1) - corners
    longest = (sides * sides).sum(axis=-1).max(axis=1)
    doubled = np.linalg.norm(np.cross(sides[:, 0], sides[:, 1]), axis=1)
    return doubled > FLAT * np.maximum(longest, 1e-300)


def _pieces(surface: Surface, faces: Int[np.ndarray, " some"]) -> list[Int[np.ndarray, " piece"]]:
    """Small components together, large ones halved across their longest extent."""
    if not len(faces):
        return []
    labels = components(Surface(surface.positions, surface.faces[faces]))
    order = np.argsort(labels, kind="stable")
    sizes = np.bincount(labels)
    runs = np.split(faces[order], np.cumsum(sizes)[:-1])
    centers = surface.positions[surface.faces].mean(axis=1)
    found: list[np.ndarray] = []
    small: list[np.ndarray] = []
    gathered = 0
    for run in runs:
        if len(run) > PIECE_FACES:
            found += _halves(run, centers)
            continue
        if gathered + len(run) > PIECE_FACES:
            found.append(np.concatenate(small))
            small, gathered = [], 0
        small.append(run)
        gathered += len(run)
    return [*found, np.concatenate(small)] if small else found


def _halves(faces: np.ndarray, centers: np.ndarray) -> list[np.ndarray]:
    if len(faces) <= PIECE_FACES:
        return [faces]
    axis = int(np.ptp(centers[faces], axis=0).argmax())
    order = np.argsort(centers[faces, axis], kind="stable")
    middle = len(faces) // 2
    parts = (np.sort(faces[order[:middle]]), np.sort(faces[order[middle:]]))
    return [piece for part in parts for piece in _halves(part, centers)]


def _flatten(
    surface: Surface, faces: Int[np.ndarray, "face 3"]
) -> tuple[Int[np.ndarray, " own"], Int[np.ndarray, "face 3"], Float[np.ndarray, "own 2"]]:
    """One piece through xatlas: which vertices, faces among them, places in the charts."""
    import xatlas

    used, own = np.unique(faces, return_inverse=True)
    points = surface.positions[used].astype(np.float64)
    points = points - points.min(axis=0)
    extent = float(points.max()) or 1.0
    charter = xatlas.Atlas()
    charter.add_mesh((points / extent).astype(np.float32), own.reshape(-1, 3).astype(np.uint32))
    options = xatlas.PackOptions()
    options.resolution, options.padding = 0, 0
    options.texels_per_unit = 64.0
    charter.generate(pack_options=options)
    vertices, again, uvs = charter[0]
    vertices, again = vertices.astype(np.int64), again.astype(np.int64)
    if not np.array_equal(vertices[again], own.reshape(-1, 3)):
        raise RuntimeError("xatlas has changed the order of the faces.")
    return used[vertices], again, uvs.astype(np.float64) * [charter.width, charter.height]


def _to_scale(
    surface: Surface,
    faces: np.ndarray,
    out: np.ndarray,
    flat: np.ndarray,
    chart: np.ndarray,
    count: int,
) -> Float[np.ndarray, "vertex 2"]:
    """Every chart with the area of its faces."""
    corners = surface.positions[faces].astype(np.float64)
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    plane = flat[out]
    first, second = plane[:, 1] - plane[:, 0], plane[:, 2] - plane[:, 0]
    drawn = np.abs(first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0])
    of_face = chart[out[:, 0]]
    real = np.bincount(of_face, np.linalg.norm(cross, axis=1), count)
    drawn = np.bincount(of_face, drawn, count)
    scale = np.sqrt(np.where(drawn > 0, real / np.where(drawn > 0, drawn, 1), 0))
    return flat * scale[chart][:, None]
