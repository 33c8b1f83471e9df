"""The processes that the kit starts: what they print goes to a log, and they end, with a checkpoint, when the kit does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import IO

from resnet_lit import job

SHOWN = 12  # lines of the log of a process that failed


class Process:
    """A module that runs in a process of its own, `python -m <words>`."""

    def __init__(self, name: str, words: Sequence[str], log: Path, environment: Mapping[str, str | None] = {}) -> None:
        self.name, self.began = name, time.monotonic()
        self._log, self._from = log, log.stat().st_size if log.exists() else 0
        changed = {**os.environ, **environment, job.PARENT: str(os.getpid()), "PYTHONUNBUFFERED": "1"}
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", *words],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={key: value for key, value in changed.items() if value is not None},
                preexec_fn=_hear_ctrl_c,
            )

    @property
    def status(self) -> int | None:
        """Its exit status, as a shell gives it; None while it runs."""
        found = self._process.poll()
        return found if found is None or found >= 0 else 128 - found

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.began

    def end(self) -> None:
        """Ask it to end; a run writes a checkpoint first."""
        if self.status is None:
            self._process.send_signal(signal.SIGINT)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def last_lines(self) -> str:
        """The end of what has been printed since it began."""
        with self._log.open("rb") as log:
            log.seek(self._from)
            return "\n".join(log.read().decode(errors="replace").splitlines()[-SHOWN:])


def end_all(processes: Sequence[Process], seconds: float) -> None:
    """End processes, those that do not by themselves after so many seconds."""
    until = time.monotonic() + seconds
    for process in processes:
        process.end()
    while any(process.status is None for process in processes) and time.monotonic() < until:
        time.sleep(0.1)
    for process in processes:
        process.kill()


class Signals:
    """Notes the first SIGINT or SIGTERM from now on."""

    def __init__(self) -> None:
        self.noted: int | None = None
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.noted = self.noted or number


class Log:
    """Prints lines, and keeps them in a file too."""

    def __init__(self, path: Path) -> None:
        self._file: IO[str] = path.open("a")

    def __call__(self, text: str) -> None:
        print(text, flush=True)
        print(text, file=self._file, flush=True)


def _hear_ctrl_c() -> None:
    """What a shell starts in the background ignores Ctrl-C, and so would what it starts."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
