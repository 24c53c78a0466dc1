"""Where the time of `pipeline generate` goes, and how much memory it takes.

    python benchmarks/draft.py ["PROMPT"] [--preset draft] [--at-most MINUTES] [--out DIR]

Runs the whole command in a fresh directory (compiled kernels are cached per user: run twice to
leave the first compilation out) and prints one JSON object: wall and processor seconds per step,
as the steps themselves noted them, the wall time of the command and its peak memory. With
`--at-most` the exit code is 1 if it took longer.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import generating


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("prompt", nargs="?", default="a red mushroom with white dots")
    parser.add_argument("--preset", default="draft")
    parser.add_argument("--at-most", type=float, help="minutes")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run = options.out or Path(folder) / "run"
        begun = time.perf_counter()
        line = ["generate", options.prompt, "--preset", options.preset, "--out", str(run)]
        subprocess.run(
            [sys.executable, "-m", "splatworks.pipeline.cli", *line],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        wall = time.perf_counter() - begun
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
        print(json.dumps(report(run, wall, peak), indent=1))
    return int(options.at_most is not None and wall > 60 * options.at_most)


def report(run: Path, wall_s: float, peak_bytes: int) -> dict[str, object]:
    """What the command took as a whole, and each step's own notes."""
    steps = {
        name: {"wall_s": round(noted["wall_s"], 1), "cpu_s": round(noted["cpu_s"], 1)}
        for name, noted in generating.steps_of(run).items()
    }
    return {
        "prompt": json.loads((run / "inputs" / "prompt.json").read_text())["text"],
        "wall_s": round(wall_s, 1),
        "peak_gib": round(peak_bytes / 2**30, 2),
        "steps": steps,
    }


if __name__ == "__main__":
    sys.exit(main())
