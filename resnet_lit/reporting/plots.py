"""The pictures of one section of a report, of the paper's figures and of a comparison: which rows go into which chart.

Accuracy stands for test accuracy with the chosen weights unless a title says otherwise. What is drawn is capped, and says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from resnet_lit.formatting import p_equals, percent
from resnet_lit.paper import RESULTS
from resnet_lit.reporting import charts, scatters
from resnet_lit.reporting.cells import Cell, Section
from resnet_lit.reporting.charts import Chart, Column, Row
from resnet_lit.reporting.contents import Analysis, Effect, Interaction, Report
from resnet_lit.reporting.curves import SEEDS, bands
from resnet_lit.reporting.effects import confounded_notes
from resnet_lit.reporting.naming import Names, names
from resnet_lit.reporting.statistics import Difference
from resnet_lit.reporting.theme import SERIES
from resnet_lit.typed import show

ROWS = 40  # cells in one picture of names down the side
TALL = 14  # rows from which on a picture of names takes the whole width: beside it there would be a hole
MARKS = 600  # single runs in one picture
GRID = 144  # squares of a heat map
CROWD = 4  # the most cells whose training curves too are legible in one picture
PAIRS = 5  # heat maps of a section
COSTS = {"parameters": "parameters", "macs": "multiply-adds of one image", "seconds": "training time, seconds"}


@dataclass(frozen=True)
class Group:
    """Charts under one heading. notes: what could not be drawn, and why."""

    title: str
    anchor: str
    text: str
    charts: tuple[Chart, ...]
    notes: tuple[str, ...] = ()


def groups(analysis: Analysis, prefix: str) -> list[Group]:
    """Everything that is drawn of one section. prefix: what its files' names begin with."""
    section, best = analysis.section, [one.cell for one in analysis.ranking]
    if not best:
        return []
    label = names(section)
    found = [
        _cells(best, prefix, label),
        _effects(analysis, prefix),
        _curves(section, best, prefix, label),
        _fronts(analysis, best, prefix, label),
        _gap(best, prefix, label),
    ]
    return [group for group in found if group.charts or group.notes]


def _cells(best: Sequence[Cell], prefix: str, label: Names) -> Group:
    drawn = best[:ROWS]
    rows = [{"label": label(cell), **_interval(cell)} for cell in drawn]
    singles = [
        {"label": label(cell), "run": f"seed {seed}", "value": value}
        for cell in drawn
        for seed, value in cell.by_seed("test/accuracy").items()
    ][:MARKS]
    caption = (
        "Test accuracy of the chosen weights: the mean, its 95% interval where there are two seeds or more, and every run as a "
        f"grey tick, in the order of the table. Intervals wider than the picture are cut off.{_capped(len(best), ROWS, 'cells')}"
    )
    chart = charts.intervals(f"{prefix}cells", "Accuracy of each cell", caption, rows, singles, "test accuracy", wide=True)
    return Group("Cells side by side", f"{prefix}side-by-side", "", (chart,) if len(drawn) > 1 else ())


def _effects(analysis: Analysis, prefix: str) -> Group:
    effects, drawn = analysis.effects, []
    if effects.effects:
        drawn.append(_main_effects(effects.effects, prefix))
    grids = [found for found in effects.interactions if len(found.first_values) * len(found.second_values) <= GRID]
    grids.sort(key=lambda found: 1.0 if found.p is None else found.p)  # where one changes the effect of the other, first
    drawn += [_grid(found, prefix) for found in grids[:PAIRS]]
    more = _capped(len(effects.interactions), len(grids[:PAIRS]), "pairs of factors, the strongest interaction first")
    text = "What a swept value does to test accuracy with the other settings held." + more if drawn else ""
    return Group("Effects of the swept factors", f"{prefix}effects", text, tuple(drawn), confounded_notes(effects))


def _main_effects(effects: Sequence[Effect], prefix: str) -> Chart:
    rows = [
        {
            "label": f"{effect.factor} = {show(level.value)}",
            "group": effect.factor,
            "points": 100 * level.effect,
            **({} if level.low is None or level.high is None else {"low": 100 * level.low, "high": 100 * level.high}),
            "mean": level.mean,
            "cells": level.cells,
            "runs": level.runs,
        }
        for effect in effects
        for level in effect.levels
    ]
    words = [f"{effect.factor} {_p(effect.p)}" for effect in effects]
    caption = (
        "Difference from the mean over the values of that factor, with its 95% interval, in percentage points. "
        f"F tests, corrected: {'; '.join(words)}.{_capped(len(rows), ROWS, 'values')}"
    )
    return charts.effects(f"{prefix}effects", "Main effects", caption, rows[:ROWS])


def _grid(found: Interaction, prefix: str) -> Chart:
    means = [mean for line in found.means for mean in line if mean is not None]
    low, high = min(means, default=0.0), max(means, default=1.0)
    rows = []
    for first, line, counts in zip(found.first_values, found.means, found.runs, strict=True):
        for second, mean, count in zip(found.second_values, line, counts, strict=True):
            row: Row = {"row": show(first), "column": show(second), "shade": 0.0, "text": "no run", "small": "", "n": count}
            if mean is not None:
                shade = (mean - low) / (high - low) if high > low else 0.5
                row |= {"mean": mean, "shade": shade, "text": f"{100 * mean:.2f}", "small": f"n={count}"}
            rows.append(row)
    columns = (
        Column("row", found.first),
        Column("column", found.second),
        Column("mean", "mean test accuracy", "share"),
        Column("n", "runs", "count"),
    )
    caption = (
        "Mean test accuracy in %: the stronger the colour, the higher. "
        f"Does the effect of one depend on the other? {_p(found.p).capitalize()}."
    )
    name = f"{prefix}grid-{slug(found.first)}-{slug(found.second)}"
    return charts.heat_map(name, f"{found.first} and {found.second}", caption, rows, found.second, found.first, columns)


def _curves(section: Section, best: Sequence[Cell], prefix: str, label: Names) -> Group:
    held = "test" if section.protocol == "paper" else "validation"
    drawn = [(label(cell), cell) for cell in best[:SERIES]]
    crowd = len(drawn) > CROWD
    accuracy, loss, troubles = bands(drawn, (held,) if crowd else (held, "training"))
    if crowd and len({row["epoch"] for row in accuracy}) < 2:  # trained without looking at it
        accuracy, loss, troubles = bands(drawn, ("training",))
    text = "Mean over the seeds at each epoch; the band spans the lowest to the highest seed. " + (
        f"On {' and '.join(dict.fromkeys(row['part'] for row in accuracy))} images."
        if crowd
        else "Training numbers are those seen while training: augmented images, with dropout, before each step."
    )
    text += _capped(len(best), SERIES, "cells")
    if any(len(cell.finished) > SEEDS for _, cell in drawn):
        text += f" Of each cell the first {SEEDS} seeds."
    return Group(
        "Learning curves", f"{prefix}curves", text, tuple(curve_pair(f"{prefix}curves", "", accuracy, loss)), tuple(troubles)
    )


Levels = tuple[tuple[float, str], tuple[float, str]]


def curve_pair(name: str, title: str, accuracy: list[Row], loss: list[Row], levels: Levels | None = None) -> list[Chart]:
    """Accuracy and loss against the epoch, where there is something to draw. levels: a value to draw across each, named."""
    found = []
    drawn = zip((accuracy, loss), ("accuracy", "loss"), (True, False), levels or (None, None), strict=True)
    for rows, axis, share, level in drawn:
        if len({row["epoch"] for row in rows}) < 2:
            continue
        cells = list(dict.fromkeys(row["cell"] for row in rows))
        words = "Click a name in the legend to see it alone." if len(cells) > 1 else ""
        heading = f"{title}: {axis}" if title else f"{axis.capitalize()} against epoch"
        found.append(charts.curves(f"{name}-{axis}", heading, words, rows, cells, axis, share=share, level=level))
    return found


def _fronts(analysis: Analysis, best: Sequence[Cell], prefix: str, label: Names) -> Group:
    drawn = []
    for cost, title in COSTS.items():
        on = {id(cell) for cell in analysis.pareto.get(cost, ())}
        rows = []
        for cell in best[:MARKS]:
            x = _cost(cell, cost)
            if x:
                rows.append(
                    {
                        "cell": label(cell),
                        "x": x,
                        "front": id(cell) in on,
                        "best": "yes" if id(cell) in on else "",
                        **_interval(cell),
                    }
                )
        xs = {row["x"] for row in rows}
        if len(xs) < 2:
            continue
        caption = "Diamonds, with their intervals, are on the Pareto front: no cell is both cheaper and better."
        caption += _capped(len(best), MARKS, "cells")
        if cost == "seconds":
            caption += " Times are those of the machine that trained each run, with whatever else it was doing."
        heading = f"Accuracy against {title.split(',')[0]}"
        log = max(xs) > 8 * min(xs)
        drawn.append(scatters.front(f"{prefix}front-{cost}", heading, caption, rows, "test accuracy", title, log=log))
    return Group("Accuracy against cost", f"{prefix}cost", "", tuple(drawn))


def _cost(cell: Cell, cost: str) -> float | None:
    if cost == "seconds":
        found = cell.summary("seconds")
        return found.mean if found else None
    return float(cell.parameters if cost == "parameters" else cell.macs or 0) or None


def _gap(best: Sequence[Cell], prefix: str, label: Names) -> Group:
    pairs = [
        {"cell": label(cell), "run": f"seed {run.seed}", "x": last, "y": first, "difference": first - last}
        for cell in best
        for run in cell.finished
        if (last := run.value("test/accuracy_last")) is not None and (first := run.value("test/accuracy")) is not None
    ]
    drawn = []
    if len(pairs) > 1 and any(pair["x"] != pair["y"] for pair in pairs):  # else all lie on the line
        caption = (
            "Every run once: test accuracy of the last weights and of the chosen ones. Above the line choosing has helped."
            f"{_capped(len(pairs), MARKS, 'runs')}"
        )
        drawn.append(
            scatters.against(
                f"{prefix}final-best", "Final against best", caption, pairs[:MARKS], "last weights", "chosen weights"
            )
        )
    rows = []
    for cell in best[:ROWS] if len(best) > 1 else ():
        train, test, gap = (cell.summary(name) for name in ("train/accuracy", "test/accuracy_last", "gap"))
        if train and test and gap:
            rows.append({"label": label(cell), "train": train.mean, "test": test.mean, "gap": gap.mean, "n": gap.n})
    if rows:
        caption = (
            "Training accuracy of the last epoch, as trained (augmented, with dropout), and test accuracy of the last weights."
            f"{_capped(len(best), ROWS, 'cells')}"
        )
        drawn.append(scatters.gaps(f"{prefix}gap", "Generalisation gap", caption, rows, wide=len(rows) > TALL))
    return Group("Choosing and generalising", f"{prefix}generalisation", "", tuple(drawn))


# --- the paper's figures 1 to 4, and a comparison


@dataclass(frozen=True)
class PaperFigure:
    """One of the paper's four figures of curves beside ours; no charts: not measured."""

    name: str  # "figure 1"
    title: str
    printed: str
    charts: tuple[Chart, ...]
    notes: tuple[str, ...]


def paper_figures(report: Report) -> list[PaperFigure]:
    """Figures 1 to 4: model 4 with both, none and each one of dropout and L2."""
    found = []
    for result in sorted((result for result in RESULTS if len(result.cells) == 1), key=lambda result: result.place):
        cells = report.paper_cells.get(result.cells[0], ())
        named = [(section.title, cell) for section, cell in cells if cell.finished][:3]
        accuracy, loss, troubles = bands(named, ("test", "validation", "training"))
        epoch = f" at epoch {result.epoch}" if result.epoch else ""
        printed = f"The paper prints test accuracy {percent(result.test_accuracy)}, test loss {result.test_loss:.3f}{epoch}."
        levels = (
            (result.test_accuracy, f"paper {percent(result.test_accuracy)}"),
            (result.test_loss, f"paper {result.test_loss:.3f}"),
        )
        pair = curve_pair(f"paper-{slug(result.place)}", result.place.capitalize(), accuracy, loss, levels)
        if pair:
            printed += f" Ours: {'; '.join(f'{title}, {len(cell.finished)} seeds' for title, cell in named)}."
        row = "neither dropout nor L2" if result.row == "none" else result.row
        found.append(PaperFigure(result.place, row, printed, tuple(pair), tuple(troubles)))
    return found


def compared(report: Report) -> Group:
    """The curves of the two sides of a comparison."""
    sides = report.comparison
    assert sides is not None
    both = ("A", sides.first), ("B", sides.second)
    accuracy, loss, troubles = bands(both, ("test", "validation", "training"))
    return Group("Curves", "compared-curves", "", tuple(curve_pair("compared", "", accuracy, loss)), tuple(troubles))


def differences(found: Sequence[tuple[str, Difference]]) -> Chart:
    """Differences of a comparison with their intervals, in percentage points."""
    rows = []
    for metric, one in found:
        row: Row = {"label": metric, "points": 100 * one.mean, "how": one.how}
        if one.low is not None and one.high is not None:
            row |= {"low": 100 * one.low, "high": 100 * one.high}
        rows.append(row)
    caption = "A minus B in percentage points, with the 95% interval of the difference. On the dashed line they are equal."
    return charts.differences("compared-differences", "A minus B", caption, rows, wide=True)


# --- words


def slug(text: str) -> str:
    """A word for a file's name or a link."""
    plain = "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in text.lower())
    return "-".join(part for part in plain.split("-") if part) or "x"


def prefixes(sections: Iterable[Section]) -> list[str]:
    """What the file names of each section begin with: nothing where there is one, else a word of its own."""
    words = [
        f"{slug(section.variant)}-{section.protocol}{f'-{slug(section.scale)}' if section.scale else ''}-" for section in sections
    ]
    if len(words) < 2:
        return [""] * len(words)
    return [word if words.count(word) == 1 else f"{word}{number}-" for number, word in enumerate(words, 1)]


def _interval(cell: Cell) -> Row:
    found = cell.summary("test/accuracy")
    if found is None:
        return {}
    pairs = {"mean": found.mean, "low": found.low, "high": found.high, "sd": found.sd, "n": found.n}
    return {key: value for key, value in pairs.items() if value is not None}


def _capped(there: int, drawn: int, what: str) -> str:
    return f" Drawn: the first {drawn:,} of {there:,} {what}." if there > drawn else ""


def _p(p: float | None) -> str:
    if p is None:
        return "not testable with these runs"
    return f"p {p_equals(p)}"
