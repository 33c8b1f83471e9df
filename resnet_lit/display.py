"""What a terminal shows while a run goes on: one line at the bottom, log lines above it. Elsewhere there are log lines alone."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from resnet_lit.data.errors import Progress, now_and_then
from resnet_lit.formatting import duration

if TYPE_CHECKING:
    from rich.live import Live
    from rich.table import Table

log = logging.getLogger("resnet_lit")

REFRESHES = 4  # of the line, in a second
TICK_SECONDS = 30.0  # between two log lines about something that lasts, where there is no bar
BAR_WIDTH = 8  # at least, in columns; what is told beside it gives way
SHOWN_BY_BAR = {"shown_by_bar": True}  # `extra` of log lines that only repeat what the bar says: for train.log
AS_LINE = "as_line"  # key in `extra` of log lines whose details may give way to a narrow terminal: the Line with them


@dataclass(frozen=True)
class Line:
    """What stands at the bottom. total: 0 for something whose length is not known, which gets no bar.

    details: (importance, text) in the order in which they are shown; the least important ones give way to a narrow terminal.
    since: time.monotonic() when it began, to show how long it has taken.
    """

    title: str
    done: float = 0
    total: float = 0
    details: Sequence[tuple[int, str]] = ()
    since: float | None = None

    def fitted(self, width: int) -> tuple[str, int, str]:
        """Title, width of the bar (0: none) and details, which with single spaces between them take `width` columns at most."""
        details = [*self.details]
        if self.since is not None:
            details.append((99, duration(int(time.monotonic() - self.since))))
        while True:
            text = "  ".join(part for _, part in details)
            bar = width - len(self.title) - len(text) - 2
            if bar >= (BAR_WIDTH if self.total else 0) or not details:
                break
            details.remove(min(details, key=lambda detail: detail[0]))
        return self.title[:width], max(0, min(bar, 40)) if self.total else 0, text


class Display:
    """The bottom line of a run. style: auto (where stderr is a terminal), rich, plain, none.

    Used as a context manager: whatever ends the block, the line is gone afterwards.
    """

    active: Display | None = None  # whose line is on the terminal

    def __init__(self, style: str = "auto") -> None:
        self.is_bar = style == "rich" or (style == "auto" and sys.stderr.isatty())
        self.is_silent = style == "none"
        self._line = Line("")
        self._live: Live | None = None

    def __enter__(self) -> Display:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def show(self, line: Line) -> None:
        """Put `line` at the bottom of the terminal; it is drawn by a thread of its own, so that this costs next to nothing."""
        self._line = line
        if self.is_bar and self._live is None:
            from rich.console import Console
            from rich.live import Live

            self._live = Live(
                console=Console(stderr=True),
                get_renderable=lambda: _table(self._line, self._live.console.width if self._live else 80),
                refresh_per_second=REFRESHES,
                transient=True,
            )
            self._live.start()
            self._live.console.show_cursor(True)  # a killed process would leave the terminal without one
            Display.active = self

    def close(self) -> None:
        """Take the line away."""
        if self._live is not None:
            self._live.stop()
            self._live, Display.active = None, None

    def print(self, note: str | Line) -> None:
        """Print above the line. Text is printed as it is (the terminal wraps long lines), a Line with the details that fit."""
        from rich.text import Text

        assert self._live is not None
        if isinstance(note, Line):
            title, _, details = note.fitted(self._live.console.width)
            note = f"{title}  {details}"
        self._live.console.print(Text(note), soft_wrap=True, highlight=False)

    @contextmanager
    def during(self, title: str, detail: str = "") -> Iterator[None]:
        """Show `title` and the time passed while the block runs; where there is no bar, a log line after every half minute."""
        started, over = time.monotonic(), threading.Event()
        self.show(Line(title, details=[(1, detail)] if detail else [], since=started))

        def tick() -> None:
            while not over.wait(TICK_SECONDS):
                log.info("%s: %s", title, duration(int(time.monotonic() - started)))

        ticker = threading.Thread(target=tick, daemon=True)
        if not self.is_bar and not self.is_silent:
            ticker.start()
        try:
            yield
        finally:
            over.set()
            if ticker.is_alive():
                ticker.join()

    def progress(self, say: Callable[[str], object] = log.info) -> Progress:
        """For what counts its own steps, such as decoding images. say: gets a line every few seconds where there is no bar."""
        if not self.is_bar:
            return now_and_then(say)
        began = time.monotonic()

        def show(done: int, total: int, text: str) -> None:
            count = f"{done:,} of {total:,}" if total else f"{done:,}" if done else ""
            self.show(Line(text, done, total, [(1, count)] if count else [], since=began))

        return show


class ConsoleHandler(logging.StreamHandler[Any]):
    """Log lines for the terminal: above the bottom line where there is one."""

    def emit(self, record: logging.LogRecord) -> None:
        display = Display.active
        if display is None:
            super().emit(record)
        elif not hasattr(record, "shown_by_bar"):
            try:
                display.print(getattr(record, AS_LINE, None) or self.format(record))
            except Exception:
                self.handleError(record)


def _table(line: Line, width: int) -> Table:
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    title, bar, details = line.fitted(width - len("^C") - 1)  # what a terminal echoes must not wrap: the line could not be erased
    cells: list[Any] = [Text(title, no_wrap=True, overflow="ellipsis")]
    if bar:
        cells.append(ProgressBar(total=line.total, completed=min(line.done, line.total), width=bar))
    cells.append(Text(details, no_wrap=True, overflow="ellipsis"))
    table = Table.grid(padding=(0, 1, 0, 0))
    for _ in cells:
        table.add_column(no_wrap=True)
    table.add_row(*cells)
    return table
