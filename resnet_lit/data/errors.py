"""What the data room says when it cannot use what it was given."""

from __future__ import annotations

import time
from collections.abc import Callable

from resnet_lit.typed import Refused

# progress(done, total, text): called now and then while something takes long; total is 0 where it is not known.
Progress = Callable[[int, int, str], object]


class DataError(Refused, ValueError):
    """Data, or a key about them, cannot be used. `str()` is one line: the key and its value, why, and the remedy."""


class Unusable(Exception):
    """What is wrong with a source, by file. `sources.load` makes it a DataError that also names the key."""


def reason(error: BaseException) -> str:
    """The short reason of an exception: what the operating system says, else its own text, else its type."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def ignore_progress(done: int, total: int, text: str) -> None:
    """The progress of those who want none."""


def now_and_then(say: Callable[[str], object], seconds: float = 3.0) -> Progress:
    """Progress as lines, one every few seconds; none where it takes no longer."""
    last = [0.0]

    def progress(done: int, total: int, text: str) -> None:
        if time.monotonic() - last[0] > seconds or (last[0] and done == total):
            last[0] = time.monotonic()
            say(f"{text}: {done:,} of {f'{total:,}' if total else '?'}")

    return progress
