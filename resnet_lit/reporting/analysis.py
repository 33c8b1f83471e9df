"""What is computed of one section: ranking, effects, optimism, Pareto fronts."""

from __future__ import annotations

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
    """What the best cell is chosen by: the validation part where there is one, so that the test set stays out of the choice."""
    held_out = section.protocol == "holdout" and all(cell.summary("val/accuracy") for cell in section.measured)
    return "val/accuracy" if held_out else METRIC


def ranking(section: Section) -> tuple[Ranked, ...]:
    """The cells, best first by what the protocol chooses on, each with the distance of its test accuracy from the best one's.

    Corrected over all of them. Under protocol=holdout the distance may be negative: the best on the validation part need not be
    the best on the test set, and its test accuracy is no better for having been chosen. Under protocol=paper it is optimistic.
    """
    by = chooses(section)
    cells = sorted(section.measured, key=lambda cell: accuracy(cell, by), reverse=True)
    if not cells:
        return ()
    best = cells[0].by_seed(METRIC)
    behind = corrected(differences([(best, cell.by_seed(METRIC)) for cell in cells[1:]]))
    return (Ranked(cells[0], None), *(Ranked(cell, found) for cell, found in zip(cells[1:], behind, strict=True)))


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
