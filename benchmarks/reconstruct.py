"""How good splats from photographs are after how long, on photographs kept aside.

    python benchmarks/reconstruct.py CAPTURE --max-side 480 --iterations 7000 --write fox.json

Trains as `pipeline reconstruct` does, in one thread unless told otherwise, and writes one row per
look: iterations, seconds of processor and of wall time, PSNR (also with exposures evened),
SSIM and the number of Gaussians.
"""

import argparse
import json
import logging
import os
import resource
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

from splatworks.pipeline.contract import Context
from splatworks.stages import reconstruct
from splatworks.stages.artifacts import CaptureDir
from splatworks.stages.reconstruct.settings import Density, Exposures, Views


@contextmanager
def quiet(title: str, total: int, done: int = 0):
    """A progress bar that says nothing."""

    class Bar:
        def advance(self, steps: int = 1, note: str = "") -> None:
            pass

    yield Bar()


class Rows(logging.Handler):
    """Keeps what the stage says at each look, with the time."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[dict[str, float]] = []
        self.begun = time.monotonic(), time.process_time()

    def emit(self, record: logging.LogRecord) -> None:
        if not str(record.msg).startswith("iteration %d: %.2f dB"):
            return
        iteration, psnr, evened, ssim, _, gaussians = record.args  # type: ignore[misc]
        row = {
            "iteration": iteration,
            "wall s": round(time.monotonic() - self.begun[0], 1),
            "processor s": round(time.process_time() - self.begun[1], 1),
            "psnr dB": round(psnr, 2),
            "evened dB": round(evened, 2),
            "ssim": round(ssim, 4),
            "gaussians": gaussians,
        }
        self.rows.append(row)
        print(row, flush=True)


def trained(
    capture: Path, config: reconstruct.Config, threads: int
) -> tuple[list[dict[str, float]], dict[str, Any]]:
    """Train as `pipeline reconstruct` does. Returns what was seen at each look, and the report."""
    log, rows = logging.getLogger("reconstruct"), Rows()
    log.setLevel(logging.INFO)
    log.addHandler(rows)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in ("out", "scratch"):
            (folder / part).mkdir()
        ctx = Context(
            out=folder / "out", scratch=folder / "scratch", log=log, progress=quiet, seed=0,
            device="cpu", threads=threads, memory_bytes=6 * 10**9,
        )  # fmt: skip
        reconstruct.run(reconstruct.Inputs(CaptureDir(capture)), config, ctx)
        return rows.rows, json.loads((folder / "out" / "report.json").read_text("utf-8"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("capture", type=Path)
    parser.add_argument("--max-side", type=int, default=480)
    parser.add_argument("--iterations", type=int, default=7_000)
    parser.add_argument("--max-gaussians", type=int, default=60_000)
    parser.add_argument("--strategy", choices=["densify", "mcmc"], default="densify")
    parser.add_argument("--exposures", choices=["off", "affine"], default="affine")
    parser.add_argument("--every", type=int, default=500, help="iterations between two looks")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--write", type=Path)
    arguments = parser.parse_args()
    config = reconstruct.Config(
        iterations=arguments.iterations,
        views=Views(max_side_px=arguments.max_side),
        density=Density(max_gaussians=arguments.max_gaussians, strategy=arguments.strategy),
        exposures=Exposures(mode=arguments.exposures),
        evaluate_every=arguments.every,
    )
    rows, report = trained(arguments.capture, config, arguments.threads)
    result = {
        "rows": rows,
        "psnr dB": report["psnr_db"],
        "evened dB": report["evened_psnr_db"],
        "ssim": report["ssim"],
        "peak memory GB": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 2),
        "threads": arguments.threads,
    }
    if arguments.write:
        arguments.write.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    print(json.dumps({key: value for key, value in result.items() if key != "rows"}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
