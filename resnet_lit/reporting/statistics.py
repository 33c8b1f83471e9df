"""The statistics of the report: intervals, differences, corrections, power. What computes them is SciPy and statsmodels.

Numbers are of independent seeds. Everything is two-sided at 5 % unless it says otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

LEVEL = 0.95
ALPHA = 1 - LEVEL


@dataclass(frozen=True)
class Summary:
    """Mean over n seeds; sd is the sample's (n - 1), low and high the 95 % t interval of the mean. None for one seed."""

    mean: float
    sd: float | None
    n: int
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Difference:
    """first less second: mean, 95 % interval and p-value. None where a seed more is needed.

    how: "paired t" (the same seeds on both sides), "Welch t", or "too few seeds". n: seeds of the first and the second.
    adjusted: the p-value corrected for the number of comparisons made together; None where it stands alone.
    """

    mean: float
    low: float | None
    high: float | None
    p: float | None
    how: Literal["paired t", "Welch t", "bootstrap", "too few seeds"]
    n: tuple[int, int]
    adjusted: float | None = None
    compared: int = 1

    @property
    def resolved(self) -> bool:
        """Whether it differs from zero after correction."""
        p = self.p if self.adjusted is None else self.adjusted
        return p is not None and p < ALPHA


def summarize(values: Sequence[float]) -> Summary:
    """Mean, standard deviation and the 95 % t interval of the mean."""
    n, mean = len(values), float(np.mean(values))
    if n < 2:
        return Summary(mean, None, n, None, None)
    sd = float(np.std(values, ddof=1))
    half = float(stats.t.ppf((1 + LEVEL) / 2, n - 1)) * sd / math.sqrt(n)
    return Summary(mean, sd, n, mean - half, mean + half)
