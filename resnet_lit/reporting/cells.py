"""Runs grouped as they may be compared: sections hold cells, cells hold runs that differ in their seed alone.

What differs in data, protocol, scale or test images lies in different sections and is never averaged or ranked together.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from resnet_lit.optim.rules import short_key
from resnet_lit.reporting.runs import Run
from resnet_lit.reporting.statistics import Summary, summarize
from resnet_lit.typed import show

GROUPS = ("model", "augment", "optimizer", "scheduler", "averaging")  # each choice has a name, which stands for its values


@dataclass(frozen=True, eq=False)
class Cell:
    """Runs with the same values except the seed. factors: the values that vary within the section, by short key."""

    title: str
    factors: dict[str, Any]
    runs: tuple[Run, ...]

    @functools.cached_property
    def finished(self) -> tuple[Run, ...]:
        """The runs whose numbers count, by seed."""
        return tuple(run for run in self.runs if run.counts)

    @property
    def others(self) -> tuple[Run, ...]:
        """Runs that failed, diverged, were interrupted or are running."""
        return tuple(run for run in self.runs if not run.counts)

    @property
    def values(self) -> dict[str, Any]:
        """The values of the config that change a result, by dotted key, without the seed."""
        return self.runs[0].values

    @property
    def model(self) -> str:
        """What the network is called."""
        return self.runs[0].model

    @property
    def parameters(self) -> int:
        """Parameters, trained or not."""
        return self.runs[0].parameters

    @property
    def macs(self) -> int | None:
        """Multiply-adds of one image; None for a class of the user's own."""
        return self.runs[0].macs

    @property
    def petaflops(self) -> float | None:
        """Mean arithmetic of training of the finished runs; None where their records do not say."""
        known = [run.petaflops for run in self.finished if run.petaflops is not None]
        return sum(known) / len(known) if known else None

    def by_seed(self, metric: str) -> dict[int, float]:
        """{seed: value} of the finished runs that have the metric (`Run.value`)."""
        cache: dict[str, dict[int, float]] = self.__dict__.setdefault("_by_seed", {})
        if metric not in cache:
            cache[metric] = {run.seed: value for run in self.finished if (value := run.value(metric)) is not None}
        return cache[metric]

    def summary(self, metric: str) -> Summary | None:
        """Mean, standard deviation, n and 95% interval over the seeds; None where no run has the metric."""
        cache: dict[str, Summary | None] = self.__dict__.setdefault("_summaries", {})
        if metric not in cache:
            values = list(self.by_seed(metric).values())
            cache[metric] = summarize(values) if values else None
        return cache[metric]


@dataclass(frozen=True, eq=False)
class Section:
    """Cells that may be compared with each other. factors: short key -> its values in this section, sorted."""

    variant: str
    data_hash: str
    protocol: str
    scale: str | None
    test_images: int
    cells: tuple[Cell, ...]
    factors: dict[str, tuple[Any, ...]]

    @property
    def title(self) -> str:
        """`cifar10-jpeg, protocol holdout`, with what else sets it apart."""
        words = [self.variant, f"protocol {self.protocol}", f"{self.test_images:,} test images"]
        return ", ".join(words + ([f"{self.scale} scale"] if self.scale else []))

    @property
    def anchor(self) -> str:
        """A word for links, different for each section."""
        plain = "".join(
            c if c.isalnum() and c.isascii() else "-" for c in f"{self.variant}-{self.protocol}-{self.scale or 'full'}"
        )
        return f"{plain}-{''.join(c for c in self.data_hash[:8] if c.isalnum())}-{self.test_images}"

    @property
    def says_nothing(self) -> bool:
        """Whether its runs are of a reduced scale: trained to see that everything runs, not to measure."""
        return self.scale is not None

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader must know before the numbers."""
        found = []
        if self.scale:
            found.append(f"Trained at {self.scale} scale, to see that everything runs: the numbers say nothing.")
        if self.protocol == "paper":
            found.append("The test set chose the epoch, as in the paper: test accuracy is optimistic.")
        if self.protocol == "final":
            found.append("All training images trained, nothing was chosen: the last weights read the test set once.")
        if self.variant == "cifar10-jpeg":
            found.append("Published CIFAR-10 numbers do not compare with cifar10-jpeg: the images were compressed again.")
        elif self.variant != "cifar10":
            found.append(f"Published CIFAR-10 numbers do not compare with {self.variant}: these are other images.")
        return tuple(found)

    @functools.cached_property
    def runs(self) -> tuple[Run, ...]:
        """All runs of the section, cell by cell."""
        return tuple(run for cell in self.cells for run in cell.runs)

    @property
    def measured(self) -> tuple[Cell, ...]:
        """The cells with at least one finished run."""
        return tuple(cell for cell in self.cells if cell.finished)


def sections(runs: Iterable[Run]) -> tuple[Section, ...]:
    """The sections of `runs`: real ones first, larger ones before smaller ones."""
    groups: dict[tuple[Any, ...], list[Run]] = {}
    for run in runs:
        groups.setdefault((run.variant, run.data_hash, run.protocol, run.scale, run.test_images), []).append(run)
    order = sorted(groups.items(), key=lambda item: (item[0][3] is not None, -len(item[1]), str(item[0])))
    return tuple(_section(key, found) for key, found in order)


def _section(key: tuple[Any, ...], runs: list[Run]) -> Section:
    grouped: dict[str, list[Run]] = {}
    texts: dict[int, str] = {}  # runs of a cell mostly share their values, the dict itself
    for run in runs:
        if id(run.values) not in texts:
            texts[id(run.values)] = json.dumps(run.values, sort_keys=True, default=str)
        grouped.setdefault(texts[id(run.values)], []).append(run)
    groups = [tuple(sorted(found, key=lambda run: run.seed)) for found in grouped.values()]
    names = [_names(found[0]) for found in groups]
    factors = _factors([found[0].values for found in groups], names)
    cells = []
    for found, name in zip(groups, names, strict=True):
        own = {short: name[long] if long in GROUPS else found[0].values.get(long) for short, long in factors.items()}
        cells.append(Cell(_title(found[0].model, own), own, found))
    levels = {short: _sorted({show(cell.factors[short]): cell.factors[short] for cell in cells}) for short in factors}
    places = {short: {show(value): place for place, value in enumerate(values)} for short, values in levels.items()}
    cells.sort(key=lambda cell: [places[short][show(value)] for short, value in cell.factors.items()])
    variant, data_hash, protocol, scale, test_images = key
    return Section(variant, data_hash, protocol, scale, test_images, tuple(cells), levels)


def _names(run: Run) -> dict[str, str]:
    """The name of the choice in each group that has one."""
    config = run.record["config"]
    missing = {"averaging": "none"}  # in records of versions that averaged nothing
    return {group: str((config.get(group) or {}).get("name", missing.get(group, "custom"))) for group in GROUPS}


def _factors(values: list[dict[str, Any]], names: list[dict[str, str]]) -> dict[str, str]:
    """The short names of what varies, each with its dotted key, or with the group whose choice varies."""
    every: dict[str, None] = {}
    for own in values:
        every.update(dict.fromkeys(own))
    varying = [key for key in every if any(_differ(own.get(key), values[0].get(key)) for own in values)]
    found = []
    for group in GROUPS:
        mine = [key for key in varying if key.startswith(f"{group}.")]
        if not mine:
            continue
        chosen = [name[group] for name in names]
        if len(set(chosen)) > 1:
            found.append(group)
            mine = [key for key in mine if not _follows(chosen, [show(own.get(key)) for own in values])]
        found += mine
    found += [key for key in varying if key.split(".")[0] not in GROUPS]
    tails = [short_key(key) for key in found]
    return {key if tails.count(tail) > 1 else tail: key for key, tail in zip(found, tails, strict=True)}


def _differ(first: Any, second: Any) -> bool:
    return not (type(first) is type(second) and first == second) and show(first) != show(second)


def _follows(names: list[str], values: list[str]) -> bool:
    """Whether the name of a choice settles the value."""
    known: dict[str, str] = {}
    return all(known.setdefault(name, value) == value for name, value in zip(names, values, strict=True))


def _title(model: str, factors: Mapping[str, Any]) -> str:
    return " ".join([model, *(f"{key}={show(value)}" for key, value in factors.items() if key != "model")])


def _sorted(levels: Mapping[str, Any]) -> tuple[Any, ...]:
    """Numbers by size, then words by the alphabet; what is not set first."""

    def place(value: Any) -> tuple[int, float, str]:
        if value is None:
            return 0, 0.0, ""
        if isinstance(value, int | float):
            return 1, float(value), ""
        return 2, 0.0, show(value)

    return tuple(sorted(levels.values(), key=place))
