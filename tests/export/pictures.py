"""Our own unlit picture of a model with any number of materials, and Blender's beside it."""

import json
import math
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from splatworks.renderers import meshes
from splatworks.renderers.scene import Cameras
from splatworks.stages.formats import srgb
from splatworks.stages.formats.model import Model
from splatworks.stages.geometry.appearance import Appearance, Places
from splatworks.stages.geometry.orbit import look_at_origin

FOVY_DEG = 40.0
SUPERSAMPLE = 4
PROBE = Path(__file__).with_name("blender_probe.py")


def blender_python() -> str | None:
    """A Python that has `bpy`: the one named by SPLATWORKS_BPY_PYTHON, or this one."""
    named = os.environ.get("SPLATWORKS_BPY_PYTHON")
    return named or (sys.executable if find_spec("bpy") else None)


class View:
    """One camera that has the whole model in sight, for us and for Blender."""

    def __init__(self, model: Model, azimuth: float, elevation: float, size: int) -> None:
        shown = model.positions[model.faces.reshape(-1)]
        self.middle = (shown.min(axis=0) + shown.max(axis=0)) / 2
        radius = float(np.linalg.norm(shown - self.middle, axis=1).max())
        self.size = size
        distance = 1.05 * radius / math.sin(math.radians(FOVY_DEG) / 2)
        self.cameras: Cameras = look_at_origin(
            [azimuth], [elevation], distance_m=distance, fovy_deg=FOVY_DEG,
            size_px=(size * SUPERSAMPLE,) * 2,
        )  # fmt: skip

    def for_blender(self) -> dict[str, Any]:
        """Camera to world: Blender's world is z up, its cameras look along -z."""
        matrix = np.linalg.inv(self.cameras.world_to_camera[0].double().numpy())
        matrix[:3, 3] += self.middle
        matrix = matrix @ np.diag([1.0, -1, -1, 1])
        turn = np.array([[1.0, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 1]])
        return {"to_world": (turn @ matrix).tolist(), "fovy": math.radians(FOVY_DEG),
                "size": self.size, "samples": SUPERSAMPLE * SUPERSAMPLE}  # fmt: skip

    def ours(self, model: Model) -> np.ndarray:
        """RGB over white, sRGB 0 to 1, averaged in linear light as Cycles does.

        Through what is cut out of a surface only opaque materials are seen.
        """
        opaque = np.array([one.alpha_mode == "OPAQUE" for one in model.materials])
        layers = [self._layer(model, np.arange(len(model.faces)))]
        if not opaque.all():
            layers.append(self._layer(model, np.flatnonzero(opaque[model.face_materials])))
        color = layers[-1]
        for above in layers[-2::-1]:
            color = above + (1 - above[:, 3:]) * color
        fine = color.reshape(self.size, SUPERSAMPLE, self.size, SUPERSAMPLE, 4)
        return over_white(fine.mean(axis=(1, 3)))

    def _layer(self, model: Model, chosen: np.ndarray) -> np.ndarray:
        """Linear, premultiplied, one row per ray."""
        places = (model.positions - self.middle).astype(np.float32)
        scene = meshes.MeshScene(places, model.faces[chosen].astype(np.int64))
        frames = meshes.render(scene, self.cameras, supersample=1)
        face = frames.face_id[0].numpy().reshape(-1)
        hit = face >= 0
        weights = frames.barycentric[0].numpy().reshape(-1, 3)[hit].astype(np.float64)
        found = Appearance(model).base_color(
            Places(chosen[face[hit]], weights, np.full(hit.sum(), 1e9))
        )
        color = np.zeros((len(face), 4))
        color[hit] = np.concatenate([found[:, :3] * found[:, 3:], found[:, 3:]], axis=1)
        return color


def over_white(linear: np.ndarray) -> np.ndarray:
    """Linear, premultiplied."""
    alpha = linear[..., 3:]
    return srgb.encode(linear[..., :3] + (1 - alpha))


def read(path: Path) -> np.ndarray:
    """A PNG of Blender's (straight alpha) over white."""
    pixels = np.asarray(Image.open(path).convert("RGBA")) / 255.0
    linear = srgb.decode(pixels[..., :3]) * pixels[..., 3:]
    return over_white(np.concatenate([linear, pixels[..., 3:]], axis=-1))


def psnr_db(one: np.ndarray, other: np.ndarray) -> float:
    """Over all pixels, on white."""
    return -10 * math.log10(float(np.mean((one - other) ** 2)) + 1e-12)


def probe(files: dict[str, dict[str, Any]], view: View, folder: Path) -> dict[str, Any]:
    """What Blender makes of the files; pictures go where they say."""
    python = blender_python()
    assert python is not None
    job = {"files": files, "camera": view.for_blender(), "report": str(folder / "report.json")}
    (folder / "job.json").write_text(json.dumps(job))
    words = [python, str(PROBE), str(folder / "job.json")]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    done = subprocess.run(words, capture_output=True, text=True, timeout=550, env=environment)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return json.loads((folder / "report.json").read_text())
