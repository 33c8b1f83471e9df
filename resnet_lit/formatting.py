"""Every number, time and size as text: one spelling for the terminal, the report's page, Markdown, LaTeX and the tables of a run.

Accuracies are in [0, 1] inside and in per cent here; differences of them are points. A page and LaTeX turn the sign of a negative
number into a real minus; nothing else about a number depends on where it is printed.
"""

from __future__ import annotations

from typing import Protocol

NOT_MEASURED = "not measured"
ALPHA = 0.05  # the level that a rounded p-value must not cross


class Spread(Protocol):
    """Mean, standard deviation and n of some runs (`statistics.Summary`)."""

    @property
    def mean(self) -> float: ...
    @property
    def sd(self) -> float | None: ...
    @property
    def n(self) -> int: ...


class Apart(Protocol):
    """A difference with its interval and p-value (`statistics.Difference`)."""

    @property
    def mean(self) -> float: ...
    @property
    def low(self) -> float | None: ...
    @property
    def high(self) -> float | None: ...
    @property
    def p(self) -> float | None: ...
    @property
    def adjusted(self) -> float | None: ...
    @property
    def compared(self) -> int: ...
    @property
    def how(self) -> str: ...


# --- times, sizes, counts


def duration(seconds: float) -> str:
    """A time: `1:05:09`, `3:20`, `45 s`, `0.43 s`."""
    if 0 < seconds < 9.95:
        return f"{seconds:.2g} s"
    hours, rest = divmod(round(seconds), 3600)
    minutes, left = divmod(rest, 60)
    return f"{hours}:{minutes:02}:{left:02}" if hours else f"{minutes}:{left:02}" if minutes else f"{left} s"


def in_bytes(number: float) -> str:
    """A number of bytes: `512 B`, `38.1 MiB`, `1.25 GiB`."""
    for unit in ("B", "KiB", "MiB"):
        if number < 999.5:  # 1,000 to 1,023 have four digits
            return f"{number:.3g} {unit}"
        number /= 1024
    return f"{number:.2f} GiB"


def large(count: float | None) -> str:
    """A large count to three digits: `329 M`, `1.16 G`; the empty string for None."""
    if count is None:
        return ""
    for size, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= 0.9995 * size:  # which is written as 1
            return f"{count / size:.3g} {unit}"
    return f"{count:g}"


def counted(number: int, noun: str, plural: str = "") -> str:
    """`1 run`, `1,234 runs`."""
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"


def listed(words: list[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


# --- metrics


def is_share(metric: str) -> bool:
    """Whether a metric is written in per cent."""
    return "accuracy" in metric or metric in ("gap", "optimism")


def metric_name(metric: str) -> str:
    """What a reader calls a metric of the record: `test accuracy, last epoch` for test/accuracy_last."""
    known = {"gap": "train - test accuracy", "seconds": "time", "optimism": "chosen - last epoch"}
    name = metric.removesuffix("_last")
    return known.get(metric, name.replace("/", " ")) + (", last epoch" if name != metric else "")


def percent(share: float, digits: int = 2) -> str:
    """A fraction with its sign: `95.14%`."""
    return f"{100 * share:.{digits}f}%"


def number(metric: str, value: float | None, *, sign: bool = False) -> str:
    """One value of a metric: `94.98` (per cent), `0.185`, `1:05:09`; the empty string for None. sign: of a difference."""
    if value is None:
        return ""
    if metric == "seconds":
        return duration(value) if not sign else f"{'-' if value < 0 else '+'}{duration(abs(value))}"
    plus = "+" if sign else ""
    return f"{100 * value:{plus}.2f}" if is_share(metric) else f"{value:{plus}.3f}"


def spread(metric: str, found: Spread | None) -> str:
    """`94.98 ± 0.15`: mean and standard deviation over the seeds; one run has no deviation."""
    if found is None:
        return NOT_MEASURED
    return number(metric, found.mean) + (f" ± {number(metric, found.sd)}" if found.sd is not None else "")


def summary(metric: str, found: Spread | None) -> str:
    """The same with the number of runs: `94.98 ± 0.15 (n = 5)`."""
    return NOT_MEASURED if found is None else f"{spread(metric, found)} (n = {found.n})"


def interval(metric: str, low: float | None, high: float | None, *, sign: bool = False) -> str:
    """`94.80 to 95.16`, or the empty string where there is none."""
    if low is None or high is None:
        return ""
    return f"{number(metric, low, sign=sign)} to {number(metric, high, sign=sign)}"


def apart(metric: str, found: Apart, unit: str = "") -> str:
    """`+0.31 (+0.05 to +0.57, paired t, p = 0.02)`; unit: follows the first number."""
    mean = number(metric, found.mean, sign=True) + unit
    p = found.p if found.adjusted is None else found.adjusted
    if p is None:
        return f"{mean} ({found.how})"
    corrected = f"corrected for {found.compared} " if found.compared > 1 else ""
    return f"{mean} ({interval(metric, found.low, found.high, sign=True)}, {found.how}, p {corrected}{p_equals(p)})"


def p_value(p: float | None) -> str:
    """`0.021`, `< 0.0001`; the empty string for None. Never rounded across the level of the tests."""
    if p is None:
        return ""
    if p < 1e-4:
        return "< 0.0001"
    texts = (f"{p:.{digits}g}" for digits in range(2, 7))
    return next((text for text in texts if (float(text) < ALPHA) == (p < ALPHA)), f"{p:.9g}")


def p_equals(p: float) -> str:
    """The same behind a `p`: `= 0.021`, `< 0.0001`."""
    text = p_value(p)
    return text if text.startswith("<") else f"= {text}"
