"""Simplex encodings: speed, and quality over time against cubic grids and plain Kuhn simplices.

    python benchmarks/encoding.py                      all parts, several minutes
    python benchmarks/encoding.py speed                one part: speed, toys, image, sdf, radiance
    python benchmarks/encoding.py image --photo FILE   (a picture of 12 megapixels or more)
    python benchmarks/encoding.py image --photo FILE --keep DIR   the same line again goes on

Writes benchmarks/results/encoding.json (each part where it is run) and docs/images/encoding.png.
Without files of your own, parts that need a photograph, meshes or a capture are skipped, saying so.
"""

import argparse
import json
import platform
import tempfile
from pathlib import Path

import encoding_picture
import encoding_quality
import encoding_speed
import encoding_toys
import torch

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results" / "encoding.json"
PICTURE = HERE.parent / "docs" / "images" / "encoding.png"
PARTS = ("speed", "toys", "image", "sdf", "radiance")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}; all by default")
    parser.add_argument("--photo", type=Path, nargs="*", default=[], help="one, or several to join")
    parser.add_argument("--mesh", type=Path, nargs="*", default=[], help="for sdf")
    parser.add_argument("--capture", type=Path, help="a folder with transforms.json, for radiance")
    parser.add_argument(
        "--keep", type=Path, help="folder for what has been trained, to go on from; new by default"
    )
    parser.add_argument("--iterations", type=int, help="instead of each part's own number")
    given = parser.parse_args()
    unknown = sorted(set(given.parts) - set(PARTS))
    if unknown:
        parser.error(f"no such part: {', '.join(unknown)}")
    torch.set_num_threads(1)
    results = json.loads(RESULTS.read_text("utf-8")) if RESULTS.is_file() else {}
    for part in given.parts or PARTS:
        found = run(part, given)
        if found is not None:
            results[part] = {"machine": machine(), **found}
            RESULTS.write_text(json.dumps(results, indent=1) + "\n", "utf-8")
    encoding_picture.draw(results, PICTURE)


def run(part: str, given: argparse.Namespace) -> dict | None:
    more = {} if given.iterations is None else {"iterations": given.iterations}
    if part == "speed":
        rows = encoding_speed.by_dimension()
        return {
            "by dimension": rows,
            "figures": encoding_speed.figures(rows),
            "compiled against torch": encoding_speed.against_torch(),
            "memory": encoding_speed.memory(),
        }
    if part == "toys":
        return encoding_toys.toys()
    needed = {"image": given.photo, "sdf": given.mesh, "radiance": given.capture}[part]
    if not needed:
        option = {"image": "--photo", "sdf": "--mesh", "radiance": "--capture"}[part]
        print(f"{part}: skipped, since {option} was not given")
        return None
    keep = given.keep or Path(tempfile.mkdtemp(prefix="encoding-"))
    return getattr(encoding_quality, part)(needed, keep, **more)


def machine() -> dict:
    return {"processor": platform.processor() or platform.machine(), "torch": torch.__version__}


if __name__ == "__main__":
    main()
