"""The report's own tables as text, for Markdown and LaTeX: cells, effects, orders, unfinished runs, two sides compared."""

from __future__ import annotations

from collections.abc import Iterable

from resnet_lit.reporting import words
from resnet_lit.reporting.analysis import COSTS, chooses
from resnet_lit.reporting.cells import Cell
from resnet_lit.reporting.contents import Analysis, Comparison, OrderClaim, Table
from resnet_lit.typed import show

COST_WORDS = {"parameters": "parameters", "macs": "multiply-adds", "seconds": "time"}
CELLS_HEAD = (
    "cell",
    "test accuracy (%)",
    "95 % interval",
    "behind the best (points)",
    "last epoch (%)",
    "train - test (points)",
    "parameters",
    "multiply-adds",
    "time",
    "on the Pareto front of",
    "not finished",
)


def cells_table(analysis: Analysis) -> Table:
    """One row a cell, the best first, those without a finished run at the end."""
    ranked = {id(one.cell): one for one in analysis.ranking}
    order = [one.cell for one in analysis.ranking]
    order += [cell for cell in analysis.section.cells if id(cell) not in ranked]
    rows = []
    for cell in order:
        test = cell.summary("test/accuracy")
        one = ranked.get(id(cell))
        behind = "" if one is None else "best" if one.behind is None else words.apart("test/accuracy", one.behind)
        rows.append(
            (
                cell.title,
                words.summary("test/accuracy", test),
                words.interval("test/accuracy", test.low, test.high) if test else "",
                behind,
                words.summary("test/accuracy_last", cell.summary("test/accuracy_last")),
                words.summary("gap", cell.summary("gap")),
                f"{cell.parameters:,}",
                f"{cell.macs:,}" if cell.macs is not None else "",
                words.summary("seconds", cell.summary("seconds")),
                ", ".join(name for name in _fronts(analysis, cell)),
                ", ".join(f"seed {run.seed} {run.status}" for run in cell.others),
            )
        )
    how = {
        "val/accuracy": "The best cell was chosen on the validation part.",
        "test/accuracy": "The best cell was chosen on the test set: its own mean is optimistic.",
    }[chooses(analysis.section)]
    gap = "The gap is training accuracy, as trained, less test accuracy in the last epoch."
    note = f"Mean ± standard deviation over seeds, best first. {how} {gap}"
    return Table("cells", f"Cells of {analysis.section.title}", CELLS_HEAD, tuple(rows), note)


def _fronts(analysis: Analysis, cell: Cell) -> Iterable[str]:
    return (COST_WORDS[cost] for cost in COSTS if any(one is cell for one in analysis.pareto[cost]))


def effects_table(analysis: Analysis) -> Table | None:
    """Main effects of the swept factors; None where there are none."""
    rows = []
    for effect in analysis.effects.effects:
        for level in effect.levels:
            p = words.p_value(effect.p) if effect.p is not None else ""
            rows.append(
                (
                    effect.factor,
                    show(level.value),
                    words.number("test/accuracy", level.mean),
                    words.number("test/accuracy", level.effect, sign=True),
                    words.interval("test/accuracy", level.low, level.high, sign=True),
                    str(level.cells),
                    str(level.runs),
                    p,
                )
            )
    head = ("factor", "value", "mean test accuracy (%)", "effect (points)", "95 % interval", "cells", "runs", "p of the factor")
    note = "Effect: against the mean of the factor's values, the other factors held (an additive model of all runs)."
    if analysis.effects.confounded:
        note += f" No effect of its own can be told of {', '.join(analysis.effects.confounded)}: it changes only with others."
    return Table("effects", f"Main effects, {analysis.section.title}", head, tuple(rows), note) if rows else None


def interactions_table(analysis: Analysis) -> Table | None:
    """Which factors depend on each other, and trends of those with many values; None where nothing was looked at."""
    rows = [
        (f"{one.first} x {one.second}", "interaction (F test)", "", words.p_value(one.p))
        for one in analysis.effects.interactions
        if one.p is not None
    ]
    rows += [
        (one.factor, f"trend over {one.values} values (Spearman)", f"{one.correlation:+.2f}", words.p_value(one.p))
        for one in analysis.effects.trends
    ]
    head = ("factors", "test", "correlation", "p, corrected")
    return Table("interactions", f"Interactions and trends, {analysis.section.title}", head, tuple(rows)) if rows else None


def unfinished_table(analysis: Analysis) -> Table | None:
    """Runs that failed, diverged, were interrupted or are running; None where all finished."""
    rows = tuple(
        (cell.title, str(run.seed), run.status, run.reason or "", str(run.folder))
        for cell in analysis.section.cells
        for run in cell.others
    )
    head = ("cell", "seed", "status", "reason", "folder")
    note = "They enter no mean. Where runs of a cell diverged, the mean is of those that did not."
    return Table("unfinished", f"Runs that have not finished, {analysis.section.title}", head, rows, note) if rows else None


def orders_table(orders: Iterable[OrderClaim]) -> Table:
    """The paper's statements about orders, and each difference of ours that bears on one."""
    rows: list[tuple[str, ...]] = []
    for order in orders:
        where = f"{order.section.variant}, protocol {order.section.protocol}" if order.section else ""
        rows.append((order.statement, order.place, where, "", "", order.verdict, order.why))
        rows += [
            (
                contrast.what,
                "",
                where,
                words.number("test/accuracy", contrast.printed, sign=True),
                words.apart("test/accuracy", contrast.difference),
                contrast.verdict,
                "",
            )
            for contrast in order.contrasts
        ]
    head = ("statement, and differences of ours", "place", "data", "the paper (points)", "ours (points)", "verdict", "why")
    return Table("orders", "What the paper says about orders", head, tuple(rows))


def comparison_tables(comparison: Comparison) -> tuple[Table, Table]:
    """Where two sides differ in values, and in results."""
    first, second = comparison.first.title, comparison.second.title
    values = tuple((key, show(a), show(b)) for key, (a, b) in comparison.values.items())
    rows = []
    for metric, found in comparison.differences.items():
        ours = [words.summary(metric, cell.summary(metric)) for cell in (comparison.first, comparison.second)]
        rows.append((metric, *ours, words.apart(metric, found)))
    if comparison.images is not None:
        rows.append(("test/accuracy, image by image", "", "", words.apart("test/accuracy", comparison.images)))
    return (
        Table("values", "Values in which they differ", ("key", first, second), values),
        Table("results", "Results", ("metric", first, second, "first less second"), tuple(rows), comparison.warning),
    )
