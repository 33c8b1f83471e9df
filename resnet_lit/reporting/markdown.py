"""report.md: everything in the report but the pictures, as plain text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from resnet_lit.escaping import markdown as escape
from resnet_lit.escaping import markdown_code as code
from resnet_lit.reporting import views
from resnet_lit.reporting.contents import Analysis, Audit, Report, Table
from resnet_lit.reporting.effects import confounded_notes
from resnet_lit.reporting.findings import findings, of_comparison, one_run
from resnet_lit.reporting.runs import Problem

LONGEST = 300  # rows of a table; cells.csv and runs.csv have all
REGULARISATION = ("figure 1", "figure 2", "figure 3", "figure 4")  # the places of the table of that name


def write(report: Report, folder: Path) -> Path:
    """Write report.md."""
    path = folder / "report.md"
    path.write_text("\n".join(lines(report)) + "\n", encoding="utf-8")
    return path


def lines(report: Report) -> Iterable[str]:
    """The report line by line."""
    yield from ("# Report", "", *_findings(report))
    yield from (f"Read from {escape(report.source)}, {report.made}.", "")
    if report.command:
        yield from (f"Command: {code(report.command)}", "")
    if report.problems:
        yield from ("## Left out", "", *_named(report.problems))
    if report.remarks:
        yield from ("## Shown with characters spelled out", "", *_named(report.remarks))
    if report.comparison is not None:
        sides = (line for one in views.comparison_tables(report.comparison) for line in table(one, "###"))
        yield from ("## A against B", "", *sides)
    for analysis in report.analyses:
        yield from _section(analysis)
    yield from ("## The paper", "", *_paper(report))


def _findings(report: Report) -> Iterable[str]:
    single = sum(len(section.runs) for section in report.sections) == 1
    said = of_comparison(report.comparison) if report.comparison else one_run(report) if single else findings(report)
    yield from (escape(" ".join([said.counted, *said.shown])), "")
    if said.open:
        yield from ("Not shown:", "", *(f"- {escape(line)}" for line in said.open), "")


def _named(problems: Iterable[Problem]) -> Iterable[str]:
    yield from (f"- {code(str(problem.folder))}: {escape(problem.reason)}" for problem in problems)
    yield ""


def _paper(report: Report) -> Iterable[str]:
    """The paper's tables beside ours: those of which something was measured, and what does not add up in the paper."""
    measured = {claim.place for claim in report.claims if claim.ours is not None}
    left = len([claim for claim in report.claims if claim.ours is None])
    if not measured:
        yield f"No run here repeats a setting of the paper, so none of its {left} numbers is measured."
        yield from ("They are in report.html and in tables/, with what does not add up in the paper.", "")
        if ordered := [order for order in report.orders if order.contrasts]:
            yield from table(views.orders_table(ordered), "###")
        return
    yield from ("How the verdicts are reached: docs/report.md.", "")
    for one in report.tables:
        if one.name in measured or (one.name == "regularisation" and measured & set(REGULARISATION)):
            yield from table(one, "###")
    if left:
        yield from (f"Not measured: {left} of {len(report.claims)} numbers (report.html and tables/ have them all).", "")
    yield from table(views.orders_table(report.orders), "###")
    yield from ("## What does not add up in the paper", "")
    for item in report.audit:
        yield from _item(item)


def _section(analysis: Analysis) -> Iterable[str]:
    section = analysis.section
    yield from (f"## {escape(section.title)}", "")
    yield from (f"**{escape(note)}**\n" for note in section.notes)
    yield from (f"{escape(note)}\n" for note in confounded_notes(analysis.effects))
    made = (views.cells_table, views.effects_table, views.interactions_table, views.pairs_table, views.unfinished_table)
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
