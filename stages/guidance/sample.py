"""Pictures from a guidance model: what it takes a prompt to mean.

Deterministic DDIM (Song et al. 2021, eq. 12 with sigma = 0): from one noise level to the next
lower one, z_s = alpha_s x0 + sigma_s eps; the last step gives x0 itself.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from .cfg import Method, predict_guided, repeated
from .protocol import Condition, Guidance


def timesteps(levels: int, steps: int, start_share: float = 1.0) -> list[int]:
    """`steps` falling timesteps from the top of a schedule of `levels` (or `start_share` of it).

    Spaced as diffusers' "trailing": the first is the noisiest level, which is all noise for
    schedules that reach it, and none is used twice.
    """
    if not 1 <= steps <= levels:
        raise ValueError(f"steps must be in 1..{levels}, got {steps}.")
    if not 0 < start_share <= 1:
        raise ValueError(f"start_share must be in (0, 1], got {start_share}.")
    top = max(1, round(levels * start_share))
    return sorted({max(0, round(top * (k + 1) / steps) - 1) for k in range(steps)}, reverse=True)


@torch.no_grad()
def sample(
    guidance: Guidance,
    text: Condition,
    unconditional: Condition,
    noise: Float[Tensor, "batch channel height width"],
    *,
    steps: int = 25,
    scale: float = 7.5,
    method: Method = "cfg",
    start: Float[Tensor, "batch channel height width"] | None = None,
    start_share: float = 1.0,
    on_step: Callable[[int, int], None] | None = None,
) -> Float[Tensor, "batch channel height width"]:
    """Latents of one picture per row of `text`, determined by `noise`.

    Args:
        unconditional: One row (shared) or one per row of `text`.
        noise: Standard normal; draw it on the CPU from a seeded generator.
        start: Latents to begin from instead of pure noise (SDEdit): they are noised to
            `start_share` of the schedule.
        on_step: Called with (steps done, steps) for a progress bar.
    """
    abar = guidance.alphas_cumprod.to(noise)
    times = timesteps(len(abar), steps, start_share)
    rows = len(noise)
    empty = repeated(unconditional, rows)
    first = abar[times[0]]
    z = noise if start is None else first.sqrt() * start + (1 - first).sqrt() * noise
    for k, t in enumerate(times):
        batch_t = torch.full((rows,), t, dtype=torch.long, device=noise.device)
        guess = predict_guided(guidance, z, batch_t, text, empty, scale=scale, method=method)
        if k + 1 < len(times):
            a = abar[times[k + 1]]
            z = a.sqrt() * guess.x0 + (1 - a).sqrt() * guess.eps
        else:
            z = guess.x0
        if on_step is not None:
            on_step(k + 1, len(times))
    return z
