"""`prompt/1`: what the user asked for. No seed, no view words: these belong elsewhere."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from ...pipeline.contract import replacing
from ...pipeline.errors import InputError
from . import documents

LONGEST = 1_000
"""Characters. No text encoder in use sees more than about 77 words."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """A checked prompt: never empty, never longer than `LONGEST` characters."""

    text: str
    negative: str = ""

    def __post_init__(self) -> None:
        for name, text in (("prompt", self.text), ("negative prompt", self.negative)):
            if not isinstance(text, str):
                raise InputError(f"The {name} must be text, got {type(text).__name__}.")
            if len(text) > LONGEST:
                raise InputError(
                    f"The {name} has {len(text)} characters; at most {LONGEST} are allowed. "
                    f"Models read about 77 words: say it shorter."
                )
            if any(ord(letter) < 32 and letter not in "\n\t" for letter in text):
                raise InputError(f"The {name} holds control characters.")
        if not self.text.strip():
            raise InputError('The prompt is empty. Say what to make, such as "a red mushroom".')


def load(path: Path) -> Prompt:
    """Read a prompt; anything but `text` and `negative` is refused."""
    values = documents.read_any(path)
    if "text" not in values:
        raise InputError(f'{path}: expected a JSON object with "text", such as {{"text": "…"}}.')
    unknown = sorted(set(values) - {"text", "negative"})
    if unknown:
        raise InputError(f"{path}: unknown entry {unknown[0]!r}; known are 'text', 'negative'.")
    try:
        return Prompt(**values)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def save(prompt: Prompt, path: Path) -> Path:
    """Write a prompt as JSON. Returns `path`."""
    with replacing(Path(path)) as temporary:
        text = json.dumps(asdict(prompt), indent=1, ensure_ascii=False)
        temporary.write_text(text + "\n", "utf-8")
    return Path(path)
