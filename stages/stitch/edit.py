"""The edit `stitch` of a script: this stage on two layers of a scene, and back into the scene.

It goes through the stage's own face, files in and files out, so that a layer is stitched in a
script to the same bits as its file is by `pipeline stitch`.
"""

import json
import tempfile
from dataclasses import fields, replace
from pathlib import Path

from ...pipeline.contract import Context
from ...pipeline.errors import InputError
from ..artifacts import SplatsFile
from ..formats import edits, splats
from ..scene.layers import Scene, baked, save, with_values
from ..scene.operations import Outcome
from . import Config, Inputs, run


def stitched(scene: Scene, edit: edits.Stitch, ctx: Context) -> Outcome:
    """The scene with one layer stitched; an interrupted stitch leaves nothing behind."""
    target, source = baked(scene.layer(edit.layer)), baked(scene.layer(edit.source))
    try:
        config = Config(
            **{f.name: getattr(edit, f.name) for f in fields(Config) if _shared(f.name)}
        )
    except ValueError as error:
        raise InputError(str(error).rstrip(".")) from None
    ctx.scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=ctx.scratch, prefix="stitch-") as name:
        folder = Path(name)
        files = [
            SplatsFile(save(layer, folder / f"{part}.ply"))
            for part, layer in (("target", target), ("source", source))
        ]
        inner = replace(ctx, out=folder / "out", scratch=folder / "scratch", seed=edit.seed)
        inner.out.mkdir()
        inner.scratch.mkdir()
        outputs = run(Inputs(target=files[0], source=files[1]), config, inner)
        sh = splats.load(outputs.target.path).sh
        report = json.loads((outputs.report.path / "report.json").read_text("utf-8"))
    layer = with_values(target, replace(target.values, sh=sh))
    said = (
        f"{edit.layer} stitched to {edit.source}: seam of {report['boundary']:,}, color difference"
        f" {report['seam_delta_e_before']:.1f} -> {report['seam_delta_e_after']:.1f}"
    )
    return Outcome(scene.put(layer), said)


def _shared(name: str) -> bool:
    return name in {field.name for field in fields(edits.Stitch)}
