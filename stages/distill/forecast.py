"""What the guidance model will need, before anything is started."""

from ...pipeline.contract import Context
from ...pipeline.errors import InputError
from ..guidance.diffusion import DiffusionGuidance
from ..guidance.memory import call_bytes, free_bytes, gigabytes, weight_bytes
from ..guidance.perp_neg import AVOIDED
from .questions import VIEWS_PER_CALL, Task


def check_memory(task: Task, ctx: Context) -> None:
    """Refuse to start what cannot end, with the figures."""
    if not isinstance(task.guidance, DiffusionGuidance):
        return
    looks, on_cpu = task.config.views, ctx.device == "cpu"
    views = min(looks.per_step, VIEWS_PER_CALL) if on_cpu else looks.per_step
    calls = min(ctx.threads, -(-looks.per_step // views)) if on_cpu else 1
    passes = 2 + (AVOIDED if task.config.guide.perp_neg else 0)
    needed = weight_bytes(task.guidance) + calls * call_bytes(task.guidance, views, passes)
    free = free_bytes(ctx.device, ctx.memory_bytes)
    ctx.log.info("the model will need about %s of %s", gigabytes(needed), gigabytes(free))
    if needed > free:
        raise InputError(
            f"the guidance model needs about {gigabytes(needed)} for {views} views at "
            f"once, but {gigabytes(free)} are free. Use fewer views.per_step, fewer threads, or a "
            f"smaller model."
        )
