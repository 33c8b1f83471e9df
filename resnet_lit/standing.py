"""How the runs of a sweep stand, read from their folders alone. No Hydra, no torch: 5,000 folders are read in seconds."""

from __future__ import annotations

import json
import os
import re
import socket
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

from resnet_lit import heartbeat
from resnet_lit import record as records
from resnet_lit.formatting import duration
from resnet_lit.record import Record

NOT_RUN = "not run"
ORDER = ("finished", "diverged", "failed", "refused", "damaged", "interrupted", "running", NOT_RUN)
LEFT = ("interrupted", "running", NOT_RUN)
SWEEPS = "sweeps"  # below a sweep's folder: what its drivers leave there
IDENTITY = re.compile(r"-?[0-9a-f]{10}$")
ASIDE = re.compile(r"(.+)\.\d+$")


@dataclass(frozen=True)
class Standing:
    """One run. record: {} where there is none. beat: of a run that is being trained. cost: what it costs, relative to others.

    values: those in which the runs of its sweep differ, where its record does not say them.
    """

    folder: Path
    status: str
    reason: str = ""
    record: Record = field(default_factory=dict)
    beat: Record = field(default_factory=dict)
    cost: float = 1.0
    values: Record = field(default_factory=dict)

    @property
    def metrics(self) -> Record:
        """What was measured; of a run that is being trained, so far."""
        return self.record.get("metrics") or self.beat.get("metrics") or {}

    @property
    def fraction(self) -> float:
        """The part of a run's steps that it has made."""
        return min(1.0, self.beat.get("step", 0) / self.beat["steps"]) if self.beat.get("steps") else 0.0

    @property
    def seconds_left(self) -> float | None:
        """Of a run that is being trained, at its pace so far; None where nothing is known yet."""
        made = self.beat.get("step", 0) - self.beat.get("first_step", 0)
        if not self.beat.get("steps") or made <= 0:
            return None
        return float((self.beat["steps"] - self.beat["step"]) * self.beat["seconds"] / made)

    @property
    def progress(self) -> str:
        """`epoch 3/200  step 1,056/70,400  12:05 left`, or nothing."""
        beat, words = self.beat, []
        if "epoch" in beat:
            words.append(f"epoch {beat['epoch']}" + (f"/{beat['epochs']}" if beat.get("epochs") else ""))
        if "step" in beat:
            words.append(f"step {beat['step']:,}" + (f"/{beat['steps']:,}" if beat.get("steps") else ""))
        if (left := self.seconds_left) is not None:
            words.append(f"{duration(left)} left")
        return "  ".join(words)


@dataclass(frozen=True)
class Sweep:
    """What the driver of a sweep has left: its command, its process, and its runs, those too that have no folder yet."""

    path: Path
    name: str
    command: str
    process: Record
    runs: list[Record]

    @property
    def folders(self) -> list[Path]:
        """The folders of its runs, in their order."""
        return [self.path.parent.parent / run["folder"] for run in self.runs]

    @property
    def is_driven(self) -> bool:
        """Whether its driver lives."""
        if self.process.get("host") == socket.gethostname():
            return records.is_alive(self.process, self.path.parent)
        return heartbeat.age(self.path) < heartbeat.DEAD_SECONDS

    def standings(self, known: Mapping[Path, Standing] = MappingProxyType({})) -> list[Standing]:
        """How its runs stand, in their order. known: those that were read already."""
        members = zip(self.folders, self.runs, strict=True)
        return [known.get(f) or stand(f, cost=run["cost"], values=run["values"]) for f, run in members]


def stand(folder: Path, told: Record | None = None, **more: Any) -> Standing:
    """How one run stands. told: what is known beside its folder: how a process ended that had begun nothing."""
    try:
        record = records.read(folder)
    except records.FolderError as error:
        return Standing(folder, "damaged", str(error), **more)
    if told and (record is None or told["status"] not in ("finished", "diverged")):
        record = {**(record or {}), **told}
    if record is None:
        return Standing(folder, NOT_RUN, **more)
    status = str(record["status"])
    beat = (heartbeat.read(folder / heartbeat.HEARTBEAT) or {}) if status == "running" else {}
    return Standing(folder, status, record.get("reason") or "", record, beat, **more)


def run_folders(root: Path) -> Iterator[Path]:
    """The run folders at or below `root`, by name. Those put aside by fresh=true are left out; links are not followed."""
    try:
        entries = sorted(os.scandir(root), key=lambda entry: entry.name)
    except OSError:
        return
    if any(entry.name == records.RESULT for entry in entries):
        yield root
        return
    names = {entry.name for entry in entries}
    for entry in entries:
        aside = ASIDE.match(entry.name)
        if entry.is_dir(follow_symlinks=False) and not (aside and aside[1] in names):
            yield from run_folders(Path(entry.path))


def sweeps_below(root: Path) -> list[Sweep]:
    """The sweeps whose runs go below `root`, by name."""
    return [sweep for path in sorted((root / SWEEPS).glob("*.json")) if (sweep := read_sweep(path)) is not None]


def read_sweep(path: Path) -> Sweep | None:
    """What a driver has left in a file, None where it holds something else."""
    try:
        content = json.loads(path.read_text())
        return Sweep(path, content["name"], content["command"], content["process"], content["runs"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def standings_below(root: Path) -> list[Standing]:
    """The runs below a folder, and those that its sweeps have still to begin. Debug runs are left out."""
    known: dict[Path, Standing] = {}
    for sweep in sweeps_below(root):
        known |= {run.folder: run for run in sweep.standings(known)}
    found = {folder: known.get(folder) or stand(folder) for folder in run_folders(root)}
    return [run for run in {**known, **found}.values() if not run.record.get("debug")]


def names(folders: Sequence[Path]) -> list[str]:
    """Readable names of runs: `model4 optimizer=adam batch_size=64 seed=1`; with the identity where two would be alike."""
    readable = [_readable(folder) for folder in folders]
    count = Counter(readable)
    return [f"{name} {folder.name[-10:]}" if count[name] > 1 else name for name, folder in zip(readable, folders, strict=True)]


def short_names(folders: Sequence[Path]) -> tuple[list[str], str]:
    """The same without the words that all of them have in common but for the experiment, and those words."""
    readable = [_readable(folder).split(" ") for folder in folders]
    common = [word for word in readable[0][1:] if all(word in words[1:] for words in readable)] if len(readable) > 1 else []
    return [" ".join(word for word in name.split(" ") if word not in common) for name in names(folders)], " ".join(common)


def _readable(folder: Path) -> str:
    if not IDENTITY.search(folder.name):  # a folder that the user has named
        return folder.name
    return " ".join(filter(None, [folder.parent.name, *IDENTITY.sub("", folder.name).split(",")]))


def counts(runs: Iterable[Standing]) -> str:
    """`12 finished, 2 running, 28 not run`."""
    count = Counter(run.status for run in runs)
    known = sorted(count, key=lambda status: ORDER.index(status) if status in ORDER else len(ORDER))
    return ", ".join(f"{count[status]} {status}" for status in known)


def seconds_left(runs: Sequence[Standing]) -> float | None:
    """Until all runs have ended, with as many at a time as now, at the pace of those that have been trained; None: not known.

    What a run takes is its cost times their pace, and a start (imports, compiling a config) that costs each the same.
    """
    seconds, cost, left = 0.0, 0.0, 0.0
    for run in runs:
        total = (run.record.get("timing") or {}).get("total")
        if run.status == "finished" and total:
            seconds, cost = seconds + total, cost + run.cost
        elif run.beat.get("steps") and run.beat["step"] > run.beat["first_step"]:
            seconds += run.beat["seconds"]
            cost += run.cost * (run.beat["step"] - run.beat["first_step"]) / run.beat["steps"]
        if run.status in LEFT:
            left += run.cost * (1 - run.fraction)
    if not cost:
        return None
    waiting = sum(run.status in LEFT and run.status != "running" for run in runs)
    starts = [start for run in runs if run.status == "finished" and (start := _start(run.record)) is not None]
    seconds = left * seconds / cost + (waiting * sum(starts) / len(starts) if starts else 0)
    return seconds / max(1, sum(run.status == "running" for run in runs))


def _start(record: Record) -> float | None:
    """Seconds of a run that were not training; None where it was resumed: the record has one time for all its sessions."""
    if len(record.get("sessions", [])) != 1 or "timing" not in record:
        return None
    begun, ended = (datetime.fromisoformat(record[key]) for key in ("started", "ended"))
    return max(0.0, (ended - begun).total_seconds() - float(record["timing"]["total"]))
