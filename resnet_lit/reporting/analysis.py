"""What is computed of one section: ranking, effects, optimism, Pareto fronts."""

from __future__ import annotations

from resnet_lit.formatting import p_equals
from resnet_lit.reporting.cells import Cell, Section
from resnet_lit.reporting.contents import Analysis, Optimism, Ranked
from resnet_lit.reporting.effects import METRIC, effects
from resnet_lit.reporting.statistics import corrected, differences, summarize

COSTS = ("parameters", "macs", "seconds")


def analyse(section: Section) -> Analysis:
    """The section's cells ranked and their factors weighed."""
    return Analysis(
        section,
        ranking(section),
        effects(section),
        optimism(section),
        {cost: pareto(section, cost) for cost in COSTS},
    )


def accuracy(cell: Cell, metric: str = METRIC) -> float:
    """Mean test accuracy, or another; -1 where there is none."""
    found = cell.summary(metric)
    return -1.0 if found is None else found.mean


def chooses(section: Section) -> str:
    """The metric that ranks the section's cells: the validation part's where one was held out, else the test set's."""
    held_out = section.protocol == "holdout" and any(cell.summary("val/accuracy") for cell in section.measured)
    return "val/accuracy" if held_out else METRIC


def ranking(section: Section) -> tuple[Ranked, ...]:
    """The measured cells, best first by `chooses`, each with the gap of its test accuracy to the best one's.

    A cell without that metric has no place, and follows those that have one: its test accuracy must not decide who is best where
    that of the others may not. Gaps are corrected over all of them. One may be negative: the best on the validation part need not
    be the best on the test set, and its test accuracy is no better for having been chosen. Where the test set ranks, it is.
    """
    by = chooses(section)
    cells = sorted(
        section.measured, key=lambda cell: (cell.summary(by) is not None, accuracy(cell, by), accuracy(cell)), reverse=True
    )
    if not cells:
        return ()
    best = cells[0].by_seed(METRIC)
    gaps = corrected(differences([(best, cell.by_seed(METRIC)) for cell in cells[1:]]))
    places = [number if cell.summary(by) is not None else None for number, cell in enumerate(cells, 1)]
    return tuple(Ranked(cell, gap, place) for cell, gap, place in zip(cells, [None, *gaps], places, strict=True))


def how_ranked(section: Section) -> str:
    """In words, for every form of the report: what ranks the cells, and what that means for the best one's number."""
    if chooses(section) == METRIC:
        why = "the test set chose" if section.protocol == "paper" else "nothing was held out to choose by"
        return f"Ranked by test accuracy ({why}): the best cell's own mean is optimistic."
    without = [cell for cell in section.measured if cell.summary("val/accuracy") is None]
    note = "Ranked by validation accuracy, so the test set had no say in which cell is best."
    if without:
        what = "One cell" if len(without) == 1 else f"{len(without)} cells"
        note += f" {what} held no validation images out (data.validation=0): listed last, without a place."
    return note


def verdict_of(ranked: Ranked) -> str:
    """Whether a cell is distinguishable from the best one: `yes (p = 0.012)`, `no (p = 0.4)`, `best`, or why nobody can tell."""
    if ranked.gap is None:
        return "best"
    p = ranked.gap.p if ranked.gap.adjusted is None else ranked.gap.adjusted
    if p is None:
        return "one run" if min(ranked.gap.n) < 2 else ranked.gap.how
    return f"{'yes' if ranked.gap.resolved else 'no'} (p {p_equals(p)})"


def optimism(section: Section) -> Optimism | None:
    """What the chosen epoch has above the last one, over all finished runs in which an epoch was chosen."""
    runs = [run for cell in section.measured for run in cell.finished if run.best.get("chosen_on")]
    values = [value for run in runs if (value := run.value("optimism")) is not None]
    return Optimism(summarize(values), str(runs[0].best["chosen_on"])) if values else None


def cost_of(cell: Cell, cost: str) -> float | None:
    """Trainable parameters, multiply-adds of one image, or mean seconds of a run."""
    if cost == "seconds":
        found = cell.summary("seconds")
        return None if found is None else found.mean
    return cell.parameters if cost == "parameters" else cell.macs


def pareto(section: Section, cost: str) -> tuple[Cell, ...]:
    """The cells that none beats in both test accuracy and cost, the cheapest first."""
    known = [(price, cell) for cell in section.measured if (price := cost_of(cell, cost)) is not None]
    front: list[Cell] = []
    for _, cell in sorted(known, key=lambda item: (item[0], -accuracy(item[1]))):
        if not front or accuracy(cell) > accuracy(front[-1]):
            front.append(cell)
    return tuple(front)
