"""What a report holds, computed once and written in several forms (page, Markdown, CSV, LaTeX)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from resnet_lit.reporting.cells import Cell, Section
from resnet_lit.reporting.runs import Problem
from resnet_lit.reporting.statistics import Difference, Summary

Verdict = Literal["confirmed", "contradicted", "not distinguishable", "not measured", "not comparable"]


@dataclass(frozen=True)
class Claim:
    """One number that the paper prints beside one cell of ours that repeats it.

    place: "figure 6"; row: "batch 32"; metric: ours (`Run.value`); printed and ours in the metric's own unit. verdict and why: by
    the rule of docs/report.md. p: of "one more run of ours would give the printed number", corrected.
    """

    place: str
    model: str
    row: str
    quantity: str  # "test accuracy", "test loss", "train accuracy", "train loss"
    metric: str
    printed: float
    cell: str  # the paper cell that repeats it, as in +cell=NAME
    regularization: str
    section: Section | None
    ours: Summary | None
    title: str  # of our cell; empty where there is none
    difference: float | None  # ours less the paper's
    low: float | None  # 95% interval of the difference, the paper's number taken as one more run
    high: float | None
    p: float | None
    verdict: Verdict
    why: str


@dataclass(frozen=True)
class Contrast:
    """An order that the paper claims, `better` above `worse` in test accuracy, beside the same difference of ours."""

    what: str  # "model1 · dropout=0: batch 32 minus batch 64"
    better: Cell
    worse: Cell
    printed: float | None  # the paper's difference; None where it has no such network
    difference: Difference
    verdict: Verdict


@dataclass(frozen=True)
class OrderClaim:
    """A statement of the paper about an order, with every contrast of ours that bears on it, in one section."""

    statement: str
    place: str
    section: Section | None
    contrasts: tuple[Contrast, ...]
    verdict: Verdict
    why: str


@dataclass(frozen=True)
class Audit:
    """One of the paper's contradictions: what it says, the evidence recomputed, what our runs say."""

    number: int
    title: str
    evidence: tuple[str, ...]
    ours: tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """A table as text, ready to be set: every entry a string. note: what must be known to read it."""

    name: str  # "figure 6"
    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


@dataclass(frozen=True)
class Level:
    """One value of a factor: mean accuracy over the cells that have it, and the effect against the mean of all levels."""

    value: Any
    mean: float
    cells: int
    runs: int
    effect: float
    low: float | None  # None where nothing is left to estimate the noise from
    high: float | None


@dataclass(frozen=True)
class Effect:
    """Main effect of one factor, the others held (an additive model of the runs). p: F test, corrected over the factors."""

    factor: str
    levels: tuple[Level, ...]
    p: float | None


@dataclass(frozen=True)
class Interaction:
    """Two factors: whether the effect of one depends on the other, and the grid of means (None: no run), first factor down."""

    first: str
    second: str
    first_values: tuple[Any, ...]
    second_values: tuple[Any, ...]
    means: tuple[tuple[float | None, ...], ...]
    runs: tuple[tuple[int, ...], ...]
    p: float | None


@dataclass(frozen=True)
class Trend:
    """A factor of many values (a random search): Spearman's rank correlation with accuracy over the cells."""

    factor: str
    values: int
    correlation: float
    p: float


@dataclass(frozen=True)
class Pair:
    """Two cells that differ in one factor alone. difference: test accuracy of the first, which is higher, minus the second."""

    factor: str
    first: Cell
    second: Cell
    difference: Difference


@dataclass(frozen=True)
class Effects:
    """What the swept factors of a section do to test accuracy."""

    effects: tuple[Effect, ...]
    interactions: tuple[Interaction, ...]
    trends: tuple[Trend, ...]
    confounded: tuple[tuple[str, ...], ...]  # groups of factors that change only together: none of them has an effect of its own
    pairs: tuple[Pair, ...] = ()  # what can be told of the confounded factors: cells that differ in one of them alone


@dataclass(frozen=True)
class Ranked:
    """A cell beside the best of its section. gap: test accuracy of the best less that of this one, corrected over all compared.

    place: 1 for the best; None for a cell without what the others are ranked by (it held no validation part out).
    """

    cell: Cell
    gap: Difference | None  # None for the best itself
    place: int | None


@dataclass(frozen=True)
class Optimism:
    """What choosing the epoch on the test set adds to test accuracy: best epoch less last epoch, over runs of protocol=paper."""

    gain: Summary
    chosen_on: str  # "test", or "val": the same difference where the validation part chose


@dataclass(frozen=True)
class Analysis:
    """What is computed of one section."""

    section: Section
    ranking: tuple[Ranked, ...]  # the cells with a finished run, best first, then those that are not ranked
    effects: Effects
    optimism: Optimism | None
    pareto: dict[str, tuple[Cell, ...]]  # cost ("parameters", "macs", "seconds") -> the cells that none beats in both


@dataclass(frozen=True)
class Comparison:
    """Two cells or runs side by side. values: key -> (first, second) where they differ.

    differences: metric -> first minus second.
    images: the two networks on the same test images (McNemar); None where the answers are not there or several seeds are.
    """

    first: Cell
    second: Cell
    values: dict[str, tuple[Any, Any]]
    differences: dict[str, Difference]
    images: Difference | None
    short: tuple[str, str]  # what each is called within its section
    names: tuple[str, str]  # the same with data and protocol
    warning: str = ""  # why they do not compare: other data, protocol or scale


@dataclass(frozen=True)
class Report:
    """Everything that a report says."""

    sections: tuple[Section, ...]
    analyses: tuple[Analysis, ...]  # one for each section, in the same order
    problems: tuple[Problem, ...]  # folders that were left out
    remarks: tuple[Problem, ...]  # runs that are in the report, and what a reader must know of each
    claims: tuple[Claim, ...]
    orders: tuple[OrderClaim, ...]
    audit: tuple[Audit, ...]
    tables: tuple[Table, ...]  # the paper's, by name: figures 5-12, regularisation, parameters
    paper_cells: dict[str, tuple[tuple[Section, Cell], ...]]  # +cell=NAME -> our cells that repeat it (figures 1-4: curves)
    command: str
    made: str  # UTC
    source: str  # the folders, as typed
    comparison: Comparison | None = None
