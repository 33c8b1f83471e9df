"""The sign of life of a process that holds something: a small file, written again every few seconds. No torch here.

A process on this machine can be asked whether it lives; one on another machine is known by the age of its file alone. The
clocks of machines that share a folder must agree within a minute.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

HEARTBEAT = ".heartbeat"
BEAT_SECONDS = 10.0
# A file system between machines may show a file's time a minute late, and torch.compile holds the interpreter now and then.
DEAD_SECONDS = 180.0
LEAST_SECONDS = 1.0  # between two beats

Content = dict[str, Any]


class Heartbeat:
    """Writes `path` from a thread while the block lasts; removes it at its end. Never writes over that of another holder.

    holder: what the file says of the process. unnamed: whether the holder still is this one where there is no file. count:
    raised by one with every batch, trained or evaluated: shows whether the process gets on. describe: further content, asked
    for at every beat.
    """

    def __init__(self, path: Path, holder: Content, unnamed: Callable[[], bool] = lambda: True) -> None:
        self.path, self.holder, self._unnamed = path, holder, unnamed
        self.is_lost = False  # once it is, it stays so
        self.count = 0
        self.describe: Callable[[], Content] | None = None
        self._wake, self._over = threading.Event(), threading.Event()

    def __enter__(self) -> Heartbeat:
        self._write()
        self._thread = threading.Thread(target=self._run, daemon=True, name="heartbeat")
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._over.set()
        self._wake.set()
        self._thread.join()
        if self.holds():
            self.path.unlink(missing_ok=True)

    def soon(self) -> None:
        """Beat within a second: there is something new."""
        self._wake.set()

    def holds(self) -> bool:
        """Whether the file still names this holder. A process that slept may find that another has taken its place."""
        if not self.is_lost:
            found = read(self.path)
            known = None if found is None else {key: found.get(key) for key in self.holder}
            self.is_lost = not self._unnamed() if known is None else known != self.holder
        return not self.is_lost

    def beat(self) -> None:
        """Write the file now, unless another holds the place. On a full disk its time alone is renewed."""
        if self.holds():
            self._write()

    def _write(self) -> None:
        content = {**self.holder, "count": self.count}
        if self.describe is not None:
            content |= self.describe()
        try:
            _replace(self.path, json.dumps(content))
        except OSError:
            with contextlib.suppress(OSError):
                if (read(self.path) or self.holder).items() >= self.holder.items():
                    os.utime(self.path)
                else:  # that of a dead holder
                    self.path.unlink()

    def _run(self) -> None:
        while not self._over.is_set() and not self.is_lost:
            self._wake.wait(BEAT_SECONDS)
            self._wake.clear()
            if not self._over.is_set():
                self.beat()
            self._over.wait(LEAST_SECONDS)


def _replace(path: Path, text: str) -> None:
    """In one step, but not synced: a heartbeat outlives no crash."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f"{path.name}.")
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def read(path: Path) -> Content | None:
    """The content of a heartbeat file, None where there is none (or what lies there is none)."""
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def age(path: Path) -> float:
    """Seconds since the last beat, infinite where there is none."""
    try:
        return time.time() - path.stat().st_mtime
    except OSError:
        return float("inf")
