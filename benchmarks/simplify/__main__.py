"""How well tools simplify textured meshes: pictures, surfaces, soundness, time and memory.

    python benchmarks/simplify/ MESHES --out DIR [--peers-python P] [--blender P] [--gltfpack P]
                                [--tools a,b] [--meshes a,b] [--ratios 0.5,0.1] [--minutes M]
    python benchmarks/simplify/ MESHES --out DIR --turns N --peers-python P --tools ours,meshlab,...
    python benchmarks/simplify/ MESHES --out DIR --validate NODE_MODULES
    python benchmarks/simplify/ MESHES --out DIR --report docs/simplify-benchmark.md

MESHES is a directory of GLB files. Every (tool, mesh, ratio) is one JSON file below DIR/rows and
one mesh below DIR/meshes; what is there is not made again, so that the command can be stopped and
repeated. Times of rows made at different moments compare badly: `--turns` runs the tools again, N
times by turns, mesh by mesh, and puts the fastest times into the rows that are there (by default
those of 10 %, which the goals look at). `--validate` runs Khronos' validator (npm: gltf-validator)
over our meshes and notes its findings in the rows. `--report` writes the table, the contact sheet
beside it, and the goals.
"""

import argparse
import json
import os
import subprocess
import sys
import time
import traceback
from dataclasses import asdict
from pathlib import Path
from typing import Any

# Before numpy and torch are imported.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import torch  # noqa: E402
from tools import Peers, Tool, run, tools  # noqa: E402

RATIOS = (0.5, 0.1, 0.05, 0.02, 0.01)
TIMED = 0.1


def main() -> None:
    options = arguments()
    torch.set_num_threads(1)
    peers = Peers(options.peers_python, options.blender, options.gltfpack)
    if options.validate:
        validate(options.out, options.validate)
        return
    if options.report:
        import report

        report.write(options.meshes_in, options.out, options.report, tools(peers))
        return
    chosen = {
        name: tool
        for name, tool in tools(peers).items()
        if options.tools is None or name in options.tools.split(",")
    }
    ratios = [float(word) for word in (options.ratios or ",".join(map(str, RATIOS))).split(",")]
    files = [
        path
        for path in sorted(options.meshes_in.glob("*.glb"))
        if options.meshes is None or path.stem in options.meshes.split(",")
    ]
    end = time.monotonic() + 60 * options.minutes
    if options.turns:
        ratios = ratios if options.ratios else [TIMED]
        take_turns(files, chosen, ratios, options.out, options.turns, end)
        return
    missing = list(todo(files, chosen, ratios, options.out))
    print(f"{len(missing)} to do", flush=True)
    faults = work(missing, options.out, end)
    if faults:
        sys.exit(f"the judge failed on {len(faults)}: {', '.join(faults)}. They have no rows.")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("meshes_in", metavar="MESHES", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--peers-python", help="a Python with pymeshlab, meshoptimizer, ...")
    parser.add_argument("--blender", help="a Python with bpy")
    parser.add_argument("--gltfpack", help="the program")
    parser.add_argument("--tools")
    parser.add_argument("--meshes")
    parser.add_argument("--ratios")
    parser.add_argument("--turns", type=int, help="measure the times anew, the fastest of so many")
    parser.add_argument("--minutes", type=float, default=1e9, help="stop after so long")
    parser.add_argument("--validate", type=Path, help="node_modules with gltf-validator")
    parser.add_argument("--report", type=Path, help="a Markdown file to write")
    return parser.parse_args()


def row_path(out: Path, mesh: str, tool: str, ratio: float) -> Path:
    return out / "rows" / mesh / f"{tool}-{ratio:g}.json"


def glb_path(out: Path, mesh: str, tool: str, ratio: float) -> Path:
    return out / "meshes" / mesh / f"{tool}-{ratio:g}.glb"


def todo(files: list[Path], chosen: dict[str, Tool], ratios: list[float], out: Path):
    """What has no row yet, mesh by mesh."""
    for path in files:
        for name, tool in chosen.items():
            for ratio in ratios:
                if not row_path(out, path.stem, name, ratio).exists():
                    yield path, name, tool, ratio


def work(missing: list, out: Path, end: float) -> list[str]:
    """Make rows until none is missing or the time is over. Returns what the judge failed on."""
    from judge.score import Original

    original, faults = None, []
    for path, name, tool, ratio in missing:
        if time.monotonic() > end:
            print("out of time; repeat the command to go on")
            return faults
        if original is None or original.path != path:
            original = Original(path)
        count = len(original.surface.model.faces)
        asked = max(round(ratio * count), 1)
        made = glb_path(out, path.stem, name, ratio)
        made.parent.mkdir(parents=True, exist_ok=True)
        took = run(tool, path, asked, made)
        row = {"tool": name, "mesh": path.stem, "ratio": ratio, "input": count, "asked": asked}
        row |= asdict(took)
        if took.error is None:
            try:
                row |= judged(original, made, textured=tool.textured)
            except Exception:  # The others are judged all the same; this one gets no row.
                traceback.print_exc()
                faults.append(f"{name} {path.stem} {ratio:g}")
                continue
        place = row_path(out, path.stem, name, ratio)
        place.parent.mkdir(parents=True, exist_ok=True)
        store(place, row)
        print(line(row), flush=True)
    return faults


def take_turns(
    files: list[Path],
    chosen: dict[str, Tool],
    ratios: list[float],
    out: Path,
    turns: int,
    end: float,
) -> None:
    """The fastest times of tools that run one after the other, again and again."""
    made = out / "timed.glb"
    for path, ratio in ((path, ratio) for path in files for ratio in ratios):
        if time.monotonic() > end:
            print("out of time")
            return
        places = {name: row_path(out, path.stem, name, ratio) for name in chosen}
        rows = {n: json.loads(place.read_text()) for n, place in places.items() if place.exists()}
        taken = [
            {name: run(chosen[name], path, row["asked"], made) for name, row in rows.items()}
            for _ in range(turns)
        ]
        for name, row in rows.items():
            for key in ("total_s", "core_s"):
                found = [getattr(took[name], key) for took in taken if not took[name].error]
                if found and None not in found:
                    row[key] = min(found)
            store(places[name], row | {"turns": turns})
        words = ", ".join(f"{name} {row['total_s']:.2f} s" for name, row in rows.items())
        print(f"{path.stem:15} {ratio:5g}  {words}", flush=True)
    made.unlink(missing_ok=True)


def judged(original: Any, made: Path, *, textured: bool) -> dict[str, Any]:
    """The figures of a tool's file, or as its error that it cannot be read. Whatever else goes
    wrong is the judge's fault, and raised."""
    from judge.glb import Unreadable
    from judge.score import load, score

    try:
        model = load(made)
    except Unreadable as problem:
        return {"error": f"not readable: {problem}"}
    return score(original, model, textured=textured)


def store(place: Path, row: dict) -> None:
    temporary = place.with_suffix(".part")
    temporary.write_text(json.dumps(row, indent=1))
    temporary.rename(place)


def validate(out: Path, node_modules: Path) -> None:
    """Errors and warnings of every file of the whole command into its row."""
    places = {}
    for place in sorted((out / "rows").glob("*/ours-[0-9]*.json")):
        row = json.loads(place.read_text())
        made = glb_path(out, row["mesh"], row["tool"], row["ratio"])
        if not row["error"] and made.is_file():
            places[made] = (place, row)
    script = Path(__file__).parent / "validate.cjs"
    said = subprocess.run(
        ["node", str(script), str(node_modules.resolve()), *map(str, places)],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    for file, found in json.loads(said).items():
        place, row = places[Path(file)]
        store(place, row | {f"validator_{name}": value for name, value in found.items()})
        if found["errors"] or found["warnings"]:
            print(
                f"{file}: {found['errors']} errors, {found['warnings']} warnings: {found['first']}"
            )
    print(f"{len(places)} files validated")


def line(row: dict) -> str:
    head = f"{row['mesh']:15} {row['tool']:20} {row['ratio']:5g}"
    if row["error"]:
        return f"{head}  failed: {row['error'].splitlines()[-1][:100]}"
    return (
        f"{head} {row['faces']:6}/{row['asked']:<6} color {row['color_psnr_db']:5.1f}"
        f" normal {row['normal_psnr_db']:5.1f} iou {row['iou']:.3f}"
        f" chamfer {100 * row['chamfer']:.3f} bleeding {100 * row['bleeding']:.2f}"
        f" lost {len(row['lost_parts'])} {row['total_s']:.1f} s"
    )


if __name__ == "__main__":
    sys.exit(main())
