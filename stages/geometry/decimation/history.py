"""What a decimation did, kept small: enough to follow a point back to where it came from.

Each collapse leaves a record: the faces around the edge as they were just before. A corner is
stored as the index of a point; a collapse moves one vertex and so adds one point. That makes 16
bytes per face of a record, 12 bytes per collapse, and with at most `collapse.RING` faces a record
at most about 1 kB, typically 180 bytes: 2 million faces leave some 200 MB. Positions are float32,
in diagonals about the center, so good to 6e-8 of the diagonal.
"""

from dataclasses import dataclass, field

import numpy as np

from ....renderers.cpu.compiled import lean_kernel
from .collapse import RING


@dataclass(frozen=True, slots=True)
class History:
    """Records in order of the collapses, and which of them each face lived through."""

    starts: np.ndarray
    """record + 1, int64: where the faces of each record begin."""
    ids: np.ndarray
    """face of record, int32: the face, or ~face where the collapse removed it."""
    corners: np.ndarray
    """face of record 3, int32: points."""
    points: np.ndarray
    """point 3, float32: the vertices of the complex, then one for each record."""
    face_starts: np.ndarray
    """face + 1, int64: where the records of each face begin in `face_records`."""
    face_records: np.ndarray
    """int32: records that a face lived through, rising for each face."""

    @property
    def bytes_used(self) -> int:
        """Memory held."""
        return sum(getattr(self, name).nbytes for name in self.__slots__)


@dataclass(slots=True)
class Recorder:
    """Collects the records of one batch after the other."""

    positions: np.ndarray
    chunks: list[tuple[np.ndarray, ...]] = field(default_factory=list)
    records: int = 0

    def room(self, batch: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Arrays for a kernel to write up to `batch` records to."""
        return (
            np.zeros(batch + 1, np.int64),
            np.zeros(batch * RING, np.int32),
            np.zeros((batch * RING, 3), np.int32),
            np.zeros((batch, 3), np.float64),
        )

    def keep(self, room: tuple[np.ndarray, ...], records: int) -> None:
        """Copy what was written."""
        starts, ids, corners, points = room
        end = starts[records]
        self.chunks.append(
            (
                np.diff(starts[: records + 1]).astype(np.int32),
                ids[:end].copy(),
                corners[:end].copy(),
                points[:records].astype(np.float32),
            )
        )
        self.records += records

    def finish(self, faces: int) -> History:
        """Join the batches and index them by face. The recorder is empty afterwards."""
        sizes = np.concatenate([np.zeros(1, np.int64), *(chunk[0] for chunk in self.chunks)])
        ids = np.concatenate([np.zeros(0, np.int32), *(chunk[1] for chunk in self.chunks)])
        corners = np.concatenate([np.zeros((0, 3), np.int32), *(chunk[2] for chunk in self.chunks)])
        points = np.concatenate(
            [self.positions.astype(np.float32), *(chunk[3] for chunk in self.chunks)]
        )
        self.chunks.clear()
        starts = np.cumsum(sizes)
        return indexed(starts, ids, corners, points, faces)


def indexed(
    starts: np.ndarray, ids: np.ndarray, corners: np.ndarray, points: np.ndarray, faces: int
) -> History:
    """A history of records, with the records of each of `faces` faces."""
    lived = np.bincount(ids[ids >= 0], minlength=faces)
    ends = np.concatenate([np.zeros(1, np.int64), np.cumsum(lived)])
    records = np.empty(ends[-1], np.int32)
    _sort(starts, ids, ends.copy(), records)
    return History(starts, ids, corners, points, ends, records)


@lean_kernel
def _sort(starts: np.ndarray, ids: np.ndarray, filled: np.ndarray, records: np.ndarray) -> None:
    """Each record to its faces; `filled` has where the next one of each face goes."""
    for record in range(len(starts) - 1):
        for n in range(starts[record], starts[record + 1]):
            if ids[n] >= 0:
                records[filled[ids[n]]] = record
                filled[ids[n]] += 1
