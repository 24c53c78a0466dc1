"""A field that starts as the look that the mesh came with."""

from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor

from ...pipeline.contract import Context
from ..encoding.field import Field
from ..encoding.training import Schedule, signature, train
from ..formats.model import Model
from ..formats.srgb import encode
from ..geometry.appearance import Appearance, Places
from ..randomness import generator
from .frame import Frame

SAMPLES, ITERATIONS, BATCH, RATE = 1 << 17, 200, 1 << 13, 0.02
CHECKPOINT_EVERY_S = 30.0


def begin_with_own_look(painted: Field, model: Model, frame: Frame, ctx: Context) -> None:
    """Fit the field to base colors at random points of the surface, in place."""
    scratch = ctx.scratch / "own_look"
    scratch.mkdir(exist_ok=True)
    points, colors = _sampled(model, frame, ctx.seed)

    def loss(iteration: int) -> Tensor:
        random = generator(ctx.seed, iteration, "own look")
        picked = torch.randint(len(points), (BATCH,), generator=random)
        return (painted(points[picked]) - colors[picked]).abs().mean()

    schedule = Schedule(ITERATIONS, RATE, CHECKPOINT_EVERY_S, signature(1, {}, ctx.seed))
    train(painted, loss, lambda v: f"own look, off by {v:.4f}", schedule,
          replace(ctx, scratch=scratch))  # fmt: skip


def _sampled(
    model: Model, frame: Frame, seed: int
) -> tuple[Float32[Tensor, "point 3"], Float32[Tensor, "point 3"]]:
    """Points in the standard frame, evenly over the area, and their sRGB base colors."""
    look = Appearance(model)
    areas = look.areas_m2
    random = np.random.default_rng(seed)
    faces = random.choice(len(areas), SAMPLES, p=areas / areas.sum())
    weights = random.dirichlet((1.0, 1.0, 1.0), SAMPLES)
    density = np.full(SAMPLES, np.sqrt(SAMPLES / areas.sum()))
    colors = encode(look.base_color(Places(faces, weights, density))[:, :3])
    points = np.einsum("pk,pkc->pc", weights, model.positions[model.faces[faces]])
    return (
        torch.from_numpy(frame.points(points).astype(np.float32)),
        torch.from_numpy(colors.astype(np.float32)),
    )
