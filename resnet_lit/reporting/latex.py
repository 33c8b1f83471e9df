"""LaTeX tables, one file each, for \\input: as wide as the text (array, booktabs, longtable), every entry escaped."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from resnet_lit.escaping import latex
from resnet_lit.reporting import views
from resnet_lit.reporting.contents import Report, Table

MADE = "% python -m resnet_lit.report"
# Columns that a page of paper has no room for; report.md has them. The second only where a table has many.
LEFT_OUT = ("why", "our cell", "folder")
LESS = (
    *("protocol", "data", "95% interval of the mean", "last epoch (%)", "train - test (points)"),
    *("parameters", "multiply-adds", "time", "on the Pareto front of"),
)
MANY = 8
WIDEST = 26  # letters of a column beyond which it gets no more room: it is broken into lines


def write(report: Report, folder: Path) -> list[Path]:
    """Write tables/<name>.tex for the paper's tables, the orders, and those of each section. Returns the paths."""
    directory = folder / "tables"
    directory.mkdir(parents=True, exist_ok=True)
    for old in directory.glob("*.tex"):  # of an earlier report, whose sections may have been others
        if old.read_text(encoding="utf-8", errors="replace").startswith(MADE):
            old.unlink()
    paths = []
    for name, table in _named(report):
        path = directory / f"{name}.tex"
        path.write_text(longtable(table), encoding="utf-8")
        paths.append(path)
    return paths


def _named(report: Report) -> Iterable[tuple[str, Table]]:
    for table in (*report.tables, views.orders_table(report.orders)):
        yield f"paper-{_safe(table.name)}", table
    for analysis in report.analyses:
        for made in (views.cells_table(analysis), views.effects_table(analysis), views.unfinished_table(analysis)):
            if made is not None:
                yield f"{made.name}-{analysis.section.anchor}", made
    if report.comparison is not None:
        for table in views.comparison_tables(report.comparison):
            yield f"compared-{table.name}", table


def _safe(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def longtable(table: Table) -> str:
    """A table as wide as the text, with its caption; needs \\usepackage{array,booktabs,longtable} and T1 fonts."""
    dropped = (*LEFT_OUT, *(LESS if len(table.head) > MANY else ()))
    kept = [place for place, name in enumerate(table.head) if name not in dropped]
    kept = [place for place in kept if place == 0 or any(row[place] for row in table.rows)] if table.rows else kept
    caption = f"{table.title}." + (f" {table.note}" if table.note else "")
    head = _row(table.head, kept)
    lines = [
        MADE,
        r"{\footnotesize\setlength{\tabcolsep}{3pt}",
        rf"\begin{{longtable}}{{@{{}}{_columns(table, kept)}@{{}}}}",
        rf"\caption{{{latex(caption)}}}\\",
        r"\toprule",
        head,
        r"\midrule",
        r"\endhead",
        *(_row(row, kept) for row in table.rows),
        r"\bottomrule",
        r"\end{longtable}}",
    ]
    return "\n".join(lines) + "\n"


def _columns(table: Table, kept: Sequence[int]) -> str:
    """Columns that together take the width of the text, each after its longest entry."""
    entries = [[row[place] for row in (table.head, *table.rows)] for place in kept]
    words = [max(len(word) for entry in column for word in re.split(r"[\s/=,_]", entry)) for column in entries]
    longest = [max(min(max(map(len, column)), WIDEST), word + 2) for column, word in zip(entries, words, strict=True)]
    share = [0.98 * length / sum(longest) for length in longest]  # the rest is for the spaces between them
    gaps = 6 * (len(kept) - 1)  # points: \\tabcolsep on either side
    return "".join(
        rf">{{\raggedright\arraybackslash\hspace{{0pt}}}}p{{\dimexpr{part:.3f}\linewidth-{part * gaps:.1f}pt\relax}}"
        for part in share
    )


def _row(entries: Sequence[str], kept: Sequence[int]) -> str:
    return " & ".join(_entry(entries[place]) for place in kept) + r" \\"


def _entry(text: str) -> str:
    """An entry that may be broken where a long word of it ends a part."""
    commas = "," if "[" in text else r",(?!\d{3})"  # a list, or a number of thousands
    return re.sub(rf"(=|/|\\_|{commas})(?=\S)", r"\1\\allowbreak{}", latex(text))
