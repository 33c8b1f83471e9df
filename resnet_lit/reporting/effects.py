"""What the swept factors of a section do to test accuracy: main effects, interactions, trends. The models are statsmodels' OLS.

Each factor's effect is that of an additive model of all runs, the other factors held; a full grid is not needed. Whether two
factors interact is an F test of the model with their products against the one without.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from resnet_lit.reporting.cells import Cell, Section
from resnet_lit.reporting.contents import Effect, Effects, Interaction, Level, Trend
from resnet_lit.reporting.statistics import ALPHA, holm
from resnet_lit.typed import show

METRIC = "test/accuracy"
MOST_LEVELS = 16  # of a factor: one with more values is a search, and a trend says more than so many means
MOST_FACTORS = 6  # whose pairs are looked at


def effects(section: Section) -> Effects:
    """Main effects, interactions and trends of the section's factors; empty where there is nothing to tell apart."""
    cells = [cell for cell in section.measured if cell.summary(METRIC) is not None]
    few = [name for name in section.factors if 2 <= len(_levels(section, cells, name)) <= MOST_LEVELS]
    trends = tuple(_trends(section, cells, [name for name in section.factors if name not in few]))
    if not few or len(cells) < 3:
        return Effects((), (), trends, ())
    values = np.array([run for cell in cells for run in cell.by_seed(METRIC).values()])
    repeats = [len(cell.by_seed(METRIC)) for cell in cells]
    columns = {name: np.repeat(_coded(section, cells, name), repeats, axis=0) for name in few}
    few, confounded = _separable(few, columns)
    if not few:
        return Effects((), (), trends, tuple(confounded))
    full = _fit(values, _design(columns, few))
    found = [_effect(section, cells, name, few, columns, full) for name in few]
    pairs = list(itertools.combinations(few[:MOST_FACTORS], 2))
    grids = [_interaction(section, cells, *pair, columns, full) for pair in pairs]
    return Effects(tuple(_corrected(found)), tuple(_corrected(grids)), trends, tuple(confounded))


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


def _separable(names: list[str], columns: dict[str, np.ndarray]) -> tuple[list[str], list[str]]:
    """The factors whose effects the runs tell apart, and those that change only together with others."""
    kept: list[str] = []
    for name in names:
        both = _design(columns, [*kept, name])
        if np.linalg.matrix_rank(both.T @ both, hermitian=True) == both.shape[1]:  # whole numbers: exact
            kept.append(name)
    return kept, [name for name in names if name not in kept]


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


def _trends(section: Section, cells: list[Cell], names: list[str]) -> list[Trend]:
    from scipy.stats import spearmanr

    found = []
    for name in names:
        pairs = [(cell.factors[name], cell.summary(METRIC)) for cell in cells]
        numbers = [(value, of.mean) for value, of in pairs if isinstance(value, int | float) and of is not None]
        if len(numbers) < 5 or len({value for value, _ in numbers}) < 3:
            continue
        test = spearmanr(*zip(*numbers, strict=True))
        found.append(Trend(name, len({value for value, _ in numbers}), float(test.statistic), float(test.pvalue)))
    return [Trend(one.factor, one.values, one.correlation, p) for one, p in zip(found, holm([t.p for t in found]), strict=True)]


def _mean(cells: Sequence[Cell]) -> float:
    """Mean of the cells' means: each cell counts once, however many seeds it has."""
    return float(np.mean([of.mean for cell in cells if (of := cell.summary(METRIC)) is not None]))


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _corrected(found: list[Any]) -> list[Any]:
    adjusted = iter(holm([one.p for one in found if one.p is not None]))
    return [one if one.p is None else replace(one, p=next(adjusted)) for one in found]
