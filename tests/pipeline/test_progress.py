"""Bars on a terminal, sparse lines elsewhere."""

import io
import logging
import sys

import pytest
from splatworks.pipeline.progress import (
    LogLines,
    PlainBar,
    Terminal,
    duration,
    prepare_terminal,
    size,
)


def test_plain_lines_are_sparse_and_tell_the_time_left() -> None:
    now = [0.0]
    lines: list[str] = []
    bar = PlainBar("distill", 600, 0, lines.append, clock=lambda: now[0])
    for _ in range(300):
        now[0] += 0.25
        bar.advance(note="loss 0.1")
    assert len(lines) == 7
    assert lines[0] == "distill: 40/600 (6 %), 2 min 20 s left, loss 0.1"
    bar.close()
    assert lines[-1] == "distill: 300/600 in 1 min 15 s"


def test_a_resumed_bar_counts_only_its_own_pace() -> None:
    now = [0.0]
    lines: list[str] = []
    bar = PlainBar("distill", 100, 90, lines.append, clock=lambda: now[0])
    now[0] = 20.0
    bar.advance(5)
    assert lines == ["distill: 95/100 (95 %), 20 s left"]


def test_short_work_says_nothing() -> None:
    lines: list[str] = []
    PlainBar("x", 1, 0, lines.append, clock=lambda: 0.0).close()
    assert lines == []


@pytest.mark.parametrize("fancy", [False, True])
def test_bars_nest_and_log_lines_stand_above(monkeypatch: pytest.MonkeyPatch, fancy: bool) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(sys, "stderr", screen)
    terminal = Terminal(fancy=fancy)
    log = logging.getLogger("splatworks.test_progress")
    handler = LogLines(terminal)
    log.addHandler(handler)
    log.propagate = False
    try:
        with terminal.progress("outer", 2) as outer, terminal.progress("inner", 3, 1) as inner:
            inner.advance(2, note="[red]not markup[/red]")
            log.warning("careful with %s", "[/brackets]")
            outer.advance()
        with terminal.progress("again", 1) as bar:
            bar.advance()
    finally:
        log.removeHandler(handler)
    assert "test_progress: warning: careful with [/brackets]\n" in screen.getvalue()


def test_preparing_twice_does_not_double_the_lines(capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        prepare_terminal()
    logging.getLogger("splatworks.step").info("once")
    assert capsys.readouterr().err == "step: once\n"


def test_words_for_durations_and_sizes() -> None:
    assert [duration(s) for s in (0.2, 59.4, 61, 3600 * 2 + 300)] == [
        "0 s",
        "59 s",
        "1 min 01 s",
        "2 h 05 min",
    ]
    assert [size(s) for s in (812, 3.4e6, 5e12)] == ["812 B", "3.4 MB", "5000.0 GB"]
