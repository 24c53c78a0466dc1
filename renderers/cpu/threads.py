"""Work shared among as many threads as the caller says.

Kernels release the GIL, so plain Python threads suffice; they wait in the kernel of the operating
system, not in a loop, and cost nothing while another program has the core. How work is split
never shows in a result: each piece writes to a place of its own, in an order of its own.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise

PIECES_PER_THREAD = 2


class Team:
    """`threads` workers, or the calling thread alone."""

    def __init__(self, threads: int, pool: ThreadPoolExecutor | None) -> None:
        self.threads = threads
        self._pool = pool

    def shares(self, count: int) -> list[tuple[int, int]]:
        """[0, count) in one range per worker, for work that costs the same everywhere."""
        ends = [count * k // self.threads for k in range(self.threads + 1)]
        return list(pairwise(ends))

    def pieces(self, count: int) -> list[tuple[int, int]]:
        """[0, count) in a few ranges per worker, so that who is ready first takes the next; or in
        one. Not in more: handing a piece over costs as much as a small piece itself."""
        parts = 1 if self.threads == 1 else min(count, PIECES_PER_THREAD * self.threads)
        ends = [count * k // parts for k in range(parts + 1)]
        return list(pairwise(ends))

    def run(self, work: Callable, jobs: Sequence[tuple]) -> list:
        """work(*job) for every job; results in the order of the jobs."""
        if self._pool is None:
            return [work(*job) for job in jobs]
        return list(self._pool.map(lambda job: work(*job), jobs))


@contextmanager
def team(threads: int) -> Iterator[Team]:
    """Workers for the length of one render or one backward pass."""
    if threads == 1:
        yield Team(1, None)
        return
    with ThreadPoolExecutor(threads) as pool:
        yield Team(threads, pool)
