"""Forecasts of runs before they start: each kind of run is rehearsed once, in processes of their own; nothing of torch here."""

from __future__ import annotations

import csv
import dataclasses
import json
import logging
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resnet_lit import record as records
from resnet_lit.display import Display, Line
from resnet_lit.forecast import (
    BURSTS,
    Extent,
    Forecast,
    OptimizerCost,
    Pace,
    estimated_disk,
    forecast,
    interval,
    optimizer_key,
    over_budget,
    pace_key,
    with_optimizer,
)
from resnet_lit.formatting import duration, in_bytes
from resnet_lit.models.cost import count_parameters
from resnet_lit.schema import Config, architecture, to_mapping
from resnet_lit.sections import RESNET
from resnet_lit.typed import Refused

log = logging.getLogger("resnet_lit")

SECONDS = 30.0  # of timing, for each kind of run
TOGETHER_SECONDS = 90.0  # for all kinds of a multirun, but no less than
LEAST_SECONDS = 6.0  # for each: five bursts of a second
PART_OF_RUNS = 0.2  # of what runs of a kind take together: timing them is not to take longer
EVALUATING = 0.2  # the part of it that evaluation gets
MOST_EPOCHS = 100  # of a rehearsal; what is so short is not timed for longer

Say = Callable[[str], None]


@dataclass(frozen=True)
class Planned:
    """One run and what it will cost from now on. status: of its record, `not run` where there is none.

    forecast: None for a run that has ended. decoding: seconds in which the images were decoded for this forecast.
    compiling: seconds of the first epoch beyond the others before torch.compile had a warm cache.
    """

    config: Config
    folder: Path
    status: str
    steps_done: int = 0
    forecast: Forecast | None = None
    decoding: float = 0.0
    compiling: float = 0.0


def plan(runs: Sequence[tuple[Config, Path]], *, seconds: float | None = None, say: Say | None = None) -> list[Planned]:
    """The forecasts of runs (config, folder), in their order; what has ended is not timed.

    seconds: of timing for each kind; None: SECONDS, less where there are several kinds or the runs are short. say: told what goes
    on (default: stderr). Raises Refused where a run would be refused.
    """
    with Display("auto" if say is None else "none") as display:
        return _plan(runs, seconds, say or (display.print if display.is_bar else _to_stderr), display)


def _plan(runs: Sequence[tuple[Config, Path]], seconds: float | None, say: Say, display: Display) -> list[Planned]:
    planned = [_as_it_stands(config, folder) for config, folder in (runs if len(runs) == 1 else map(_as_cell, runs))]
    kinds: dict[str, list[int]] = {}
    for number, run in enumerate(planned):
        if run.status not in records.ENDED:
            kinds.setdefault(pace_key(run.config), []).append(number)
    display.show(Line("looking at the runs", since=time.monotonic()))
    if kinds and (load := os.getloadavg()[0]) > records.usable_cores() / 2:
        say(f"the machine is busy (load {load:.1f} on {records.usable_cores()} cores): the forecast assumes that it stays so")
    if len(kinds) > 1:
        count = sum(map(len, kinds.values()))
        say(f"{count} runs of {len(kinds)} kinds; runs that differ in seed, rates, schedule, length or optimizer are timed once")
    kind_seconds = seconds or max(LEAST_SECONDS, min(SECONDS, TOGETHER_SECONDS / max(1, len(kinds))))
    watch = _Watch(len(kinds), display)
    for members in kinds.values():
        waiting = members
        while waiting:  # once more where compile=auto decides otherwise for runs of another length
            waiting = _time_kind(planned, waiting, kind_seconds, seconds is None, say, watch)
        watch.finished()
    return planned


def _time_kind(
    planned: list[Planned], members: list[int], seconds: float, may_be_less: bool, say: Say, watch: _Watch
) -> list[int]:
    """Rehearse the first of some runs of one kind and forecast all that compile as it does; those that are left."""
    configs = [planned[i].config for i in members]
    name = f"{watch.place}{configs[0].model.name}, batch {configs[0].data.batch_size}"
    with watch.during(f"{name}: a first look"):
        look = _rehearse(configs, None, batches=configs[0].trainer.accumulate_grad_batches, evaluated=1, epochs=2)
    modes = [extent.compile for extent in look.extents]
    same = [i for i, mode in zip(members, modes, strict=True) if mode == modes[0]]
    extents = {i: extent for i, extent in zip(members, look.extents, strict=True) if i in same}
    if may_be_less:  # timing need not take longer than a part of what it forecasts
        whole = sum(forecast(planned[i].config, extents[i], look.pace, planned[i].steps_done).total for i in same)
        seconds = max(LEAST_SECONDS, min(seconds, whole * PART_OF_RUNS))
    amount = how_much(configs[0], look.extents[0], look.pace, seconds)
    about = amount["epochs"] * (look.pace.every_step * amount["batches"] + (1 + len(look.pace.smaller)) * look.pace.turn)
    step = f"a step takes about {_short(look.pace.step[0])}"
    say(f"{name}, {modes[0] or 'eager'}: {step}; timing for about {duration(about)}")
    optimizers = {optimizer_key(planned[i].config): planned[i].config for i in same}  # the first one's first
    with watch.during(f"{name}: timing", about):
        timed = _rehearse(configs[:1], look.extents[:1], [*optimizers.values()], **amount)
    pace, costs = dataclasses.replace(timed.pace, small=look.pace.small), dict(zip(optimizers, timed.optimizers, strict=False))
    for i, extent in extents.items():
        config = planned[i].config
        own, rehearsed = costs.get(optimizer_key(config)), costs.get(optimizer_key(configs[0]))
        of_run = pace
        if own is not None and rehearsed is not None:
            of_run = with_optimizer(pace, own, rehearsed, config.trainer.accumulate_grad_batches)
        planned[i] = dataclasses.replace(
            planned[i],
            forecast=forecast(config, extent, of_run, planned[i].steps_done),
            decoding=look.decoding,
            compiling=look.pace.compiling,
        )
    return [i for i in members if i not in extents]


class _Watch:
    """How long the kinds that are timed have taken, and about how long the rest will. place: `[2/3] ` of the one being timed."""

    def __init__(self, kinds: int, display: Display) -> None:
        self.kinds, self.display = kinds, display
        self.done, self._began = 0, time.monotonic()

    @property
    def place(self) -> str:
        return f"[{self.done + 1}/{self.kinds}] " if self.kinds > 1 else ""

    def finished(self) -> None:
        self.done += 1

    @contextmanager
    def during(self, title: str, seconds: float = 0.0) -> Iterator[None]:
        """Show what goes on. seconds: that it is going to take, where that is known."""
        passed = time.monotonic() - self._began
        left = (self.kinds - self.done) * passed / self.done if self.done else seconds
        with self.display.during(title, f"about {duration(left)} left" if left else ""):
            yield


def remark(run: Planned) -> list[str]:
    """What a reader of the forecast must know, a line each."""
    config, found = run.config, run.forecast
    lines: list[str] = []
    if found is None:
        return lines
    if run.steps_done:
        lines.append(f"{run.folder.name}: about {run.steps_done:,} steps are done; time is that of the rest")
    if run.decoding:
        lines.append(f"The images were decoded now ({duration(run.decoding)}) and lie in the cache: not in the time.")
    if run.compiling:
        lines.append(
            f"Compiling took {duration(run.compiling)}; torch keeps what it compiled, so runs here start sooner, as forecast."
        )
    if found.devices > 1:
        lines.append(
            f"{found.devices} devices: timed on one with its share of a batch; communication between them is not included."
        )
    if any("EarlyStopping" in str((entry or {}).get("_target_")) for entry in config.callbacks.values()):
        lines.append("Early stopping may end a run sooner.")
    over = over_budget([found], config.budget.hours, "budget.hours", _fewer_epochs(config, found))
    return lines if over is None else [*lines, over]


def how_much(config: Config, extent: Extent, look: Pace, seconds: float) -> dict[str, int]:
    """Full batches and evaluated batches of a rehearsal's epoch, and how many epochs: a warm-up, then BURSTS equal bursts.

    Where training images have several sizes, each epoch is one for every size.
    """
    sizes, step = 1 + len(look.smaller), look.every_step
    burst, together = seconds / (BURSTS + 1), config.trainer.accumulate_grad_batches
    available = max(1, extent.batches - bool(extent.small_batch(config.data.batch_size)))
    batches = min(available, max(1, round((1 - EVALUATING) * burst / step)))
    batches = max(batches // together * together, min(together, available))
    size = config.data.batch_size
    evaluating = look.evaluated[0] * size
    most = max(1, math.ceil(extent.evaluation_images / size))
    evaluated = min(most, max(1, int(EVALUATING * burst / max(evaluating * sizes, 1e-6))))
    epoch = batches * step + sizes * (look.turn + evaluated * evaluating)
    each = min(MOST_EPOCHS // BURSTS, max(1, int(burst / epoch)))
    return {"batches": batches, "evaluated": evaluated, "epochs": 1 + BURSTS * each}


def check_run(config: Config, folder: Path) -> None:
    """Hold a run against the free space of its disk and against `budget.hours`. Nothing is written.

    Raises Refused where it will not fit; warns of the budget alone where `budget.on_exceed` says so.
    """
    _check_space([(config, folder)], "choose another folder with hydra.run.dir=<folder>")
    hours = config.budget.hours
    if hours is None or (found := plan([(config, folder)])[0].forecast) is None:
        return
    _to_stderr(f"forecast {duration(found.total)} ({interval(found.low, found.high)}), budget.hours={hours:g}")
    _exceeded(config, over_budget([found], hours, "budget.hours", _fewer_epochs(config, found)))


def check_sweep(runs: Sequence[tuple[Config, Path]]) -> None:
    """Hold the runs of a multirun that are still to do against the free space and `sweep.hours`. Raises as `check_run`."""
    config = runs[0][0]
    remedy = "choose another folder with hydra.sweep.dir=<folder>, or checkpoint.keep=none"
    _check_space([*map(_as_cell, runs)], remedy)
    if config.sweep.hours is not None:
        found = [run.forecast for run in plan(runs) if run.forecast is not None]
        if found:
            total, low, high = (sum(getattr(one, name) for one in found) for name in ("total", "low", "high"))
            some = f"forecast of the {len(found)} runs to do {duration(total)} ({interval(low, high)}), one after the other"
            _to_stderr(f"{some}; sweep.hours={config.sweep.hours:g}")
        _exceeded(config, over_budget(found, config.sweep.hours, "sweep.hours", "choose fewer of them"))


def _as_cell(run: tuple[Config, Path]) -> tuple[Config, Path]:
    """What a run is as one of a multirun: `checkpoint.keep=auto` means best."""
    config, folder = run
    if config.checkpoint.keep == "auto":
        config = dataclasses.replace(config, checkpoint=dataclasses.replace(config.checkpoint, keep="best"))
    return config, folder


def _check_space(runs: Sequence[tuple[Config, Path]], remedy: str) -> None:
    """Refuse runs whose checkpoints will not fit on their disk: what stays of all of them, and what the largest needs meanwhile.

    Estimated from their parameters; networks of a user's own are not counted, what lies in a run's folder already is.
    """
    need, meanwhile = 0, 0
    for config, folder in runs:
        if config.model.target != RESNET or _as_it_stands(config, folder).status in records.ENDED:
            continue
        end, peak = estimated_disk(config, count_parameters(architecture(config.model, image_size=config.data.image_size or 32)))
        there = sum(path.stat().st_size for path in (folder / "checkpoints").glob("*.ckpt"))
        need += end
        meanwhile = max(meanwhile, peak - end - there)
    folder = runs[0][1].parent if len(runs) > 1 else runs[0][1]
    free = shutil.disk_usage(next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())).free
    if need + max(0, meanwhile) > free:
        what = "the run needs" if len(runs) == 1 else f"the {len(runs)} runs need"
        raise Refused(f"{folder}: {what} about {in_bytes(need + meanwhile)}, {in_bytes(free)} are free; free some, or {remedy}")


def _exceeded(config: Config, line: str | None) -> None:
    if line is not None and config.budget.on_exceed == "refuse":
        raise Refused(line)
    if line is not None:
        _to_stderr(line)


def _fewer_epochs(config: Config, found: Forecast) -> str:
    """What would fit into the budget of one run."""
    once = sum(found.seconds[name] for name in ("start", "compiling", "test", "close"))
    part = ((config.budget.hours or 0) * 3600 - once) / (found.total - once)
    epochs = int((config.trainer.max_epochs or 0) * part)
    return f"train for fewer epochs (trainer.max_epochs={epochs})" if epochs >= 1 else "train something smaller"


def _as_it_stands(config: Config, folder: Path) -> Planned:
    """A run without its forecast: what an earlier session has left. Raises FolderError where a record is damaged."""
    found = None if config.fresh or config.is_debug else records.read(folder)
    before = config.parent.steps  # those of the run that this one continues
    if found is None:
        return Planned(config, folder, "not run", before)
    status = str(found["status"])
    if status in records.ENDED or not (folder / "checkpoints" / "last.ckpt").exists():
        return Planned(config, folder, status, before)
    return Planned(config, folder, status, steps_done(folder / records.METRICS))


def steps_done(metrics: Path) -> int:
    """The step of the last reading: the last checkpoint is about as old."""
    try:
        with metrics.open(newline="") as file:
            return max((int(row["step"]) for row in csv.DictReader(file) if row["step"].isdigit()), default=0)
    except OSError:
        return 0


@dataclass(frozen=True)
class _Rehearsed:
    extents: list[Extent]
    pace: Pace
    decoding: float
    optimizers: list[OptimizerCost]  # of the configs that were asked for, in their order; none where they are all one


def _rehearse(
    configs: list[Config], extents: list[Extent] | None, optimizers: Sequence[Config] = (), **amount: int
) -> _Rehearsed:
    """Rehearse the first of `configs` in a process of its own. Raises Refused with the line that the process ended with.

    optimizers: configs whose optimizers are timed apart, on the network of the first.
    """
    request: dict[str, Any] = {"configs": [to_mapping(config) for config in configs], **amount}
    request["optimizers"] = [to_mapping(config) for config in optimizers]
    if extents is not None:
        request["extents"] = [dataclasses.asdict(extent) for extent in extents]
    with tempfile.TemporaryDirectory(prefix="resnet_lit-") as place:
        answer = Path(place) / "answer.json"
        ended = subprocess.run(
            [sys.executable, "-m", "resnet_lit.rehearsal", str(answer)],
            input=json.dumps({**request, "since": time.time()}),
            capture_output=True,
            text=True,
        )
        if ended.returncode != 0:
            last = next((line for line in reversed(ended.stderr.splitlines()) if line.strip()), f"status {ended.returncode}")
            raise Refused(last if ended.returncode == 2 else f"the run fails in its first steps: {last}")
        found = json.loads(answer.read_text())
    pace: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in found["pace"].items()}
    pace["close"] += time.time() - found["at"]  # the end of the process
    costs = [OptimizerCost(**values) for values in found["optimizers"]]
    return _Rehearsed([Extent(**values) for values in found["extents"]], Pace(**pace), found["decoding"], costs)


def _short(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds >= 1 else f"{seconds * 1000:.0f} ms"


def _to_stderr(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
