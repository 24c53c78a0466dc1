"""`pipeline texture`: a texture for a user's own mesh, from a prompt."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import tyro

from ..errors import InputError
from ..execute import explained
from ..guidance_source import find_guidance
from ..recipe import Step
from ..store import Store
from .generate import check_prompt, write_prompt
from .options import MachineOptions
from .single import run_single


def texture(
    mesh: tyro.conf.Positional[Path],
    /,
    *,
    prompt: str,
    out: Path,
    negative: str = "",
    guidance: str = "toybox",
    keep_look: bool = False,
    keep_uvs: bool = False,
    set: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = (),
    seed: int = 0,
    store: Path | None = None,
    options: Annotated[MachineOptions, tyro.conf.arg(name="")] = MachineOptions(),  # noqa: B008
) -> int:
    """Paint MESH as a prompt says; its shape stays. Repeat the same line to continue.

    Args:
        mesh: A GLB, glTF, OBJ, PLY, STL or OFF file, +Y up, its front to +Z.
        prompt: What it shall look like, such as "a panda in armour".
        out: The run directory; the result is latest/texture/textured.glb.
        negative: What to keep away from.
        guidance: `toybox` (built in), a diffusers model directory, or a hub name OWNER/NAME.
        keep_look: Start from the look that the mesh has instead of from gray.
        keep_uvs: Paint into the mesh's own charts, if they are an atlas, and keep its materials.
        set: texture.FIELD=VALUE, a setting of the stage; may be given several times.
        seed: Another seed gives another texture.
        store: A directory of results shared between runs; OUT remembers it.
    """
    text = check_prompt(prompt)
    if negative:
        check_prompt(negative, "the negative prompt")
    if not mesh.is_file():
        raise InputError(f"{mesh}: no such file.")
    given = {"mesh": f"mesh/1:{mesh.absolute()}", "guidance": str(find_guidance(guidance))}
    step = Step(
        name="texture",
        stage="text-texture",
        inputs=given,
        config={"keep_uvs": keep_uvs, **({"start": "own"} if keep_look else {})},
    )

    def with_prompt(target: Store, alone: Step) -> Step:
        path = target.run / "inputs" / "prompt.json"
        with explained(str(path), target.run):
            write_prompt(path, text, negative)
        return replace(alone, inputs={**alone.inputs, "prompt": str(path)})

    begun = time.perf_counter()
    run_single(step, out=out, set=set, seed=seed, store=store, options=options, prepare=with_prompt)
    print(f"took {time.perf_counter() - begun:.1f} s")
    return 0
