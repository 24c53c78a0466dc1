"""Asking about several groups of views at the same time."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch

Asked = TypeVar("Asked")
Said = TypeVar("Said")


@contextmanager
def workers(
    threads: int,
) -> Iterator[Callable[[Callable[[Asked], Said], Sequence[Asked]], list[Said]]]:
    """A map in order, on up to `threads` threads of which each uses one core."""
    if threads <= 1:
        yield lambda function, items: [function(item) for item in items]
        return
    pool = ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,))
    try:
        yield lambda function, items: list(pool.map(function, items))
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)  # Nobody needs what they still work on.
        raise
    pool.shutdown()
