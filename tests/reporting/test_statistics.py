"""The statistics against SciPy and statsmodels on cases with known answers, and against simulations."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from statsmodels.regression.linear_model import OLS
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestIndPower, TTestPower
from statsmodels.stats.weightstats import CompareMeans, DescrStatsW

from resnet_lit.reporting.statistics import (
    difference,
    holm,
    image_difference,
    outside,
    prediction,
    seeds_needed,
    summarize,
    within,
)

A = {0: 0.9412, 1: 0.9431, 2: 0.9405, 3: 0.9444}
B = {0: 0.9391, 1: 0.9420, 2: 0.9398, 3: 0.9418}


def test_equal_seeds_are_paired() -> None:
    found = difference(A, dict(reversed(B.items())))
    pairs = DescrStatsW([A[seed] - B[seed] for seed in A])
    assert found.how == "paired t"
    assert found.p == pytest.approx(pairs.ttest_mean()[1])
    assert (found.low, found.high) == pytest.approx(pairs.tconfint_mean())


def test_other_seeds_are_compared_by_welch() -> None:
    other = {seed + 10: value for seed, value in B.items()}
    found = difference(A, other)
    means = CompareMeans(DescrStatsW(list(A.values())), DescrStatsW(list(B.values())))
    assert found.how == "Welch t"
    assert found.p == pytest.approx(means.ttest_ind(usevar="unequal")[1])
    assert (found.low, found.high) == pytest.approx(means.tconfint_diff(usevar="unequal"))


def test_one_seed_resolves_nothing() -> None:
    found = difference({0: 0.9}, {0: 0.5})
    assert (found.how, found.p, found.low) == ("too few seeds", None, None)
    assert not found.resolved


def test_without_noise_a_difference_is_what_it_is() -> None:
    same = difference({0: 0.9, 1: 0.8}, {0: 0.9, 1: 0.8})
    assert (same.mean, same.p, same.resolved) == (0, 1, False)
    other = difference({0: 0.5, 1: 0.5}, {2: 0.25, 3: 0.25})
    assert (other.low, other.high, other.resolved) == (0.25, 0.25, True)


def test_holm_is_that_of_statsmodels() -> None:
    for p in ([0.01, 0.04, 0.03, 0.005], [0.2], [0.5, 0.001, 0.5, 0.6], list(np.random.default_rng(0).random(50) ** 3)):
        assert holm(p) == pytest.approx(list(multipletests(p, method="holm")[1]))
    assert holm([]) == []


def test_one_more_run_is_judged_by_the_prediction_interval_of_a_regression() -> None:
    values = list(A.values())
    ours = summarize(values)
    frame = OLS(values, np.ones(4)).fit().get_prediction([[1.0]]).conf_int(obs=True, alpha=0.05)[0]
    assert prediction(ours, ours.sd) == pytest.approx(tuple(frame))
    p = outside(np.array([ours.mean]), np.array([ours.sd]), np.array([4]), np.array([frame[0]]))
    assert p[0] == pytest.approx(0.05)  # the interval's end is where the test is at 5 %


def test_equivalence_is_that_of_statsmodels() -> None:
    values = list(A.values())
    ours = summarize(values)
    found = within(np.array([ours.mean]), np.array([ours.sd]), np.array([4]), np.array([0.94]), np.array([0.005]))
    assert found[0] == pytest.approx(DescrStatsW(values).ttost_mean(0.935, 0.945)[0])


@pytest.mark.parametrize("power", [0.8, 0.9])
def test_seeds_needed_are_those_of_the_power_calculators(power: float) -> None:
    independent = TTestIndPower().solve_power(0.16 / 0.15, power=power, alpha=0.05)
    paired = TTestPower().solve_power(0.16 / (0.15 * np.sqrt(2 * (1 - 0.5))), power=power, alpha=0.05)
    assert seeds_needed(0.16, 0.15, power=power) == np.ceil(independent)
    assert seeds_needed(0.16, 0.15, power=power, paired=True, correlation=0.5) == np.ceil(paired)


def test_a_large_difference_needs_two_seeds_and_a_tiny_one_is_out_of_reach() -> None:
    assert seeds_needed(10, 0.001) == 2
    assert seeds_needed(1e-6, 0.2) is None


@pytest.mark.parametrize("paired", [False, True])
def test_so_many_seeds_have_the_stated_power(paired: bool) -> None:
    n = seeds_needed(0.16, 0.15, power=0.8, paired=paired)
    assert n is not None
    random = np.random.default_rng(0)
    first, second = random.normal(0.16, 0.15, (4000, n)), random.normal(0, 0.15, (4000, n))
    test = stats.ttest_rel(first, second, axis=1) if paired else stats.ttest_ind(first, second, axis=1, equal_var=False)
    assert (test.pvalue < 0.05).mean() == pytest.approx(0.8, abs=0.03)


def test_two_networks_are_told_apart_by_the_images_that_one_of_them_alone_gets_right() -> None:
    first, second = np.zeros(1000, bool), np.zeros(1000, bool)
    first[:900], second[10:890], second[995:] = True, True, True
    found = image_difference(first, second)
    assert found.mean == pytest.approx(0.015)
    assert found.p == pytest.approx(stats.binomtest(5, 25).pvalue, rel=0.5)
    assert found.low < 0.015 < found.high
    assert image_difference(first, first).p == 1
