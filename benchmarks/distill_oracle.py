"""Distillation without a prior: does it recover an object that the oracle knows?

    python benchmarks/distill_oracle.py [--mesh FILE.glb] [--seconds 180] [--out DIR]

The oracle (stages/guidance/oracle.py) stores pictures of a mesh taken near the middles of the
embedded prior's view words; distillation starts from a gray blob, and the result is compared with
the mesh from eight views *between* the words. Held: at least 24 dB in at most three minutes on two
cores, counting only the pixels that the object or its copy covers (over whole pictures the empty
background alone lifts a blur above 26 dB). Prints one JSON object; `--out` keeps the pictures.
"""

import argparse
import json
import logging
import os
import sys
import time
from contextlib import contextmanager
from pathlib import Path

# Before numpy and torch are imported.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import numpy as np  # noqa: E402
import torch  # noqa: E402
from splatworks.pipeline.config import build  # noqa: E402
from splatworks.pipeline.contract import Context  # noqa: E402
from splatworks.renderers import cpu, meshes  # noqa: E402
from splatworks.stages import distill  # noqa: E402
from splatworks.stages.artifacts import GuidanceDir, PromptFile, SplatsFile  # noqa: E402
from splatworks.stages.distill.ramp import Ramp  # noqa: E402
from splatworks.stages.distill.settings import Guide, Noise  # noqa: E402
from splatworks.stages.formats import gltf, pictures, prompts, splats  # noqa: E402
from splatworks.stages.geometry.activation import activate, deactivate  # noqa: E402
from splatworks.stages.geometry.orbit import look_at_origin  # noqa: E402
from splatworks.stages.guidance.oracle import OracleGuidance  # noqa: E402
from splatworks.stages.guidance.view_words import Background, ViewWords, Word  # noqa: E402
from splatworks.stages.shape.blob import blob  # noqa: E402

SIZE_PX = 128
JITTER_DEG = 7.5
PICTURES_PER_WORD = 12
WORDS = ViewWords(
    template="{prompt}, {azimuth} view, {elevation}",
    azimuth=tuple(
        Word(word, 45.0 * k)
        for k, word in enumerate(
            (
                "front",
                "front-left",
                "left",
                "back-left",
                "back",
                "back-right",
                "right",
                "front-right",
            )
        )
    ),
    elevation=(Word("low", -10.0), Word("eye-level", 15.0), Word("overhead", 45.0)),
    jitter_deg=JITTER_DEG,
    background_template="{prompt}, {background} background",
    backgrounds=(
        Background("white", (1, 1, 1)),
        Background("black", (0, 0, 0)),
        Background("gray", (0.5, 0.5, 0.5)),
        Background("blue", (0.2, 0.3, 0.8)),
    ),
)


def cameras(azimuths_deg, elevations_deg, size_px):
    return look_at_origin(
        azimuths_deg, elevations_deg, distance_m=1.8, fovy_deg=40.0, size_px=(size_px, size_px)
    )


class MeshObject:
    """A textured mesh, moved into the standard frame and lit by one light fixed to the world."""

    def __init__(self, path: Path) -> None:
        mesh = gltf.load(path)
        low, high = mesh.positions.min(axis=0), mesh.positions.max(axis=0)
        centered = mesh.positions - (low + high) / 2
        self.scene = meshes.MeshScene(
            (centered * (0.48 / np.linalg.norm(centered, axis=1).max())).astype(np.float32),
            mesh.faces,
            uvs=mesh.uvs,
            texture=mesh.base_color,
        )

    def render(self, angles_deg, size_px: int) -> torch.Tensor:
        """Straight RGBA, "camera height width 4"."""
        frames = meshes.render(
            self.scene,
            cameras(*zip(*angles_deg, strict=True), size_px),
            supersample=3,
            shading="lit",
        )
        return torch.cat([frames.rgb / frames.alpha.clamp(min=1e-6), frames.alpha], dim=-1)


def make_oracle(thing: MeshObject, size_px: int = SIZE_PX) -> OracleGuidance:
    """Pictures at random places within the jitter of every pair of words."""
    random = np.random.default_rng(0)
    angles = [
        (
            azimuth.center_deg + JITTER_DEG * random.uniform(-1, 1),
            elevation.center_deg + JITTER_DEG * random.uniform(-1, 1),
        )
        for azimuth in WORDS.azimuth
        for elevation in WORDS.elevation
        for _ in range(PICTURES_PER_WORD)
    ]
    shots = thing.render(angles, size_px)
    stored = (shots * 255).round().to(torch.uint8).permute(0, 3, 1, 2)
    azimuths, elevations = torch.tensor(angles).T
    return OracleGuidance(stored.contiguous(), azimuths, elevations, WORDS)


UNSEEN = [(22.5 + 45.0 * k, (2.5, 30.0)[k % 2]) for k in range(8)]
"""Half way between the words, in both angles."""


def compare(thing: MeshObject, path: Path, size_px: int = SIZE_PX):
    """PSNR of the pooled error on gray, over whole pictures and over covered pixels (alpha of
    either above 0.05), each view's over covered pixels, and the pictures."""
    scene = activate(splats.load(path))
    frames = cpu.render(scene, cameras(*zip(*UNSEEN, strict=True), size_px))
    made = (frames.rgb + (1 - frames.alpha) * 0.5).clamp(0, 1).numpy()
    rgba = thing.render(UNSEEN, size_px).numpy()
    wanted = rgba[..., :3] * rgba[..., 3:] + (1 - rgba[..., 3:]) * 0.5
    error = ((made - wanted) ** 2).mean(axis=-1)
    mask = (frames.alpha.numpy()[..., 0] > 0.05) | (rgba[..., 3] > 0.05)
    each = [round(decibel(e[m]), 2) for e, m in zip(error, mask, strict=True)]
    return decibel(error), decibel(error[mask]), each, wanted, made


def decibel(squared_error: np.ndarray) -> float:
    return float(-10 * np.log10(squared_error.mean()))


@contextmanager
def bar(title: str, total: int, done: int = 0):
    class Quiet:
        def advance(self, steps: int = 1, note: str = "") -> None:
            self.note = note

    yield Quiet()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    data = Path(__file__).resolve().parents[2] / "shared/data/meshes/spot_synth.glb"
    parser.add_argument("--mesh", type=Path, default=data)
    parser.add_argument("--out", type=Path, default=Path("distill-oracle"))
    parser.add_argument("--iterations", type=int, default=400)
    parser.add_argument("--gaussians", type=int, default=4000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=180.0, help="fail if it takes longer")
    parser.add_argument("--psnr", type=float, default=24.0, help="fail below, in dB")
    parser.add_argument(
        "--set", nargs="*", default=[], help="further FIELD=VALUE of Config; VALUE is JSON"
    )
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)

    out = arguments.out
    (out / "step").mkdir(parents=True, exist_ok=True)
    (out / "scratch").mkdir(exist_ok=True)
    for old in (out / "scratch").iterdir():
        old.unlink()
    began = time.monotonic()
    thing = MeshObject(arguments.mesh)
    oracle = make_oracle(thing)
    oracle.save(out / "oracle")
    prepared = time.monotonic()
    start = deactivate(blob(arguments.gaussians, 0.5, seed=0))
    raw = splats.RawSplats(
        **{name: getattr(start, name).numpy() for name in start.__dataclass_fields__}
    )
    splats.save(raw, out / "start.ply")
    prompts.save(prompts.Prompt("a spotted cow"), out / "prompt.json")
    extra = {k: json.loads(v) for k, v in (pair.split("=", 1) for pair in arguments.set)}
    begin = distill.Config(
        iterations=arguments.iterations,
        guide=Guide(scale=1.0),
        noise=Noise(max=Ramp(start=0.8, stop=0.2), min=Ramp(start=0.2, stop=0.02)),
    )
    config = build(distill.Config, extra, "--set", begin)
    ctx = Context(
        out=out / "step",
        scratch=out / "scratch",
        log=logging.getLogger("distill"),
        progress=bar,
        seed=0,
        device="cpu",
        threads=arguments.threads,
        memory_bytes=4 << 30,
    )
    cpu.render(activate(splats.load(out / "start.ply")), cameras([0.0], [0.0], 16))  # compiles
    ready = time.monotonic()
    inputs = distill.Inputs(
        PromptFile(out / "prompt.json"), GuidanceDir(out / "oracle"), SplatsFile(out / "start.ply")
    )
    result = distill.run(inputs, config, ctx)
    seconds = time.monotonic() - ready
    whole, psnr, each, wanted, made = compare(thing, result.splats.path)
    pictures.save(pictures.sheet([*wanted, *made], columns=8), out / "unseen.png")
    good = psnr >= arguments.psnr and seconds <= arguments.seconds
    report = {
        "psnr_object_db": round(psnr, 2),
        "psnr_whole_db": round(whole, 2),
        "psnr_each_db": each,
        "distill_s": round(seconds, 1),
        "per_iteration_s": round(seconds / arguments.iterations, 3),
        "oracle_s": round(prepared - began, 1),
        "gaussians": len(splats.load(result.splats.path)),
        "threads": arguments.threads,
        "pictures": str(out / "unseen.png"),
        "holds": good,
    }
    print(json.dumps(report, indent=1))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
