"""LaTeX tables, one file each, to be set with \\input: booktabs and longtable, every entry escaped."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from resnet_lit.reporting import views
from resnet_lit.reporting.contents import Report, Table

MADE = "% python -m resnet_lit.report"
LEFT_OUT = ("why", "our cell", "folder")  # columns too wide for paper; report.md has them
SPECIAL = {
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
    "±": r"$\pm$",
}


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
    """A table as a longtable with its caption; needs \\usepackage{booktabs,longtable} and T1 fonts."""
    kept = [place for place, name in enumerate(table.head) if name not in LEFT_OUT]
    columns = "l" * len(kept)
    caption = f"{table.title}." + (f" {table.note}" if table.note else "")
    head = _row(table.head, kept)
    lines = [
        MADE,
        rf"\begin{{longtable}}{{{columns}}}",
        rf"\caption{{{escape(caption)}}}\\",
        r"\toprule",
        head,
        r"\midrule",
        r"\endhead",
        *(_row(row, kept) for row in table.rows),
        r"\bottomrule",
        r"\end{longtable}",
    ]
    return "\n".join(lines) + "\n"


def _row(entries: Sequence[str], kept: Sequence[int]) -> str:
    return " & ".join(escape(entries[place]) for place in kept) + r" \\"


def escape(text: str) -> str:
    """Text that stands for itself in LaTeX, on one line."""
    return "".join(SPECIAL.get(letter, letter) for letter in " ".join(text.split()))
