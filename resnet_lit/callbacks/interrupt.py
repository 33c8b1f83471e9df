"""Ctrl-C, SIGTERM and SIGUSR1 end a run between two steps, with a checkpoint; a second one ends it at once."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


class Interrupted(BaseException):
    """A signal has ended the run. `exit_status` is 128 + the signal's number: 130, 143, 138."""

    def __init__(self, signum: int) -> None:
        super().__init__(f"ended by {signal.Signals(signum).name}")
        self.exit_status = 128 + signum


class Interrupt:
    """What the signals do at the moment: raise at once, or be noted while a step is being made."""

    def __init__(self) -> None:
        self.deferred = False
        self.noted: int | None = None
        self.leaves_signals = False  # to the process that started this one

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        if self.deferred and self.noted is None:
            self.noted = signum
        elif not self.deferred or signum == self.noted:  # another signal after the first says nothing new
            raise Interrupted(signum)

    def defer(self) -> None:
        """Note the signals from now on. By now Lightning has put a SIGTERM handler of its own in front of ours."""
        self.deferred = True
        if self.leaves_signals:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)  # Lightning's ends this process alone, and the others wait for it
        elif signal.getsignal(signal.SIGINT) == self._handle:
            signal.signal(signal.SIGTERM, self._handle)

    @contextmanager
    def installed(self) -> Iterator[Interrupt]:
        """Handle the signals within the block. Only the main thread can: elsewhere (a notebook's worker) nothing changes."""
        try:
            before = {number: signal.signal(number, self._handle) for number in SIGNALS}
        except ValueError:
            yield self
            return
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextmanager
    def ignored(self) -> Iterator[Interrupt]:
        """Leave the signals to the process that Lightning started this one from: it tells when to stop."""
        self.leaves_signals = True
        for number in (signal.SIGINT, signal.SIGUSR1):
            signal.signal(number, signal.SIG_IGN)
        yield self
