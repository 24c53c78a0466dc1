"""`pipeline track`: a scene that follows the pictures of one camera."""

from pathlib import Path
from typing import Annotated

import tyro

from ...stages import STAGES
from ..errors import InputError
from ..fault import faults_in
from ..plan import bind
from ..recipe import Recipe, Step, with_settings
from ..runner import held, run_steps
from ..store import open_store
from .options import MachineOptions, print_results


def track(
    scene: tyro.conf.Positional[Path],
    /,
    *,
    camera: Path,
    frames: Path,
    out: Path,
    fps: float = 24.0,
    set: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = (),
    store: Path | None = None,
    options: Annotated[MachineOptions, tyro.conf.arg(name="")] = MachineOptions(),  # noqa: B008
) -> int:
    """Move SCENE.ply along with a film of it from one camera that stands still.

    Args:
        scene: A splat PLY, near to how the first frame shows it.
        camera: The camera of the film.
        frames: A directory of pictures; their names give the order, 10.png after 9.png.
        out: The run directory; latest/track/sequence/ holds one PLY per frame.
        fps: Frames per second.
        set: track.FIELD=VALUE, a setting of the stage; may be given several times.
        store: A directory of results shared between runs; OUT remembers it.
    """
    for path in (scene, camera):
        if not path.is_file():
            raise InputError(f"{path}: no such file.")
    if not frames.is_dir():
        raise InputError(f"--frames {frames}: no such directory.")
    step = Step(
        name="track",
        stage="track",
        inputs={
            "splats": str(scene.absolute()),
            "camera": str(camera.absolute()),
            "frames": str(frames.absolute()),
        },
        config={"fps": fps},
    )
    recipe = with_settings(Recipe(steps=(step,)), set, STAGES)
    target = open_store(out, store)
    machine = options.machine()
    with faults_in(target.run), held(target):
        finished = run_steps(recipe, bind(recipe, STAGES), target, machine)
    print_results(target, finished)
    return 0
