"""Ends the process of a run that makes no progress any more. No torch here."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from pathlib import Path
from types import TracebackType

from resnet_lit import heartbeat

PATIENCE = 10.0  # seconds after a signal until the next, harder one
MOST_SECONDS = 10.0  # between two looks


class Watchdog:
    """Watches a process while the block lasts. Afterwards `reason` says why it was ended, None where it was not.

    minutes: without a batch trained or evaluated, by the count in the heartbeat of `folder`; null: watches nothing. Before the
    first batch a printed line counts too: data are loaded, images decoded.
    """

    def __init__(self, process: subprocess.Popen[str], folder: Path, minutes: float | None) -> None:
        self.process, self.path, self.minutes = process, folder / heartbeat.HEARTBEAT, minutes
        self.reason: str | None = None
        self._count, self._since = 0, time.monotonic()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True, name="watchdog")

    def __enter__(self) -> Watchdog:
        if self.minutes is not None:
            self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._over.set()

    def printed(self) -> None:
        """The process has printed a line."""
        if self._count == 0:
            self._since = time.monotonic()

    def _watch(self) -> None:
        assert self.minutes is not None
        seconds = self.minutes * 60
        while not self._over.wait(min(MOST_SECONDS, seconds / 5)):
            count = (heartbeat.read(self.path) or {}).get("count", 0)
            if count != self._count:
                self._count, self._since = count, time.monotonic()
            elif time.monotonic() - self._since > seconds:
                self.reason = f"made no step for {self.minutes:g} minutes"
                self._end()
                return

    def _end(self) -> None:
        """SIGTERM asks for a checkpoint, which a stalled run may not get to; a second one ends it where it stands."""
        for _ in range(2):
            if self._ended_by(signal.SIGTERM):
                return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)  # and what it has started

    def _ended_by(self, number: signal.Signals) -> bool:
        self.process.send_signal(number)
        return self._over.wait(PATIENCE)
