"""Runs that may be compared lie in one section; seeds alone are averaged."""

from __future__ import annotations

from pathlib import Path

import pytest
from made_runs import make_run
from scipy import stats

from resnet_lit.record import read, write
from resnet_lit.reporting.cells import sections
from resnet_lit.reporting.runs import read_runs

ADAM = {"optimizer.name": "adam", "optimizer._target_": "torch.optim.Adam", "optimizer.lr": 0.001}
SGD = {"optimizer.name": "sgd", "optimizer._target_": "torch.optim.SGD"}


def test_seeds_are_averaged_with_a_t_interval(tmp_path: Path) -> None:
    values = [0.90, 0.91, 0.93]
    for seed, value in enumerate(values):
        make_run(tmp_path / str(seed), seed=seed, accuracy=value)
    ((cell,),) = [section.cells for section in sections(read_runs([tmp_path])[0])]
    found = cell.summary("test/accuracy")
    low, high = stats.t.interval(0.95, 2, loc=sum(values) / 3, scale=stats.sem(values))
    assert (found.mean, found.n) == (pytest.approx(sum(values) / 3), 3)
    assert (found.low, found.high) == (pytest.approx(low), pytest.approx(high))
    assert cell.title == "model4"


def test_one_seed_has_no_interval(tmp_path: Path) -> None:
    make_run(tmp_path / "run")
    ((cell,),) = [section.cells for section in sections(read_runs([tmp_path])[0])]
    found = cell.summary("test/accuracy")
    assert (found.n, found.sd, found.low, found.high) == (1, None, None, None)


@pytest.mark.parametrize(
    "other",
    [
        {"variant": "cifar10"},
        {"protocol": "paper"},
        {"scale": "smoke"},
        {"values": {"data.limit_test": 500}, "data": None},
    ],
)
def test_other_data_protocols_scales_and_test_sets_are_sections_of_their_own(tmp_path: Path, other: dict) -> None:
    make_run(tmp_path / "one")
    if "data" in other:
        (run,), _ = read_runs([tmp_path])
        other = {**other, "data": {**run.record["data"], "sizes": {"train": 45_000, "validation": 5_000, "test": 500}}}
    make_run(tmp_path / "other", seed=1, **other)
    found = sections(read_runs([tmp_path])[0])
    assert [len(section.runs) for section in found] == [1, 1]
    assert len({section.anchor for section in found}) == 2


def test_sections_say_what_does_not_compare(tmp_path: Path) -> None:
    make_run(tmp_path / "one", protocol="paper")
    make_run(tmp_path / "two", scale="smoke")
    real, smoke = sections(read_runs([tmp_path])[0])
    assert any("Published CIFAR-10 numbers do not compare with cifar10-jpeg" in note for note in real.notes)
    assert any("The test set chose the epoch" in note for note in real.notes)
    assert smoke.says_nothing
    assert any("say nothing" in note for note in smoke.notes)


def test_factors_are_what_varies_and_a_choice_stands_for_its_values(tmp_path: Path) -> None:
    for optimizer in (SGD, ADAM):
        for size in (64, 128):
            values = {**optimizer, "data.batch_size": size}
            make_run(tmp_path / f"{optimizer['optimizer.name']}-{size}", values)
    (section,) = sections(read_runs([tmp_path])[0])
    assert section.factors == {"optimizer": ("adam", "sgd"), "batch_size": (64, 128)}
    assert section.cells[1].title == "model4 optimizer=adam batch_size=128"


def test_what_a_choice_does_not_settle_is_a_factor_beside_it(tmp_path: Path) -> None:
    for index, values in enumerate(({**SGD, "optimizer.lr": 0.1}, {**SGD, "optimizer.lr": 0.05}, ADAM)):
        make_run(tmp_path / str(index), values)
    (section,) = sections(read_runs([tmp_path])[0])
    assert section.factors == {"optimizer": ("adam", "sgd"), "lr": (0.001, 0.05, 0.1)}


def test_the_values_of_a_rule_have_its_name(tmp_path: Path) -> None:
    for index, decay in enumerate((0.0, 0.1)):
        make_run(tmp_path / str(index), {"optimizer.groups.head.weight_decay": decay})
    (section,) = sections(read_runs([tmp_path])[0])
    assert section.factors == {"head.weight_decay": (0.0, 0.1)}


def test_an_average_is_a_choice_and_records_of_before_have_none(tmp_path: Path) -> None:
    for name, values in (("none", {}), ("ema", {"averaging.method": "ema", "averaging.decay": 0.99})):
        folder = make_run(tmp_path / name, {"averaging.name": name, **values})
        if name == "none":
            record = read(folder)
            write(folder, {**record, "config": {key: value for key, value in record["config"].items() if key != "averaging"}})
    (section,) = sections(read_runs([tmp_path])[0])
    assert section.factors == {"averaging": ("ema", "none")}


def test_runs_that_did_not_finish_stay_in_their_cell_and_out_of_its_mean(tmp_path: Path) -> None:
    make_run(tmp_path / "a", seed=0, accuracy=0.9)
    make_run(tmp_path / "b", seed=1, status="diverged")
    ((cell,),) = [section.cells for section in sections(read_runs([tmp_path])[0])]
    assert cell.by_seed("test/accuracy") == {0: 0.9}
    assert [(run.seed, run.status, run.reason) for run in cell.others] == [(1, "diverged", "made to be diverged")]
