"""What is to be trained, how long each of it will take on this GPU, and what of it fits into the time left. No torch here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from resnet_lit import record as records
from resnet_lit.config import Config
from resnet_lit.formatting import duration
from resnet_lit.planning import steps_done
from resnet_lit.preflight import cells_of
from resnet_lit.summary import planned_training
from resnet_lit.typed import ConfigError, Refused

ONCE_SECONDS = 60.0  # of a run beyond its steps: imports, torch.compile, tests; until one has shown it
EVALUATION_SHARE = 1 / 3  # operations for an image evaluated, of those for an image trained
TEST_IMAGES = 10_000
# A forecast is no promise: what has not been measured for this network, and what has.
ALLOWANCE, ALLOWANCE_MEASURED = 1.2, 1.05

Speeds = Mapping[int, float]  # TFLOP/s of training, all runs together, by the number of runs side by side


@dataclass(frozen=True)
class Job:
    """One run. words: its overrides; kind: equal for those that differ in their seed alone."""

    words: tuple[str, ...]
    kind: str
    config: Config
    folder: Path

    @property
    def name(self) -> str:
        return " ".join((*self.kind.split(), f"seed={self.config.seed}"))

    @property
    def status(self) -> str | None:
        """Of its record; None where there is none."""
        found = records.read(self.folder)
        return None if found is None else str(found["status"])

    @property
    def outcome(self) -> str:
        """`finished, test accuracy 95.14%`."""
        record = records.read(self.folder) or {}
        accuracy = (record.get("metrics") or {}).get("test/accuracy")
        return f"{record.get('status')}" + ("" if accuracy is None else f", test accuracy {accuracy:.2%}")

    @property
    def seconds(self) -> float:
        """That it has taken so far, in all calls; 0 where there is no record."""
        return float(((records.read(self.folder) or {}).get("timing") or {}).get("total", 0.0))

    @property
    def is_over(self) -> bool:
        return self.status in records.ENDED

    @property
    def petaflops(self) -> float | None:
        """Of the whole run, its evaluations counted; None where the config alone does not say."""
        known = planned_training(self.config)
        if known is None:
            return None
        training, length = known
        evaluated = TEST_IMAGES * length.epochs if self.config.protocol == "paper" else 0.0
        return training * (1 + EVALUATION_SHARE * evaluated / (length.epochs * length.images))

    @property
    def fraction(self) -> float:
        """The part of it that is done."""
        known = planned_training(self.config)
        return 0.0 if known is None else min(1.0, steps_done(self.folder / records.METRICS) / known[1].steps)

    @property
    def is_begun(self) -> bool:
        """Whether an earlier call has left a checkpoint of it."""
        return (self.folder / "checkpoints" / "last.ckpt").is_file()


def read_jobs(table: Path, scale: str) -> tuple[list[Job], list[str]]:
    """The runs of a table (jobs.yaml) in their order, and a line for each row that cannot be trained here."""
    jobs, left_out = [], []
    for row in yaml.safe_load(table.read_text()):
        kind = " ".join(row["overrides"])
        try:
            for seed in range(row["seeds"]):
                words = (*row["overrides"], f"+scale={scale}", f"seed={seed}")
                (cell,) = cells_of([*words, "hydra/launcher=basic"])
                jobs.append(Job(words, kind, cell.config, cell.folder))
        except (Refused, ConfigError) as error:
            left_out.append(f"{kind}: left out: {error}")
    return jobs, left_out


def seconds_of(job: Job, speeds: Speeds, side_by_side: int, measured: Mapping[str, float]) -> float | None:
    """How long a job will take from now on, with so many runs at a time; None where no speed is known.

    measured: seconds that a whole run of its kind has taken here.
    """
    left = 1 - job.fraction
    if job.kind in measured:
        return ALLOWANCE_MEASURED * (ONCE_SECONDS + left * max(0.0, measured[job.kind] - ONCE_SECONDS))
    if side_by_side not in speeds or job.petaflops is None:
        return None
    return ALLOWANCE * (ONCE_SECONDS + left * job.petaflops * 1000 * side_by_side / speeds[side_by_side])


def fitting(seconds: Sequence[float | None], side_by_side: int, left: float) -> tuple[bool, ...]:
    """Which jobs end in the seconds left, begun in their order wherever they still fit. An unknown duration fits."""
    busy, fits = [0.0] * side_by_side, []
    for needed in seconds:
        earliest = busy.index(min(busy))
        fits.append(busy[earliest] + (needed or 0.0) <= left)
        busy[earliest] += (needed or 0.0) if fits[-1] else 0.0
    return tuple(fits)


def best_number(jobs: Sequence[Job], speeds: Speeds, left: float) -> int:
    """How many runs at a time: the number with which the most valuable jobs end; the smallest of those that are equal so."""
    if not speeds:
        return 1
    ends = {n: fitting([seconds_of(job, speeds, n, {}) for job in jobs], n, left) for n in sorted(speeds)}
    return max(sorted(speeds), key=lambda n: ends[n])


def describe(jobs: Sequence[Job], speeds: Speeds, side_by_side: int) -> list[str]:
    """A line for each job: what it costs, and how long it is going to take."""
    lines = []
    for job in jobs:
        seconds, petaflops = seconds_of(job, speeds, side_by_side, {}), job.petaflops
        cost = "" if petaflops is None else f"{petaflops:.3g} petaFLOPs, "
        done = f"{job.fraction:.0%} done, " if job.is_begun and not job.is_over else ""
        time = f"{job.outcome}, before" if job.is_over else "time not known" if seconds is None else f"about {duration(seconds)}"
        lines.append(f"  {job.name}: {cost}{done}{time}")
    return lines
