"""Numbers as the report writes them. Accuracies are percentages, differences of them points."""

from __future__ import annotations

from resnet_lit.reporting.statistics import Difference, Summary
from resnet_lit.typed import duration

NOT_MEASURED = "not measured"


def is_share(metric: str) -> bool:
    """Whether a metric is written in per cent."""
    return "accuracy" in metric or metric in ("gap", "optimism")


def number(metric: str, value: float | None, *, sign: bool = False) -> str:
    """One value of a metric: `94.98`, `0.185`, `1:05:09`; the empty string for None."""
    if value is None:
        return ""
    if metric == "seconds" and not sign:
        return duration(value)
    plus = "+" if sign else ""
    return (
        f"{100 * value:{plus}.2f}" if is_share(metric) else f"{value:{plus}.0f}" if metric == "seconds" else f"{value:{plus}.3f}"
    )


def summary(metric: str, found: Summary | None) -> str:
    """`94.98 ± 0.15 (n = 5)`: mean and standard deviation over the seeds."""
    if found is None:
        return NOT_MEASURED
    spread = f" ± {number(metric, found.sd)}" if found.sd is not None else ""
    return f"{number(metric, found.mean)}{spread} (n = {found.n})"


def interval(metric: str, low: float | None, high: float | None, *, sign: bool = False) -> str:
    """`94.80 to 95.16`, or the empty string where there is none."""
    if low is None or high is None:
        return ""
    return f"{number(metric, low, sign=sign)} to {number(metric, high, sign=sign)}"


def apart(metric: str, found: Difference, unit: str = "") -> str:
    """`+0.31 (0.05 to 0.57, paired t, p = 0.02)`; unit: stands behind the first number."""
    mean = number(metric, found.mean, sign=True) + unit
    if found.p is None:
        return f"{mean} ({found.how})"
    p = found.p if found.adjusted is None else found.adjusted
    which = f"corrected for {found.compared}" if found.compared > 1 else "p"
    said = f"p {'' if which == 'p' else which + ' '}{p_value(p)}"
    return f"{mean} ({interval(metric, found.low, found.high, sign=True)}, {found.how}, {said})"


def p_value(p: float) -> str:
    """`= 0.021`, `< 0.0001`."""
    return "< 0.0001" if p < 1e-4 else f"= {p:.2g}"
