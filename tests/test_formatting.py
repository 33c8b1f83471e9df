"""Numbers as text: one spelling, and none that says the opposite of what was measured."""

from __future__ import annotations

import pytest

from resnet_lit import formatting
from resnet_lit.reporting.statistics import Difference, Summary


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (0.43, "0.43 s"), (8.64, "8.6 s"), (45.2, "45 s"), (200, "3:20"), (3909, "1:05:09"), (59.7, "1:00")],
)
def test_a_time(seconds: float, text: str) -> None:
    assert formatting.duration(seconds) == text


@pytest.mark.parametrize(
    ("p", "text"),
    [
        (0.00023, "0.00023"),
        (0.00001, "< 0.0001"),
        (0.021, "0.021"),
        (0.4, "0.4"),
        (1.0, "1"),
        (0.04996, "0.04996"),
        (0.0504, "0.05"),
    ],
)
def test_a_p_value_is_not_rounded_across_the_level_of_the_tests(p: float, text: str) -> None:
    assert formatting.p_value(p) == text


def test_metrics_are_written_in_their_unit() -> None:
    assert formatting.number("test/accuracy", 0.9498) == "94.98"
    assert formatting.number("test/loss", -0.1854, sign=True) == "-0.185"
    assert formatting.number("seconds", -90.0, sign=True) == "-1:30"
    assert formatting.summary("gap", Summary(0.05, 0.001, 3, 0.04, 0.06)) == "5.00 ± 0.10 (n = 3)"
    found = Difference(0.0031, 0.0005, 0.0057, 0.02, "paired t", (3, 3), adjusted=0.04, compared=2)
    assert formatting.apart("test/accuracy", found) == "+0.31 (+0.05 to +0.57, paired t, p corrected for 2 = 0.04)"
    assert formatting.metric_name("test/accuracy_last") == "test accuracy, last epoch"


def test_counts_and_lists_are_english() -> None:
    assert (formatting.counted(1, "run"), formatting.counted(1200, "run")) == ("1 run", "1,200 runs")
    assert formatting.listed(["a"]) == "a"
    assert formatting.listed(["a", "b", "c"]) == "a, b and c"
    assert (formatting.large(329_000_000), formatting.large(None)) == ("329 M", "")
    assert (formatting.large(999_700), formatting.in_bytes(1015 * 2**20), formatting.in_bytes(1e6)) == (
        "1 M",
        "0.99 GiB",
        "977 KiB",
    )
