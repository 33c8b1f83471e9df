"""The paper's numbers beside ours, with a verdict from one rule (docs/report.md, "The verdict").

Let ours be n runs of a cell, with mean m and standard deviation s, and x the number that the paper prints, one run of theirs.

- contradicted: x is not like one more run of ours. Student's test of n runs against one, p-values corrected by Holm over all
  numbers of the report that are judged: at most 5% of sweeps that repeat the paper faithfully hold a false one.
- confirmed: the recipe's expectation lies within a margin of x (0.5 points of accuracy, 0.02 of loss): two one-sided tests on m,
  corrected in the same way. It is looked at first: a difference within the margin is none, however sure.
- not distinguishable: neither; one seed is always that. not measured: no run. not comparable: other images, or another protocol.

s is at least what rounding in print hides. Only runs of the whole of CIFAR-10 as published, by protocol=paper, are judged.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from resnet_lit import paper
from resnet_lit.formatting import p_equals
from resnet_lit.reporting.cells import Cell, Section
from resnet_lit.reporting.contents import Claim, Verdict
from resnet_lit.reporting.statistics import ALPHA, holm, outside, prediction, within

VARIANT, PROTOCOL, TEST_IMAGES = "cifar10", "paper", 10_000


@dataclass(frozen=True)
class Quantity:
    """A column of the paper's tables. unit: the last digit that it prints; margin: differences below it do not matter."""

    name: str
    unit: float
    margin: float
    last: str  # our metric where the paper gives epoch 200
    best: str | None  # where it gives the best epoch or none


QUANTITIES = (
    Quantity("test accuracy", 1e-4, 0.005, "test/accuracy_last", "test/accuracy"),
    Quantity("test loss", 1e-3, 0.02, "test/loss_last", "test/loss"),
    Quantity("train accuracy", 1e-5, 0.005, "train/accuracy", None),
    Quantity("train loss", 1e-3, 0.02, "train/loss", None),
)


def judge(
    mean: np.ndarray, sd: np.ndarray, n: np.ndarray, printed: np.ndarray, margin: np.ndarray, unit: np.ndarray
) -> list[tuple[Verdict, float | None]]:
    """Verdict, and corrected p-value of the printed number being one more run, for numbers judged together.

    mean, sd, n: of our runs, (numbers,) each; sd is nan where n is 1. printed: the paper's. unit: its last printed digit.
    """
    verdicts: list[tuple[Verdict, float | None]] = [("not distinguishable", None)] * len(mean)
    several = np.flatnonzero(np.asarray(n) >= 2)
    mean, sd, n, printed, margin, unit = (np.asarray(column)[several] for column in (mean, sd, n, printed, margin, unit))
    sd = np.maximum(sd, unit / math.sqrt(12))
    strange, close = holm(list(outside(mean, sd, n, printed))), holm(list(within(mean, sd, n, printed, margin)))
    for index, other, same in zip(several, strange, close, strict=True):
        verdict: Verdict = "confirmed" if same < ALPHA else "contradicted" if other < ALPHA else "not distinguishable"
        verdicts[index] = verdict, other
    return verdicts


def claims(cells: Mapping[str, Sequence[tuple[Section, Cell]]]) -> tuple[Claim, ...]:
    """Every number that the paper prints, once for each cell of ours that repeats it. cells: of `matching.repeated`."""
    found = [claim for result in paper.RESULTS for claim in _of_result(result, cells)]
    judged = [index for index, claim in enumerate(found) if _is_judged(claim)]
    if judged:
        rows = [_numbers(found[index]) for index in judged]
        for index, (verdict, p) in zip(judged, judge(*(np.array(column) for column in zip(*rows, strict=True))), strict=True):
            found[index] = replace(found[index], verdict=verdict, p=p, why=_why(found[index], verdict, p))
    return tuple(found)


def _of_result(result: paper.Result, cells: Mapping[str, Sequence[tuple[Section, Cell]]]) -> Iterator[Claim]:
    printed = (result.test_accuracy, result.test_loss, result.train_accuracy, result.train_loss)
    for name in result.cells:
        for quantity, value in zip(QUANTITIES, printed, strict=True):
            if value is None:
                continue
            metric = quantity.last if result.epoch == paper.EPOCHS else quantity.best or quantity.last
            ours = cells.get(name, ()) or ((None, None),)
            for section, cell in ours:
                yield _claim(result, name, quantity, value, metric, section, cell)


def _claim(
    result: paper.Result,
    name: str,
    quantity: Quantity,
    printed: float,
    metric: str,
    section: Section | None,
    cell: Cell | None,
) -> Claim:
    ours = cell.summary(metric) if cell is not None else None
    difference = low = high = None
    if ours is not None:
        difference = ours.mean - printed
        if ours.sd is not None:
            least, most = prediction(ours, max(ours.sd, quantity.unit / math.sqrt(12)))
            low, high = least - printed, most - printed
    verdict, why = _before_numbers(section, ours is not None)
    return Claim(
        place=result.place,
        model=result.model,
        row=result.row,
        quantity=quantity.name,
        metric=metric,
        printed=printed,
        cell=name,
        regularization=paper.cell(name).regularization,
        section=section,
        ours=ours,
        title=cell.title if cell is not None else "",
        difference=difference,
        low=low,
        high=high,
        p=None,
        verdict=verdict,
        why=why,
    )


def _before_numbers(section: Section | None, measured: bool) -> tuple[Verdict, str]:
    if section is None:
        return "not measured", "no run repeats it"
    if not measured:
        return "not measured", "no run of it has finished"
    if section.variant != VARIANT:
        return "not comparable", f"other images: published CIFAR-10 numbers do not compare with {section.variant}"
    if section.test_images != TEST_IMAGES:
        return "not comparable", f"{section.test_images:,} of the 10,000 test images"
    if section.protocol != PROTOCOL:
        fewer = "fewer training images, and " if section.protocol == "holdout" else ""
        return "not comparable", f"protocol={section.protocol}: {fewer}the epoch is chosen differently"
    return "not distinguishable", "one seed says nothing"


def _is_judged(claim: Claim) -> bool:
    return claim.ours is not None and claim.ours.n >= 2 and claim.verdict == "not distinguishable"


def _quantity(claim: Claim) -> Quantity:
    return next(quantity for quantity in QUANTITIES if quantity.name == claim.quantity)


def _numbers(claim: Claim) -> tuple[Any, ...]:
    quantity, ours = _quantity(claim), claim.ours
    assert ours is not None
    return ours.mean, ours.sd, ours.n, claim.printed, quantity.margin, quantity.unit


def _why(claim: Claim, verdict: Verdict, p: float | None) -> str:
    quantity = _quantity(claim)
    margin = f"{100 * quantity.margin:g} points" if "accuracy" in quantity.name else f"{quantity.margin:g}"
    if verdict == "confirmed":
        return f"its expectation lies within {margin} of it"
    if verdict == "contradicted":
        return f"one more run would hardly give it (corrected p {p_equals(p or 0.0)})"
    said = "" if p is None else f" (corrected p {p_equals(p)})"
    return f"neither outside the range of one more run{said} nor shown to be within {margin}"
