"""The command line. Each command is a function in `commands/`, loaded only when it is called.

Exit codes: 0 done, 2 the user's input or settings, 1 our fault, 130 interrupted (and resumable).
"""

import contextlib
import errno
import importlib
import importlib.metadata
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from types import FrameType, MappingProxyType
from typing import NoReturn

from .config import nearest
from .environment import calm
from .errors import SplatworksError
from .fault import Fault, say, write_fault

COMMANDS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "generate": (".commands.generate:generate", "a prompt to splats, a textured mesh, LODs"),
        "reconstruct": (".commands.reconstruct:reconstruct", "photographs to splats"),
        "mesh": (".commands.mesh:mesh", "splats to a triangle mesh, in one of seven ways"),
        "evaluate": (".commands.evaluate:evaluate", "how good a mesh is, or splats, in figures"),
        "render": (".commands.render:render", "pictures of a scene, with their cameras"),
        "edit": (".commands.edit:edit", "a scene changed by one retouched picture of it"),
        "track": (".commands.track:track", "a scene that follows a film from one camera"),
        "stitch": (".commands.stitch:stitch", "one captured object's look on another's"),
        "apply": (".commands.apply:apply", "an edit script on captured scenes"),
        "bind": (".commands.bind:bind", "flat splats on the triangles of a mesh"),
        "pose": (".commands.bind:pose", "bound splats that follow their mesh"),
        "studio": (".commands.studio:studio", "a web page to select, move, stitch and save"),
        "texture": (".commands.texture:texture", "a texture for a mesh of your own, from a prompt"),
        "bake": (".commands.bake:bake", "photographs of a mesh, or splats, to its texture"),
        "simplify": (".commands.simplify:simplify", "any textured mesh to fewer faces, or LODs"),
        "export": (".commands.export:export", "a mesh or splats for Blender, Unreal, Unity, …"),
        "fit": (".commands.fit:fit", "a photograph or a mesh's distance as a small neural field"),
        "convert": (".commands.convert:convert", "splats as .ply, .compressed.ply, .splat or .spz"),
        "check": (".commands.check:check", "what a file holds, and what will go wrong with it"),
        "run": (".commands.run:run", "a recipe, a preset or an interrupted run directory"),
        "plan": (".commands.run:plan", "what a recipe would do, without doing it"),
        "status": (".commands.look:status", "the steps of a run: done, interrupted, changed"),
        "explain": (".commands.look:explain", "why a step would run again"),
        "step": (".commands.step:step", "one stage alone, on files of your own"),
        "stages": (".commands.step:stages", "the stages with their inputs and outputs"),
        "gc": (".commands.look:gc", "delete results that nothing uses any more"),
        "doctor": (".commands.doctor:doctor", "what is installed, and a self-test"),
    }
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code.

    Without `arguments` this is the program itself, which ends at once when it is interrupted.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    calm()
    _listen()
    try:
        return _dispatch(words)
    except SplatworksError as error:
        return say(str(error), 2)
    except Fault as fault:
        return say(str(fault), 1)
    except KeyboardInterrupt:
        if arguments is None:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        code = say("interrupted. Run the same line again to continue.", 130)
        if arguments is None:
            _leave(code)
        return code
    except BrokenPipeError:
        # `pipeline ... | head`: nobody reads on, which is no error. Nor shall exiting make one.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM):
            what = f"{error.filename}: " if error.filename else ""
            return say(f"{what}{error.strerror}. Free space or allow it, then run again.", 2)
        return say(write_fault(error, None), 1)
    except Exception as error:
        return say(write_fault(error, None), 1)


def _dispatch(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        print(_overview())
        return 0
    if words[0] == "--version":
        print(f"splatworks {importlib.metadata.version('splatworks')}")
        return 0
    name, rest = words[0], words[1:]
    if name not in COMMANDS:
        return say(f"'{name}' is not a command.{nearest(name, COMMANDS)}", 2)
    module, _, function = COMMANDS[name][0].partition(":")
    command = getattr(importlib.import_module(module, __package__), function)
    if name == "step":  # Its options depend on the stage.
        return int(command(rest))
    from .commands.parse import call

    return int(call(command, name, rest))


def _overview() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:{width}} {summary}" for name, (_, summary) in COMMANDS.items()]
    return "\n".join(
        [
            "usage: pipeline COMMAND ...",
            "",
            *lines,
            "",
            "pipeline COMMAND --help shows the options of a command. For example:",
            '  pipeline generate "a red mushroom with white dots" --out runs/mushroom',
        ]
    )


def _listen() -> None:
    """SIGTERM and a closed terminal end a run as gently as Ctrl-C."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        with contextlib.suppress(ValueError):  # Not in the main thread: somebody else listens.
            if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, stop)


def _leave(code: int) -> NoReturn:
    """End the process without waiting for threads at work, nor for what libraries tidy up."""
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
    os._exit(code)


if __name__ == "__main__":
    sys.exit(main())
