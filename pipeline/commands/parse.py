"""Options from the signature of a command, and one line instead of a box when they are wrong."""

import contextlib
import functools
import inspect
import io
import re
import types
from collections.abc import Sequence
from typing import Any, Union

import tyro

from ..fault import say


def call(command: Any, name: str, words: Sequence[str]) -> Any:
    """Let tyro read `words` by the signature of `command`, and call it.

    What tyro says about wrong options fills a box of many lines; we say it in one.
    """
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            parsed = tyro.cli(_bound(command), prog=f"pipeline {name}", args=list(words))
    except SystemExit as error:
        if not error.code:
            raise
        text = one_line(said.getvalue())
        raise SystemExit(say(f"{name}: {text} See pipeline {name} --help.", 2)) from None
    return parsed()


def _bound(command: Any) -> Any:
    """`command` with the call put off, so that its own messages are not taken for tyro's."""
    if isinstance(command, type):
        return command

    @functools.wraps(command)
    def later(*args: Any, **kwargs: Any) -> Any:
        return functools.partial(command, *args, **kwargs)

    signature = inspect.signature(command)
    del later.__wrapped__  # tyro would look there instead.
    later.__signature__ = signature  # type: ignore[attr-defined]
    later.__annotations__ = {
        name: _classic(parameter.annotation) for name, parameter in signature.parameters.items()
    }
    return later


def _classic(hint: Any) -> Any:
    """`a | b` as `Union[a, b]`, of which tyro knows what belongs to it; for the other it asks
    typeguard, whose import takes longer than all the parsing."""
    return Union[hint.__args__] if isinstance(hint, types.UnionType) else hint  # noqa: UP007


def one_line(box: str) -> str:
    """The gist of tyro's error box: what is wrong, and the option that was perhaps meant."""
    # Where the stream is not UTF-8 there is no frame, but a title with a rule below it.
    box = re.sub(r"\A[^│\n]*\n\s*-{5,}\s*\n", "", box)
    lines = [re.sub(r"^│ ?|\s*│$", "", line).rstrip() for line in box.splitlines()]
    lines = [line for line in lines if line.strip("─- ") and not re.match("[╭╰]─", line)]
    first = "\n".join(lines).partition("For full helptext")[0]
    first, _, meant = first.partition("Perhaps you meant:")
    first = first.partition("Argument helptext:")[0]
    gist = " ".join(first.split()).rstrip(".") + "."
    option = re.search(r"--[\w.-]+", meant)
    return gist + (f" Did you mean {option[0]}?" if option else "")
