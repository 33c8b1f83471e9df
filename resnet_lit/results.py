"""What came of the runs of a sweep: a table sorted by what their protocol chooses on, and the same as CSV and plain data."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from resnet_lit import record as records
from resnet_lit.escaping import printable_data
from resnet_lit.formatting import duration, percent
from resnet_lit.identity import changes_result
from resnet_lit.interpreter import call
from resnet_lit.printable import printable
from resnet_lit.standing import ORDER, Standing, names, short_names
from resnet_lit.typed import flatten, show

# Accuracies are sorted by the metric that chose the epoch.
CHOOSING = {
    "val": ("val/accuracy", "validation accuracy, which chooses the epoch (protocol=holdout)"),
    "test": ("test/accuracy", "test accuracy, which chooses the epoch (protocol=paper: optimistic)"),
    None: (None, "name: nothing was held out to choose by"),
}
COLOURS = {"finished": 32, "diverged": 33, "interrupted": 33, "running": 36, "not run": 2}
RED = 31
METRICS = (
    *("val/accuracy", "test/accuracy", "test/accuracy_last", "val/loss", "test/loss", "test/loss_last", "train/accuracy"),
    *("val/accuracy_tta", "test/accuracy_tta"),
)
UNTOLD = ("name", "label")  # they are in the run's name


def in_order(runs: Sequence[Standing]) -> tuple[list[Standing], list[str]]:
    """The runs, best first, then those without a result; and by what they are sorted: one phrase for each way of choosing.

    Runs that were chosen in different ways do not compare: they follow one another.
    """
    ways = [way for way in CHOOSING if any(_way(run) == way for run in runs if run.status == "finished")]

    def key(run: Standing) -> tuple[int, int, float]:
        rank = ORDER.index(run.status) if run.status in ORDER else len(ORDER)
        if run.status != "finished":
            return rank, 0, 0.0
        metric = CHOOSING[_way(run)][0]
        return rank, ways.index(_way(run)), -float(run.metrics.get(metric, 0.0)) if metric else 0.0

    return sorted(runs, key=key), [CHOOSING[way][1] for way in ways]


def _way(run: Standing) -> str | None:
    way = (run.record.get("best") or {}).get("chosen_on")
    return way if way in CHOOSING else None


def table(runs: Sequence[Standing], *, colour: bool = False) -> str:
    """A line for every run, sorted; above them what they are sorted by, and what they have in common."""
    ordered, ways = in_order(runs)
    rows: list[tuple[str, ...]] = [("run", "status", "val", "test", "last", "time", "")]
    short, common = short_names([run.folder for run in runs])
    called = dict(zip((run.folder for run in runs), short, strict=True))
    for run in ordered:
        measured = ["" if (share := run.metrics.get(key)) is None else percent(share) for key in METRICS[:3]]
        seconds = (run.record.get("timing") or {}).get("total")
        time = duration(seconds) if seconds else ""
        rows.append((printable(called[run.folder]), printable(run.status), *measured, time, printable(_remark(run))))
    used = [i for i in range(len(rows[0])) if i < 2 or any(row[i] for row in rows[1:])]
    widths = {i: max(len(row[i]) for row in rows) for i in used}
    lines = [f"sorted by {'; then by '.join(ways)}"] if ways else []
    lines += [f"all with {printable(common)}"] if common else []
    for number, row in enumerate(rows):
        words = [row[i].rjust(widths[i]) if 2 <= i <= 5 else row[i].ljust(widths[i]) for i in used]
        if colour and number:
            words[1] = f"\033[{COLOURS.get(row[1], RED)}m{words[1]}\033[0m"
        lines.append("  ".join(words).rstrip())
    return "\n".join(lines)


def _remark(run: Standing) -> str:
    """How far a run is, or why it has no result and where to read more."""
    if run.status == "running":
        return run.progress or run.reason
    log = run.folder / records.LOG
    more = f"log: {log}" if run.status != "finished" and run.record and log.exists() else ""
    return "; ".join(filter(None, [run.reason, _unverified(run), more]))


def _unverified(run: Standing) -> str | None:
    return records.unverified(run.record) if run.status in records.ENDED else None


def verdict(runs: Sequence[Standing]) -> str:
    """`39 of 42 finished, 1 diverged (a result, not tried again); the same command trains what is missing`."""
    finished, diverged = (sum(run.status == status for run in runs) for status in records.ENDED)
    line = f"{finished} of {len(runs)} finished"
    if diverged:
        line += f", {diverged} diverged (a result: not tried again)"
    return line + ("; the same command trains what is missing" if finished + diverged < len(runs) else "")


def board_line(folder: Path | str) -> str:
    """The command that opens TensorBoard on all runs of a folder."""
    return printable(f"TensorBoard  {call('resnet_lit.board', str(folder))}")


def rows(runs: Sequence[Standing]) -> list[dict[str, Any]]:
    """The runs as plain data, in the table's order: what each is, its outcome, and the values in which they differ."""
    ordered, _ = in_order(runs)
    called = dict(zip((run.folder for run in runs), names([run.folder for run in runs]), strict=True))
    values = {run.folder: _values(run) for run in runs}
    keys = sorted({key for one in values.values() for key in one})
    swept = [key for key in keys if _varies(key, runs, values)]
    found = []
    for run in ordered:
        record, best = run.record, run.record.get("best") or {}
        found.append(
            {
                "run": called[run.folder],
                "status": run.status,
                "reason": run.reason or _unverified(run),
                **{key: run.metrics.get(key) for key in METRICS},
                "tta": record.get("tta"),
                "chosen_on": best.get("chosen_on"),
                "best_epoch": best.get("epoch"),
                "epochs": record.get("epochs", run.beat.get("epoch")),
                "steps": record.get("steps", run.beat.get("step")),
                "seconds": (record.get("timing") or {}).get("total"),
                "parameters": (record.get("model") or {}).get("parameters"),
                "petaflops": record.get("petaflops"),
                "data": (record.get("data") or {}).get("variant"),
                "started": record.get("started"),
                "ended": record.get("ended"),
                "host": (record.get("process") or {}).get("host"),
                "folder": str(run.folder),
                **{key: _cell(values[run.folder].get(key)) for key in swept},
            }
        )
    return found


def _varies(key: str, runs: Sequence[Standing], values: Mapping[Path, Mapping[str, Any]]) -> bool:
    """Whether the runs differ in a value. One that has not begun tells those alone in which its sweep differs."""
    told = [run.folder for run in runs if "config" in run.record or key in values[run.folder]]
    return len({show(values[folder].get(key)) for folder in told}) > 1


def _values(run: Standing) -> dict[str, Any]:
    """The values of a run that can change its result, flat."""
    found = flatten(run.record["config"]) if isinstance(run.record.get("config"), Mapping) else dict(run.values)
    return {key: value for key, value in found.items() if key not in UNTOLD and changes_result(key)}


def _cell(value: Any) -> Any:
    return value if value is None or isinstance(value, int | float | str) else show(value)


def as_csv(runs: Sequence[Standing]) -> str:
    """`rows` as CSV, with a header; empty where there is no run."""
    found, text = rows(runs), io.StringIO()
    if found:
        writer = csv.DictWriter(text, printable_data(list(found[0])), lineterminator="\n")
        writer.writeheader()
        writer.writerows(printable_data(row) for row in found)
    return text.getvalue()
