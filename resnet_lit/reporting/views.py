"""The report's own tables as text, for Markdown and LaTeX: cells, effects, orders, unfinished runs, two sides compared."""

from __future__ import annotations

from collections.abc import Iterable

from resnet_lit import formatting
from resnet_lit.reporting.analysis import COSTS, how_ranked, verdict_of
from resnet_lit.reporting.cells import Cell, Section
from resnet_lit.reporting.contents import Analysis, Comparison, OrderClaim, Ranked, Table
from resnet_lit.reporting.naming import LINE, names, shortened
from resnet_lit.typed import show

COST_WORDS = {"parameters": "parameters", "macs": "multiply-adds", "seconds": "time"}


def cells_table(analysis: Analysis) -> Table:
    """One row a cell, the number beside the name: the best first, those without a finished run at the end."""
    section = analysis.section
    ranked = {id(one.cell): one for one in analysis.ranking}
    order = [one.cell for one in analysis.ranking]
    order += [cell for cell in section.cells if id(cell) not in ranked]
    columns: dict[str, list[str]] = {}
    for cell in order:
        test, one = cell.summary("test/accuracy"), ranked.get(id(cell))
        row = {
            "cell": names(section)(cell),
            "test accuracy (%)": formatting.spread("test/accuracy", test),
            "runs": str(len(cell.finished)),
            "95% interval": formatting.interval("test/accuracy", test.low, test.high) if test else "",
            "gap to best (points)": _gap(one),
            "distinguishable?": "" if one is None or len(analysis.ranking) == 1 else verdict_of(one),
            "validation (%)": _measured(cell, "val/accuracy"),
            "with TTA: flip (%)": _measured(cell, "test/accuracy_tta/flip"),
            "with TTA: 6 views (%)": _measured(cell, "test/accuracy_tta/6"),
            "last epoch (%)": _measured(cell, "test/accuracy_last"),
            "train - test (points)": _measured(cell, "gap"),
            "parameters": f"{cell.parameters:,}",
            "multiply-adds": formatting.large(cell.macs),
            "time": formatting.number("seconds", found.mean) if (found := cell.summary("seconds")) else "",
            "on the Pareto front of": ", ".join(_fronts(analysis, cell)),
            "not finished": ", ".join(f"seed {run.seed} {run.status}" for run in cell.others),
        }
        for name, text in row.items():
            columns.setdefault(name, []).append(text)
    alike = [name for name in ("parameters", "multiply-adds") if len(order) > 1 and len(set(columns[name])) == 1]
    kept = {name: texts for name, texts in columns.items() if any(texts) and name not in alike}
    note = [
        "Mean ± standard deviation over the seeds.",
        how_ranked(section) if len(analysis.ranking) > 1 else "",
        "Gap to best: test accuracy of the best cell minus this one's, with its 95% interval; p-values are corrected for all."
        if len(analysis.ranking) > 1
        else "",
        *(f"Every cell has {columns[name][0]} {name}." for name in alike if columns[name][0]),
        *legend_lines(section),
    ]
    rows = tuple(zip(*kept.values(), strict=True))
    return Table("cells", f"Cells of {section.title}", tuple(kept), rows, " ".join(filter(None, note)))


def _gap(one: Ranked | None) -> str:
    if one is None or one.gap is None:
        return ""
    limits = formatting.interval("test/accuracy", one.gap.low, one.gap.high, sign=True)
    return formatting.number("test/accuracy", one.gap.mean, sign=True) + (f" ({limits})" if limits else "")


def _measured(cell: Cell, metric: str) -> str:
    found = cell.summary(metric)
    return "" if found is None else formatting.spread(metric, found)


def legend_lines(section: Section) -> list[str]:
    """What the letters in the names stand for, and what the names leave out."""
    known = names(section)
    lines = [f"{letter}: {meaning}." for letter, meaning in known.legend.items()]
    if known.usual:
        lines.append(f"Left out of the names where it is so: {', '.join(f'{key}={text}' for key, text in known.usual.items())}.")
    return lines


def _fronts(analysis: Analysis, cell: Cell) -> Iterable[str]:
    return (COST_WORDS[cost] for cost in COSTS if any(one is cell for one in analysis.pareto[cost]))


def effects_table(analysis: Analysis) -> Table | None:
    """Main effects of the swept factors; None where there are none."""
    rows = []
    for effect in analysis.effects.effects:
        shown = {show(level.value): shortened(show(level.value), LINE) for level in effect.levels}
        for level in effect.levels:
            rows.append(
                (
                    effect.factor,
                    shown[show(level.value)],
                    formatting.number("test/accuracy", level.mean),
                    formatting.number("test/accuracy", level.effect, sign=True),
                    formatting.interval("test/accuracy", level.low, level.high, sign=True),
                    str(level.cells),
                    str(level.runs),
                    formatting.p_value(effect.p),
                )
            )
    head = ("factor", "value", "mean test accuracy (%)", "effect (points)", "95% interval", "cells", "runs", "p of the factor")
    note = "Effect: against the mean of the factor's values, the other factors held (an additive model of all runs)."
    return Table("effects", f"Main effects, {analysis.section.title}", head, tuple(rows), note) if rows else None


def interactions_table(analysis: Analysis) -> Table | None:
    """Which factors depend on each other, and trends of those with many values; None where nothing was looked at."""
    rows = [
        (f"{one.first} x {one.second}", "interaction (F test)", "", formatting.p_value(one.p))
        for one in analysis.effects.interactions
        if one.p is not None
    ]
    rows += [
        (one.factor, f"trend over {one.values} values (Spearman)", f"{one.correlation:+.2f}", formatting.p_value(one.p))
        for one in analysis.effects.trends
    ]
    head = ("factors", "test", "correlation", "p, corrected")
    return Table("interactions", f"Interactions and trends, {analysis.section.title}", head, tuple(rows)) if rows else None


def pairs_table(analysis: Analysis) -> Table | None:
    """Cells that differ in one confounded factor alone; None where there are none."""
    known = names(analysis.section)
    rows = tuple(
        (
            f"{pair.factor}={known.value(pair.factor, pair.first)} minus {known.value(pair.factor, pair.second)}",
            formatting.apart("test/accuracy", pair.difference),
            "yes" if pair.difference.resolved else "no",
            known(pair.first),
            known(pair.second),
        )
        for pair in analysis.effects.pairs
    )
    head = ("setting", "difference (points)", "distinguishable?", "of the cell", "and the cell")
    return Table("pairs", f"Cells that differ in one setting alone, {analysis.section.title}", head, rows) if rows else None


def unfinished_table(analysis: Analysis) -> Table | None:
    """Runs that failed, diverged, were interrupted or are running; None where all finished."""
    rows = tuple(
        (names(analysis.section)(cell), str(run.seed), run.status, run.reason or "", str(run.folder))
        for cell in analysis.section.cells
        for run in cell.others
    )
    head = ("cell", "seed", "status", "reason", "folder")
    note = "They enter no mean. Rerun the same command to resume one that was interrupted or failed."
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
                formatting.number("test/accuracy", contrast.printed, sign=True),
                formatting.apart("test/accuracy", contrast.difference),
                contrast.verdict,
                "",
            )
            for contrast in order.contrasts
        ]
    head = ("statement, and our differences", "place", "data", "the paper (points)", "ours (points)", "verdict", "why")
    return Table("orders", "What the paper says about which is better", head, tuple(rows))


def comparison_tables(comparison: Comparison) -> tuple[Table, Table]:
    """Where two sides differ in results, and in values. The sides are A and B: their names are lines of their own."""
    values = tuple((key, shortened(show(a), LINE), shortened(show(b), LINE)) for key, (a, b) in comparison.values.items())
    rows = []
    for metric, found in comparison.differences.items():
        ours = [formatting.summary(metric, cell.summary(metric)) for cell in (comparison.first, comparison.second)]
        rows.append((formatting.metric_name(metric), *ours, formatting.apart(metric, found)))
    if comparison.images is not None:
        rows.append(("test accuracy, image by image", "", "", formatting.apart("test/accuracy", comparison.images)))
    sides = f"A: {comparison.names[0]}. B: {comparison.names[1]}."
    return (
        Table("results", "Results", ("metric", "A", "B", "A minus B"), tuple(rows), f"{sides} {comparison.warning}".strip()),
        Table("values", "Values in which they differ", ("key", "A", "B"), values),
    )
