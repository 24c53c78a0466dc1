"""The Khronos glTF validator and OpenUSD's validation over what `pipeline export` writes.

    npm install --prefix WORK gltf-validator && pip install usd-core
    python benchmarks/export_validate.py --modules WORK/node_modules MESH.glb ... [SPLATS.ply ...]

For each input and tool: GLB, with levels of detail where there are some, USD and USDZ. Prints one
line per file; exits with 1 if there is an error or a warning. glTF splats are shown but not
counted: validators older than KHR_gaussian_splatting call its attribute names invalid.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from splatworks.pipeline.cli import main as pipeline
from splatworks.stages.export.splats_out import is_splats

VALIDATE = Path(__file__).parent / "simplify" / "validate.cjs"
TOOLS = ("blender", "unreal", "unity", "maya", "web")


def exported(source: Path, folder: Path, lods: list[Path]) -> list[Path]:
    """All files of one input that one of the validators reads."""
    formats = ("gltf-splats", "usd-splats") if is_splats(source) else ("glb", "usd", "usdz")
    for tool in TOOLS:
        for format in formats:
            words = ["export", str(source), "--for", tool, "--format", format]
            if lods and not is_splats(source):
                words += ["--lods", *map(str, lods)]
            assert pipeline([*words, "--out", str(folder / f"{source.stem}_{tool}_{format}")]) == 0
    found = [p for p in sorted(folder.rglob("*")) if p.suffix in (".glb", ".usd", ".usdc", ".usdz")]
    return [path for path in found if path.is_file()]


def gltf_issues(paths: list[Path], modules: Path) -> dict[str, tuple[int, str]]:
    """Errors and warnings of each file, and the first message."""
    words = ["node", str(VALIDATE), str(modules), *map(str, paths)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    return {
        name: (entry["errors"] + entry["warnings"], entry["first"])
        for name, entry in json.loads(done.stdout).items()
    }


def usd_issues(path: Path) -> tuple[int, str]:
    """Of all validators that this OpenUSD brings."""
    from pxr import Usd, UsdValidation

    registry = UsdValidation.ValidationRegistry()
    names = [entry.name for entry in registry.GetAllValidatorMetadata()]
    context = UsdValidation.ValidationContext(registry.GetOrLoadValidatorsByName(names))
    errors = context.Validate(Usd.Stage.Open(str(path)))
    return len(errors), errors[0].GetMessage() if errors else ""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("inputs", nargs="+", type=Path)
    parser.add_argument("--modules", type=Path, required=True, help="node_modules, absolute")
    parser.add_argument("--lods", nargs="*", type=Path, default=[])
    options = parser.parse_args()
    bad = 0
    with tempfile.TemporaryDirectory() as folder:
        for source in options.inputs:
            paths = exported(source, Path(folder) / source.stem, options.lods)
            glbs = [path for path in paths if path.suffix == ".glb"]
            found = gltf_issues(glbs, options.modules.absolute()) if glbs else {}
            found |= {str(path): usd_issues(path) for path in paths if path.suffix != ".glb"}
            for name, (count, first) in found.items():
                bad += 0 if "gltf-splats" in name else count
                print(f"{count:3}  {Path(name).relative_to(folder)}  {first}")
    print(f"{bad} errors and warnings")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
