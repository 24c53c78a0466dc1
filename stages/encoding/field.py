"""Fields: an encoding, then a small network. Pictures, solids, textures, radiance.

Points are given in the field's own world; `low` and `side` say which cube of it is encoded.
"""

import math
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..randomness import generator
from .encoding import Outside, SimplexHashEncoding
from .network import network
from .settings import Settings

Kind = Literal["image", "distance", "occupancy", "texture", "radiance"]
NORMAL_STEP_CELLS = 0.5
"""Central differences reach so far to either side, in cells of the finest level: inside a simplex
the slope is constant, and a step of that size averages over the facets (3.4 degrees of error become
1.7 on a smooth surface)."""
MAX_LOG_DENSITY = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldSettings:
    kind: Kind
    """`image`: colors as they are; `distance`: one number, in world units, negative inside;
    `occupancy`: the log-odds of being inside, so positive there; `texture`: values from 0 to 1;
    `radiance`: color (0 to 1, seen from a direction) and density per world unit."""
    encoding: Settings
    channels: int = 3
    """Numbers per point; 1 for a distance or occupancy, 4 for radiance."""
    hidden: int = 64
    """Width of the network."""
    layers: int = 2
    """Hidden layers."""
    low: tuple[float, ...] = (0.0, 0.0, 0.0)
    """Lowest corner of the encoded cube."""
    side: float = 1.0
    """Its side."""

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ValueError(f"kind must be one of {get_args(Kind)}, got {self.kind!r}.")
        fixed = {"distance": 1, "occupancy": 1, "radiance": 4}.get(self.kind, self.channels)
        if self.channels != fixed or not 1 <= self.channels <= 64:
            raise ValueError(f"a field of kind {self.kind} has no {self.channels} channels.")
        if not 1 <= self.hidden <= 1024 or not 0 <= self.layers <= 8:
            raise ValueError(f"no network has {self.layers} layers of {self.hidden}.")
        if len(self.low) != self.encoding.dims:
            raise ValueError(f"low has {len(self.low)} coordinates, not {self.encoding.dims}.")
        if not (0 < self.side < math.inf and all(math.isfinite(value) for value in self.low)):
            raise ValueError(f"no cube has its corner at {self.low} and a side of {self.side}.")


class Field(nn.Module):
    """world points -> values."""

    low: Tensor

    def __init__(
        self,
        settings: FieldSettings,
        *,
        seed: int = 0,
        threads: int = 1,
        outside: Outside = "clamp",
    ) -> None:
        super().__init__()
        self.settings = settings
        self.encoding = SimplexHashEncoding(
            settings.encoding, seed=seed, threads=threads, outside=outside
        )
        beside = {"image": 0, "radiance": 3 + 9}.get(settings.kind, settings.encoding.dims)
        widths = [settings.encoding.width + beside, *[settings.hidden] * settings.layers]
        self.weights = nn.ParameterList()
        self.biases = nn.ParameterList()
        for layer, (many, few) in enumerate(
            zip(widths, [*widths[1:], settings.channels], strict=True)
        ):
            random = generator(seed, "layer", layer)
            values = 2 * torch.rand(few, many, generator=random) - 1
            self.weights.append(nn.Parameter(values * math.sqrt(6 / (many + few))))
            self.biases.append(nn.Parameter(torch.zeros(few)))
        self.register_buffer("low", torch.tensor(settings.low), persistent=False)

    def forward(
        self,
        points: Float[Tensor, "point dim"],
        directions: Float[Tensor, "point 3"] | None = None,
        window: float | None = None,
    ) -> Float[Tensor, "point channel"]:
        """
        Args:
            directions: Unit length, from the eye; for radiance, and only for it.
            window: See `SimplexHashEncoding.forward`.
        """
        kind, side = self.settings.kind, self.settings.side
        if (directions is not None) != (kind == "radiance"):
            raise ValueError(f"a field of kind {kind} takes {'' if directions is None else 'no '}"
                             "directions.")  # fmt: skip
        unit = (points - self.low.to(points)) / side
        inputs = [self.encoding(unit, window)]
        if kind != "image":
            inputs.append(2 * unit - 1)
        if directions is not None:
            inputs.append(_harmonics(directions))
        values = network(inputs, [*self.weights], [*self.biases])
        if kind == "distance":
            return values * side
        if kind == "texture":
            return torch.sigmoid(values)
        if kind == "radiance":
            density = values[:, 3:].clamp(max=MAX_LOG_DENSITY).exp() / side
            return torch.cat([torch.sigmoid(values[:, :3]), density], dim=1)
        return values

    def groups(self, rate: float, decay: float = 1e-6) -> list[dict]:
        """For `FieldAdam`: weight decay for the network, numbers at rest for the table."""
        network = [*self.weights, *self.biases]
        return [
            {"params": [self.encoding.table], "lr": rate, "sparse": True},
            {"params": network, "lr": rate, "weight_decay": decay},
        ]


def _harmonics(directions: Float[Tensor, "point 3"]) -> Float[Tensor, "point 9"]:
    """Polynomials that span the spherical harmonics up to degree 2."""
    x, y, z = directions.unbind(dim=1)
    products = [torch.ones_like(x), x, y, z, x * y, y * z, x * z, x * x - y * y, 3 * z * z - 1]
    return torch.stack(products, dim=1)


def normals(
    field: Field,
    points: Float[Tensor, "point 3"],
    mode: Literal["fd", "analytic"] = "fd",
    step: float | None = None,
) -> Float[Tensor, "point 3"]:
    """Unit normals of the zero surface, outward: gradients of a distance, or against those of an
    occupancy.

    Args:
        mode: `fd` takes central differences over half a cell of the finest level, which is
            smoother than the `analytic` gradient, constant inside each simplex.
        step: Of `fd`, to either side, in world units, instead of half a cell.
    """
    outward = {"distance": 1.0, "occupancy": -1.0}.get(field.settings.kind)
    if outward is None:
        raise ValueError(f"a field of kind {field.settings.kind} has no normals.")
    if mode == "analytic":
        where = points.detach().requires_grad_()
        with torch.enable_grad():
            (gradient,) = torch.autograd.grad(field(where).sum(), where)
    else:
        if step is None:
            step = NORMAL_STEP_CELLS * field.settings.side / field.settings.encoding.n_max
        shifts = step * torch.eye(3, dtype=points.dtype, device=points.device)
        with torch.no_grad():
            ends = [field((points[:, None] + s * shifts).reshape(-1, 3)) for s in (1, -1)]
        gradient = (ends[0] - ends[1]).reshape(-1, 3)
    return torch.nn.functional.normalize(outward * gradient, dim=1)
