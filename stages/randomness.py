"""Counter-based randomness: nothing carries state, so that any iteration can be redone alone."""

import hashlib

import torch


def generator(seed: int, *labels: int | str) -> torch.Generator:
    """A CPU generator determined by `seed` and `labels`, such as (iteration, view, "noise").

    The 63-bit seed is taken from SHA-256 of the labels, so neighbouring iterations are
    independent. Draw on the CPU and move: results then do not depend on the device.
    """
    text = "\0".join(f"{type(part).__name__}:{part}" for part in (seed, *labels))
    digest = hashlib.sha256(text.encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)


def in_rounds(seed: int, iteration: int, count: int) -> int:
    """Which of `count` is due: each once per round, every round in an order of its own."""
    order = torch.randperm(count, generator=generator(seed, iteration // count, "order"))
    return int(order[iteration % count])
