"""What the swept factors of a section do to test accuracy: main effects, interactions, trends. The models are statsmodels' OLS.

Each factor's effect is that of an additive model of all runs, the other factors held; a full grid is not needed. Factors that the
runs change only together are confounded: none of them has an effect of its own, and all stay in the model, so that the effects of
the others are not mixed with theirs. Whether two factors interact is an F test of the model with their products against the one
without.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from resnet_lit.formatting import listed
from resnet_lit.reporting.cells import Cell, Section
from resnet_lit.reporting.contents import Effect, Effects, Interaction, Level, Pair, Trend
from resnet_lit.reporting.statistics import ALPHA, corrected, differences, holm
from resnet_lit.typed import show

METRIC = "test/accuracy"
MOST_LEVELS = 16  # of a factor: one with more values is a search, and a trend says more than so many means
MOST_FACTORS = 6  # whose pairs are looked at
MOST_PAIRS = 60  # of cells that differ in one confounded factor alone
RANK_TOLERANCE = 1e-9
TOGETHER = "\0"  # stands for the confounded factors in the model; no factor is called so


def effects(section: Section) -> Effects:
    """Main effects, interactions and trends of the section's factors; empty where there is nothing to tell apart."""
    cells = [cell for cell in section.measured if cell.summary(METRIC) is not None]
    few = [name for name in section.factors if 2 <= len(_levels(section, cells, name)) <= MOST_LEVELS]
    trends, alike = _trends(cells, [name for name in section.factors if name not in few])
    if not few or len(cells) < 3:
        return Effects((), (), trends, alike, _pairs(cells, alike))
    values = np.array([run for cell in cells for run in cell.by_seed(METRIC).values()])
    repeats = [len(cell.by_seed(METRIC)) for cell in cells]
    columns = {name: np.repeat(_coded(section, cells, name), repeats, axis=0) for name in few}
    confounded = _confounded(few, columns) + alike
    apart = [name for name in few if not any(name in group for group in confounded)]
    pairs_alone = _pairs(cells, confounded)
    if not apart:
        return Effects((), (), trends, confounded, pairs_alone)
    held = {name: columns[name] for name in apart}
    if len(apart) < len(few):  # under one name: what they do together is held, though it belongs to none of them
        held[TOGETHER] = _independent(np.hstack([columns[name] for name in few if name not in apart]))
    full = _fit(values, _design(held, list(held)))
    found = [_effect(section, cells, name, list(held), held, full) for name in apart]
    columns = held
    pairs = list(itertools.combinations(apart[:MOST_FACTORS], 2))
    grids = [_interaction(section, cells, *pair, columns, full) for pair in pairs]
    return Effects(tuple(_corrected(found)), tuple(_corrected(grids)), trends, confounded, pairs_alone)


def confounded_notes(effects: Effects) -> tuple[str, ...]:
    """Which factors move together, a sentence for each group."""
    return tuple(
        f"{listed(list(group))} change only together in these runs: their effects cannot be separated, so none of "
        "them is given an effect."
        for group in effects.confounded
    )


def _pairs(cells: Sequence[Cell], groups: Sequence[tuple[str, ...]]) -> tuple[Pair, ...]:
    """Cells that differ in one factor of `groups` alone, both with two seeds or more; p-values corrected over all of them."""
    found: list[tuple[str, Cell, Cell]] = []
    several = [cell for cell in cells if len(cell.by_seed(METRIC)) > 1]
    for factor in (name for group in groups for name in group):
        alike: dict[tuple[str, ...], list[Cell]] = {}
        for cell in several:
            rest = tuple(show(value) for key, value in cell.factors.items() if key != factor)
            alike.setdefault(rest, []).append(cell)
        for same in alike.values():
            ordered = sorted(same, key=lambda cell: -_mean([cell]))
            found += [(factor, first, second) for first, second in itertools.combinations(ordered, 2)]
    found = found[:MOST_PAIRS]
    tested = corrected(differences([(first.by_seed(METRIC), second.by_seed(METRIC)) for _, first, second in found]))
    return tuple(Pair(factor, first, second, one) for (factor, first, second), one in zip(found, tested, strict=True))


def _levels(section: Section, cells: Sequence[Cell], factor: str) -> list[Any]:
    present = {show(cell.factors[factor]) for cell in cells}
    return [value for value in section.factors[factor] if show(value) in present]


def _coded(section: Section, cells: Sequence[Cell], factor: str) -> np.ndarray:
    """(cells, levels - 1): 1 for its level, -1 everywhere for the last one, so that coefficients are deviations from the mean."""
    places = {show(value): place for place, value in enumerate(_levels(section, cells, factor))}
    coding = np.vstack([np.eye(len(places) - 1), -np.ones(len(places) - 1)])
    return coding[[places[show(cell.factors[factor])] for cell in cells]]


def _design(columns: dict[str, np.ndarray], names: Sequence[str]) -> np.ndarray:
    rows = len(next(iter(columns.values())))
    return np.hstack([np.ones((rows, 1)), *(columns[name] for name in names)])


def _confounded(names: Sequence[str], columns: dict[str, np.ndarray]) -> tuple[tuple[str, ...], ...]:
    """The factors whose effects the runs cannot tell apart, in the groups that change together.

    A factor is confounded where a part of what it does could be done by others: where the null space of the design reaches into
    its columns. Two factors that one direction of the null space joins belong to one group.
    """
    design = np.hstack([columns[name] - columns[name].mean(0) for name in names])  # centred: the mean ties no two factors
    values, vectors = np.linalg.eigh(design.T @ design)
    null = vectors[:, values <= values[-1] * RANK_TOLERANCE]
    joined = np.abs(null @ null.T)  # the projector onto the null space: its blocks do not depend on the basis
    ends = np.cumsum([0, *(columns[name].shape[1] for name in names)])
    blocks = {name: slice(ends[place], ends[place + 1]) for place, name in enumerate(names)}
    left = [name for name in names if joined[blocks[name], blocks[name]].max() > RANK_TOLERANCE]
    groups = []
    while left:
        group = [left.pop(0)]
        for member in group:  # grows while it is read
            group += [other for other in left if joined[blocks[member], blocks[other]].max() > RANK_TOLERANCE]
            left = [name for name in left if name not in group]
        groups.append(tuple(name for name in names if name in group))
    return tuple(groups)


def _independent(columns: np.ndarray) -> np.ndarray:
    """Columns that span the same space as these, without those that the others give."""
    kept: list[np.ndarray] = []
    for column in columns.T:
        both = np.column_stack([np.ones(len(column)), *kept, column])
        if np.linalg.matrix_rank(both.T @ both, hermitian=True) == both.shape[1]:  # whole numbers: exact
            kept.append(column)
    return np.column_stack(kept) if kept else np.empty((len(columns), 0))


def _effect(
    section: Section, cells: list[Cell], name: str, names: list[str], columns: dict[str, np.ndarray], full: Any
) -> Effect:
    start = 1 + sum(columns[other].shape[1] for other in names[: names.index(name)])
    width = columns[name].shape[1]
    contrasts = np.zeros((width + 1, full.params.size))
    contrasts[:width, start : start + width] = np.eye(width)
    contrasts[width, start : start + width] = -1
    deviations, limits = contrasts @ full.params, np.full((width + 1, 2), np.nan)
    p = None
    if full.df_resid > 0 and full.mse_resid > 1e-18:
        limits = full.t_test(contrasts).conf_int(ALPHA)
        rest = _fit(full.model.endog, _design(columns, [other for other in names if other != name]))
        p = float(full.compare_f_test(rest)[1])
    levels = []
    for value, deviation, (low, high) in zip(_levels(section, cells, name), deviations, limits, strict=True):
        mine = [cell for cell in cells if show(cell.factors[name]) == show(value)]
        seeds = sum(len(cell.by_seed(METRIC)) for cell in mine)
        levels.append(Level(value, _mean(mine), len(mine), seeds, float(deviation), _number(low), _number(high)))
    return Effect(name, tuple(levels), p)


def _interaction(
    section: Section,
    cells: list[Cell],
    first: str,
    second: str,
    columns: dict[str, np.ndarray],
    simple: Any,
) -> Interaction:
    places: dict[tuple[str, str], list[Cell]] = {}
    for cell in cells:
        places.setdefault((show(cell.factors[first]), show(cell.factors[second])), []).append(cell)
    down, across = _levels(section, cells, first), _levels(section, cells, second)
    grid = [[places.get((show(a), show(b)), []) for b in across] for a in down]
    products = np.einsum("ni,nj->nij", columns[first], columns[second]).reshape(len(simple.model.endog), -1)
    full = _fit(simple.model.endog, np.hstack([simple.model.exog, products]))
    tells = full.df_resid > 0 and full.df_model > simple.df_model and full.mse_resid > 1e-18
    return Interaction(
        first,
        second,
        tuple(down),
        tuple(across),
        tuple(tuple(_mean(mine) if mine else None for mine in row) for row in grid),
        tuple(tuple(sum(len(cell.by_seed(METRIC)) for cell in mine) for mine in row) for row in grid),
        float(full.compare_f_test(simple)[1]) if tells else None,
    )


def _fit(values: np.ndarray, design: np.ndarray) -> Any:
    """Least squares: by QR, which is ten times as fast, or where a grid with holes has products that say nothing, by SVD."""
    from statsmodels.regression.linear_model import OLS

    if np.linalg.matrix_rank(design.T @ design, hermitian=True) == design.shape[1]:
        return OLS(values, design, hasconst=True).fit(method="qr")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that coefficients are not unique: only the fit is looked at
        return OLS(values, design, hasconst=True).fit()


def _trends(cells: list[Cell], names: list[str]) -> tuple[tuple[Trend, ...], tuple[tuple[str, ...], ...]]:
    """Rank correlations of factors of many values, and the groups of those that rise and fall together: they have none."""
    from scipy.stats import spearmanr

    found: dict[str, Trend] = {}
    numbers: dict[str, dict[str, float]] = {}  # factor -> cell -> value
    for name in names:
        pairs = [(cell, cell.factors[name], cell.summary(METRIC)) for cell in cells]
        known = [(cell.title, value, of.mean) for cell, value, of in pairs if isinstance(value, int | float) and of is not None]
        if len(known) < 5 or len({value for _, value, _ in known}) < 3:
            continue
        numbers[name] = {title: value for title, value, _ in known}
        test = spearmanr([value for _, value, _ in known], [mean for _, _, mean in known])
        found[name] = Trend(name, len({value for _, value, _ in known}), float(test.statistic), float(test.pvalue))
    groups: list[tuple[str, ...]] = []
    for name in found:
        mine = numbers[name]
        like = [other for other in found if mine.keys() == numbers[other].keys() and _rise_together(mine, numbers[other])]
        if len(like) > 1 and tuple(like) not in groups:
            groups.append(tuple(like))
    kept = [trend for name, trend in found.items() if not any(name in group for group in groups)]
    return tuple(replace(one, p=p) for one, p in zip(kept, holm([one.p for one in kept]), strict=True)), tuple(groups)


def _rise_together(first: dict[str, float], second: dict[str, float]) -> bool:
    """Whether the values of two factors have the same order over the cells, or the opposite one."""
    from scipy.stats import spearmanr

    return first == second or abs(float(spearmanr(list(first.values()), list(second.values())).statistic)) > 1 - RANK_TOLERANCE


def _mean(cells: Sequence[Cell]) -> float:
    """Mean of the cells' means: each cell counts once, however many seeds it has."""
    return float(np.mean([of.mean for cell in cells if (of := cell.summary(METRIC)) is not None]))


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _corrected(found: list[Any]) -> list[Any]:
    adjusted = iter(holm([one.p for one in found if one.p is not None]))
    return [one if one.p is None else replace(one, p=next(adjusted)) for one in found]
