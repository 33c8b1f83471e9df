"""report.md: everything in the report but the pictures, as plain text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from resnet_lit.reporting import views
from resnet_lit.reporting.contents import Analysis, Audit, Report, Table

LONGEST = 300  # rows of a table; cells.csv and runs.csv have all


def write(report: Report, folder: Path) -> Path:
    """Write report.md."""
    path = folder / "report.md"
    path.write_text("\n".join(lines(report)) + "\n", encoding="utf-8")
    return path


def lines(report: Report) -> Iterable[str]:
    """The report line by line."""
    yield from ("# Report", "", f"{escape(report.source)}, {report.made}", "")
    if report.command:
        yield from (f"Command: {code(report.command)}", "")
    if report.problems:
        yield from ("## Left out", "")
        yield from (f"- {code(str(problem.folder))}: {escape(problem.reason)}" for problem in report.problems)
        yield ""
    if report.comparison is not None:
        yield from (
            "## Two sides",
            "",
            *(line for one in views.comparison_tables(report.comparison) for line in table(one, "###")),
        )
    for analysis in report.analyses:
        yield from _section(analysis)
    if not report.sections:
        yield from ("There are no runs here.", "")
    yield from ("## The paper", "", "How the verdicts are reached: docs/report.md.", "")
    for one in report.tables:
        yield from table(one, "###")
    yield from table(views.orders_table(report.orders), "###")
    yield from ("## The audit", "")
    for item in report.audit:
        yield from _item(item)


def _section(analysis: Analysis) -> Iterable[str]:
    section = analysis.section
    yield from (f"## {escape(section.title)}", "")
    yield from (f"**{escape(note)}**\n" for note in section.notes)
    made = (views.cells_table, views.effects_table, views.interactions_table, views.unfinished_table)
    for one in (make(analysis) for make in made):
        if one is not None:
            yield from table(one, "###")


def _item(item: Audit) -> Iterable[str]:
    yield from (f"### {item.number}. {escape(item.title)}", "")
    yield from (f"- {escape(line)}" for line in item.evidence)
    yield from ("", "Our runs:", "")
    yield from (f"- {escape(line)}" for line in item.ours)
    yield ""


def table(one: Table, level: str) -> Iterable[str]:
    """A table in Markdown, under its heading."""
    yield from (f"{level} {escape(one.title)}" + (f" ({escape(one.name)})" if one.name.startswith("figure") else ""), "")
    yield from (_row(one.head), "| " + " | ".join("---" for _ in one.head) + " |")
    yield from (_row(row) for row in one.rows[:LONGEST])
    yield ""
    if len(one.rows) > LONGEST:
        yield from (f"{len(one.rows) - LONGEST:,} more rows: cells.csv, runs.csv.", "")
    if one.note:
        yield from (escape(one.note), "")


def _row(entries: Sequence[str]) -> str:
    return "| " + " | ".join(escape(entry) for entry in entries) + " |"


def escape(text: str) -> str:
    """Text that stands for itself in Markdown: no HTML, no cell border, no markup, one line."""
    text = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|#~])", r"\\\1", text)


def code(text: str) -> str:
    """Text as code, whatever it holds."""
    plain = " ".join(text.split())
    ticks = "`" * (max((len(run) for run in re.findall("`+", plain)), default=0) + 1)
    return f"{ticks} {plain} {ticks}" if "`" in plain else f"`{plain}`"
