"""COLMAP as a program of its own: `python -m splatworks.stages.poses.colmap JOB.json`.

The one file that imports pycolmap, and nothing else but the standard library: pycolmap brings image
libraries with it, and in one process with Pillow they write over each other's memory (pycolmap
4.2.1 imported before Pillow 13: the first PNG that is saved breaks the heap). A process of its own
can also be ended at any moment; the database keeps what is done. Nobody else opens that while it
runs: pycolmap does not wait for a lock.

Results do not depend on the number of threads: all seeds are given, and bundle adjustment, whose
sums do, has one thread.

Says how far it is in lines of JSON, {"part": "features", "done": 3, "total": 50}.
"""

import json
import os
import shutil
import sys
import threading
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pycolmap

MODELS = {
    "pinhole": "PINHOLE",
    "simple-radial": "SIMPLE_RADIAL",
    "radial": "RADIAL",
    "opencv": "OPENCV",
    "opencv-fisheye": "OPENCV_FISHEYE",
}
NO_EXIF_FOCAL = 1.2
"""Times the longer side; COLMAP's own guess."""
BLOCK = 50
"""Pairs after which the database is written."""
CALLS = 20
"""At most so many to compare all pairs: each builds anew what it searches photographs by."""
FEWEST_PAIRS = 200
"""Of one call."""
SMALLEST_MODEL = 3


@dataclass(frozen=True, slots=True)
class Job:
    """What the parent asks for. Photographs are known by numbers; copy 7 is `000007.png`."""

    copies: Path
    work: Path
    """For the database and the models."""
    lens: str
    features: int
    threads: int
    seed: int
    names: tuple[str, ...]
    sizes_px: tuple[tuple[int, int], ...]
    """Of the photographs themselves."""
    copy_sizes_px: tuple[tuple[int, int], ...]
    cameras: tuple[tuple[tuple[int, ...], float | None], ...]
    """Photographs that share one, and its focal length in pixels of the copies, if it is known."""
    pairs: tuple[tuple[int, int], ...]

    @property
    def database(self) -> Path:
        return self.work / "database.db"


def main(path: str) -> int:
    """Do the job; `found.json` beside the database says what came out."""
    values = json.loads(Path(path).read_text("utf-8"))
    job = Job(**{**values, "copies": Path(values["copies"]), "work": Path(values["work"])})
    threading.Thread(target=_end_with_parent, daemon=True).start()
    pycolmap.set_random_seed(job.seed)
    if not job.database.is_file():
        _import(job)
    _extract(job)
    _match(job)
    found = _map(job)
    (job.work / "found.json").write_text(json.dumps(found), "utf-8")
    return 0


def _end_with_parent() -> None:
    """The parent holds the other end of our input and never writes: its end is the parent's."""
    while os.read(0, 1):
        pass
    os._exit(3)


def _say(part: str, done: int, total: int) -> None:
    print(json.dumps({"part": part, "done": done, "total": total}), flush=True)


def _copy(number: int) -> str:
    return f"{number:06d}.png"


def _import(job: Job) -> None:
    """Cameras and photographs into a new database, which gets its name when it is whole."""
    whole = job.database.with_name("database.new.db")
    for stale in job.work.glob(f"{whole.name}*"):
        stale.unlink()
    pycolmap.Database.open(whole).close()
    for number, (members, focal_px) in enumerate(job.cameras):
        width, height = job.copy_sizes_px[members[0]]
        options = pycolmap.ImageReaderOptions()
        options.camera_model = MODELS[job.lens]
        options.default_focal_length_factor = NO_EXIF_FOCAL
        if focal_px is not None:
            known = pycolmap.Camera.create_from_model_name(
                number + 1, options.camera_model, focal_px, width, height
            )
            options.camera_params = known.params_to_string()
        pycolmap.import_images(
            whole,
            job.copies,
            camera_mode=pycolmap.CameraMode.SINGLE,
            image_names=[_copy(member) for member in members],
            options=options,
        )
    with pycolmap.Database.open(whole) as base:
        if base.num_images() != len(job.names):
            raise RuntimeError(f"{base.num_images()} of {len(job.names)} copies were imported")
    os.replace(whole, job.database)


def _extract(job: Job) -> None:
    options = pycolmap.FeatureExtractionOptions()
    options.use_gpu = False
    options.num_threads = job.threads
    options.max_image_size = max(max(size) for size in job.copy_sizes_px)
    options.sift.max_num_features = job.features
    total = len(job.names)
    for start in range(0, total, 2 * job.threads):
        stop = min(total, start + 2 * job.threads)
        pycolmap.extract_features(
            job.database,
            job.copies,
            image_names=[_copy(number) for number in range(start, stop)],
            extraction_options=options,
            device=pycolmap.Device.cpu,
        )
        _say("features", stop, total)


def _match(job: Job) -> None:
    matching = pycolmap.FeatureMatchingOptions()
    matching.use_gpu = False
    matching.num_threads = job.threads
    verification = pycolmap.TwoViewGeometryOptions()
    verification.ransac.random_seed = job.seed
    pairing = pycolmap.ImportedPairingOptions()
    pairing.block_size = BLOCK
    pairing.match_list_path = job.work / "pairs.txt"
    total = len(job.pairs)
    step = max(FEWEST_PAIRS, -(-total // CALLS))
    for start in range(0, total, step):
        stop = min(total, start + step)
        lines = [f"{_copy(a)} {_copy(b)}\n" for a, b in job.pairs[start:stop]]
        Path(pairing.match_list_path).write_text("".join(lines), "utf-8")
        pycolmap.match_image_pairs(
            job.database,
            matching_options=matching,
            pairing_options=pairing,
            verification_options=verification,
            device=pycolmap.Device.cpu,
        )
        _say("pairs", stop, total)


def _map(job: Job) -> dict[str, Any]:
    """Build models and write the largest to `model/`."""
    options = pycolmap.IncrementalPipelineOptions()
    options.num_threads = 1
    options.min_model_size = min(SMALLEST_MODEL, len(job.names))
    for each in (options, options.mapper, options.triangulation):
        each.random_seed = job.seed
    models = job.work / "models"
    shutil.rmtree(models, ignore_errors=True)
    models.mkdir()
    count = 2  # The first two come together.

    def one_more() -> None:
        nonlocal count
        count = min(count + 1, len(job.names))
        _say("cameras", count, len(job.names))

    made = pycolmap.incremental_mapping(
        job.database, job.copies, models, options=options, next_image_callback=one_more
    )
    with pycolmap.Database.open(job.database) as base:
        images = {image.name: image.image_id for image in base.read_all_images()}
        counts = [
            base.num_keypoints_for_image(images[_copy(number)]) for number in range(len(job.names))
        ]
    found: dict[str, Any] = {
        "features": counts,
        "models": sorted((model.num_reg_images() for model in made.values()), reverse=True),
    }
    if made:
        largest = max(
            made, key=lambda key: (made[key].num_reg_images(), made[key].num_points3D(), -key)
        )
        found |= _written(job, made[largest])
    return found


def _written(job: Job, model: Any) -> dict[str, Any]:
    """The model for the photographs themselves: their names, and their sizes."""
    registered = []
    full: dict[int, tuple[int, int]] = {}
    for key in model.reg_image_ids():
        image = model.images[key]
        number = int(Path(image.name).stem)
        image.name = job.names[number]
        registered.append(number)
        full[image.camera_id] = job.sizes_px[number]
        x, y = (a / b for a, b in zip(job.sizes_px[number], job.copy_sizes_px[number], strict=True))
        for point in image.points2D:
            point.xy = (point.xy[0] * x, point.xy[1] * y)
    for key, (width, height) in full.items():
        model.cameras[key].rescale(width, height)
    model.update_point_3d_errors()
    folder = job.work / "model"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    model.write_binary(folder)
    return {
        "registered": sorted(registered),
        "points": model.num_points3D(),
        "reprojection_error_px": model.compute_mean_reprojection_error(),
        "lenses": [_lens(model.cameras[key]) for key in sorted(full)],
    }


def _lens(camera: Any) -> Mapping[str, Any]:
    return {
        "model": camera.model_name,
        "size_px": [camera.width, camera.height],
        "parameters": [float(value) for value in camera.params],
    }


if __name__ == "__main__":
    result = 1
    try:
        result = main(sys.argv[1])
    except Exception:  # What the parent shows of a process that fails: `os._exit` prints nothing.
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(result)  # Without waiting for threads, nor for what libraries tidy up.
