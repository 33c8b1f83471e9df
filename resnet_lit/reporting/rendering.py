"""From templates and numbers to HTML: Jinja2 with everything escaped, and how a page writes a number."""

from __future__ import annotations

import functools
import json
import math
import os
import re
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from resnet_lit import formatting
from resnet_lit.escaping import printable_data
from resnet_lit.printable import printable
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
        finalize=_finalize,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "breakable": breakable,
        "chart_json": chart_json,
        "code": code,
        "counted": formatting.counted,
        "duration": formatting.duration,
        "entry_class": lambda text: "" if _is_words(text) else "num",
        "large": formatting.large,
        "minus": typeset,
        "p": formatting.p_value,
        "percent": formatting.percent,
        "points": points,
        "show": show,
        "signed": signed,
        "slug": slug,
        "zip": zip,
        "verdict_class": lambda text: CLASSES.get(text, "none"),
    }
    environment.tests["verdict"] = lambda text: text in VERDICTS
    return environment


def _finalize(value: Any) -> Any:
    """What a template prints, before it is escaped: text and paths on one line, in characters that can be printed."""
    return printable(str(value)) if isinstance(value, str | Path) and not isinstance(value, Markup) else value


def _text(name: str) -> str:
    return (resources.files("resnet_lit.reporting") / "templates" / name).read_text(encoding="utf-8")


def _relative(path: Path, start: Path) -> str:
    try:
        return quote(os.fsencode(Path(os.path.relpath(path, start)).as_posix()))
    except ValueError:  # another drive
        return quote(os.fsencode(Path(path).as_posix()))


def _is_words(text: str) -> bool:
    return sum(letter.isalpha() for letter in text) > 0.4 * len(text)


def code(text: str) -> Markup:
    """Text whose parts between backticks are code; escaped."""
    pieces = str(escape(printable(text))).split("`")
    if len(pieces) % 2 == 0:
        return Markup("`".join(pieces))
    return Markup("".join(f"<code>{piece}</code>" if place % 2 else piece for place, piece in enumerate(pieces)))


def breakable(text: str) -> Markup:
    """A name that may be broken into lines within its parts; escaped."""
    return Markup(re.sub(r"([=,/])(?=\w|\[)", r"\1<wbr>", str(escape(printable(text)))))


# --- data of charts


def chart_json(chart: Chart) -> Markup:
    """A chart for the script of the page: its spec, its rows as columns, the columns of its table."""
    return _json(
        {
            "spec": printable_data(theme.for_page(chart.spec)),
            "tables": {name: _columns(rows) for name, rows in chart.data.items()},
            "columns": [{"field": column.field, "title": column.title, "kind": column.kind} for column in chart.columns],
        }
    )


def _columns(rows: tuple[dict[str, Any], ...]) -> dict[str, list[Any]]:
    fields = dict.fromkeys(field for row in rows for field in row)
    return {field: [_short(row.get(field)) for row in rows] for field in fields}


def _short(value: Any) -> Any:
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None
    return value


def _json(value: Any) -> Markup:
    """JSON that cannot end the script element that it stands in."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    for letter in "<>&\u2028\u2029":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return Markup(text)


# --- numbers: `formatting` writes them, a page turns their sign into a real minus


def typeset(text: str) -> str:
    """The text of a number with a minus sign for a hyphen."""
    return text.replace("-", "\N{MINUS SIGN}")


def points(share: float | None) -> str:
    """A fraction in per cent: 0.9514 -> 95.14."""
    return typeset(formatting.number("accuracy", share))


def signed(share: float | None) -> str:
    """A difference of fractions in percentage points, with its sign."""
    return typeset(formatting.number("accuracy", share, sign=True))
