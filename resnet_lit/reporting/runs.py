"""Run folders as the report reads them: what is whole becomes a `Run`, what is not is named as a `Problem`. No torch here.

Debug runs are left out. A record that was edited by hand, a file cut short, another schema: named with the reason and left
out, so that no number on the page differs from what a run wrote.
"""

from __future__ import annotations

import csv
import functools
import marshal
import os
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from resnet_lit import record as records
from resnet_lit.identity import changes_result
from resnet_lit.schema import Config
from resnet_lit.typed import flatten, show

GROUPS = ("model", "data", "augment", "optimizer", "scheduler", "trainer")  # of the config
REQUIRED = ("status", "identity", "name", "config", "seed", "protocol", "data", "model")
FINISHED_TOO = ("metrics", "best", "timing")
STATUSES = ("running", "finished", "interrupted", "failed", "diverged")
DERIVED = ("gap", "optimism", "seconds")


class Damaged(Exception):
    """A file of a run cannot be read; `str()` is the reason in one line."""


@dataclass(frozen=True)
class Problem:
    """A folder that the report leaves out, and why."""

    folder: Path
    reason: str


@dataclass(frozen=True, eq=False)
class Run:
    """One run folder, whole: the record is as it was written. Accuracy in [0, 1], loss in nats, time in seconds."""

    folder: Path
    record: dict[str, Any] = field(repr=False)

    @functools.cached_property
    def status(self) -> str:
        """finished, running, interrupted, failed or diverged."""
        return str(self.record["status"])

    @property
    def reason(self) -> str | None:
        """Why it did not finish, one line; None for a finished or a running one."""
        return None if self.record.get("reason") is None else str(self.record["reason"])

    @property
    def unverified(self) -> str | None:
        """Why nothing shows that the numbers are those that the run wrote; None where its digest does."""
        return records.unverified(self.record)

    @functools.cached_property
    def counts(self) -> bool:
        """Whether its numbers enter means: finished runs alone."""
        return self.status == "finished"

    @property
    def identity(self) -> str:
        """Ten hexadecimal digits of what the run computes, seed included."""
        return str(self.record["identity"])

    @property
    def name(self) -> str:
        """The experiment."""
        return str(self.record["name"])

    @property
    def label(self) -> str | None:
        """What differs from the experiment's own values, as in the folder's name."""
        return None if self.record.get("label") is None else str(self.record["label"])

    @property
    def seed(self) -> int:
        """The seed."""
        return int(self.record["seed"])

    @property
    def protocol(self) -> str:
        """holdout, or paper: the test set chose the epoch."""
        return str(self.record["protocol"])

    @property
    def variant(self) -> str:
        """Which data: cifar10, cifar10-jpeg, digits, folder."""
        return str(self.record["data"]["variant"])

    @property
    def data_hash(self) -> str:
        """sha256 of the data."""
        return str(self.record["data"]["hash"])

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes."""
        return tuple(map(str, self.record["data"].get("classes", ())))

    @property
    def test_images(self) -> int:
        """Images of the test set that were read."""
        return int(self.record["data"]["sizes"]["test"])

    @property
    def scale(self) -> str | None:
        """Name of a reduced scale, whose numbers say nothing; None: a real run."""
        return self.record.get("scale")

    @property
    def config(self) -> dict[str, Any]:
        """The resolved config, nested."""
        return dict(self.record["config"])

    @functools.cached_property
    def values(self) -> dict[str, Any]:
        """The values of the config that change a result, by dotted key, without the seed; what is not set is neutral.

        Runs whose configs differ in the seed alone have the same dict.
        """
        return _values(marshal.dumps({**self.record["config"], "seed": None}, 2))  # ten times as fast as JSON

    @property
    def model(self) -> str:
        """What the network is called."""
        return str(self.config.get("model", {}).get("name", "custom"))

    @property
    def title(self) -> str:
        """`model4 batch_size=64 optimizer=adam`: what a reader calls it; the seed stands apart."""
        words = [word for word in (self.label or "").split(",") if word and not word.startswith("seed=")]
        return " ".join([self.name, *words])

    @property
    def metrics(self) -> dict[str, float]:
        """The record's metrics, flat; empty where the run has not finished."""
        return self.record.get("metrics") or {} if self.counts else {}

    @property
    def best(self) -> dict[str, Any]:
        """`epoch`, `step` and `chosen_on` of the chosen weights; empty where the run has not finished."""
        return self.record.get("best") or {}

    @property
    def timing(self) -> dict[str, float]:
        """Seconds by part, and `total`."""
        return self.record.get("timing") or {}

    @property
    def parameters(self) -> int:
        """Parameters, trained or not."""
        return int(self.record["model"]["parameters"])

    @property
    def macs(self) -> int | None:
        """Multiply-adds of one image; None for a class of the user's own."""
        return self.record["model"].get("macs")

    @property
    def petaflops(self) -> float | None:
        """Arithmetic of the whole training; None where the record does not say, as those of earlier versions."""
        found = self.record.get("petaflops")
        return None if found is None else float(found)

    @property
    def device(self) -> str:
        """What it was trained on."""
        hardware = self.record.get("hardware") or {}
        devices = [str(device) for device in hardware.get("devices") or []]
        return hardware.get("cpu") or "cpu" if set(devices) <= {"cpu"} else ", ".join(devices)

    @property
    def commit(self) -> str:
        """Commit of the package, with a plus where files differed from it; empty for an installed package."""
        git = self.record.get("git") or {}
        return f"{(git.get('commit') or '')[:10]}{'+' if git.get('dirty') else ''}"

    def value(self, name: str) -> float | None:
        """A metric of the record, or a derived one; None where the run has not got it.

        test/accuracy_tta/flip, test/accuracy_tta/6: test/accuracy_tta where evaluation.tta is this: others do not compare.
        gap: train/accuracy less test/accuracy_last. optimism: test/accuracy less test/accuracy_last. seconds: of the whole run.
        """
        found = self.metrics
        if name == "gap":
            return _less(found.get("train/accuracy"), found.get("test/accuracy_last"))
        if name.startswith("test/accuracy_tta/"):
            return found.get("test/accuracy_tta") if str(self.record.get("tta")) == name.rpartition("/")[2] else None
        if name == "optimism":
            return _less(found.get("test/accuracy"), found.get("test/accuracy_last"))
        if name == "seconds":
            return self.timing.get("total") if self.counts else None
        return found.get(name)

    def curves(self) -> dict[str, np.ndarray]:
        """The columns of metrics.csv as (rows,) float64, NaN where a cell is empty. A torn last row of a running run is left out.

        Raises Damaged where the file cannot be read; without a file the answer is empty.
        """
        path = self.folder / records.METRICS
        try:
            with path.open(newline="") as file:
                rows = list(csv.reader(file))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, csv.Error) as error:
            raise Damaged(f"{path}: cannot be read ({error})") from error
        if not rows:
            return {}
        head, body = rows[0], [row for row in rows[1:] if len(row) == len(rows[0])]
        try:
            numbers = [[float(cell) if cell else np.nan for cell in row] for row in body]
        except ValueError as error:
            raise Damaged(f"{path}: contains a value that is not a number ({error})") from error
        table = np.array(numbers, dtype=np.float64).reshape(len(body), len(head))
        return {name: table[:, index] for index, name in enumerate(head)}

    def outputs(self) -> dict[str, np.ndarray]:
        """`targets` (N,), `logits` (N, classes), `mistakes` (M,) places in the test set, `mistake_images` (M, 3, H, W) uint8.

        Raises Damaged where test_outputs.npz cannot be read or does not give the record's accuracy; empty where it is not there.
        """
        path = self.folder / records.OUTPUTS
        if not path.is_file():
            return {}
        try:
            with np.load(path, allow_pickle=False) as file:
                found = {name: file[name] for name in file.files}
            accuracy = float((found["logits"].argmax(1) == found["targets"]).mean())
        except (OSError, ValueError, KeyError, EOFError, IndexError, zipfile.BadZipFile) as error:
            raise Damaged(f"{path}: cannot be read ({type(error).__name__}: {error})") from error
        said = self.metrics.get("test/accuracy")
        if said is not None and abs(accuracy - said) > 1e-4:
            raise Damaged(f"{path}: its logits give {accuracy:.2%}, the record {said:.2%}")
        known = (self.record.get("checksums") or {}).get(records.OUTPUTS)
        if known is not None and known != records.checksum(path):
            raise Damaged(f"{path}: was changed after the run had written it (its checksum does not match)")
        return found


def _less(first: float | None, second: float | None) -> float | None:
    return None if first is None or second is None else first - second


def _flat(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """As `typed.flatten`, of what is plain data already."""
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


@functools.lru_cache(maxsize=4096)
def _values(config: bytes) -> dict[str, Any]:
    return {**neutral(), **{key: value for key, value in _flat(marshal.loads(config)) if _matters(key, value)}}


def _matters(key: str, value: Any) -> bool:
    return key != "seed" and value != {} and _changes_result(key)


_changes_result = functools.lru_cache(maxsize=4096)(changes_result)


@functools.cache
def neutral() -> dict[str, Any]:
    """The neutral values: a run of an earlier version has no key that came later, and means its neutral value."""
    return {key: value for key, value in flatten(Config()).items() if _matters(key, value)}


# --- reading


def read_runs(paths: Iterable[str | Path]) -> tuple[list[Run], list[Problem]]:
    """Every run in or below `paths`, in the order of their folders, and what had to be left out.

    Of one run in two folders (a copy, an earlier one put aside) the one that ended last stands, and the other is named.
    """
    runs: list[Run] = []
    problems: list[Problem] = []
    seen: set[Path] = set()
    for path in paths:
        for folder in find(Path(path)):
            if (real := folder.resolve()) in seen:
                continue
            seen.add(real)
            found = read_run(folder)
            if isinstance(found, Problem):
                problems.append(found)
            elif found is not None:
                runs.append(found)
    return _once(runs, problems), problems


def find(path: Path) -> Iterator[Path]:
    """The run folders in or below `path`, sorted; a run's own subfolders are not looked into."""
    try:
        entries = sorted(os.scandir(path), key=lambda entry: entry.name)
    except OSError:
        return
    names = {entry.name for entry in entries if entry.is_file()}
    if records.RESULT in names or {"config.yaml", records.METRICS} <= names:
        yield path
        return
    for entry in entries:
        if entry.is_dir() and not entry.name.startswith("."):
            yield from find(Path(entry.path))


def read_run(folder: Path) -> Run | Problem | None:
    """The run of one folder; None for a debug run."""
    try:
        record = records.read(folder)
    except records.Damaged as error:
        return Problem(folder, error.reason)
    if record is None:
        return Problem(folder, f"has no {records.RESULT}")
    if record.get("debug"):
        return None
    try:
        reason = _wrong(folder, record)
    except (OSError, TypeError, ValueError, AttributeError) as error:
        reason = f"{records.RESULT} is not as a run writes it ({_one_line(error)})"
    if reason:
        return Problem(folder, reason)
    run = Run(folder, record)
    try:  # everything that the report asks of a run, so that one of them cannot stop the others
        _ = run.values, run.classes, run.config, run.title, run.macs, run.device, run.commit, run.best.get("epoch"), run.scale
        _ = [float(value) for value in run.timing.values() if value is not None]
    except (TypeError, ValueError, AttributeError, KeyError, RecursionError) as error:
        return Problem(folder, f"{records.RESULT} is not as a run writes it ({_one_line(error)})")
    return run


def _wrong(folder: Path, record: dict[str, Any]) -> str:
    """Why a record cannot be used; the empty string where it can."""
    version = record.get("schema_version")
    if version != records.SCHEMA_VERSION:
        return f"schema_version {show(version)}: this version reads {records.SCHEMA_VERSION}"
    status = record.get("status")
    if status not in STATUSES:
        return f"status={show(status)}: no status of a run"
    needed = REQUIRED + (FINISHED_TOO if status == "finished" else ())
    if missing := [key for key in needed if record.get(key) is None]:
        return f"{records.RESULT} has no {', '.join(missing)}"
    for key in ("config", "data", "model", *(FINISHED_TOO if status == "finished" else ())):
        if not isinstance(record[key], dict):
            return f"{records.RESULT}: {key} is not a group of values"
    return _wrong_inside(record)


def _wrong_inside(record: dict[str, Any]) -> str:
    if wrong := [group for group in GROUPS if not isinstance(record["config"].get(group), dict)]:
        return f"{records.RESULT}: config has no group {', '.join(wrong)}"
    inside = {"data": ("variant", "hash", "sizes"), "model": ("parameters",)}
    if record["status"] == "finished":
        inside["metrics"] = ("test/accuracy", "test/accuracy_last")
    for group, keys in inside.items():
        if missing := [key for key in keys if record[group].get(key) is None]:
            return f"{records.RESULT}: {group} has no {', '.join(missing)}"
    int(record["data"]["sizes"]["test"]), int(record["seed"]), int(record["model"]["parameters"])
    for key, value in (record.get("metrics") or {}).items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            return f"{records.RESULT}: metrics {key}={show(value)} is not a number"
    return ""


def _one_line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:160]


def _once(runs: list[Run], problems: list[Problem]) -> list[Run]:
    """One run of each identity on the same data: a finished one before others, of those the last."""
    best: dict[tuple[str, str], Run] = {}
    for run in runs:
        key = (run.identity, run.data_hash)
        other = best.get(key)
        if other is None or _order(run) > _order(other):
            best[key] = run
    kept = []
    for run in runs:
        stands = best[run.identity, run.data_hash]
        if stands is run:
            kept.append(run)
        else:
            problems.append(Problem(run.folder, f"the same run as {stands.folder}, which stands"))
    return kept


def _order(run: Run) -> tuple[bool, str]:
    return run.counts, str(run.record.get("ended") or run.record.get("started") or "")
