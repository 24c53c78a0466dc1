"""One thread per process and no network: set before anything heavy is imported."""

import os
import signal

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_OFFLINE"] = "1"
os.environ.setdefault("MKL_CBWR", "COMPATIBLE")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
if not os.environ["CUDA_VISIBLE_DEVICES"]:
    os.environ.setdefault("TRITON_INTERPRET", "1")  # Triton reads it when it is imported.

# A shell that starts the tests in the background lets them ignore Ctrl-C, and every process that
# they start inherits that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

from pathlib import Path  # noqa: E402

from jaxtyping import install_import_hook  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]
UNCHECKED = {
    "stages.geometry.atlas",  # numba cannot compile functions that a checker has wrapped
    "stages.geometry.frames",
    "stages.geometry.layouts",
    "stages.geometry.packing",
    "stages.geometry.sampling",
    "stages.geometry.unfolding",
    "stages.texture.bake.gather",
    "stages.texture.bake.refine",
    "stages.texture.blend",
    "stages.texture.robust",
    "stages.encoding.encoding",  # tests ask for backends that do not exist
    "stages.encoding.field",  # tests ask for kinds that do not exist
    "stages.distill.judge",  # tests pass small stand-ins for a whole guidance or view
    "stages.distill.views",
    "stages.guidance.cfg",
    "stages.guidance.sample",
    "stages.guidance.oracle",
    "renderers.cpu.renderer",  # tests ask for outputs that do not exist
    "stages.formats.gltf",  # tests pass wrong shapes on purpose and read the message
    "stages.formats.pictures",
    "stages.formats.regions",  # whole numbers may stand for floats
    "stages.formats.splats",
    "studio.gestures",  # whole numbers may stand for floats
    "stages.preview.contact",
    "stages.preview.shots",
}


def checked_modules() -> list[str]:
    """Every module whose annotations say shapes: they are enforced in all tests."""
    files = [p for top in ("renderers", "stages", "studio") for p in (ROOT / top).rglob("*.py")]
    names = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in files
        if "from jaxtyping import" in path.read_text("utf-8")
    }
    return sorted(f"splatworks.{name}" for name in names - UNCHECKED)


install_import_hook(checked_modules(), "beartype.beartype")
