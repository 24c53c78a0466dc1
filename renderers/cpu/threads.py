"""Work shared among as many threads as the caller says.

Kernels release the GIL, so plain Python threads suffice; they wait in the kernel of the operating
system, not in a loop, and cost nothing while another program has the core. How work is split
never shows in a result: each piece writes to a place of its own, in an order of its own.
"""

import functools
import os
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise


class Team:
    """The calling thread and `threads - 1` helpers."""

    def __init__(self, threads: int, helpers: ThreadPoolExecutor | None) -> None:
        self.threads = threads
        self._helpers = helpers

    def shares(self, count: int) -> list[tuple[int, int]]:
        """[0, count) in one range per thread, for work that costs the same everywhere."""
        ends = [count * k // self.threads for k in range(self.threads + 1)]
        return list(pairwise(ends))

    def run(self, work: Callable, jobs: Sequence[tuple]) -> list:
        """work(*job) for every job, begun in their order; results in that order too."""
        if self._helpers is None or len(jobs) < 2:
            return [work(*job) for job in jobs]
        results, waiting = [None] * len(jobs), deque(enumerate(jobs))

        def take_part() -> None:
            while waiting:
                try:
                    k, job = waiting.popleft()
                except IndexError:  # Another thread took the last one.
                    return
                results[k] = work(*job)

        others = min(self.threads, len(jobs)) - 1
        asked = [self._helpers.submit(take_part) for _ in range(others)]
        take_part()
        for helper in asked:
            # One that has not begun has nothing left to do: its core is busy with something else.
            if not helper.cancel():
                helper.result()
        return results


@functools.cache
def _helpers(count: int) -> ThreadPoolExecutor:
    """Threads that wait for work from one call to the next: starting one takes 0.2 ms."""
    return ThreadPoolExecutor(count, thread_name_prefix="splatworks-render")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_helpers.cache_clear)  # Threads stay with the parent.


def team(threads: int) -> Team:
    """The calling thread with the help of others; several calls at once may share these."""
    return Team(threads, _helpers(threads - 1) if threads > 1 else None)
