"""Says a prompt; has the inputs of a first stage of `generate`."""

import json
from dataclasses import dataclass
from pathlib import Path

from splatworks.pipeline.contract import Artifact, Context, replacing

from .kinds import TextFile

VERSION = 1


@dataclass(frozen=True, slots=True)
class PromptFile(Artifact):
    kind = "prompt/1"


@dataclass(frozen=True, slots=True)
class GuidanceDir(Artifact):
    kind = "guidance/1"


@dataclass(frozen=True, slots=True)
class Inputs:
    prompt: PromptFile
    guidance: GuidanceDir


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    mark: str = "!"


@dataclass(frozen=True, slots=True)
class Outputs:
    text: TextFile


def run(inputs: Inputs, config: Config, ctx: Context) -> Outputs:
    prompt = json.loads(inputs.prompt.path.read_text("utf-8"))
    assert sorted(prompt) == ["negative", "text"]
    path: Path = ctx.out / "text.txt"
    with replacing(path) as temporary:
        temporary.write_text(prompt["text"] + config.mark, "utf-8")
    return Outputs(TextFile(path))
