"""How a multirun goes on, shown by its driver whatever launches the runs: it reads their folders, as `sweep status` does."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import os
import shlex
import sys
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from rich.console import Console, Group
from rich.live import Live

from resnet_lit import heartbeat
from resnet_lit import record as records
from resnet_lit.durable import write_text
from resnet_lit.escaping import rich_text
from resnet_lit.formatting import counted, duration, percent
from resnet_lit.identity import changes_result
from resnet_lit.printable import printable
from resnet_lit.record import Record
from resnet_lit.resolution import sizes
from resnet_lit.results import as_csv
from resnet_lit.schema import Config
from resnet_lit.sections import CIFAR10_IMAGES, RESNET
from resnet_lit.standing import LEFT, NOT_RUN, SWEEPS, Standing, counts, seconds_left, short_names, stand
from resnet_lit.typed import flatten, show
from resnet_lit.work import epochs_at, multiply_adds

log = logging.getLogger("resnet_lit")

LOOK_SECONDS = 1.0  # between two looks at the folders, or twenty times as long as a look takes
LINE_SECONDS = 300.0  # between two plain lines about the whole
SETTLE_SECONDS = 15.0  # a job writes down how its process was killed within them
MOST_LINES = 16  # of runs on a terminal


class Cell(Protocol):
    """One run: what it trains, and where."""

    @property
    def config(self) -> Config: ...

    @property
    def folder(self) -> Path: ...


class Progress:
    """Shows one multirun until it is closed, and leaves its list of runs and its results below `outputs/sweeps/`.

    cells: a search adds some as it goes. told: how runs ended, from those who started them. style: `progress` of a config.
    """

    def __init__(self, cells: Sequence[Cell], told: dict[Path, Record], name: str, style: str) -> None:
        self.cells, self.told, self.name, self.style = cells, told, name, style
        self.runs: list[Standing] = []
        self._seen: dict[Path, tuple[Any, Standing]] = {}  # what the folder's files were when it was read
        self._announced: dict[Path, tuple[str, Any]] = {}
        self._opened = False
        self._costs: dict[Path, float] = {}
        self._written = 0
        self._live: Live | None = None
        self._over, self._lock = threading.Event(), threading.Lock()
        self._line = time.monotonic()
        self._thread = threading.Thread(target=self._run, daemon=True, name="progress")

    def open(self) -> None:
        """Say how the runs stand, and begin to show how they go on."""
        self.look()
        for run in self.runs:
            self._announced[run.folder] = _mark(run)
        self._opened = True
        if self.style != "none":
            _, common = short_names([run.folder for run in self.runs])
            more = f"; all with {common}" if common else ""
            print(printable(f"{counted(len(self.runs), 'run')}: {counts(self.runs)}{more}"), flush=True)
        if self.style == "rich" or (self.style == "auto" and sys.stdout.isatty()):
            self._live = Live(console=Console(), auto_refresh=False, transient=True, get_renderable=self._picture)
            self._live.start()
        self._thread.start()

    def close(self) -> None:
        """Stop showing, where that has begun."""
        self._over.set()
        if self._thread.ident is not None:
            self._thread.join()
        if self._live is not None:
            self._live.stop()

    def tell(self, folder: Path, record: Record) -> None:
        """How a run of this process has ended."""
        with self._lock:
            self.told[folder] = record
            self._look()

    def look(self) -> None:
        """Read the folders that have changed, and tell what has ended."""
        with self._lock:
            self._look()

    def _look(self) -> None:
        self.runs = [self._stand(cell) for cell in tuple(self.cells)]
        if self._opened:
            for run in self.runs:
                if self._has_ended(run) and self._announced.get(run.folder) != _mark(run):
                    self._announced[run.folder] = _mark(run)
                    self._say(run)

    def _has_ended(self, run: Standing) -> bool:
        """Whether a run has ended for good: what was interrupted waits for the word of the job that started it."""
        told = run.folder in self.told or _seconds_since(run.record.get("ended")) > SETTLE_SECONDS
        return run.status not in ("running", NOT_RUN) and (run.status != "interrupted" or told)

    def _stand(self, cell: Cell) -> Standing:
        """As `standing.stand`, but what has not changed is not read again: a sweep is looked at every second for days."""
        folder = cell.folder
        if cell.config.fresh and not self._opened:
            return Standing(folder, NOT_RUN)
        told = self.told.get(folder) or {}
        now = *(_changed(folder / name) for name in (records.RESULT, heartbeat.HEARTBEAT)), told.get("status"), told.get("reason")
        before = self._seen.get(folder)
        if before is None or before[0] != now or before[1].status == "running":
            if folder not in self._costs:
                self._costs[folder] = cost(cell.config)
            before = now, stand(folder, told, cost=self._costs[folder])
            self._seen[folder] = before
        return before[1]

    def _say(self, run: Standing) -> None:
        """A line for a run that has ended."""
        if self.style == "none":
            return
        done = sum(one.status not in LEFT or (one.status == "interrupted" and one.folder in self.told) for one in self.runs)
        accuracy = run.metrics.get("test/accuracy")
        words = [
            f"{short_names([one.folder for one in self.runs])[0][self.runs.index(run)]}: {run.status}",
            "" if accuracy is None else f"test {percent(accuracy)}",
            f"({run.reason})" if run.reason else "",
            self._left() or "",
        ]
        line = f"[{done}/{len(self.runs)}] {'  '.join(filter(None, words))}"
        if self._live is not None:
            self._live.console.print(rich_text(line))
        else:
            print(printable(line), flush=True)

    def _left(self) -> str | None:
        seconds = seconds_left([run for run in self.runs if run.folder not in self.told or run.status not in LEFT])
        return f"about {duration(seconds)} left" if seconds else None

    def _run(self) -> None:
        while True:
            started = time.monotonic()
            try:
                self.look()
                self._write()
                self._show()
            except Exception:  # what is shown is not worth a sweep
                log.debug("the sweep cannot be shown", exc_info=True)
            if self._over.wait(max(LOOK_SECONDS, 20 * (time.monotonic() - started))):
                return

    def _show(self) -> None:
        if self._live is not None:
            self._live.refresh()
        elif self.style != "none" and time.monotonic() - self._line > LINE_SECONDS:
            self._line = time.monotonic()
            print("  ".join(filter(None, [counts(self.runs), self._left()])), flush=True)

    def _picture(self) -> Group:
        """What a terminal shows: the whole in a line, and a line for each run that is being trained."""
        runs = self.runs
        head = rich_text("  ".join(filter(None, [self.name, f"{len(runs)} runs: {counts(runs)}", self._left()])), style="bold")
        called, _ = short_names([run.folder for run in runs])
        lines = [head]
        for name, run in zip(called, runs, strict=True):
            if run.status == "running":
                shown = [f"{key.split('/')[0]} {percent(value)}" for key, value in run.metrics.items()]
                line = rich_text("  ".join(["", name, run.progress, *shown]))
                line.overflow, line.no_wrap = "ellipsis", True
                lines.append(line)
        return Group(*lines[:MOST_LINES])

    # --- what is left on disk

    def _file(self) -> Path | None:
        """`<sweep folder>/sweeps/<name>-<digits of its runs>.json`; None before a run of it has begun: a refused sweep leaves
        nothing."""
        if not any("process" in run.record for run in self.runs):
            return None
        root = self.runs[0].folder.parent.parent
        folders = sorted(os.path.relpath(run.folder, root) for run in self.runs)
        return root / SWEEPS / f"{self.name}-{hashlib.sha256(chr(10).join(folders).encode()).hexdigest()[:8]}.json"

    def _write(self) -> None:
        """The list of runs for `sweep status`; its time is renewed as a sign of life."""
        path = self._file()
        if path is None:
            return
        if self._written == len(self.runs) and path.exists():
            if heartbeat.age(path) > heartbeat.BEAT_SECONDS:
                os.utime(path)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        content = {
            "name": self.name,
            "command": shlex.join(["python", "-m", "resnet_lit.train", *sys.argv[1:]]),
            "process": records.process(),
            "started": records.now(),
            "runs": _members(self.cells, path.parent.parent),
        }
        write_text(path, json.dumps(content, indent=1) + "\n")
        self._written = len(self.runs)

    def results(self) -> Path | None:
        """Write the outcomes of the runs as CSV; None where none has begun."""
        path = self._file()
        if path is None:
            return None
        self._write()
        members = zip(self.runs, _members(self.cells, path.parent.parent), strict=True)
        known = [dataclasses.replace(run, values=member["values"]) for run, member in members]
        csv = path.with_suffix(".csv")
        write_text(csv, as_csv(known))
        return csv


def _members(cells: Sequence[Cell], root: Path) -> list[Record]:
    """The runs of a sweep: folder, relative cost, and the values in which they differ."""
    cells = tuple(cells)
    values = [{key: value for key, value in flatten(cell.config).items() if changes_result(key)} for cell in cells]
    keys = sorted({key for one in values for key in one})
    swept = [key for key in keys if len({show(one.get(key)) for one in values}) > 1]
    return [
        {
            "folder": os.path.relpath(cell.folder, root),
            "cost": cost(cell.config),
            "values": {key: one[key] for key in swept if key in one},
        }
        for cell, one in zip(cells, values, strict=True)
    ]


def cost(config: Config) -> float:
    """What a run costs, to be compared with others of its sweep: multiply-adds times images; images of a network of one's own."""
    trainer, data = config.trainer, config.data
    images = float((trainer.max_epochs or 1) * (data.limit_train or CIFAR10_IMAGES))  # to weigh runs against each other
    if trainer.max_steps > 0:
        images = min(images, trainer.max_steps * data.batch_size * trainer.accumulate_grad_batches)
    if config.model.target != RESNET:
        return images
    full, epochs = data.image_size or 32, float(trainer.max_epochs or 1)
    macs = multiply_adds(config.model, None, sizes(data, full))
    return images * sum(macs[pixels] * n for pixels, n in epochs_at(config, full, epochs).items()) / epochs


def _mark(run: Standing) -> tuple[str, Any]:
    """Tells one ending of a run from another."""
    return run.status, run.record.get("ended")


def _seconds_since(moment: str | None) -> float:
    """0 where no time is given."""
    return 0.0 if moment is None else (datetime.now(UTC) - datetime.fromisoformat(moment)).total_seconds()


def _changed(path: Path) -> int | None:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return None
