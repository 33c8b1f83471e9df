"""The last words of a command: what came of a run, or of every cell of a multirun, and where it lies."""

from __future__ import annotations

import os
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from resnet_lit import record as records
from resnet_lit.preflight import Cell
from resnet_lit.record import Record
from resnet_lit.run import is_helper_process
from resnet_lit.typed import duration

GOOD = "finished"
COLOURS = {"finished": "green", "diverged": "yellow", "interrupted": "yellow", "running": "cyan"}


def single(record: Record, folder: Path) -> int:
    """Print what came of one run; return the exit status: 0 finished, 1 failed or diverged."""
    status = 0 if record["status"] == GOOD else 1
    if is_helper_process():  # Lightning kills the first process, which has a record to write, when another ends badly
        return int(record["status"] == "failed")
    lines = []
    if record["process"] != records.process():
        commit = f"commit {record['git']['commit'][:10]}" if record["git"]["commit"] else "commit not known"
        commit += " with local changes" if record["git"]["dirty"] else ""
        changed = _changed_sources(record)
        lines.append(
            f"{record['status']} before: {record['ended']}, {commit}" + (f"; {changed} changed since" if changed else "")
        )
        lines.append("nothing was trained (fresh=true trains it again)")
    if record["status"] != GOOD:
        lines.append(f"{record['status']}: {record['reason']}")
    elif not record["debug"] or "metrics" in record:
        lines.append(_result_line(record))
    if (folder / records.RESULT).exists():
        lines.append(f"record       {folder / records.RESULT}")
        lines.append(f"TensorBoard  tensorboard --logdir '{folder}'")
    print("\n".join(lines))
    return status


def _result_line(record: Record) -> str:
    metrics, best = record["metrics"], record["best"]
    how = {
        "test": f"best epoch {best['epoch']}, chosen on the test set, as the paper did",
        "val": f"epoch {best['epoch']}, chosen on the validation part",
        None: "last epoch",
    }[best["chosen_on"]]
    return (
        f"test accuracy {metrics['test/accuracy']:.2%}  ({how}; last epoch {metrics['test/accuracy_last']:.2%})  "
        f"{record['data']['variant']}, seed {record['seed']}"
        + (f"; at {record['scale']} scale: says nothing" if record.get("scale") else "")
    )


def _changed_sources(record: Record) -> str:
    """What the run was trained by and has changed since: the package's source, or that of a class of the user's own."""
    from resnet_lit.plugins import source_of  # imports the user's module: only for a record that names one

    now = {name: records.source_hash() if name == "resnet_lit" else source_of(name) for name in record["sources"]}
    return ", ".join(name for name, old in record["sources"].items() if now[name] != old)


def cell_line(number: int, total: int, folder: Path, record: Record, seconds: float | None) -> str:
    """One line for a cell that has ended, while the multirun goes on."""
    left = "" if seconds is None else f"  {duration(seconds)} left"
    return f"[{number}/{total}] {folder.name}: {record['status']}{_score(record)}{_reason(record)}{left}"


def _score(record: Record) -> str:
    metrics = record.get("metrics") or {}
    return f"  test {metrics['test/accuracy']:.2%}" if "test/accuracy" in metrics else ""


def _reason(record: Record) -> str:
    return f" ({record['reason']})" if record.get("reason") else ""


def table(cells: list[Cell], endings: dict[Path, Record] | None = None) -> int:
    """Print what came of every cell, read from the folders; return the exit status: 0 where all finished, else 1.

    endings: what is known of cells beside their folders: how a process ended that could not write it down itself.
    """
    rows, good = Table(box=None, pad_edge=False, header_style="bold"), 0
    for name in ("run", "status", "val", "test", "time", "why"):
        rows.add_column(name, overflow="fold", justify="right" if name in ("val", "test", "time") else "left")
    experiments = {cell.folder.parent for cell in cells}
    for cell in cells:
        record = _ending(cell.folder, (endings or {}).get(cell.folder))
        good += record["status"] == GOOD
        metrics = record.get("metrics") or {}
        accuracies = [f"{metrics[key]:.2%}" if key in metrics else "" for key in ("val/accuracy", "test/accuracy")]
        seconds = (record.get("timing") or {}).get("total")
        status = Text(record["status"], style=COLOURS.get(record["status"], "red"))
        why = f"{record.get('reason') or ''}" + ("" if record["status"] == GOOD else f"; log: {cell.folder / 'train.log'}")
        name = cell.folder.name if len(experiments) == 1 else f"{cell.folder.parent.name}/{cell.folder.name}"
        rows.add_row(name, status, *accuracies, f"{seconds:.0f} s" if seconds else "", why)
    console = Console(width=None if os.isatty(1) else 1000)  # a log is not folded
    console.print(rows)
    print(f"{good} of {len(cells)} finished; the same command trains what is missing")
    print(f"TensorBoard  tensorboard --logdir '{os.path.commonpath([cell.folder.parent for cell in cells])}'")
    return 0 if good == len(cells) else 1


def _ending(folder: Path, told: Record | None) -> Record:
    try:
        found = records.read(folder)
    except records.FolderError as error:
        return {"status": "damaged", "reason": str(error)}
    return {**(found or {"status": "not run", "reason": ""}), **(told or {})}
