"""The edit `retouch` of a script: this stage on one layer of a scene, and back into the scene.

It goes through the stage's files, in and out, so that a layer is edited in a script to the same
bits as its file is by `pipeline edit`.
"""

import base64
import binascii
import json
import tempfile
from dataclasses import replace
from pathlib import Path

from ...pipeline.contract import Context
from ...pipeline.errors import InputError
from ..artifacts import CameraFile, PictureFile, SplatsFile
from ..formats import cameras, edits, splats
from ..scene.layers import Layer, Scene, baked, new_layer, save, with_values
from ..scene.operations import Outcome
from . import Config, Inputs
from .moving import Show

SHOW_EVERY_S = 1.0
"""Of the forming picture, where somebody looks."""


def retouched(scene: Scene, edit: edits.Retouch, ctx: Context, show: Show | None = None) -> Outcome:
    """The scene with one layer edited. Where Gaussians come or go, nothing is selected after it.

    `show` is given the picture as it forms, which changes nothing.

    An interrupted edit leaves nothing behind.
    """
    from .work import edit as run  # Compiles, which loading a script does not need.

    layer = baked(scene.layer(edit.layer))
    try:
        picture = base64.b64decode(edit.png, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InputError(f"the picture is no PNG in base64 ({error})") from None
    ctx.scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=ctx.scratch, prefix="retouch-") as name:
        folder = Path(name)
        image = folder / "edited.png"
        image.write_bytes(picture)
        given = Inputs(
            splats=SplatsFile(save(layer, folder / "scene.ply")),
            camera=CameraFile(cameras.save(edit.camera.cameras(), folder / "camera.json")),
            image=PictureFile(image),
        )
        inner = replace(ctx, out=folder / "out", scratch=folder / "scratch", seed=edit.seed)
        inner.out.mkdir()
        inner.scratch.mkdir()
        config = Config(what=edit.what, background=edit.background)
        if show is not None:
            config = replace(config, preview_every_s=SHOW_EVERY_S)
        outputs = run(given, config, inner, show)
        after = splats.load(outputs.splats.path)
        report = json.loads((outputs.report.path / "report.json").read_text("utf-8"))
    return Outcome(scene.put(_with(layer, after)), _said(layer.name, report))


def _with(layer: Layer, after: splats.RawSplats) -> Layer:
    if len(after) == len(layer):
        return with_values(layer, after)
    return new_layer(layer.name, after)


def _said(name: str, report: dict) -> str:
    if report["untouched"] == report["gaussians_before"] == report["gaussians"]:
        return f"{name}: the picture shows no edit, nothing has changed"
    return (
        f"{name} retouched: {report['moved']:,} moved, {report['recolored']:,} recolored, "
        f"{report['removed']:,} removed, {report['untouched']:,} untouched"
    )
