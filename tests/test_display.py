"""What a terminal shows: one line at the bottom that fits, notes above it once, and elsewhere plain lines."""

from __future__ import annotations

import io
import logging
import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console
from tests_support import ROOT

from resnet_lit import display
from resnet_lit.display import SHOWN_BY_BAR, Display, Line

DETAILS = (
    (2, "123/70400"),
    (6, "loss 1.234"),
    (1, "train 45.6%"),
    (5, "val 50.12%"),
    (4, "1,088 images/s"),
    (7, "122:10:05 left"),
)


@pytest.mark.parametrize("width", [40, 60, 79, 80, 119, 200])
def test_the_line_fits_and_gives_up_what_matters_least(width: int) -> None:
    title, bar, details = Line("epoch 100/200", 123, 70400, DETAILS).fitted(width)
    assert len(title) + bar + len(details) + 2 <= width
    assert bar >= display.BAR_WIDTH
    kept = [text for _, text in sorted(DETAILS, reverse=True) if text in details]
    assert kept == [text for _, text in sorted(DETAILS, reverse=True)][: len(kept)]  # the most important ones
    assert ("train 45.6%" in details) == (width >= 119)


def test_a_terminal_too_narrow_for_anything_still_gets_the_title() -> None:
    assert Line("epoch 100/200", 1, 2, DETAILS).fitted(10) == ("epoch 100/", 0, "")


def test_what_ctrl_c_echoes_does_not_wrap_the_line() -> None:
    """A wrapped line cannot be erased: its first half would stay on the terminal."""
    console = Console(width=80, file=io.StringIO())
    console.print(display._table(Line("epoch 100/200", 123, 70400, DETAILS), 80))
    (line,) = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert len(line.rstrip() + "^C") < 80


SCRIPT = """
import logging, sys, time, warnings
from resnet_lit.display import ConsoleHandler, Display, Line
logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[ConsoleHandler()])
log = logging.getLogger("resnet_lit")
with Display("auto") as shown:
    log.info("before")
    with shown.during("compiling"):
        log.info("a [bold]note[/bold] of %s", "x" * 100)
        time.sleep(0.6)
    shown.show(Line("epoch 1/2", 3, 10, [(1, "loss 1.0")]))
    log.info("repeats the bar", extra={"shown_by_bar": True})
    details = [(2, "step 35200/70400"), (6, "loss 0.509"), (1, "train 84.8%"), (5, "val 33.57%"), (7, "235:32:09 left")]
    text = "  ".join(["epoch 100/200", *(part for _, part in details)])
    log.info(text, extra={"as_line": Line("epoch 100/200", details=details)})
    warnings.warn("a library's warning")
    print("printed", file=sys.stderr)
    time.sleep(0.4)
log.info("after")
"""


def on_a_terminal(code: str, columns: int = 80) -> str:
    """What a process writes to a terminal of that width."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": str(columns), "TERM": "xterm"}
    process = subprocess.Popen([sys.executable, "-c", code], stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    written, until = b"", time.monotonic() + 60
    while time.monotonic() < until and select.select([ours], [], [], 60)[0]:
        try:
            read = os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
        if not read:
            break
        written += read
    os.close(ours)
    assert process.wait(60) == 0, written.decode()
    return written.decode()


def screen(written: str) -> list[str]:
    """The lines that are left when the erasing that rich does (carriage return, erase line, cursor up) has been done."""
    lines, row = [""], 0
    text = written.replace("\r\n", "\n")
    position = 0
    while position < len(text):
        rest = text[position:]
        if rest.startswith("\x1b["):
            end = next(i for i, character in enumerate(rest[2:], 2) if character.isalpha())
            code, kind = rest[2:end], rest[end]
            if kind == "K":
                lines[row] = ""
            elif kind == "A":
                row -= int(code or 1)
            position += end + 1
        else:
            if rest[0] == "\n":
                row += 1
                if row == len(lines):
                    lines.append("")
            elif rest[0] != "\r":
                lines[row] += rest[0]
            position += 1
    return [line.rstrip() for line in lines if line.strip()]


@pytest.fixture(scope="module")
def written() -> str:
    return on_a_terminal(SCRIPT)


def test_notes_stand_above_the_bar_once_and_nothing_of_it_is_left(written: str) -> None:
    left = screen(written)
    assert left[0] == "before"
    assert left[1] == f"a [bold]note[/bold] of {'x' * 100}"  # as it was said, whole: the terminal wraps it
    assert left[2] == "epoch 100/200  step 35200/70400  loss 0.509  val 33.57%  235:32:09 left"  # in 80 columns
    assert "a library's warning" in left[3]
    assert left[-2:] == ["printed", "after"]
    for gone in ("compiling", "epoch 1/2", "repeats the bar"):
        assert gone not in "\n".join(left)
    assert "compiling" in written
    assert "epoch 1/2" in written


def test_the_cursor_is_never_hidden_for_long(written: str) -> None:
    assert written.count("\x1b[?25h") >= written.count("\x1b[?25l")
    hidden = written.index("\x1b[?25l")
    assert written[hidden:].startswith("\x1b[?25l\x1b[?25h") or "\x1b[?25h" in written[hidden : hidden + 200]


def test_elsewhere_what_lasts_is_said_in_lines(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(display, "TICK_SECONDS", 0.01)
    with caplog.at_level(logging.INFO, logger="resnet_lit"), Display("plain") as shown, shown.during("compiling"):
        until = time.monotonic() + 10
        while not caplog.records and time.monotonic() < until:
            pass
    assert caplog.records[0].getMessage() == "compiling: 0 s"


def test_silence_is_silent(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(display, "TICK_SECONDS", 0.001)
    with caplog.at_level(logging.INFO, logger="resnet_lit"), Display("none") as shown, shown.during("compiling"):
        time.sleep(0.02)
    assert caplog.records == []


def test_a_line_that_repeats_the_bar_is_for_the_log_file(tmp_path: Path) -> None:
    record = logging.LogRecord("resnet_lit", logging.INFO, "", 0, "step 3", (), None)
    record.__dict__.update(SHOWN_BY_BAR)
    stream = (tmp_path / "stream").open("w+")
    handler = display.ConsoleHandler(stream)
    handler.emit(record)  # no bar: it is said
    stream.seek(0)
    assert stream.read() == "step 3\n"
