"""From templates and numbers to HTML: Jinja2 with everything escaped, and how a page writes a number."""

from __future__ import annotations

import functools
import json
import math
import os
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from resnet_lit.reporting import figures, theme
from resnet_lit.reporting.charts import Chart
from resnet_lit.reporting.plots import slug
from resnet_lit.typed import show

CLASSES = {
    "confirmed": "good",
    "contradicted": "bad",
    "not distinguishable": "unsure",
    "not measured": "none",
    "not comparable": "none",
    "finished": "good",
    "running": "unsure",
    "interrupted": "unsure",
    "failed": "bad",
    "diverged": "bad",
}
VERDICTS = ("confirmed", "contradicted", "not distinguishable", "not measured", "not comparable")
DIGITS = 6  # significant ones of a number in the data of a chart


@dataclass(frozen=True)
class Fact:
    """One entry of the facts at the top of a page. big: a headline number; code: as typed; all: takes a line of its own."""

    name: str
    text: str
    small: str = ""
    big: bool = False
    code: bool = False
    all: bool = False


def render(template: str, folder: Path, about: dict[str, Any]) -> str:
    """The page of `template` that will lie in `folder`: links to run folders are relative to it."""
    environment = _environment()
    page = {
        "colours": Markup(theme.css()),
        "style": Markup(_text("page.css")),
        "script": Markup(_text("page.js")),
        "library": Markup(figures.library()),
        "config": _json(theme.for_page(theme.CONFIG)),
        "contents": [],
    }
    environment.filters["relative"] = functools.partial(_relative, start=folder)
    return environment.get_template(template).render(page | about)


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("resnet_lit.reporting", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "chart_json": chart_json,
        "code": code,
        "duration": duration,
        "entry_class": lambda text: "" if _is_words(text) else "num",
        "p": text_of,
        "points": points,
        "show": show,
        "si": si,
        "signed": signed,
        "slug": slug,
        "verdict_class": lambda text: CLASSES.get(text, "none"),
    }
    environment.tests["verdict"] = lambda text: text in VERDICTS
    return environment


def _text(name: str) -> str:
    return (resources.files("resnet_lit.reporting") / "templates" / name).read_text(encoding="utf-8")


def _relative(path: Path, start: Path) -> str:
    try:
        return quote(Path(os.path.relpath(path, start)).as_posix())
    except ValueError:  # another drive
        return quote(Path(path).as_posix())


def _is_words(text: str) -> bool:
    return sum(letter.isalpha() for letter in text) > 0.4 * len(text)


def code(text: str) -> Markup:
    """Text whose parts between backticks are code; escaped."""
    pieces = str(escape(text)).split("`")
    if len(pieces) % 2 == 0:
        return Markup("`".join(pieces))
    return Markup("".join(f"<code>{piece}</code>" if place % 2 else piece for place, piece in enumerate(pieces)))


# --- data of charts


def chart_json(chart: Chart) -> Markup:
    """A chart for the script of the page: its spec, its rows as columns, the columns of its table."""
    return _json(
        {
            "spec": theme.for_page(chart.spec),
            "tables": {name: _columns(rows) for name, rows in chart.data.items()},
            "columns": [{"field": column.field, "title": column.title, "kind": column.kind} for column in chart.columns],
        }
    )


def _columns(rows: tuple[dict[str, Any], ...]) -> dict[str, list[Any]]:
    fields = dict.fromkeys(field for row in rows for field in row)
    return {field: [_short(row.get(field)) for row in rows] for field in fields}


def _short(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None
    return value


def _json(value: Any) -> Markup:
    """JSON that cannot end the script element that it stands in."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    for letter in "<>&\u2028\u2029":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return Markup(text)


# --- numbers


def points(share: float | None) -> str:
    """A fraction as a number of percent: 0.9514 -> 95.14."""
    return "" if share is None else f"{100 * share:.2f}".replace("-", "\N{MINUS SIGN}")


def signed(share: float | None) -> str:
    """A difference of fractions in percentage points, with its sign."""
    return "" if share is None else f"{100 * share:+.2f}".replace("-", "\N{MINUS SIGN}")


def text_of(p: float | None) -> str:
    """A p-value."""
    return "" if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}"


def duration(seconds: float) -> str:
    """Seconds as a person says them: 8.1 s, 12 min 05 s, 3 h 20 min."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02} s"
    return f"{minutes // 60:,} h {minutes % 60:02} min"


def si(count: float) -> str:
    """A large count with three digits: 329 M, 1.16 G."""
    for size, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count:g}"
