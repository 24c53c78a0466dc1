"""Quality over time: the same training for simplex, cubic and kuhn, at equal tables.

The three train in turns of a few iterations, each on its own clock of CPU time, so that whatever
else the machine does slows them alike. Measuring is not counted. What has been trained is kept in a
folder of the user's, from which an interrupted race goes on.
"""

import dataclasses
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from splatworks.stages.encoding import uses
from splatworks.stages.encoding.field import Field, FieldSettings, normals
from splatworks.stages.encoding.optimizer import FieldAdam
from splatworks.stages.encoding.settings import Settings
from splatworks.stages.encoding.training import MOMENTS, Schedule, step
from splatworks.stages.fit import image as image_stage
from splatworks.stages.fit import photograph, solid
from splatworks.stages.fit import sdf as sdf_stage
from splatworks.stages.formats import tensors, wild
from splatworks.stages.geometry.components import Surface, weld
from splatworks.stages.randomness import generator

LATTICES = ("simplex", "cubic", "kuhn")
MATCHED = "matched"
"""The simplex lattice with as many vertices as the cubic one."""
TURN = 10
"""Iterations before the next lattice has its turn."""
KEPT_EVERY = 2 * TURN


@dataclasses.dataclass
class Runner:
    """One field in training, with what has been seen of it."""

    field: Field
    loss: Callable[[Field, int], torch.Tensor]
    schedule: Schedule
    seconds: float = 0.0
    done: int = 0
    curve: list[tuple[float, float]] = dataclasses.field(default_factory=list)

    def __post_init__(self) -> None:
        self.optimizer = FieldAdam(self.field.groups(self.schedule.rate))

    def turn(self, measure: Callable[[Field], float], until: int) -> None:
        begun = time.thread_time()
        while self.done < until:
            step(self.field, self.optimizer, lambda k: self.loss(self.field, k), self.schedule,
                 self.done)  # fmt: skip
            self.done += 1
        self.seconds += time.thread_time() - begun
        self.curve.append((round(self.seconds, 2), round(measure(self.field), 4)))

    def save(self, path: Path) -> None:
        found = {}
        for name, parameter in self.field.named_parameters():
            found[f"value.{name}"] = parameter.detach()
            for moment in MOMENTS:
                found[f"{moment}.{name}"] = self.optimizer.state[parameter][moment]
        so_far = {"seconds": self.seconds, "done": self.done, "curve": self.curve}
        tensors.save(found, path, {"so far": so_far, "of": self._of()})

    def load(self, path: Path) -> None:
        """Go on from what was saved of the same field on the same schedule, if anything was."""
        if not path.is_file():
            return
        found, metadata = tensors.load(path)
        if metadata["of"] != self._of():
            return
        with torch.no_grad():
            for name, parameter in self.field.named_parameters():
                parameter.copy_(found[f"value.{name}"])
                self.optimizer.state[parameter].update({m: found[f"{m}.{name}"] for m in MOMENTS})
        so_far = metadata["so far"]
        self.seconds, self.done = so_far["seconds"], so_far["done"]
        self.curve = [(seconds, quality) for seconds, quality in so_far["curve"]]

    def _of(self) -> str:
        return repr((self.field.settings, self.schedule))


def variants(build: Callable[[str], Field]) -> dict[str, Field]:
    """One field for each lattice, and the simplex lattice with matched density."""
    fields = {lattice: build(lattice) for lattice in LATTICES}
    settings = fields["simplex"].settings
    encoding = dataclasses.replace(settings.encoding, density_matched=True)
    return {**fields, MATCHED: Field(dataclasses.replace(settings, encoding=encoding))}


def race(
    fields: dict[str, Field],
    loss: Callable[[Field, int], torch.Tensor],
    measure: Callable[[Field], float],
    iterations: int,
    rate: float,
    keep: Path,
) -> dict[str, list[tuple[float, float]]]:
    """Curves of (seconds, quality) by lattice; `keep` is a folder for what has been trained."""
    keep.mkdir(parents=True, exist_ok=True)
    schedule = Schedule(iterations, rate, 1e9, "")
    runners = {name: Runner(field, loss, schedule) for name, field in fields.items()}
    for name, runner in runners.items():
        loss(runner.field, 0).backward()  # Compile before any clock runs.
        runner.load(keep / f"{name}.safetensors")
    for until in range(TURN, iterations + 1, TURN):
        for name, runner in runners.items():
            if runner.done < until:
                runner.turn(measure, until)
                if until % KEPT_EVERY == 0:
                    runner.save(keep / f"{name}.safetensors")
        if until % (10 * TURN) == 0:
            print(until, {name: r.curve[-1] for name, r in runners.items()}, flush=True)
    return {name: runner.curve for name, runner in runners.items()}


def seconds_to(curve: list[tuple[float, float]], quality: float) -> float | None:
    """When a rising curve first got there."""
    return next((seconds for seconds, value in curve if value >= quality), None)


def against_cubic(curves: dict[str, list[tuple[float, float]]]) -> dict:
    """Shares of the time of the cubic grid: to its final quality, and for as many iterations."""
    seconds, quality = curves["cubic"][-1]
    out: dict = {"seconds of cubic": seconds}
    for name in ("simplex", MATCHED):
        reached = seconds_to(curves[name], quality)
        out[f"{name}: time to the quality of cubic"] = reached and round(reached / seconds, 3)
        out[f"{name}: time per iteration"] = round(curves[name][-1][0] / seconds, 3)
    return out


def image(photos: list[Path], keep: Path, iterations: int = 300) -> dict:
    """One photograph, or several joined side by side, of 12 megapixels or more."""
    pictures = [np.asarray(Image.open(path).convert("RGB")) for path in photos]
    columns = max(1, round(len(pictures) ** 0.5 + 0.4))
    strips = [np.hstack(pictures[k : k + columns]) for k in range(0, len(pictures), columns)]
    pixels = np.ascontiguousarray(np.vstack([s for s in strips if s.shape == strips[0].shape]))
    height, width = pixels.shape[:2]
    config = image_stage.Config(iterations=iterations, table_size=1 << 19, batch=1 << 15)
    fields = variants(
        lambda lattice: photograph.build(
            width, height, dataclasses.replace(config, lattice=lattice), 0, 1
        )
    )
    number = torch.randint(width * height, (1 << 16,), generator=generator(1, "held")).numpy()
    points = np.stack([number % width, number // width], axis=1) + 0.5
    points = (points / max(width, height)).astype(np.float32)
    wanted = pixels.reshape(-1, 3)[number] / np.float32(255)

    def psnr_db(field: Field) -> float:
        found = np.clip(uses.values(field, points), 0, 1)
        return -10 * float(np.log10(np.square(found - wanted).mean()))

    curves = race(
        fields,
        lambda field, k: photograph.loss(field, pixels, config.batch, 0, k),
        psnr_db,
        iterations,
        config.rate,
        keep / "image",
    )
    whole = {name: round(photograph.picture(f, pixels)[1], 3) for name, f in fields.items()}
    return {
        "megapixels": round(width * height / 1e6, 2),
        "curves": curves,
        "psnr of all pixels": whole,
        "parameters": {name: f.encoding.table.numel() for name, f in fields.items()},
        **against_cubic(curves),
        "goal": "the quality of cubic in 0.914 of its time",
    }


def sdf(meshes: list[Path], keep: Path, iterations: int = 300) -> dict:
    """Signed distances: quality is the mean distance field on the surface, in % of the side."""
    out = {}
    for path in meshes:
        model = wild.read(path)
        surface = weld(Surface(model.positions.astype(np.float32), model.faces.astype(np.int64)))
        made = solid.Solid(surface)
        config = sdf_stage.Config(iterations=iterations, samples=1 << 17, batch=1 << 14)
        fields = variants(
            lambda lattice, surface=surface, config=config: solid.build(
                surface, dataclasses.replace(config, lattice=lattice), 0, 1
            )
        )
        samples = solid.measure(made, fields["simplex"], config.samples, _quiet())
        where = made.on(20_000, 1, "held")

        def negative_percent(field: Field, where=where) -> float:
            found = np.abs(uses.values(field, where)).mean() / field.settings.side
            return -100 * float(found)

        curves = race(
            fields,
            lambda field, k, samples=samples, config=config: solid.loss(
                field, samples, config, 0, k
            ),
            negative_percent,
            iterations,
            config.rate,
            keep / path.stem,
        )
        out[path.stem] = {
            "curves": curves,
            **against_cubic(curves),
            "normals degrees": {
                name: {mode: normal_error_deg(f, made, mode) for mode in ("fd", "analytic")}
                for name, f in fields.items()
            },
        }
    return out


def normal_error_deg(field: Field, made: solid.Solid, mode: Any) -> float:
    """Median angle between the field's normals and the faces'."""
    where = made.on(5_000, 2, "normals")
    o3d = made._o3d
    nearest = made._scene.compute_closest_points(o3d.core.Tensor(where))
    truth = nearest["primitive_normals"].numpy()
    found = normals(field, torch.from_numpy(where), mode).numpy()
    cosine = np.clip((truth * found).sum(axis=1), -1, 1)
    return round(float(np.degrees(np.median(np.arccos(cosine)))), 3)


# --- radiance ------------------------------------------------------------------------------------

SIZE_SHARE = 1 / 10
SAMPLES = 96
RAYS = 1 << 9
NEAR, FAR, SIDE = 0.8, 10.0, 12.0


def radiance(capture: Path, keep: Path, iterations: int = 300) -> dict:
    """A small radiance field of a capture, every eighth picture held out; lens left out."""
    rays, colors, held = load_rays(capture)
    encoding = Settings(dims=3, levels=8, features=4, table_size=1 << 17, n_min=16, n_max=512)
    low = (-SIDE / 2,) * 3
    fields = variants(
        lambda lattice: Field(
            FieldSettings(
                kind="radiance", channels=4, low=low, side=SIDE,
                encoding=dataclasses.replace(encoding, lattice=lattice),
            )
        )
    )  # fmt: skip
    tests, tested = rays[held][::13][:1536], colors[held][::13][:1536]
    rays, colors = rays[~held], colors[~held]

    def loss(field: Field, k: int) -> torch.Tensor:
        random = generator(0, k, "rays")
        picked = torch.randint(len(rays), (RAYS,), generator=random)
        shift = torch.rand(RAYS, SAMPLES, generator=random)
        return (render(field, rays[picked], shift) - colors[picked]).square().mean()

    def psnr_db(field: Field) -> float:
        with torch.no_grad():
            parts = [
                render(field, part, torch.full((len(part), SAMPLES), 0.5))
                for part in tests.split(512)
            ]
        return -10 * float((torch.cat(parts) - tested).square().mean().log10())

    curves = race(fields, loss, psnr_db, iterations, 0.01, keep / "radiance")
    return {
        "curves": curves,
        **against_cubic(curves),
        "goal": "25 % faster at equal PSNR",
    }


def load_rays(capture: Path) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Origins and directions (n, 6), colors, and which belong to pictures held out."""
    scene = json.loads((capture / "transforms.json").read_text("utf-8"))
    frames = [f for f in scene["frames"] if (capture / f["file_path"]).is_file()]
    rays, colors, held = [], [], []
    for number, frame in enumerate(frames):
        photo = Image.open(capture / frame["file_path"]).convert("RGB")
        size = (round(photo.width * SIZE_SHARE), round(photo.height * SIZE_SHARE))
        small = np.asarray(photo.resize(size, Image.Resampling.BOX), np.float32) / 255
        x, y = np.meshgrid(np.arange(size[0]) + 0.5, np.arange(size[1]) + 0.5)
        local = np.stack(
            [(x / SIZE_SHARE - scene["cx"]) / scene["fl_x"],
             -(y / SIZE_SHARE - scene["cy"]) / scene["fl_y"], -np.ones_like(x)], axis=-1,
        )  # fmt: skip
        pose = np.array(frame["transform_matrix"])
        directions = local.reshape(-1, 3) @ pose[:3, :3].T
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        origins = np.broadcast_to(pose[:3, 3], directions.shape)
        rays.append(np.hstack([origins, directions]))
        colors.append(small.reshape(-1, 3))
        held.append(np.full(len(directions), number % 8 == 0))
    whole = (np.concatenate(part) for part in (rays, colors, held))
    rays, colors, held = (torch.from_numpy(part) for part in whole)
    return rays.float(), colors.float(), held


def render(field: Field, rays: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
    """Emission and absorption along the rays (Max 1995), on stratified samples."""
    share = (torch.arange(SAMPLES) + shift) / SAMPLES
    depth = NEAR * (FAR / NEAR) ** share
    origins, directions = rays[:, None, :3], rays[:, None, 3:]
    points = origins + depth[..., None] * directions
    found = field(points.reshape(-1, 3), directions.expand_as(points).reshape(-1, 3))
    found = found.reshape(len(rays), SAMPLES, 4)
    length = torch.diff(depth, dim=1, append=depth.new_full((len(rays), 1), FAR * 1.05))
    absorbed = found[..., 3] * length.clamp(min=0)
    clear = torch.exp(-torch.cumsum(absorbed, dim=1) + absorbed)
    weight = clear * (1 - torch.exp(-absorbed))
    return (weight[..., None] * found[..., :3]).sum(dim=1)


def _quiet() -> Any:
    """The part of a stage's context that measuring distances needs."""
    import contextlib
    from types import SimpleNamespace

    @contextlib.contextmanager
    def progress(title: str, total: int):
        yield SimpleNamespace(advance=lambda *_: None)

    return SimpleNamespace(progress=progress, seed=0)
