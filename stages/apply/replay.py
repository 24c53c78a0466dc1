"""From files through the script to files."""

import json
from pathlib import Path

from ...pipeline.contract import Context, replacing
from ...pipeline.errors import InputError
from ..artifacts import ScenesDir, SplatsFile
from ..formats import edits as scripts
from ..formats.edits import Merge, Script
from ..formats.scenes import save_index, scene_paths
from ..scene.layers import Layer, Scene, save
from ..scene.operations import Outcome, perform
from ..scene.session import opened, replayed
from . import Config, Inputs, Outputs
from .performing import performing

REPORT = "report.json"


def replay(inputs: Inputs, config: Config, ctx: Context) -> Outputs:
    """All that the stage does."""
    name = inputs.script.path.name
    script = scripts.load(inputs.script.path)
    scene = _opened(script, inputs.scenes.path, name)
    edits = script.edits[: config.upto]
    lines: list[dict[str, str]] = []
    with ctx.progress("apply", len(edits)) as bar:

        def told(place: str, outcome: Outcome) -> None:
            lines.append({"edit": place, "said": outcome.said})
            ctx.log.info("%s: %s", place, outcome.said)
            if outcome.warning:
                lines[-1]["warning"] = outcome.warning
                ctx.log.warning("%s: %s", place, outcome.warning)
            bar.advance()

        scene = replayed(scene, edits, name, told, performing(ctx))
    with replacing(ctx.out / REPORT) as temporary:
        temporary.write_text(json.dumps(lines, indent=1, ensure_ascii=False) + "\n", "utf-8")
    if config.parts == "one":
        return Outputs(splats=_save_one(scene, ctx.out))
    return Outputs(scenes=_save_each(scene, ctx.out / "scenes"))


def _opened(script: Script, path: Path, name: str) -> Scene:
    paths = scene_paths(path)
    if len(paths) != len(script.scenes):
        raise InputError(
            f"{name} is for {len(script.scenes)} scenes ({', '.join(script.scenes)}), got"
            f" {len(paths)}. Give as many, in that order."
        )
    return opened(script.scenes, paths)


def in_one(scene: Scene) -> Layer:
    """All layers merged into the first, for one file."""
    first, *others = (layer.name for layer in scene.layers)
    if others:
        try:
            scene = perform(scene, Merge(layer=first, others=tuple(others))).scene
        except InputError as error:
            raise InputError(
                f"all layers in one file: {error}, or ask for one file each."
            ) from None
    return scene.layers[0]


def _save_one(scene: Scene, folder: Path) -> SplatsFile:
    return SplatsFile(save(in_one(scene), folder / "scene.ply"))


def _save_each(scene: Scene, folder: Path) -> ScenesDir:
    folder.mkdir()
    for layer in scene.layers:
        save(layer, folder / f"{layer.name}.ply")
    save_index([layer.name for layer in scene.layers], folder)
    return ScenesDir(folder)
