"""gltfpack (node): as it comes, then with ever more freedom until it no longer stops early;
otherwise what came closest."""

import resource
import subprocess
import tempfile
from pathlib import Path

from adapter import main
from judge import glb

FREEDOM = ([], ["-sp"], ["-sp", "-se", "0.1"], ["-sa"])
"""Across seams, with ten times the error limit, and without regard for texture coordinates. With
an error limit of 1 it prunes everything."""
SLACK = 1.1
"""More faces than this times the asked ones: stopped early."""


def run(source, target, out, variant, timer):
    ratio = target / len(glb.read(source).faces)
    fewest = None
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "made.glb"
        # `-noq`: no quantization, which is not what is measured.
        for extra in FREEDOM:
            line = [variant, "-i", source, "-o", made, "-si", f"{ratio:.6f}", "-noq", *extra]
            subprocess.run([str(word) for word in line], check=True, capture_output=True)
            if "nodes" not in glb.File(made).document:
                continue  # Nothing is left.
            faces = len(glb.read(made).faces)
            if fewest is None or faces < fewest:
                fewest = faces
                out.write_bytes(made.read_bytes())
            if faces <= SLACK * target:
                break
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    timer.seconds = used.ru_utime + used.ru_stime
    timer.peak_bytes = used.ru_maxrss * 1024


main(run)
