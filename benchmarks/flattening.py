"""Do the surface terms flatten Gaussians and turn them to the surface? And do opacities decide?

    python benchmarks/flattening.py [--gaussians 3000] [--views 24] [--size 96] [--iterations 300]

Round Gaussians strewn around a patterned sphere are trained on pictures of it, with and without
each term. Per row: the median of smallest over middle standard deviation, the median angle between
the shortest axis and the sphere's normal, the share of opacities outside of [0.1, 0.9], the PSNR on
views kept aside. Step lengths are four times those of the trainer: these runs are short.
"""

import argparse
import math
import os
import sys
import time
from dataclasses import dataclass, replace

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from splatworks.renderers.choose import named
from splatworks.renderers.projection import rotation_matrices
from splatworks.renderers.scene import Cameras
from splatworks.renderers.sh import C0
from splatworks.stages.formats.lens import Lens
from splatworks.stages.formats.photos import Photo
from splatworks.stages.geometry.activation import Parameters, activate
from splatworks.stages.geometry.orbit import look_at_origin
from splatworks.stages.randomness import generator
from splatworks.stages.reconstruct import Config, checkpoint
from splatworks.stages.reconstruct.evaluate import mean_score
from splatworks.stages.reconstruct.loop import step
from splatworks.stages.reconstruct.settings import Density, Rates, Start, Surface, Views
from splatworks.stages.reconstruct.task import Task

RADIUS = 0.5
STREWN = 0.03
"""Standard deviation of the centres' distance from the sphere, relative to its radius."""
FASTER = 4.0
GOLDEN_DEG = 180 * (3 - math.sqrt(5))


@dataclass(frozen=True, slots=True)
class Row:
    """What one run came to."""

    name: str
    flatness: float
    angle_deg: float
    decided: float
    psnr_db: float
    gaussians: int
    seconds: float


def around(count: int, size_px: int, turned_deg: float = 0.0) -> Cameras:
    """Evenly around the sphere, above and below."""
    heights = [1 - 2 * (k + 0.5) / count for k in range(count)]
    return look_at_origin(
        [turned_deg + GOLDEN_DEG * k for k in range(count)],
        [math.degrees(math.asin(0.95 * height)) for height in heights],
        distance_m=1.8, fovy_deg=40.0, size_px=(size_px, size_px),
    )  # fmt: skip


def pattern(points: torch.Tensor) -> torch.Tensor:
    """sRGB of places on the sphere: enough detail to hold Gaussians in place."""
    x, y, z = (points / RADIUS).unbind(-1)
    waves = [
        torch.sin(6 * x + 4 * y) + 0.5 * torch.sin(17 * z),
        torch.sin(5 * y - 7 * z) + 0.5 * torch.sin(19 * x),
        torch.sin(6 * z + 3 * x) + 0.5 * torch.sin(15 * y),
    ]
    return 0.5 + 0.28 * torch.stack(waves, dim=-1)


def photographs(cameras: Cameras) -> list[Photo]:
    """Pictures of the sphere in closed form, four rays per pixel, with alpha."""
    fine = 2
    size = cameras.width_px
    at = (torch.arange(size * fine, dtype=torch.float64) + 0.5) / fine
    out = []
    for number, (pose, focal, middle) in enumerate(
        zip(cameras.world_to_camera, cameras.focal_px, cameras.center_px, strict=True)
    ):
        rows, columns = torch.meshgrid(at, at, indexing="ij")
        ray = torch.stack(
            [(columns - middle[0]) / focal[0], (rows - middle[1]) / focal[1],
             torch.ones_like(rows)], dim=-1,
        ) @ pose[:3, :3].double()  # fmt: skip
        eye = -(pose[:3, :3].T @ pose[:3, 3]).double()
        a, b = ray.square().sum(-1), ray @ eye
        inside = b.square() - a * (eye @ eye - RADIUS**2)
        hit = (inside > 0).double()[..., None]
        place = eye + ((-b - inside.clamp(min=0).sqrt()) / a)[..., None] * ray
        picture = torch.cat([hit * pattern(place), hit], dim=-1)
        picture = picture.reshape(size, fine, size, fine, 4).mean(dim=(1, 3)).permute(2, 0, 1)
        pixels = (255 * picture).round().byte()
        lens = Lens(
            width_px=size, height_px=size, focal_px=tuple(focal.tolist()),
            center_px=tuple(middle.tolist()),
        )  # fmt: skip
        out.append(Photo(f"{number:03d}", lens, pose, pixels[:3], pixels[3:], None))
    return out


def strewn(count: int, seed: int = 0) -> Parameters:
    """Round, half opaque, gray, near the sphere."""
    random = generator(seed, "strewn")
    normals = torch.randn(count, 3, generator=random)
    normals = normals / normals.norm(dim=1, keepdim=True)
    lift = 1 + STREWN * torch.randn(count, 1, generator=random)
    width = 0.7 * RADIUS * math.sqrt(4 * math.pi / count)
    means = RADIUS * lift * normals
    sh = torch.zeros(count, 1, 3)
    sh[:, 0] = (pattern(RADIUS * normals) - 0.5) / C0
    quaternions = torch.randn(count, 4, generator=random)
    return Parameters(
        means=means, log_scales=torch.full((count, 3), math.log(width)),
        logit_opacities=torch.zeros(count), quaternions=quaternions, sh=sh,
    )  # fmt: skip


def config_of(iterations: int, surface: Surface) -> Config:
    rates = Rates()
    faster = {
        name: FASTER * getattr(rates, name)
        for name in ("means", "means_final", "log_scales", "quaternions", "sh")
    }
    return Config(
        iterations=iterations,
        sh_degree=0,
        views=Views(coarse_levels=0, background="random"),
        start=Start(),
        rates=replace(rates, **faster),
        density=Density(every=0),
        surface=surface,
        evaluate_every=0,
    )


def run(name: str, surface: Surface, count: int, views: int, size: int, iterations: int) -> Row:
    """Train once and measure."""
    task = Task(
        training=photographs(around(views, size)),
        kept_aside=photographs(around(6, size, turned_deg=40.0)),
        renderer=named("cpu"), config=config_of(iterations, surface), extent=1.1 * 1.8,
        white_behind=False, seed=0, device="cpu",
    )  # fmt: skip
    state, begun = checkpoint.start(strewn(count)), time.process_time()
    for _ in range(iterations):
        step(task, state)
    scene = activate(state.population.values)
    order = scene.scales.sort(dim=1)
    axes = rotation_matrices(scene.quaternions)
    normals = axes.gather(2, order.indices[:, None, :1].expand(-1, 3, 1))[..., 0]
    outward = torch.nn.functional.normalize(scene.means, dim=1)
    cosine = (normals * outward).sum(dim=1).abs().clamp(max=1)
    seen = scene.opacities
    return Row(
        name=name,
        flatness=float((order.values[:, 0] / order.values[:, 1]).median()),
        angle_deg=math.degrees(math.acos(float(cosine.median()))),
        decided=float(((seen < 0.1) | (seen > 0.9)).double().mean()),
        psnr_db=mean_score(task, state).psnr_db,
        gaussians=len(scene.means),
        seconds=time.process_time() - begun,
    )


def variants() -> dict[str, Surface]:
    """Surface terms from the beginning on, as Gaussians already lie near the surface."""
    on = Surface(mode="density", decide_from_share=0.0, from_share=0.0, min_opacity=0.0)
    return {
        "off": Surface(),
        "entropy": replace(on, from_share=1.0),
        "density": on,
        "R alone": replace(on, normals=0.0, flatness=0.0),
        "R_norm alone": replace(on, distance=0.0, flatness=0.0),
        "R and R_norm": replace(on, flatness=0.0),
        "flatness alone": replace(on, distance=0.0, normals=0.0),
        "sdf": replace(on, mode="sdf"),
        "all phases, density": Surface(mode="density"),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gaussians", type=int, default=3000)
    parser.add_argument("--views", type=int, default=24)
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--iterations", type=int, default=300)
    parser.add_argument("--only", nargs="*", choices=list(variants()))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    np.seterr(all="raise", under="ignore")
    print(
        f"{'':24}{'s_min/s_mid':>12}{'angle deg':>11}{'decided':>9}{'PSNR dB':>9}{'n':>7}{'s':>7}"
    )
    for name, surface in variants().items():
        if arguments.only and name not in arguments.only:
            continue
        row = run(
            name, surface, arguments.gaussians, arguments.views, arguments.size,
            arguments.iterations,
        )  # fmt: skip
        print(
            f"{row.name:24}{row.flatness:12.3f}{row.angle_deg:11.1f}{row.decided:9.1%}"
            f"{row.psnr_db:9.2f}{row.gaussians:7}{row.seconds:7.1f}", flush=True,
        )  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
