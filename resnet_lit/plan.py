"""What a run, or every run of a multirun, will cost on this machine; a few real steps are timed, nothing is trained.

python -m resnet_lit.plan +experiment=model4
python -m resnet_lit.plan -m +experiment=model4 data.batch_size=32,64 optimizer=sgd,adam
python -m resnet_lit.plan +sweep=paper

The overrides are those of resnet_lit.train. Beside them:

--json         the forecast as JSON
--slots=N      how many runs go at a time, each as fast as one alone (default 1)
--seconds=S    how long each kind of run is timed (default 30, less where there are several kinds or the runs are short)

Runs that differ in seed, learning rate, schedule, length or optimizer are of one kind. The images are decoded now where they have
not been yet; compile=false shows what a compiled run would take without compiling.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from typing import Any

from rich.console import Console
from rich.table import Table

from resnet_lit.command_line import CommandLine, read
from resnet_lit.escaping import rich_text
from resnet_lit.forecast import Forecast, interval, makespan
from resnet_lit.formatting import duration, in_bytes
from resnet_lit.planning import SECONDS, Planned, plan, remark
from resnet_lit.preflight import cells_of
from resnet_lit.printable import printable
from resnet_lit.resuming import resumption
from resnet_lit.standing import short_names
from resnet_lit.typed import ConfigError, Refused

SWITCHES = {"--multirun": "-m", "--json": ""}
OPTIONS: dict[str, float | None] = {"--slots": 1.0, "--seconds": None}
EXAMPLES = {"--slots": 1.0, "--seconds": SECONDS}


def main() -> None:
    """The command."""
    words = sys.argv[1:]
    if not words or {"-h", "--help"} & set(words):
        print(__doc__)
        sys.exit(0)
    try:
        line = read(words, "plan", SWITCHES, dict.fromkeys(OPTIONS, ""))
        options = _numbers(line)
        if (again := resumption(line)) is not None:
            runs = [again[:2]]
        else:
            runs = [cell.place for cell in cells_of(line.overrides, line.source, multirun=line.multirun)]
        planned = plan(runs, seconds=options["--seconds"])
    except Refused as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    slots = int(options["--slots"] or 1)
    if "--json" in line.options:
        print(json.dumps(as_data(planned, slots), indent=1))
    else:
        print(table(planned, slots) if line.multirun or len(planned) > 1 else report(planned[0]))


def _numbers(line: CommandLine) -> dict[str, float | None]:
    """The options that are numbers, with what was given for them. Raises ConfigError."""
    numbers = dict(OPTIONS)
    for name in OPTIONS:
        value = line.options.get(name)
        if value is not None:
            if not value.isdecimal() or int(value) < 1:
                raise ConfigError(f"{name}={value}: must be a whole number of at least 1 (try {name}={EXAMPLES[name]:g})")
            numbers[name] = int(value)
    return numbers


def report(run: Planned) -> str:
    """Everything about one run."""
    if run.forecast is None:
        return f"{printable(str(run.folder))}: {run.status}; nothing is left to train (fresh=true trains it again)"
    found = run.forecast
    lines = [f"{run.config.name}  {found.compile or 'eager'}, batch {run.config.data.batch_size}", printable(str(run.folder)), ""]

    def line(name: str, value: str, more: str = "") -> None:
        lines.append(f"{name:<16}{value:>12}  {more}".rstrip())

    line("parameters", f"{found.parameters:,}")
    line("multiply-adds", "" if found.macs is None else f"{found.macs / 1e6:,.0f} M", "forward, of one image")
    if found.training_petaflops is not None and found.evaluation_petaflops is not None:
        total = found.training_petaflops + found.evaluation_petaflops
        line(
            "petaFLOPs",
            f"{total:.3g}",
            f"training {found.training_petaflops:.3g} on {found.images:,} images, the rest evaluation",
        )
    spread = f"timed bursts differ by {found.spread:.1%}"
    line("time", duration(found.total), f"{interval(found.low, found.high)} with 90 %; {spread}")
    for name, seconds in found.seconds.items():
        line(f"  {name}", duration(seconds))
    line("memory", in_bytes(found.memory), f"peak, of the {found.memory_of}")
    line("disk", in_bytes(found.disk_end), f"when it has ended; {in_bytes(found.disk_peak)} while it trains")
    return "\n".join([*lines, *remark(run)])


def table(planned: list[Planned], slots: int) -> str:
    """Every run of a multirun in a line, and what they take together."""
    rows = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("run", "status", "step", "PFLOPs", "time", "90 %", "memory", "disk"):
        rows.add_column(name, overflow="fold", justify="left" if name in ("run", "status", "step") else "right")
    for name, run in zip(_names(planned), planned, strict=True):
        cells = [name, run.status]
        if (found := run.forecast) is not None:
            flops = (
                "" if found.training_petaflops is None else f"{found.training_petaflops + (found.evaluation_petaflops or 0):.3g}"
            )
            cells += [found.compile or "eager", flops, duration(found.total), interval(found.low, found.high)]
            cells += [in_bytes(found.memory), in_bytes(found.disk_end)]
        rows.add_row(*map(rich_text, cells))
    console = Console(width=None if sys.stdout.isatty() else 1000)
    with console.capture() as capture:
        console.print(rows)
    data = as_data(planned, slots)
    left, done = data["left"], len(planned) - data["left"]["runs"]
    lines = ["\n".join(line.rstrip() for line in capture.get().splitlines())]
    lines.append(f"{len(planned)} runs, {done} done before, {left['runs']} to do")
    if left["runs"]:
        lines.append(f"time    {duration(left['seconds'])} ({interval(left['low'], left['high'])}), one after the other")
        if slots > 1:
            lines.append(f"        {duration(left['slots_seconds'])} on {slots} at a time, each as fast as one alone")
        lines.append(f"memory  {in_bytes(left['memory'])} for the largest")
        lines.append(f"disk    {in_bytes(left['disk_end'])} for all when they have ended")
    return "\n".join(dict.fromkeys([*lines, *(text for run in planned for text in remark(run))]))


def _names(planned: list[Planned]) -> list[str]:
    """What the runs are called: what differs between them; the one in which nothing does is the experiment as it is."""
    called, _ = short_names([run.folder for run in planned])
    bare = {run.folder.parent.name for run in planned}
    return [f"{name} (default)" if name in bare else name for name in called]


def as_data(planned: list[Planned], slots: int) -> dict[str, Any]:
    """The plan as plain data: a forecast for each run (null for one that has ended), and what is left together."""
    left = [run.forecast for run in planned if run.forecast is not None]
    runs = [
        {"folder": str(run.folder), "status": run.status, "steps_done": run.steps_done, "forecast": _forecast(run.forecast)}
        for run in planned
    ]
    together = {
        "runs": len(left),
        "seconds": sum(found.total for found in left),
        "low": sum(found.low for found in left),
        "high": sum(found.high for found in left),
        "slots": slots,
        "slots_seconds": makespan([found.total for found in left], slots),
        "memory": max((found.memory for found in left), default=0),
        "disk_end": sum(found.disk_end for found in left),
    }
    return {"runs": runs, "left": together}


def _forecast(found: Forecast | None) -> dict[str, Any] | None:
    return None if found is None else {"total": found.total, **dataclasses.asdict(found)}


if __name__ == "__main__":
    main()
