"""Two or more ways of doing the same thing, timed in turns: this machine may be shared, and turns share its weather.

Each side is a process of its own that has warmed up and waits. `alternate` lets each do a round, again and again; what counts
is the ratio of the medians, beside the least and greatest of the rounds.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch import Callback, LightningModule, Trainer

READY, DONE = "side ready", "side done"
RESULTS = Path("outputs/benchmarks")
REST = 0.3  # seconds between two rounds: workers of the side before fetch a few batches ahead


class Side:
    """A process that does a round when told to. words: after `python -m`."""

    def __init__(self, *words: str, env: dict[str, str] | None = None) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL if os.environ.get("BENCH_VERBOSE") is None else None,
            text=True,
            env={**os.environ, **(env or {})},
        )
        self.ready = self._wait(READY)

    def _wait(self, mark: str) -> dict[str, Any]:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith(mark):
                return dict(json.loads(line[len(mark) :]))
        raise RuntimeError(f"{self.process.args}: ended with status {self.process.wait()} (BENCH_VERBOSE=1 shows why)")

    def round(self) -> dict[str, Any]:
        """What one round measured."""
        assert self.process.stdin is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        return self._wait(DONE)

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()


def serve(work: Callable[[], int], **about: Any) -> None:
    """The process of a side: warm up, then one round of `work` at every line from the driver. work: does it, says how many."""
    work()
    say(READY, about)
    for _ in sys.stdin:
        started = time.perf_counter()
        count = work()
        say(DONE, {"count": count, "seconds": time.perf_counter() - started})


def say(mark: str, values: dict[str, Any]) -> None:
    print(mark, json.dumps(values), file=sys.__stdout__, flush=True)  # a progress bar redirects sys.stdout


class Pause(Callback):
    """Makes a real fit or test a side: after `warm_up` batches it stops, and goes on for `batches` at a line from the driver."""

    def __init__(self, batches: int, warm_up: int = 2) -> None:
        self.batches, self.left = batches, warm_up
        self.images, self.started = 0, 0.0

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int) -> None:
        self._count(len(batch[1]))

    def on_test_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        self._count(len(batch[1]))

    def _count(self, images: int) -> None:
        self.images += images
        self.left -= 1
        if self.left:
            return
        if self.started:
            say(DONE, {"count": self.images, "batches": self.batches, "seconds": time.perf_counter() - self.started})
        else:
            say(READY, {})
        if not sys.stdin.readline():
            os._exit(0)
        self.left, self.images, self.started = self.batches, 0, time.perf_counter()


def alternate(sides: dict[str, Side], rounds: int = 5) -> dict[str, list[float]]:
    """Count per second of every side, round by round."""
    rates: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, side in sides.items():
            time.sleep(REST)
            found = side.round()
            rates[name].append(found["count"] / found["seconds"])
    return rates


def table(title: str, rates: dict[str, list[float]], *, against: str, unit: str = "images/s") -> dict[str, Any]:
    """Print medians with their spread, and each side's ratio to `against`; the same as a dictionary for the JSON file."""
    print(f"\n{title}", flush=True)
    base = statistics.median(rates[against])
    rows = {}
    for name, found in rates.items():
        median = statistics.median(found)
        ratios = [a / b for a, b in zip(found, rates[against], strict=True)]
        rows[name] = {"median": median, "least": min(found), "greatest": max(found), "ratio": median / base}
        spread = f"({min(found):,.4g} to {max(found):,.4g})"
        ratio = "" if name == against else f"{median / base:8.2f} x  (round by round {min(ratios):.2f} to {max(ratios):.2f})"
        print(f"  {name:34} {median:>12,.4g} {unit}  {spread:24} {ratio}", flush=True)
    return {"unit": unit, "against": against, "rounds": len(rates[against]), "sides": rows}


def save(name: str, result: dict[str, Any]) -> None:
    """Write a benchmark's numbers, with where they were measured, to outputs/benchmarks/<name>.json."""
    from resnet_lit import record  # the record's own words for machine, versions and commit

    RESULTS.mkdir(parents=True, exist_ok=True)
    about = {"hardware": record.hardware(), "versions": record.versions(), "git": record.git(), "measured": record.now()}
    (RESULTS / f"{name}.json").write_text(json.dumps({**about, **result}, indent=1) + "\n")


def cifar10() -> tuple[np.ndarray, np.ndarray]:
    """50,000 images (N, 3, 32, 32) uint8 and labels of CIFAR-10's shape, random: their content costs no time."""
    random = np.random.default_rng(0)
    return random.integers(0, 256, (50_000, 3, 32, 32), dtype=np.uint8), random.integers(0, 10, 50_000)
