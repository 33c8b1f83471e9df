"""Text that users and files gave (names of classes, runs and folders, values, reasons), made safe for where it is printed.

One function for each output: `rich_text` (rich tables and bars), `markdown` and `markdown_code`, `latex`, `printable_data` (CSV,
charts), `printable` (plain lines, TensorBoard). The page is escaped by Jinja2, after `printable` (reporting/rendering.py).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from resnet_lit.printable import printable

if TYPE_CHECKING:
    from rich.text import Text

LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "`": r"\textasciigrave{}",
    "[": "{[}",  # behind \\ it would begin an option
    "]": "{]}",
    "*": "{*}",
    "±": r"$\pm$",
    "\u2212": "$-$",
    "·": r"\textperiodcentered{}",
    "…": r"\ldots{}",
}


def hides(text: str) -> bool:
    """Whether a text holds a character that `printable` spells out."""
    return printable(text) != text


def printable_data(value: Any) -> Any:
    """Plain data with every text in it made printable, keys too: for charts and JSON."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, dict):
        return {printable_data(key): printable_data(item) for key, item in value.items()}
    return [printable_data(item) for item in value] if isinstance(value, list | tuple) else value


def rich_text(text: object, style: str = "") -> Text:
    """For rich, which takes brackets in a str for markup: `[bold]` would vanish, `[/x]` raise."""
    from rich.text import Text

    return Text(printable(str(text)), style=style)


def markdown(text: str) -> str:
    """Text that stands for itself in Markdown, in a table too: no HTML, no cell border, no markup, no formula, one line."""
    plain = " ".join(printable(text).split(" ")).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    plain = re.sub(r"([\\`*_\[\]|#~$])", r"\\\1", plain)
    return re.sub(r"^(\s*)([-+=]|\d+[.)])(?=\s|$)", lambda found: f"{found[1]}{found[2][:-1]}\\{found[2][-1]}", plain)


def markdown_code(text: str) -> str:
    """Text as code in Markdown, whatever it holds. Not for tables, whose borders count in code too."""
    plain = printable(text)
    ticks = "`" * (max((len(run) for run in re.findall("`+", plain)), default=0) + 1)
    return f"{ticks} {plain} {ticks}" if "`" in plain else f"`{plain}`"


def latex(text: str) -> str:
    """Text that stands for itself in LaTeX, on one line; the sign of a negative number is a minus."""
    plain = re.sub(r"(?<![\w.])-(?=\d)", "\u2212", printable(text))
    return "".join(LATEX.get(letter, letter) for letter in plain).replace("--", "-{}-").replace("''", "'{}'")
