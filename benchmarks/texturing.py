"""A prompt painted onto meshes, with and without pixel-wise clipping of the gradient.

    python benchmarks/texturing.py OUT --data MESHES [--guidance DIR] [--minutes 9]
    python benchmarks/texturing.py OUT --data MESHES --set iterations=2

Each mesh of `SUBJECTS` is painted twice by `pipeline texture`, from the same seed, some minutes of
one processor each. Writes OUT/texturing.png (every result from eight sides, without light) and
OUT/texturing.json. Repeat the line to continue; what is finished is not made again.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import generating
import numpy as np
import torch
from splatworks.stages.formats import tensors, wild
from splatworks.stages.formats.srgb import encode
from splatworks.stages.geometry.appearance import Appearance, Places
from splatworks.stages.geometry.components import Surface
from splatworks.stages.geometry.orbit import look_at_origin
from splatworks.stages.preview.contact import Row, contact_sheet
from splatworks.stages.text_texture.frame import standard
from splatworks.stages.text_texture.surface import compose, look

BACKGROUND = 0.85
ELEVATION_DEG, FOVY_DEG, DISTANCE_M, RADIUS_M = 15.0, 40.0, 1.8, 0.5
AZIMUTHS_DEG = tuple(45.0 * k for k in range(8))
RAYS = 2
"""Along either side of a pixel."""


@dataclass(frozen=True, slots=True)
class Subject:
    file: str
    prompt: str
    front_deg: float = 0.0

    @property
    def name(self) -> str:
        return Path(self.file).stem


SUBJECTS = (
    Subject("citroen_van.glb", "a red car with a white roof"),
    Subject("dutch_ship.glb", "a red boat with white sails", front_deg=90.0),
    Subject("kaykit_rogue.glb", "a blue robot"),
)
NAMES = tuple(subject.name for subject in SUBJECTS)
WAYS: Mapping[str, str] = {"clipped": "linf", "not clipped": "none"}
"""Names of the ways, and the norm of clipping."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Painting(generating.Job):
    """One line of `pipeline texture`."""

    mesh: Path

    @property
    def words(self) -> list[str]:
        line = ["texture", str(self.mesh), "--prompt", self.prompt, "--seed", str(self.seed)]
        line += ["--guidance", self.guidance, "--threads", "1", "--out", str(self.run)]
        return [*line, *(word for setting in self.settings for word in ("--set", setting))]

    @property
    def result(self) -> Path:
        return self.run / "latest" / "texture"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="folder with the meshes")
    parser.add_argument("--meshes", nargs="*", help=f"some of {', '.join(NAMES)}; all by default")
    parser.add_argument("--guidance", default="toybox")
    parser.add_argument("--set", nargs="*", default=[], help="FIELD=VALUE of the stage")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1, help="runs at once, one thread each")
    parser.add_argument("--minutes", type=float, help="stop then; the same line continues")
    parser.add_argument("--size-px", type=int, default=128)
    options = parser.parse_args()
    names = options.meshes or NAMES
    if unknown := sorted(set(names) - set(NAMES)):
        parser.error(f"no such mesh: {', '.join(unknown)}")
    subjects = [subject for subject in SUBJECTS if subject.name in names]
    jobs = [painting(subject, way, options) for subject in subjects for way in WAYS]
    ended = generating.run_all(jobs, at_once=options.jobs, minutes=options.minutes)
    if generating.unfinished(ended):
        return 1
    failed = [f"{one.job.run}: {one.said}" for one in ended if one.code]
    if failed:
        print("\n".join(failed), file=sys.stderr)
        return 1
    write(subjects, jobs, options.out, options.size_px)
    return 0


def painting(subject: Subject, way: str, options: argparse.Namespace) -> Painting:
    settings = [f"clip.norm={WAYS[way]}", f"front_deg={subject.front_deg:g}", *options.set]
    return Painting(
        prompt=subject.prompt,
        run=options.out / f"{subject.name}-{way.replace(' ', '-')}",
        preset="",
        seed=options.seed,
        settings=[f"texture.{setting}" for setting in settings],
        guidance=options.guidance,
        mesh=options.data / subject.file,
    )


def write(subjects: Sequence[Subject], jobs: Sequence[Painting], out: Path, size_px: int) -> None:
    """The sheet, and what is known of each run."""
    rows, results = [], []
    for subject, pair in zip(subjects, zip(*[iter(jobs)] * len(WAYS), strict=True), strict=True):
        pictures = []
        for way, job in zip(WAYS, pair, strict=True):
            pictures.append(turntable(job.result / "textured.glb", subject.front_deg, size_px))
            rows.append(Row(f"{subject.prompt}\n{job.mesh.stem}, {way}", list(pictures[-1])))
            results.append({"mesh": job.mesh.name, "prompt": job.prompt, "way": way, **known(job)})
        error = np.square(pictures[0] - pictures[1]).mean()
        results[-1]["dB against clipped"] = round(-10 * float(np.log10(max(error, 1e-10))), 2)
    heading = "Painted with and without clipping, colors without light"
    columns = [f"{azimuth:.0f}°" for azimuth in AZIMUTHS_DEG]
    sheet = contact_sheet(rows, columns, heading, "", BACKGROUND)
    generating.save_sheet(sheet, out / "texturing.png")
    document = {"machine": generating.machine_of([job.run for job in jobs]), "results": results}
    text = json.dumps(document, indent=1, ensure_ascii=False) + "\n"
    (out / "texturing.json").write_text(text, "utf-8")
    print(text, end="")


def known(job: Painting) -> dict[str, Any]:
    """What the run noted about itself."""
    log, metadata = tensors.load(job.result / "log.safetensors")
    return {
        "seconds": round(sum(generating.seconds_of(job.run).values()), 1),
        "continued": generating.interrupted(job.run),
        "clip threshold": metadata["clip_threshold"],
        "clipped share": round(float(log["clipped_share"].nanmean()), 5),
        "loss": round(float(log["loss"][-10:].nanmean()), 4),
    }


def turntable(path: Path, front_deg: float, size_px: int) -> np.ndarray:
    """A textured mesh from eight sides, its colors as they are; (view, size, size, 3)."""
    model = wild.read(path)
    frame = standard(model.positions[np.unique(model.faces)], RADIUS_M, front_deg)
    surface = Surface(frame.points(model.positions), model.faces)
    appearance = Appearance(model)
    normals = frame.directions(appearance.corner_normals.reshape(-1, 3).astype(np.float64))
    cameras = look_at_origin(
        list(AZIMUTHS_DEG), [ELEVATION_DEG] * len(AZIMUTHS_DEG), distance_m=DISTANCE_M,
        fovy_deg=FOVY_DEG, size_px=(size_px, size_px),
    )  # fmt: skip
    seen = look(surface, normals.reshape(-1, 3, 3), cameras, RAYS)
    rays_per_m = frame.scale * RAYS * float(cameras.focal_px.mean()) / DISTANCE_M
    places = Places(seen.faces, seen.weights, np.full(len(seen.faces), rays_per_m))
    colors = torch.from_numpy(encode(appearance.base_color(places)[:, :3]).astype(np.float32))
    backgrounds = torch.full((len(AZIMUTHS_DEG), 3), BACKGROUND)
    return compose(seen, colors, backgrounds).permute(0, 2, 3, 1).numpy()


if __name__ == "__main__":
    sys.exit(main())
