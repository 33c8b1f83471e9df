"""What a set of runs says, as one page: means with intervals over seeds, the paper's numbers beside ours, what failed and why.

python -m resnet_lit.report outputs/model4                       every run in and below a folder, or in several
python -m resnet_lit.report outputs --to=report                  into another folder than <folder>/report/
python -m resnet_lit.report outputs --compare A B                two runs (folders) or cells (names) side by side
python -m resnet_lit.report outputs --watch                      follow a sweep: rewrite whenever a run begins or ends
python -m resnet_lit.report --power 0.16                         how many seeds resolve 0.16 points of accuracy
python -m resnet_lit.report --power 0.16 --sd 0.12               the same, for seeds that vary by 0.12 points

Writes report.html, report.md, runs.csv, cells.csv, tables/*.tex and figures/*.svg, *.png; --no-html leaves out page and figures.
Nothing is trained. Folders that cannot be used are named, on the page and here. docs/report.md says how to read it.
Exit status: 0, or 2 where nothing could be done.
"""

from __future__ import annotations

import math
import os
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from resnet_lit.escaping import rich_text
from resnet_lit.formatting import counted, duration
from resnet_lit.printable import printable
from resnet_lit.record import RESULT
from resnet_lit.run_path import run_folder
from resnet_lit.typed import Refused

if TYPE_CHECKING:  # SciPy takes a second, which --help does not need
    from resnet_lit.reporting.contents import Table

OUTPUTS, REPORT = "outputs", "report"
NAMED = 50  # folders left out that are named here; report.md names all
SPREADS = (0.1, 0.15, 0.2)  # standard deviations of the seeds in points, for --power
POWERS = (0.8, 0.9)


@dataclass(frozen=True)
class Wanted:
    """What the words ask for."""

    folders: tuple[str, ...] = ()
    to: str | None = None
    compared: tuple[str, str] | None = None
    watch: bool = False
    html: bool = True
    power: float | None = None  # points
    sd: float | None = None  # points


def main() -> None:
    """The command."""
    words = sys.argv[1:]
    if not words or {"-h", "--help"} & {*words}:
        print(__doc__)
        sys.exit(0)
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # the matrices are small: more threads only wait for each other
    try:
        wanted = parse(words)
        if wanted.power is not None:
            print(power_table(wanted.power, wanted.sd))
        elif wanted.watch:
            watch(wanted)
        else:
            write(wanted)
    except Refused as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


def parse(words: Sequence[str]) -> Wanted:
    """The words of a command line. Raises Refused with one line for what does not fit."""
    found: dict[str, object] = {}
    folders: list[str] = []
    rest = [part for word in words for part in (word.split("=", 1) if word.startswith("--") else [word])]
    while rest:
        word = rest.pop(0)
        if word == "--watch":
            found["watch"] = True
        elif word == "--no-html":
            found["html"] = False
        elif word == "--to":
            found["to"] = os.path.expanduser(_next(word, rest, "a folder (--to=report)"))
        elif word == "--compare":
            both = "two runs or cells (--compare A B)"
            found["compared"] = _next(word, rest, both), _next(word, rest, both)
        elif word in ("--power", "--sd"):
            found[word[2:]] = _points(word, _next(word, rest, f"points of accuracy ({word} 0.16)"))
        elif word.startswith("-"):
            raise Refused(f"{word}: no such option here (python -m resnet_lit.report --help)")
        else:
            folders.append(str(run_folder(word)))
    if "sd" in found and "power" not in found:
        raise Refused("--sd: goes with --power (--power 0.16 --sd 0.12)")
    wanted = Wanted(**found, folders=_folders(folders, found.get("compared")))  # type: ignore[arg-type]
    for folder in () if wanted.power is not None else wanted.folders:
        if not os.path.isdir(folder):
            what = "is a file, and lies in no run" if os.path.exists(folder) else "no such folder"
            raise Refused(f"{folder}: {what} (runs are in {OUTPUTS}/, or in the folder given as hydra.run.dir)")
    return wanted


def _next(word: str, rest: list[str], what: str) -> str:
    if not rest:
        raise Refused(f"{word}: needs {what}")
    return rest.pop(0)


def _points(word: str, text: str) -> float:
    try:
        points = float(text)
    except ValueError:
        points = math.nan
    if not 0 < points <= 100:
        raise Refused(f"{word}={text}: must be percentage points of accuracy, above 0 and at most 100 (try {word}=0.16)")
    return points


def _folders(given: list[str], compared: object) -> tuple[str, ...]:
    """The folders to read: those given; of a comparison without any, its own two, or outputs/."""
    if given or not isinstance(compared, tuple):
        return tuple(given) or (OUTPUTS,)
    sides = tuple(str(run_folder(side)) for side in compared)
    return sides if all(os.path.isfile(Path(side) / RESULT) for side in sides) else (OUTPUTS,)


def destination(wanted: Wanted) -> Path:
    """Where the report goes: --to, or report/ in the folder, or in the one above several."""
    if wanted.to is not None:
        return Path(wanted.to)
    common = wanted.folders[0] if len(wanted.folders) == 1 else os.path.commonpath([os.path.abspath(f) for f in wanted.folders])
    return Path(common) / REPORT


def write(wanted: Wanted) -> int:
    """Write the report and print where it is; returns how many of its runs are still running. Raises Refused."""
    from resnet_lit.reporting import latex, listing, markdown
    from resnet_lit.reporting.build import build

    command = shlex.join(["python", "-m", "resnet_lit.report", *sys.argv[1:]])
    report = build(wanted.folders, command=command, compared=wanted.compared)
    folder = destination(wanted)
    troubles: list[str] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        listing.write(report, folder)
        markdown.write(report, folder)
        latex.write(report, folder)
        if wanted.html:
            from resnet_lit.reporting import page

            troubles = page.write(report, folder).troubles
    except OSError as error:
        raise Refused(f"{folder}: cannot be written ({error.strerror or error}); choose another with --to=<folder>") from error
    said = [f"{problem.folder}: {problem.reason}; left out" for problem in report.problems]
    said += [f"{remark.folder}: {remark.reason}" for remark in report.remarks] + troubles
    for line in said[:NAMED]:
        print(printable(line), file=sys.stderr)
    if len(said) > NAMED:
        print(f"and {len(said) - NAMED} more, named in {printable(str(folder / 'report.md'))}", file=sys.stderr)
    if report.comparison is not None:
        from resnet_lit.reporting.views import comparison_tables

        for table in comparison_tables(report.comparison):
            _show(table)
    runs = [run for section in report.sections for run in section.runs]
    cells = sum(len(section.cells) for section in report.sections)
    unfinished = sum(not run.counts for run in runs)
    print(
        f"{counted(len(runs), 'run')} in {counted(cells, 'cell')}"
        + (f", {unfinished:,} of them unfinished" if unfinished else "")
        + (f"; {counted(len(report.problems), 'folder')} left out" if report.problems else "")
        + printable(f"; written to {folder / ('report.html' if wanted.html else 'report.md')}")
    )
    return sum(run.status == "running" for run in runs)


def _show(table: Table) -> None:
    """A table on the terminal."""
    from rich.console import Console
    from rich.table import Table as Rows

    rows = Rows(box=None, pad_edge=False, header_style="bold")
    for name in table.head:
        rows.add_column(rich_text(name), overflow="fold")
    for row in table.rows:
        rows.add_row(*map(rich_text, row))
    Console(width=None if sys.stdout.isatty() else 1000).print(rows)
    print(f"{printable(table.note)}\n" if table.note else "")


def watch(wanted: Wanted, *, every: float = 5.0, patience: float = 60.0, clock: Callable[[], float] = time.monotonic) -> None:
    """Write the report again whenever a record has changed, until nothing has run for `patience` seconds, or Ctrl-C."""
    seen, running, last = None, 0, clock()
    try:
        while True:
            now = _signature(wanted.folders)
            if now != seen:
                seen, running, last = now, write(wanted), clock()
                print(
                    f"{running} running" if running else f"nothing is running; ends in {duration(patience)} unless a run begins",
                    flush=True,
                )
            elif running and not (running := _still_running(wanted.folders)):
                seen = None  # a process died without a word: the report says so
            if not running and clock() - last >= patience:
                return
            time.sleep(every)
    except KeyboardInterrupt:
        print(printable(f"the last report is in {destination(wanted)}"))


def _signature(folders: Sequence[str]) -> dict[Path, tuple[int, int]]:
    """When each record was written, and its size."""
    from resnet_lit.reporting.runs import find

    found = {}
    for folder in folders:
        for run in find(Path(folder)):
            try:
                stat = (run / RESULT).stat()
            except OSError:
                continue
            found[run] = stat.st_mtime_ns, stat.st_size
    return found


def _still_running(folders: Sequence[str]) -> int:
    from resnet_lit.reporting.runs import read_runs

    return sum(run.status == "running" for run in read_runs(folders)[0])


def power_table(points: float, sd: float | None = None) -> str:
    """Seeds per cell needed to resolve a difference of so many points, for seeds that vary by `sd` points, or by usual ones."""
    from resnet_lit.reporting.statistics import seeds_needed

    lines = [
        f"Seeds per cell needed to resolve a difference of {points:g} points (two-sided test at 5 %)",
        "",
        f"{'s.d. of the seeds':<20}{'power':>8}{'Welch t':>12}{'paired t':>12}{'paired, correlation 0.5':>26}",
    ]
    for spread in SPREADS if sd is None else (sd,):
        for power in POWERS:
            counts = [
                seeds_needed(points, spread, power=power, paired=paired, correlation=correlation)
                for paired, correlation in ((False, 0.0), (True, 0.0), (True, 0.5))
            ]
            said = ["over 100,000" if count is None else f"{count:,}" for count in counts]
            lines.append(f"{f'{spread:g} points':<20}{power:>8.0%}{said[0]:>12}{said[1]:>12}{said[2]:>26}")
    lines += ["", "Two cells with the same seeds are compared by the paired test; their correlation is usually small."]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
