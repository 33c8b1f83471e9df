"""The last words of a command: the outcome of a run, or of every run of a multirun, and where its folder is."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from resnet_lit import record as records
from resnet_lit.formatting import percent
from resnet_lit.printable import printable
from resnet_lit.record import Record
from resnet_lit.results import board_line, verdict
from resnet_lit.results import table as results_table
from resnet_lit.run import is_helper_process
from resnet_lit.standing import Standing

GOOD = "finished"


def single(record: Record, folder: Path) -> int:
    """Print the outcome of one run; return the exit status: 0 finished, 1 failed or diverged."""
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
    if (parent := record.get("parent")) is not None:
        lines.append(f"continues    {parent['folder']}, from epoch {parent['resumed_at_epoch']}")
    if record["status"] != GOOD:
        lines.append(f"{record['status']}: {record['reason']}")
    elif not record["debug"] or "metrics" in record:
        lines += _result(record)
    if (why := records.unverified(record)) is not None and record["status"] in records.ENDED:
        lines.append(why)
    if (folder / records.RESULT).exists():
        lines.append(f"record       {folder / records.RESULT}")
        lines.append(board_line(folder))
    print("\n".join(map(printable, lines)))
    return status


def _result(record: Record) -> list[str]:
    """Accuracy and what it is of; each line fits a terminal of 80 columns."""
    metrics, best = record["metrics"], record["best"]
    how = {
        "test": f"epoch {best['epoch']}, chosen by test accuracy",
        "val": f"epoch {best['epoch']}, chosen by validation",
        None: "last epoch, none was chosen",
    }[best["chosen_on"]]
    of = [record["data"]["variant"], f"seed {record['seed']}"]
    if best["chosen_on"] == "test":
        of.append("protocol=paper (optimistic)")
    if record.get("scale"):
        of.append(f"at {record['scale']} scale, so it means nothing")
    return [
        f"test accuracy {percent(metrics['test/accuracy'])}  ({how}; last epoch {percent(metrics['test/accuracy_last'])})",
        *(
            [f"with TTA      {percent(metrics['test/accuracy_tta'])}  (evaluation.tta={record['tta']})"]
            if record.get("tta")
            else []
        ),
        f"data         {', '.join(of)}",
    ]


def _changed_sources(record: Record) -> str:
    """What the run was trained by and has changed since: the package's source, or that of a class of the user's own."""
    from resnet_lit.plugins import source_of  # imports the user's module: only for a record that names one

    now = {name: records.source_hash() if name == "resnet_lit" else source_of(name) for name in record["sources"]}
    return ", ".join(name for name, old in record["sources"].items() if now[name] != old)


def table(runs: Sequence[Standing], results: Path | None) -> int:
    """Print the outcome of every run of a multirun; return the exit status: 0 where each has a result, else 1.

    results: the same as CSV.
    """
    print(results_table(runs, colour=os.isatty(1)))
    print(verdict(runs))
    if results is not None:
        print(printable(f"CSV          {results}"))
    print(board_line(os.path.commonpath([run.folder.parent for run in runs])))
    return 0 if all(run.status in records.ENDED for run in runs) else 1
