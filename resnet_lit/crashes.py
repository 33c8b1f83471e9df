"""A crash in native code: Python's fault handler notes it in the run's log as the process dies, and a reader finds it there."""

from __future__ import annotations

import faulthandler
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

TAIL_BYTES = 50_000  # of a log: a crash is its end
# What the fault handler writes, by signal.
NAMES = {
    "Segmentation fault": signal.SIGSEGV,
    "Aborted": signal.SIGABRT,
    "Bus error": signal.SIGBUS,
    "Illegal instruction": signal.SIGILL,
    "Floating-point exception": signal.SIGFPE,
    "Floating point exception": signal.SIGFPE,
}
FATAL = re.compile(r"^Fatal Python error: (.+)$", re.MULTILINE)
LOGGED = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d ", re.MULTILINE)  # a line of a later session


@contextmanager
def noted_in(log: Path) -> Iterator[None]:
    """Append what a crash says to `log` while the block lasts. Where somebody else has enabled the fault handler, it stays so."""
    if faulthandler.is_enabled():
        yield
        return
    with log.open("a") as file:
        faulthandler.enable(file, all_threads=False)
        try:
            yield
        finally:
            faulthandler.disable()


def read(log: Path) -> str | None:
    """`killed by signal 11 (SIGSEGV)…`, where that is how the log ends; None where it says nothing."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - TAIL_BYTES))
            text = file.read().decode(errors="replace")
    except OSError:
        return None
    found = list(FATAL.finditer(text))
    if not found or found[-1][1] not in NAMES or LOGGED.search(text, found[-1].end()):
        return None
    return f"{killed_by(NAMES[found[-1][1]])}; {log.name} says where"


def killed_by(number: int) -> str:
    """`killed by signal 11 (SIGSEGV)`."""
    try:
        return f"killed by signal {number} ({signal.Signals(number).name})"
    except ValueError:
        return f"killed by signal {number}"
