"""All texts of a run, made into conditions once, before the first iteration.

Each text goes through the encoders by itself, so that no batch can change its bits. Afterwards the
text encoders are not needed any more, which for large models is much memory.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from ...pipeline.contract import Context
from ..formats import tensors as tensor_files
from ..guidance.perp_neg import side_of
from ..guidance.protocol import Condition
from .questions import Task, views_of
from .views import caption_at


def captions_of(task: Task) -> list[str]:
    """Every text that any iteration asks about, sorted."""
    words, found = task.guidance.view_words, {task.negative}
    for iteration in range(task.config.iterations):
        for view in views_of(task, iteration):
            if not task.config.guide.perp_neg:
                found.add(view.caption)
                continue
            side = side_of(words, view.azimuth_deg)
            for azimuth in {*side.wanted_deg, *side.avoided_deg}:
                found.add(caption_at(words, task.prompt, view, azimuth))
    return sorted(found)


def embed_all(task: Task, ctx: Context, more: Sequence[str] = ()) -> dict[str, Condition]:
    """The condition of each text, and of `more` texts."""
    texts = sorted({*captions_of(task), *more})
    ctx.log.info("embedding %d captions", len(texts))
    return {text: task.guidance.embed([text]) for text in texts}


def save(conditions: Mapping[str, Condition], path: Path) -> Path:
    """`tensors/1`: `NUMBER.NAME` per tensor of a text, and the texts in their order."""
    tensors = {
        f"{number:05d}.{name}": value
        for number, condition in enumerate(conditions.values())
        for name, value in condition.tensors.items()
    }
    return tensor_files.save(tensors, path, {"texts": list(conditions)})
