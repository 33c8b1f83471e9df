"""The statistics of the report: intervals, differences, corrections, power. What computes them is SciPy and statsmodels.

Numbers are of independent seeds. Intervals are at 95%, tests two-sided at 5%, unless it says otherwise. docs/report.md says in
words what is computed where.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

LEVEL = 0.95
ALPHA = 0.05
EXACT = 1e-12  # differences below it are rounding of the arithmetic
MOST_SEEDS = 100_000  # beyond which a difference counts as out of reach


@dataclass(frozen=True)
class Summary:
    """Mean over n seeds; sd is the sample's (n - 1), low and high the 95% t interval of the mean. None for one seed."""

    mean: float
    sd: float | None
    n: int
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Difference:
    """first less second: mean, 95% interval and p-value. low, high and p are None where a seed more is needed.

    how: "paired t" (the same seeds on both sides), "Welch t", "test images" (two networks on the same images) or "too few seeds".
    n: seeds (or images) of the first and the second. adjusted: the p-value corrected for the comparisons made together,
    `compared` of them; None where it stands alone.
    """

    mean: float
    low: float | None
    high: float | None
    p: float | None
    how: Literal["paired t", "Welch t", "test images", "too few seeds"]
    n: tuple[int, int]
    adjusted: float | None = None
    compared: int = 1

    @property
    def resolved(self) -> bool:
        """Whether it differs from zero, after correction where there was one."""
        p = self.p if self.adjusted is None else self.adjusted
        return p is not None and p < ALPHA


def summarize(values: Sequence[float]) -> Summary:
    """Mean, standard deviation and the 95% t interval of the mean."""
    n = len(values)
    mean = math.fsum(values) / n
    if n < 2:
        return Summary(mean, None, n, None, None)
    sd = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1))  # of few values ten times as fast as NumPy
    half = _quantile(n - 1) * sd / math.sqrt(n)
    return Summary(mean, sd, n, mean - half, mean + half)


@functools.cache
def _quantile(degrees: int) -> float:
    """How many standard errors an interval reaches to either side."""
    return float(stats.t.ppf((1 + LEVEL) / 2, degrees))


def difference(first: Mapping[int, float], second: Mapping[int, float]) -> Difference:
    """first less second, each {seed: value}: paired where both have the same seeds, else Welch's test for unequal variances."""
    return differences([(first, second)])[0]


def differences(pairs: Sequence[tuple[Mapping[int, float], Mapping[int, float]]]) -> list[Difference]:
    """`difference` of each pair; many are computed in one go."""
    found: list[Difference | None] = [None] * len(pairs)
    alike: dict[tuple[bool, tuple[int, int]], list[int]] = {}
    for place, (first, other) in enumerate(pairs):
        n, paired, a, b = (len(first), len(other)), first.keys() == other.keys(), _by_seed(first), _by_seed(other)
        mean = float(a.mean() - b.mean())
        if min(n) < 2:
            found[place] = Difference(mean, None, None, None, "too few seeds", n)
        elif np.ptp(a - b) < EXACT if paired else max(np.ptp(a), np.ptp(b)) < EXACT:  # no noise at all: nothing to divide by
            p = float(abs(mean) < EXACT)
            found[place] = Difference(mean, mean, mean, p, "paired t" if paired else "Welch t", n)
        else:
            alike.setdefault((paired, n), []).append(place)
    for (paired, n), places in alike.items():
        both = tuple(np.stack([_by_seed(pairs[place][side]) for place in places]) for side in (0, 1))
        test = stats.ttest_rel(*both, axis=1) if paired else stats.ttest_ind(*both, axis=1, equal_var=False)
        low, high = test.confidence_interval(LEVEL)
        how: Literal["paired t", "Welch t"] = "paired t" if paired else "Welch t"
        for place, *numbers in zip(places, both[0].mean(1) - both[1].mean(1), low, high, test.pvalue, strict=True):
            mean, least, most, p = map(float, numbers)
            found[place] = Difference(mean, least, most, p, how, n)
    return [one for one in found if one is not None]


def _by_seed(values: Mapping[int, float]) -> np.ndarray:
    return np.array([values[seed] for seed in sorted(values)])


def image_difference(first: np.ndarray, second: np.ndarray) -> Difference:
    """Accuracy of one network less that of another on the same images; first, second: (N,) bool, whether each was right.

    p-value: McNemar's test (exact where fewer than 25 images tell the networks apart). It speaks of these two networks, not of
    other seeds of theirs.
    """
    from statsmodels.stats.contingency_tables import mcnemar

    gained, lost = int((first & ~second).sum()), int((~first & second).sum())
    table = [[int((first & second).sum()), gained], [lost, int((~first & ~second).sum())]]
    n = len(first), len(second)
    mean = (gained - lost) / n[0]
    if gained + lost == 0:
        return Difference(0.0, 0.0, 0.0, 1.0, "test images", n)
    low, high = stats.ttest_1samp(first.astype(float) - second.astype(float), 0).confidence_interval(LEVEL)
    p = float(mcnemar(table, exact=gained + lost < 25).pvalue)
    return Difference(mean, float(low), float(high), p, "test images", n)


def holm(p: Sequence[float]) -> list[float]:
    """p-values corrected so that at most 5% of families hold a false discovery, however they depend (Holm 1979).

    As statsmodels' multipletests(method="holm"), which collects garbage at each call: 0.1 s, more beside many records.
    """
    order = np.argsort(p, kind="stable")
    steps = np.asarray(p, dtype=float)[order] * np.arange(len(p), 0, -1)
    corrected = np.empty(len(p))
    corrected[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return [float(value) for value in corrected]


def corrected(differences: Sequence[Difference]) -> list[Difference]:
    """The same differences, their p-values corrected as one family; those without a p-value stay as they are."""
    tested = [one.p for one in differences if one.p is not None]
    adjusted = iter(holm(tested))
    return [
        one if one.p is None else dataclasses.replace(one, adjusted=next(adjusted), compared=len(tested)) for one in differences
    ]


def outside(mean: np.ndarray, sd: np.ndarray, n: np.ndarray, single: np.ndarray) -> np.ndarray:
    """p-value of `single` being one more run like the n behind `mean` and `sd`: Student's test of n runs against one."""
    return np.asarray(stats.ttest_ind_from_stats(mean, sd, n, single, 0.0, 1, equal_var=True).pvalue)


def within(mean: np.ndarray, sd: np.ndarray, n: np.ndarray, value: np.ndarray, margin: np.ndarray) -> np.ndarray:
    """p-value of the expectation lying `margin` or more from `value`: two one-sided t tests (Schuirmann 1987)."""
    n = np.asarray(n)
    return np.asarray(stats.t.sf((margin - np.abs(mean - value)) / (sd / np.sqrt(n)), n - 1))


def prediction(summary: Summary, sd: float) -> tuple[float, float]:
    """Between which values one more run lies with 95%; sd: that of the summary, or its floor."""
    half = _quantile(summary.n - 1) * sd * math.sqrt(1 + 1 / summary.n)
    return summary.mean - half, summary.mean + half


# --- how many seeds


def power_of(effect: float, seeds: int, *, paired: bool, alpha: float = ALPHA) -> float:
    """Probability of resolving a difference of `effect` standard deviations (of the differences, where paired) with n seeds."""
    from statsmodels.stats.power import TTestIndPower, TTestPower

    if paired:
        return float(TTestPower().power(effect, seeds, alpha))
    return float(TTestIndPower().power(effect, seeds, alpha, ratio=1))


def seeds_needed(
    difference: float, sd: float, *, power: float = 0.8, alpha: float = ALPHA, paired: bool = False, correlation: float = 0.0
) -> int | None:
    """Fewest seeds a cell that resolve `difference` with probability `power`; None where 100,000 do not.

    sd: of the seeds of one cell, in the unit of `difference`. correlation: between the two cells at equal seeds, where paired.
    """
    spread = sd * math.sqrt(2 * (1 - correlation)) if paired else sd
    effect = abs(difference) / spread
    least, most = 1, 2
    while power_of(effect, most, paired=paired, alpha=alpha) < power:
        least, most = most, 2 * most
        if most > MOST_SEEDS:
            return None
    while most - least > 1:
        middle = (least + most) // 2
        enough = power_of(effect, middle, paired=paired, alpha=alpha) >= power
        least, most = (least, middle) if enough else (middle, most)
    return most
