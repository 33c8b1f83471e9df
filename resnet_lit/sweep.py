"""How the runs of a sweep stand: done, running, failed, left; read from their folders, from any terminal, at any time.

python -m resnet_lit.sweep status                                   all runs below outputs/
python -m resnet_lit.sweep status outputs/model4                    those of one experiment
python -m resnet_lit.sweep status outputs/sweeps/paper-1a2b3c4d.json     those of one sweep
python -m resnet_lit.sweep status outputs --json                    as JSON
python -m resnet_lit.sweep status outputs --csv                     as CSV, with the values in which the runs differ

Nothing is written. Exit status: 0, whatever the runs' own; 2 where there is no such folder.
"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from resnet_lit import record as records
from resnet_lit.formatting import duration
from resnet_lit.printable import printable
from resnet_lit.results import as_csv, board_line, rows, table
from resnet_lit.run_path import run_folder
from resnet_lit.standing import SWEEPS, Standing, Sweep, counts, read_sweep, seconds_left, standings_below, sweeps_below
from resnet_lit.typed import Refused

OUTPUTS = "outputs"
OPTIONS = ("--json", "--csv")


def main() -> None:
    """The command."""
    words = sys.argv[1:]
    if not words or {"-h", "--help"} & set(words):
        print(__doc__)
        sys.exit(0)
    try:
        print(status(words), end="")
    except Refused as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:  # `… | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def status(words: Sequence[str]) -> str:
    """What the words ask for, as text. Raises Refused."""
    options = [word for word in words if word.startswith("-")]
    subject, *places = [word for word in words if word not in options] or [""]
    if subject != "status":
        raise Refused(f"{subject}: no such subcommand (python -m resnet_lit.sweep status {subject or OUTPUTS})")
    if unknown := [word for word in options if word not in OPTIONS]:
        raise Refused(f"{unknown[0]}: no such option (python -m resnet_lit.sweep --help)")
    if len(places) > 1:
        raise Refused(f"{places[1]}: one folder at a time; name the one above both")
    place = Path(os.path.expanduser(places[0] if places else OUTPUTS))
    place = place if read_sweep(place) else run_folder(place)
    sweeps, runs = _read(place)
    if "--json" in options:
        return json.dumps(as_data(sweeps, runs), indent=1) + "\n"
    return as_csv(runs) if "--csv" in options else report(place, sweeps, runs)


def _read(place: Path) -> tuple[list[Sweep], list[Standing]]:
    """The sweeps and the runs at a place: a folder, or the file of one sweep."""
    if os.path.isdir(place):
        return sweeps_below(place), standings_below(place)
    if not os.path.exists(place):
        raise Refused(f"{place}: no such folder (runs are in {OUTPUTS}/, or in the folder given as hydra.sweep.dir)")
    sweep = read_sweep(place)
    if sweep is None:
        raise Refused(f"{place}: not the file of a sweep (those are in {OUTPUTS}/{SWEEPS}/)")
    return [sweep], sweep.standings()


def report(place: Path, sweeps: Sequence[Sweep], runs: Sequence[Standing]) -> str:
    """The table, and how many runs stand how; of each sweep too."""
    if not runs:
        return f"{printable(str(place))}: no run\n"
    lines, known = [table(runs, colour=sys.stdout.isatty()), ""], {run.folder: run for run in runs}
    for sweep in sweeps:
        driven = "running" if sweep.is_driven else "not running"
        lines.append(f"{printable(sweep.name)}  {counted(sweep.standings(known))}")
        lines.append(f"  {driven}: {printable(sweep.command)}")
    if not sweeps or len({run.folder for run in runs}) > len({folder for sweep in sweeps for folder in sweep.folders}):
        lines.append(f"{printable(str(place))}  {counted(runs)}")
    lines.append(board_line(place if place.is_dir() else place.parent.parent))
    return "\n".join(lines) + "\n"


def counted(runs: Sequence[Standing]) -> str:
    """`42 runs: 12 finished, 2 running, 28 not run; about 3:20:00 left`."""
    seconds = seconds_left(runs) if any(run.status == "running" for run in runs) else None
    left = f"; about {duration(seconds)} left" if seconds else ""
    return f"{len(runs)} run{'s' * (len(runs) != 1)}: {counts(runs)}{left}"


def as_data(sweeps: Sequence[Sweep], runs: Sequence[Standing]) -> dict[str, Any]:
    """The same as plain data."""
    known = {run.folder: run for run in runs}
    beats = {str(run.folder): run.beat for run in runs if run.beat}
    return {
        "sweeps": [
            {
                "name": sweep.name,
                "file": str(sweep.path),
                "command": sweep.command,
                "running": sweep.is_driven,
                "counts": _counts(standings := sweep.standings(known)),
                "seconds_left": seconds_left(standings),
            }
            for sweep in sweeps
        ],
        "counts": _counts(runs),
        "results": sum(run.status in records.ENDED for run in runs),
        "runs": [{**row, "progress": beats.get(row["folder"])} for row in rows(runs)],
    }


def _counts(runs: Sequence[Standing]) -> dict[str, int]:
    return dict(Counter(run.status for run in runs))


if __name__ == "__main__":
    main()
