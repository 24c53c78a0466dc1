"""A loop whose state depends on every iteration before, with checkpoints."""

import hashlib
import json
import time
from dataclasses import dataclass, field
from pathlib import Path

from splatworks.pipeline.contract import RUNTIME, Context, replacing

from .kinds import TextDir, TextFile

VERSION = 1


@dataclass(frozen=True, slots=True)
class Inputs:
    text: TextFile


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    rounds: int = 6
    """How many iterations."""
    pause_s: float = field(default=0.0, metadata=RUNTIME)
    """Sleep in each of them."""


@dataclass(frozen=True, slots=True)
class Outputs:
    parts: TextDir


def run(inputs: Inputs, config: Config, ctx: Context) -> Outputs:
    state = hashlib.sha256(inputs.text.path.read_bytes()).hexdigest()
    checkpoint = ctx.scratch / "state.json"
    first = 0
    if checkpoint.exists():
        saved = json.loads(checkpoint.read_text())
        first, state = saved["round"], saved["state"]
    with ctx.progress("loop", config.rounds, done=first) as bar:
        for number in range(first, config.rounds):
            state = hashlib.sha256(f"{state} {ctx.seed} {number}".encode()).hexdigest()
            time.sleep(config.pause_s)
            if number % 2:
                save(checkpoint, number + 1, state)
            bar.advance()
    parts = ctx.out / "parts"
    parts.mkdir()
    for place in (0, 1):
        (parts / f"{place}.txt").write_text(state[place * 32 : place * 32 + 32])
    return Outputs(TextDir(parts))


def save(path: Path, number: int, state: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(json.dumps({"round": number, "state": state}))
