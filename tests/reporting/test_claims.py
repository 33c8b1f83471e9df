"""The verdict: few sweeps that repeat the paper hold a false one, and real differences are found as often as stated."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from made_runs import make_paper_run
from scipy import stats

from resnet_lit import paper
from resnet_lit.reporting.build import build
from resnet_lit.reporting.claims import judge
from resnet_lit.reporting.contents import Claim

NUMBERS = 52  # test accuracies of `+sweep=paper` that are printed, each beside the cells that repeat it
MARGIN, UNIT = 0.005, 1e-4


def verdicts(random: np.random.Generator, n: int, sd: np.ndarray, apart: np.ndarray) -> list[str]:
    """One simulated sweep: n runs of each number here, one in the paper, `apart` away from it."""
    count = len(sd)
    ours = random.normal(0.94, sd[:, None], (count, n))
    printed = np.round(random.normal(0.94 + apart, sd), 4)
    mean, spread = ours.mean(1), ours.std(1, ddof=1)
    margin, unit = np.full(count, MARGIN), np.full(count, UNIT)
    return [verdict for verdict, _ in judge(mean, spread, np.full(count, n), printed, margin, unit)]


@pytest.mark.parametrize("n", [2, 3, 5, 10])
def test_a_thousand_sweeps_that_repeat_the_paper_hold_few_false_contradictions(n: int) -> None:
    random = np.random.default_rng(n)
    sd = random.uniform(0.0005, 0.003, NUMBERS)  # cells need not be equally noisy
    false = sum("contradicted" in verdicts(random, n, sd, np.zeros(NUMBERS)) for _ in range(1000))
    assert false / 1000 <= 0.05 + 2 * 0.007  # two standard errors of 1,000 sweeps


@pytest.mark.parametrize("n", [3, 5, 10])
def test_what_lies_at_the_margin_is_seldom_confirmed(n: int) -> None:
    random = np.random.default_rng(n)
    false = 0
    for _ in range(1000):
        ours = random.normal(0.94, 0.0015, (NUMBERS, n))
        columns = ours.mean(1), ours.std(1, ddof=1), np.full(NUMBERS, n), np.full(NUMBERS, 0.94 + MARGIN)
        found = judge(*columns, np.full(NUMBERS, MARGIN), np.full(NUMBERS, UNIT))
        false += any(verdict == "confirmed" for verdict, _ in found)
    assert false / 1000 <= 0.05 + 2 * 0.007


@pytest.mark.parametrize(("points", "n"), [(2.0, 5), (1.0, 10)])
def test_a_wrong_number_is_contradicted_as_often_as_stated(points: float, n: int) -> None:
    """The power that docs/report.md states: of a noncentral t test at 5 % over 52, by Bonferroni; Holm has at least that."""
    sd, apart = 0.0015, np.zeros(NUMBERS)
    apart[0] = points / 100
    limit = stats.t.ppf(1 - 0.025 / NUMBERS, n - 1)
    stated = stats.nct.sf(limit, n - 1, points / 100 / (sd * np.sqrt(1 + 1 / n)))
    random = np.random.default_rng(1)
    found = np.mean([verdicts(random, n, np.full(NUMBERS, sd), apart)[0] == "contradicted" for _ in range(500)])
    assert found >= stated - 0.06


def test_one_seed_is_never_judged() -> None:
    (found,) = judge(*(np.array([value]) for value in (0.94, np.nan, 1, 0.5, MARGIN, UNIT)))
    assert found == ("not distinguishable", None)


def test_without_runs_everything_is_in_the_report_and_not_measured(tmp_path: Path) -> None:
    report = build([tmp_path])
    assert Counter(claim.verdict for claim in report.claims) == {"not measured": 24 * 2 * 4 + 4 * 2}
    assert {order.verdict for order in report.orders} == {"not measured"}
    assert len(report.audit) == 8
    assert {table.name for table in report.tables} >= {*(f"figure {n}" for n in range(5, 13)), "regularisation", "parameters"}


def headline(tmp_path: Path, **options: object) -> dict[str, str]:
    """The verdicts on the headline's test accuracy, with five seeds about it."""
    for seed, noise in enumerate((-0.001, 0.0, 0.001, 0.0005, -0.0005)):
        make_paper_run(tmp_path / str(seed), "model4_sgd_momentum", seed=seed, accuracy=0.9514 + noise, **options)
    return {claim.quantity: claim.verdict for claim in of_figure_4(tmp_path)}


def of_figure_4(folder: Path) -> list[Claim]:
    return [claim for claim in build([folder]).claims if claim.place == "figure 4"]


def test_the_headline_is_confirmed_by_runs_that_give_it(tmp_path: Path) -> None:
    assert headline(tmp_path)["test accuracy"] == "confirmed"


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"variant": "cifar10-jpeg"}, "other images: published CIFAR-10 numbers do not compare with cifar10-jpeg"),
        ({"protocol": "holdout"}, "protocol=holdout: fewer training images, and the epoch is chosen differently"),
        ({"protocol": "final"}, "protocol=final: the epoch is chosen differently"),
    ],
)
def test_other_images_and_protocols_are_not_compared_with_printed_numbers(tmp_path: Path, options: dict, why: str) -> None:
    assert headline(tmp_path, **options)["test accuracy"] == "not comparable"
    assert {claim.why for claim in of_figure_4(tmp_path)} == {why}


def test_reduced_scales_repeat_nothing(tmp_path: Path) -> None:
    assert headline(tmp_path, scale="smoke")["test accuracy"] == "not measured"


def test_orders_are_judged_on_any_data_and_named_with_them(tmp_path: Path) -> None:
    accuracies = {"model4_batch_32": 0.94, "model4_batch_64": 0.945, "model4_sgd_momentum": 0.9399}
    for cell, mean in accuracies.items():
        for seed in range(5):
            noise = 0.0003 * np.cos(seed * 7 + mean * 1e4)
            options = {"variant": "cifar10-jpeg", "protocol": "holdout"}
            make_paper_run(tmp_path / f"{cell}-{seed}", cell, seed=seed, accuracy=mean + noise, **options)
    order = build([tmp_path]).orders[0]
    assert order.verdict == "contradicted"
    assert [contrast.verdict for contrast in order.contrasts] == ["contradicted", "contradicted"]
    assert order.contrasts[0].printed == pytest.approx(0.9454 - 0.9397)
    assert order.contrasts[0].what == "model4: batch 32 minus batch 64"
    assert "cifar10-jpeg, protocol holdout" in order.why


def test_every_cell_of_the_paper_has_its_place_in_the_report(tmp_path: Path) -> None:
    for cell in paper.CELLS:
        make_paper_run(tmp_path / cell.name, cell.name)
    assert set(build([tmp_path]).paper_cells) == {cell.name for cell in paper.CELLS}
