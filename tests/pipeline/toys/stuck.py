"""Works in a thread that cannot be stopped, and leaves something to be done on leaving."""

import atexit
import threading
import time
from dataclasses import dataclass

from splatworks.pipeline.contract import Context

from .kinds import TextFile

VERSION = 1
LONG_S = 60.0


@dataclass(frozen=True, slots=True)
class Inputs:
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    pass


@dataclass(frozen=True, slots=True)
class Outputs:
    text: TextFile


def run(inputs: Inputs, config: Config, ctx: Context) -> Outputs:
    atexit.register(time.sleep, LONG_S)
    threading.Thread(target=time.sleep, args=(LONG_S,)).start()
    (ctx.scratch / "checkpoint").write_text("so far")
    threading.Event().wait()
    raise AssertionError
