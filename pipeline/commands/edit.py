"""`pipeline edit`: a scene changed by one retouched picture of it."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import tyro

from ...stages import STAGES
from ..contract import replacing
from ..errors import ConfigError, InputError
from ..execute import explained
from ..fault import faults_in
from ..plan import bind
from ..recipe import Recipe, Step, with_settings
from ..runner import held, run_steps
from ..store import Store, open_store, remove
from .options import MachineOptions, print_results

MANY = "images/1"


def edit(
    scene: tyro.conf.Positional[Path],
    /,
    *,
    camera: Annotated[tuple[Path, ...], tyro.conf.UseAppendAction],
    image: Annotated[tuple[Path, ...], tyro.conf.UseAppendAction],
    out: Path,
    mask: Path | None = None,
    pairs: Path | None = None,
    what: Literal["auto", "geometry", "texture", "both", "remove"] = "auto",
    set: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = (),
    store: Path | None = None,
    options: Annotated[MachineOptions, tyro.conf.arg(name="")] = MachineOptions(),  # noqa: B008
) -> int:
    """Change SCENE.ply so that it looks like an edited picture of it.

    Take the picture and its camera from `pipeline render`. What the edit does not touch stays bit
    for bit; going back is taking the scene from before.

    Args:
        scene: A splat PLY.
        camera: The camera of the edited picture; once for each --image.
        image: The edited picture; may be given several times, for one edit seen from several sides.
        out: The run directory; the result is latest/edit/scene.ply.
        mask: A picture that is light where the edit is, in place of comparing; for one --image.
        pairs: CSV lines x0,y0,x1,y1: this pixel of the scene's own picture went there.
        what: What was edited: geometry, texture (colors alone), both, or remove: something
            is gone. auto finds out between the first two.
        set: edit.FIELD=VALUE, a setting of the stage; may be given several times.
        store: A directory of results shared between runs; OUT remembers it.
    """
    if not camera or len(camera) != len(image):
        raise ConfigError(
            f"edit: {len(camera)} --camera and {len(image)} --image. Give the edited picture, and "
            f"the camera file that `pipeline render` has written beside the picture."
        )
    if mask is not None and len(image) > 1:
        raise ConfigError("edit: --mask goes with a single --image.")
    if pairs is not None and len(image) > 1:
        raise ConfigError("edit: --pairs goes with a single --image.")
    extra = {"mask": mask, "pairs": pairs}
    given = {name: path for name, path in extra.items() if path is not None}
    for path in (scene, *camera, *image, *given.values()):
        if not path.is_file():
            raise InputError(f"{path}: no such file.")
    documents = [_camera(path) for path in camera]
    target = open_store(out, store)
    with faults_in(target.run), held(target):
        inputs = {"splats": str(scene.absolute())}
        if len(image) == 1:
            inputs |= {"camera": str(camera[0].absolute())}
            inputs |= {"image": f"picture/1:{image[0].absolute()}"}
        else:
            inputs |= _gathered(documents, image, target)
        inputs |= {name: str(path.absolute()) for name, path in given.items()}
        step = Step(name="edit", stage="edit", inputs=inputs, config={"what": what})
        recipe = with_settings(Recipe(steps=(step,)), set, STAGES)
        machine = options.machine()
        finished = run_steps(recipe, bind(recipe, STAGES), target, machine)
    print_results(target, finished)
    report = target.folder(finished[0].request) / "report" / "report.json"
    print(_told(json.loads(report.read_text("utf-8"))))
    print(f"before and after: {target.shown(finished[0].request) / 'report'}")
    return 0


def _gathered(documents: Sequence[dict], images: Sequence[Path], store: Store) -> dict[str, str]:
    """One directory of pictures, and one file with the cameras of all of them."""
    folder = store.run / "inputs" / "views"
    with explained(str(folder), store.run):
        remove(folder)
        folder.mkdir(parents=True)
        first = documents[0]
        sizes = {(one.get("render_width"), one.get("render_height")) for one in documents}
        if len(sizes) > 1:
            raise InputError(f"edit: the cameras have different sizes: {sorted(map(str, sizes))}.")
        path = [entry for one in documents for entry in one["camera_path"]]
        with replacing(folder / "cameras.json") as temporary:
            temporary.write_text(json.dumps({**first, "camera_path": path}) + "\n", "utf-8")
        for number, image in enumerate(images):
            # The name only tells the order; what kind of picture it is shows in its bytes.
            with replacing(folder / f"{number:03d}.png") as temporary:
                shutil.copyfile(image, temporary)
    return {
        "camera": str((folder / "cameras.json").absolute()),
        "image": f"{MANY}:{folder.absolute()}",
    }


def _camera(path: Path) -> dict:
    """The camera file of one picture."""
    try:
        document = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        document = None
    entries = document.get("camera_path") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise InputError(
            f"{path}: no camera file. Take the .camera.json that `pipeline render` has written "
            f"beside the picture."
        )
    if len(entries) != 1:
        raise InputError(
            f"{path}: holds {len(entries)} cameras, expected that of the picture alone. `pipeline "
            f"render SCENE.ply --camera {path.name}` writes one file for each."
        )
    return document


def _told(report: dict) -> str:
    """The figures in one line."""
    count, same = report["gaussians"], report["untouched"]
    if count == same and not report["removed"]:
        return f"the picture shows no edit: all {count:,} Gaussians are as they were"
    parts = [f"{count:,} Gaussians, {same:,} of them bit for bit as they were"]
    if report["moved"]:
        parts.append(
            f"{report['moved']:,} moved, by {report['moved_by_median']:.3g} in the middle"
            f" and {report['moved_by_most']:.3g} at most"
        )
    if report["removed"]:
        parts.append(f"{report['removed']:,} removed")
    if report["split"]:
        parts.append(f"{report['split']:,} split in four")
    if report["recolored"]:
        parts.append(f"{report['recolored']:,} recolored")
    return "; ".join(parts)
