"""Effects of swept factors, on made sweeps whose effects are known."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from made_runs import make_run
from pandas import DataFrame
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm

from resnet_lit.reporting.analysis import pareto, ranking
from resnet_lit.reporting.cells import Section, sections
from resnet_lit.reporting.effects import effects
from resnet_lit.reporting.runs import read_runs

SIZES, DECAYS = (32, 64, 128), (0.0, 0.0005)


def sweep(folder: Path, accuracy: Callable[[int, float], float], without: tuple[tuple[int, float], ...] = ()) -> Section:
    random = np.random.default_rng(0)
    for size in SIZES:
        for decay in DECAYS:
            for seed in range(3):
                value = accuracy(size, decay) + random.normal(0, 0.001)
                if (size, decay) not in without:
                    values = {"data.batch_size": size, "optimizer.weight_decay": decay}
                    make_run(folder / f"{size}-{decay}-{seed}", values, seed=seed, accuracy=value)
    (section,) = sections(read_runs([folder])[0])
    return section


def test_main_effects_are_found_with_their_size(tmp_path: Path) -> None:
    found = effects(sweep(tmp_path, lambda size, decay: 0.9 + 0.01 * (decay > 0)))
    by_name = {effect.factor: effect for effect in found.effects}
    low, high = by_name["weight_decay"].levels
    assert high.effect == pytest.approx(0.005, abs=0.001)
    assert high.low < 0.005 < high.high
    assert low.effect == pytest.approx(-high.effect)
    assert by_name["weight_decay"].p < 0.001
    assert by_name["batch_size"].p > 0.05
    assert [level.runs for level in by_name["batch_size"].levels] == [6, 6, 6]


def test_an_interaction_is_the_f_test_of_an_analysis_of_variance(tmp_path: Path) -> None:
    section = sweep(tmp_path, lambda size, decay: 0.9 + 0.004 * (decay > 0) * (size == 64))
    (found,) = effects(section).interactions
    table = [
        (value, str(cell.factors["batch_size"]), str(cell.factors["weight_decay"]))
        for cell in section.cells
        for value in cell.by_seed("test/accuracy").values()
    ]
    data = DataFrame(table, columns=["y", "a", "b"])
    simple, full = ols("y ~ C(a) + C(b)", data).fit(), ols("y ~ C(a) * C(b)", data).fit()
    assert found.p == pytest.approx(anova_lm(simple, full)["Pr(>F)"].iloc[1])
    assert (found.first_values, found.second_values) == (DECAYS, SIZES)
    assert found.means[1][1] - found.means[0][1] == pytest.approx(0.004, abs=0.002)


def test_a_grid_with_holes_is_analysed_and_its_holes_are_empty(tmp_path: Path) -> None:
    section = sweep(tmp_path, lambda size, decay: 0.9 + 0.01 * (size == 64), without=((32, 0.0), (128, 0.0005)))
    found = effects(section)
    (grid,) = found.interactions
    assert [[mean is None for mean in row] for row in grid.means] == [[True, False, False], [False, False, True]]
    batch = next(effect for effect in found.effects if effect.factor == "batch_size")
    assert batch.levels[1].effect == pytest.approx(0.0067, abs=0.001)


def test_factors_that_change_together_have_no_effect_of_their_own(tmp_path: Path) -> None:
    for index, (size, decay) in enumerate(((32, 0.0), (64, 0.0005), (128, 0.001))):
        for flip in (0.0, 0.5):
            for seed in range(2):
                values = {"data.batch_size": size, "optimizer.weight_decay": decay, "augment.flip": flip}
                accuracy = 0.9 + size / 1e4 + flip / 100 + (seed + index) / 1e3
                make_run(tmp_path / f"{index}-{flip}-{seed}", values, seed=seed, accuracy=accuracy)
    (section,) = sections(read_runs([tmp_path])[0])
    found = effects(section)
    assert [set(group) for group in found.confounded] == [{"batch_size", "weight_decay"}]
    (flip,) = found.effects  # what the other two do together is held: it is not mixed into this one
    assert flip.factor == "flip"
    assert flip.levels[1].effect == pytest.approx(0.0025)
    assert flip.levels[1].low == pytest.approx(0.0025, abs=1e-3)


def test_a_factor_that_only_part_of_its_values_ties_to_others_has_no_effect(tmp_path: Path) -> None:
    """Adam has one rate, SGD two: what Adam's rate does and what Adam does are one."""
    for number, (optimizer, lr) in enumerate((("sgd", 0.1), ("sgd", 0.05), ("adam", 0.001))):
        for size in (32, 64):
            values = {"optimizer.name": optimizer, "optimizer.lr": lr, "data.batch_size": size}
            values["optimizer._target_"] = f"torch.optim.{optimizer.upper() if optimizer == 'sgd' else 'Adam'}"
            for seed in range(2):
                make_run(tmp_path / f"{number}-{size}-{seed}", values, seed=seed, accuracy=0.8 + number / 100 + seed / 1e3)
    (section,) = sections(read_runs([tmp_path])[0])
    found = effects(section)
    assert found.confounded == (("optimizer", "lr"),)
    assert [effect.factor for effect in found.effects] == ["batch_size"]


def test_groups_that_change_together_are_named_apart(tmp_path: Path) -> None:
    for index in range(4):
        first, second = index % 2, index // 2
        values = {"data.batch_size": 32 + first, "optimizer.weight_decay": 0.1 * first}
        values |= {"model.dropout": 0.1 * second, "augment.flip": 0.5 * second}
        make_run(tmp_path / str(index), values, accuracy=0.9 + index / 100)
    (section,) = sections(read_runs([tmp_path])[0])
    found = effects(section)
    assert {frozenset(group) for group in found.confounded} == {
        frozenset({"batch_size", "weight_decay"}),
        frozenset({"dropout", "flip"}),
    }
    assert found.effects == found.interactions == ()


def test_rates_searched_together_have_no_trend(tmp_path: Path) -> None:
    for index in range(20):
        values = {"optimizer.lr": 0.01 * (index + 1), "optimizer.weight_decay": 1e-4 * (index + 1)}
        make_run(tmp_path / str(index), values, accuracy=0.9 - index / 1000)
    (section,) = sections(read_runs([tmp_path])[0])
    found = effects(section)
    assert found.trends == ()
    assert [set(group) for group in found.confounded] == [{"lr", "weight_decay"}]


def test_a_search_over_many_values_has_a_trend(tmp_path: Path) -> None:
    for index in range(20):
        make_run(tmp_path / str(index), {"optimizer.lr": 0.01 * (index + 1)}, accuracy=0.9 - index / 1000)
    (section,) = sections(read_runs([tmp_path])[0])
    (trend,) = effects(section).trends
    assert (trend.factor, trend.values, trend.correlation) == ("lr", 20, pytest.approx(-1))


def test_the_best_is_chosen_on_the_validation_part(tmp_path: Path) -> None:
    for size, val, test in ((32, 0.95, 0.90), (64, 0.94, 0.92)):
        for seed in range(3):
            metrics = {"train/accuracy": 1.0, "val/accuracy": val, "test/accuracy": test, "test/accuracy_last": test}
            metrics = {key: value + seed / 1e4 * (size / 32) for key, value in metrics.items()}
            make_run(tmp_path / f"{size}-{seed}", {"data.batch_size": size}, seed=seed, metrics=metrics)
    (section,) = sections(read_runs([tmp_path])[0])
    best, other = ranking(section)
    assert best.cell.factors == {"batch_size": 32}
    assert other.gap.mean == pytest.approx(-0.02, abs=1e-3)


def test_the_pareto_front_has_what_none_beats_in_both(tmp_path: Path) -> None:
    for index, (parameters, accuracy) in enumerate(((100, 0.8), (200, 0.9), (300, 0.85), (400, 0.95))):
        model = {"parameters": parameters, "macs": None}
        make_run(tmp_path / str(index), {"model.channels": [parameters]}, accuracy=accuracy, model=model)
    (section,) = sections(read_runs([tmp_path])[0])
    assert [cell.parameters for cell in pareto(section, "parameters")] == [100, 200, 400]
    assert pareto(section, "macs") == ()
