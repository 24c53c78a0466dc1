"""Two small problems with known answers: a picture of 512 pixels, and a torus blended with a ball.

Every lattice has the same table, the same points and the same number of steps. Beside the bounds
stand the figures that a plain torch version of the encoding reached on the same kind of problem
before this package was written (`EARLIER`; its network took no coordinates beside the features).
"""

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from splatworks.stages.encoding.field import Field, FieldSettings, normals
from splatworks.stages.encoding.optimizer import FieldAdam
from splatworks.stages.encoding.settings import Settings
from splatworks.stages.randomness import generator
from torch import Tensor

KINDS: Mapping[str, dict[str, Any]] = {
    "simplex": {"lattice": "simplex"},
    "cubic": {"lattice": "cubic"},
    "kuhn": {"lattice": "kuhn"},
    "matched": {"lattice": "simplex", "density_matched": True},
}
SEEDS = (0, 1, 2)
EARLIER = {
    "picture dB": {"simplex": 24.7, "cubic": 24.95, "kuhn": 23.85, "matched": 24.5},
    "distance on the surface": {"simplex": 1.6e-4, "cubic": 1.2e-4},
    "normals degrees": {
        "simplex": {"analytic": 3.4, "fd": 1.7},
        "cubic": {"analytic": 2.3, "fd": 1.3},
        "kuhn": {"analytic": 4.0, "fd": 1.8},
    },
}


def toys() -> dict:
    return {"picture": picture(), "solid": solid(), "earlier": EARLIER}


def trained(
    field: Field, loss: Callable[[int], Tensor], steps: int, rate: Callable[[int], float]
) -> float:
    """Seconds of CPU time."""
    optimizer = FieldAdam(field.groups(rate(0), decay=0.0))
    loss(0).backward()  # Compile before the clock runs.
    begun = time.thread_time()
    for k in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = rate(k)
        optimizer.zero_grad(set_to_none=True)
        loss(k).backward()
        optimizer.step()
    return time.thread_time() - begun


# --- the picture ---------------------------------------------------------------------------------

SIZE_PX, DISCS = 512, 60


def drawn() -> Tensor:
    """Waves of rising frequency, and discs with sharp rims; (SIZE_PX, SIZE_PX, 3)."""
    line = torch.linspace(0, 1, SIZE_PX)
    y, x = torch.meshgrid(line, line, indexing="ij")
    turn = 2 * torch.pi
    channels = [
        0.5 + 0.3 * torch.sin(40 * turn * x * x + c) + 0.2 * torch.sin(25 * turn * y * (1 + x) + c)
        for c in range(3)
    ]
    out = torch.stack(channels, dim=-1)
    random = generator(1, "discs")
    for _ in range(DISCS):
        middle, radius = torch.rand(2, generator=random), torch.rand((), generator=random)
        inside = (x - middle[0]).hypot(y - middle[1]) < 0.01 + 0.06 * radius
        out[inside] = torch.rand(3, generator=random)
    return out.clamp(0, 1)


def picture(steps: int = 400, batch: int = 1 << 13) -> dict:
    """Ten levels of at most 2^13 rows: a 15th of the picture's numbers."""
    pixels = drawn().reshape(-1, 3)
    number = torch.arange(len(pixels))
    points = (torch.stack([number % SIZE_PX, number // SIZE_PX], dim=1) + 0.5) / SIZE_PX
    out: dict = {"psnr dB": {}, "seconds": {}}
    for name, kind in KINDS.items():
        encoding = Settings(dims=2, levels=10, table_size=1 << 13, n_min=16, n_max=512, **kind)
        found = []
        for seed in SEEDS:
            field = Field(FieldSettings(kind="image", encoding=encoding, low=(0.0, 0.0)), seed=seed)

            def loss(k: int, field=field, seed=seed) -> Tensor:
                random = generator(seed, k, "pixels")
                picked = torch.randint(len(pixels), (batch,), generator=random)
                return (field(points[picked]) - pixels[picked]).square().mean()

            out["seconds"][name] = round(trained(field, loss, steps, lambda k: 0.01), 2)
            with torch.no_grad():
                error = (field(points) - pixels).square().mean()
            found.append(round(-10 * float(error.log10()), 2))
        out["psnr dB"][name] = found
    mean = {name: float(np.mean(found)) for name, found in out["psnr dB"].items()}
    out["simplex over cubic dB"] = round(mean["simplex"] - mean["cubic"], 2)
    out["simplex over kuhn dB"] = round(mean["simplex"] - mean["kuhn"], 2)
    out["bounds"] = {
        "within 0.5 dB of cubic": mean["simplex"] > mean["cubic"] - 0.5,
        "0.4 dB above kuhn": mean["simplex"] >= mean["kuhn"] + 0.4,
        "60 s": max(out["seconds"].values()) < 60,
    }
    print(out, flush=True)
    return out


# --- the solid -----------------------------------------------------------------------------------

SMOOTH = 0.05


def distance(points: Tensor) -> Tensor:
    """A torus and a ball on top of it, their minimum smoothed; nearly a distance."""
    ring = torch.hypot(points[:, 0], points[:, 1]) - 0.28
    torus = torch.hypot(ring, points[:, 2]) - 0.1
    ball = (points - points.new_tensor([0.0, 0.0, 0.16])).norm(dim=1) - 0.16
    share = (0.5 + 0.5 * (ball - torus) / SMOOTH).clamp(0, 1)
    return torch.lerp(ball, torus, share) - SMOOTH * share * (1 - share)


def slope(points: Tensor) -> Tensor:
    where = points.detach().requires_grad_()
    (found,) = torch.autograd.grad(distance(where).sum(), where)
    return found


def on_surface(count: int, seed: int) -> Tensor:
    """Points of the zero surface, by Newton's method from all over the cube."""
    points = torch.rand(count, 3, generator=generator(seed, "surface")) - 0.5
    for _ in range(12):
        step = slope(points)
        square = step.square().sum(dim=1, keepdim=True).clamp(min=1e-6)
        points = points - distance(points)[:, None] * step / square
    return points[(distance(points).abs() < 1e-4) & (points.abs() < 0.49).all(dim=1)]


def solid(steps: int = 350) -> dict:
    """Eight levels of at most 2^14 rows, from 8 to 96 cells."""
    surface, held = on_surface(200_000, 0), on_surface(10_000, 1)
    truth = torch.nn.functional.normalize(slope(held), dim=1)
    out: dict = {"distance on the surface": {}, "normals degrees": {}, "seconds": {}}
    for name, kind in KINDS.items():
        encoding = Settings(dims=3, levels=8, table_size=1 << 14, n_min=8, n_max=96, **kind)
        settings = FieldSettings(
            kind="distance", encoding=encoding, channels=1, low=(-0.5, -0.5, -0.5)
        )
        fields = [Field(settings, seed=seed) for seed in SEEDS]
        out["seconds"][name] = max(
            round(trained(field, near(field, surface, seed), steps, _falling(steps)), 2)
            for field, seed in zip(fields, SEEDS, strict=True)
        )
        with torch.no_grad():
            away = [float(field(held).abs().mean()) for field in fields]
        out["distance on the surface"][name] = [round(one, 6) for one in away]
        out["normals degrees"][name] = {
            mode: [round(angle_deg(normals(field, held, mode), truth), 2) for field in fields]
            for mode in ("analytic", "fd")
        }
    angles = out["normals degrees"]["simplex"]
    out["bounds"] = {
        "distance 3e-4": max(out["distance on the surface"]["simplex"]) <= 3e-4,
        "analytic 5 degrees": max(angles["analytic"]) <= 5,
        "fd 2.5 degrees": max(angles["fd"]) <= 2.5,
    }
    print(out, flush=True)
    return out


def near(field: Field, surface: Tensor, seed: int) -> Callable[[int], Tensor]:
    """Mean relative error near the surface, on it, and all over the cube."""

    def loss(k: int) -> Tensor:
        random = generator(seed, k, "points")
        picked = surface[torch.randint(len(surface), (6144,), generator=random)]
        picked[:4096] += 0.02 * torch.randn(4096, 3, generator=random)
        points = torch.cat([picked, torch.rand(2048, 3, generator=random) - 0.5])
        wanted = distance(points)
        return ((field(points)[:, 0] - wanted).abs() / (wanted.abs() + 0.02)).mean()

    return loss


def _falling(steps: int) -> Callable[[int], float]:
    return lambda k: 5e-3 * (0.2 if k >= 0.7 * steps else 1.0)


def angle_deg(found: Tensor, truth: Tensor) -> float:
    """Mean."""
    return float(torch.rad2deg(torch.acos((found * truth).sum(dim=1).clamp(-1, 1))).mean())
