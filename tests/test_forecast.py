"""The forecast's arithmetic against values worked out by hand."""

from __future__ import annotations

import dataclasses
import math

import pytest

from resnet_lit.config import load
from resnet_lit.forecast import (
    Extent,
    OptimizerCost,
    Pace,
    count_evaluations,
    forecast,
    limited,
    makespan,
    optimizer_key,
    over_budget,
    pace_key,
    with_optimizer,
)
from resnet_lit.work import multiply_adds

# 1,050 images in batches of 100: ten full ones and one of 50.
EXTENT = Extent(
    batches=11,
    steps=11,
    epochs=3.0,
    train_images=1050,
    evaluation_images=200,
    test_images=500,
    classes=10,
    compile=None,
    parameters=1000,
    macs=10**9,
)
PACE = Pace(
    start=5.0,
    compiling=7.0,
    compiled=None,
    first=1.0,
    step=(2.0,) * 5,
    small=1.2,
    evaluated=(0.01,) * 5,
    turn=0.5,
    save=0.25,
    close=2.0,
    memory=10**9,
    memory_of="process",
    last_checkpoint=8000,
    best_checkpoint=4000,
    row=50.0,
    rest=30_000,
    outputs_images=100,
)


def config(*words: str):
    return load("+experiment=model4", "data.batch_size=100", "trainer.max_epochs=3", "trainer.log_every_n_steps=10", *words)


def test_every_part_of_a_run_is_in_its_time() -> None:
    found = forecast(config(), EXTENT, PACE)
    assert found.seconds == pytest.approx(
        {
            "start": 6.0,
            "compiling": 7.0,
            "training": 3 * (10 * 2.0 + 1.2 * 2.0 / 2),  # the small batch: half as many images, each a fifth dearer
            "evaluation": 3 * 200 * 0.01,
            "epoch ends": 3 * 0.5,
            "checkpoints": 3 * 0.25,
            "test": 1.5 * 500 * 0.01,  # the last weights, and perhaps the chosen ones
            "close": 2.0,
        }
    )
    assert found.images == 3150
    assert found.training_petaflops == pytest.approx(6 * 1e9 * 3150 / 1e15)
    assert found.evaluation_petaflops == pytest.approx(2 * 1e9 * (3 * 200 + 1.5 * 500) / 1e15)


SMALLER = dataclasses.replace(PACE, smaller=((16, 0.5), (24, 1.0)))
PROGRESSIVE = ("data.resolution=[16,24,32]",)


def test_each_epoch_costs_what_its_size_of_images_does() -> None:
    found, epoch = forecast(config(*PROGRESSIVE), EXTENT, SMALLER), 10 * 2.0 + 1.2
    assert found.seconds["training"] == pytest.approx((0.25 + 0.5 + 1) * epoch)
    rest = forecast(config(*PROGRESSIVE), EXTENT, SMALLER, steps_done=11)
    assert rest.seconds["training"] == pytest.approx((0.5 + 1) * epoch)
    macs = multiply_adds(config().model, 10, (16, 24, 32))
    relative = sum(macs.values()) / macs[32]
    assert found.training_petaflops == pytest.approx(6 * 1e9 * 1050 * relative / 1e15)
    assert rest.training_petaflops == found.training_petaflops  # of the whole run
    assert found.images == 3150
    mixed = forecast(config(*PROGRESSIVE, "trainer.max_time=00:00:00:20"), EXTENT, dataclasses.replace(SMALLER, turn=0.0))
    assert mixed.images < 2 * 1050 + 600  # 7.3 s for the first epoch, 12.6 s for the second
    assert mixed.images > 1050 + 900
    faster = with_optimizer(SMALLER, OptimizerCost(0.1, 0), OptimizerCost(0.2, 0), batches_per_step=1)
    assert dict(faster.smaller) == pytest.approx({16: 0.4, 24: 0.9})


def test_several_views_take_as_many_passes() -> None:
    single, six = forecast(config(), EXTENT, PACE), forecast(config("evaluation.tta=6"), EXTENT, PACE)
    # the chosen weights in six views, on the test and the validation images; the last ones, where others, in one
    passes = 0.5 * 500 + 6 * 500 + 6 * 200
    assert six.seconds["test"] == pytest.approx(passes * 0.01)
    assert six.evaluation_petaflops == pytest.approx(2 * 1e9 * (3 * 200 + passes) / 1e15)
    assert six.training_petaflops == single.training_petaflops
    assert six.disk_end == single.disk_end + 500 * 4 * 10
    final = forecast(config("evaluation.tta=flip", "protocol=final"), dataclasses.replace(EXTENT, evaluation_images=0), PACE)
    assert final.seconds["test"] == pytest.approx(2 * 500 * 0.01)


def test_the_interval_is_what_the_module_says_of_it() -> None:
    found = forecast(config(), EXTENT, PACE)
    repeated, once, second_test = found.total - 15.0, 15.0, 2.5
    half = math.sqrt((0.10 * repeated) ** 2 + (0.25 * once) ** 2 + second_test**2)
    assert (found.low, found.high) == pytest.approx((found.total - half, found.total + half))
    noisy = forecast(config(), EXTENT, dataclasses.replace(PACE, step=(1.8, 1.9, 2.0, 2.1, 2.2)))
    spread = math.sqrt(0.1 / 4) / 2  # standard deviation of the five over their median
    assert noisy.spread == pytest.approx(spread)
    wide = math.sqrt((2.132 * spread * math.sqrt(1.2)) ** 2 + 0.10**2) * repeated
    assert noisy.high - noisy.total == pytest.approx(math.sqrt(wide**2 + (0.25 * once) ** 2 + second_test**2))


def test_a_run_that_ends_within_an_epoch() -> None:
    found = forecast(config("trainer.max_steps=25"), dataclasses.replace(EXTENT, epochs=25 / 11), PACE)
    assert found.seconds["training"] == pytest.approx(23 * 2.0 + 2 * 1.2)
    assert found.images == 2 * 1050 + 3 * 100
    assert found.seconds["evaluation"] == pytest.approx(3 * 2.0)  # twice after an epoch, once at the end


def test_what_is_done_is_not_forecast_again() -> None:
    whole, rest = forecast(config(), EXTENT, PACE), forecast(config(), EXTENT, PACE, steps_done=22)
    assert rest.seconds["training"] == pytest.approx(whole.seconds["training"] / 3)
    assert rest.seconds["evaluation"] == pytest.approx(whole.seconds["evaluation"] / 3)
    assert rest.seconds["start"] == whole.seconds["start"]
    assert rest.training_petaflops == whole.training_petaflops


def test_max_time_ends_the_run() -> None:
    endless = config("trainer.max_time=00:00:01:00", "trainer.max_epochs=null", "scheduler=constant")
    found = forecast(endless, dataclasses.replace(EXTENT, epochs=math.inf), PACE)
    repeated = sum(found.seconds[name] for name in ("training", "evaluation", "epoch ends", "checkpoints"))
    assert repeated == pytest.approx(60, rel=0.1)


def test_short_epochs_do_not_all_end_with_a_checkpoint() -> None:
    short = dataclasses.replace(EXTENT, epochs=1000.0)
    found = forecast(config("trainer.max_epochs=1000"), short, dataclasses.replace(PACE, step=(0.01,) * 5, small=0.1, turn=0.0))
    assert found.seconds["checkpoints"] < 0.01 * found.total
    assert found.seconds["checkpoints"] > 0.004 * found.total


def test_the_disk_at_the_end_and_at_the_peak() -> None:
    found = forecast(config(), EXTENT, PACE)
    rows = 3 + 3 + 1  # readings within epochs, at their ends, and of the test
    rest = 30_000 + 400 * 41 + rows * 50 + 10_000 + 3 * 120
    assert found.disk_end == rest + 12_000
    assert found.disk_peak == rest + 3 * 8000 + 4000
    assert forecast(config("checkpoint.keep=best"), EXTENT, PACE).disk_end == rest + 4000
    assert forecast(config("checkpoint.keep=none"), EXTENT, PACE).disk_end == rest


@pytest.mark.parametrize(
    ("words", "epochs", "count"),
    [
        ((), 3.0, 3),
        (("trainer.check_val_every_n_epoch=2",), 3.0, 2),  # after the second, and of the last weights
        (("trainer.check_val_every_n_epoch=2",), 4.0, 2),
        (("trainer.val_check_interval=5",), 3.0, 6),
        (("trainer.val_check_interval=0.5",), 3.0, 6),
        (("trainer.val_check_interval=5", "trainer.check_val_every_n_epoch=null"), 3.0, 7),
        (("trainer.max_steps=5",), 5 / 11, 1),
    ],
)
def test_evaluations_are_counted(words: tuple[str, ...], epochs: float, count: int) -> None:
    assert count_evaluations(config(*words), dataclasses.replace(EXTENT, epochs=epochs)) == count


def test_nothing_held_out_is_not_evaluated() -> None:
    assert count_evaluations(config(), dataclasses.replace(EXTENT, evaluation_images=0)) == 0
    assert (limited(200, 64, None), limited(200, 64, 2), limited(200, 64, 0.5), limited(200, 64, 0)) == (200, 128, 128, 0)


def test_model_4_costs_what_the_paper_s_numbers_say() -> None:
    """6 x 328,783,872 multiply-adds x 50,000 images x 200 epochs, as the experiment's file has it: 19.7 petaFLOPs."""
    from resnet_lit.models.cost import count_multiply_adds
    from resnet_lit.schema import architecture

    paper = load("+experiment=model4", "protocol=paper")
    macs = count_multiply_adds(architecture(paper.model))
    extent = dataclasses.replace(EXTENT, batches=391, steps=391, epochs=200.0, train_images=50_000, macs=macs)
    assert forecast(paper, extent, PACE).training_petaflops == pytest.approx(19.7, abs=0.05)


def test_another_optimizer_changes_step_memory_and_checkpoints_alone() -> None:
    own, rehearsed = OptimizerCost(0.5, 3000), OptimizerCost(0.2, 1000)
    pace = with_optimizer(dataclasses.replace(PACE, last_checkpoint=2000, save=1.0), own, rehearsed, batches_per_step=3)
    assert pace.step == pytest.approx([step + 0.1 for step in PACE.step])
    assert pace.memory == PACE.memory + 2000
    assert (pace.last_checkpoint, pace.save) == (4000, 2.0)
    assert (
        dataclasses.replace(pace, step=PACE.step, memory=PACE.memory, last_checkpoint=PACE.last_checkpoint, save=PACE.save)
        == PACE
    )


def test_what_costs_the_same_is_timed_once() -> None:
    key = pace_key(load("+experiment=model4"))
    for word in (
        "evaluation.tta=6",
        "seed=1",
        "optimizer.lr=0.01",
        "scheduler=step",
        "trainer.max_epochs=5",
        "budget.hours=3",
        "protocol=paper",
    ):
        assert pace_key(load("+experiment=model4", word)) == key, word
    for word in ("data.batch_size=64", "augment=all", "compile=false", "model=model1", "threads=1", "data.resolution=[24,32]"):
        assert pace_key(load("+experiment=model4", word)) != key, word
    adam, momentum = load("+experiment=model4", "optimizer=adam"), load("+experiment=model4")
    assert pace_key(adam) == key  # the network's part is the same
    assert optimizer_key(adam) != optimizer_key(momentum)
    assert optimizer_key(momentum) == optimizer_key(load("+experiment=model4", "optimizer.momentum=0.8", "optimizer.lr=0.2"))
    own = pace_key(load("+experiment=model4", "optimizer._target_=torch.optim.LBFGS", "optimizer.momentum=null"))
    assert own != key
    assert pace_key(load("+experiment=model4", "model.dropout=0.1")) == pace_key(load("+experiment=model4", "model.dropout=0.2"))


def test_slots_are_filled_in_order() -> None:
    assert makespan([3, 1, 1, 1], 2) == 3
    assert makespan([1, 1, 4], 2) == 5
    assert makespan([], 4) == 0


def test_a_budget_is_exceeded_in_one_line() -> None:
    found = dataclasses.replace(forecast(config(), EXTENT, PACE), seconds={"training": 7200.0}, low=6600.0, high=7920.0)
    assert over_budget([found], None, "budget.hours", "x") is None
    assert over_budget([found], 2.0, "budget.hours", "x") is None
    assert over_budget([found], 1.5, "budget.hours", "train for fewer epochs") == (
        "budget.hours=1.5: the run is forecast to take 2:00:00 (1:50:00 to 2:12:00); "
        "train for fewer epochs, or use budget.hours=2.2 or budget.on_exceed=warn"
    )
    assert over_budget([found, found], 3.0, "sweep.hours", "choose fewer of them") == (
        "sweep.hours=3: the 2 runs to do are forecast to take 4:00:00 (3:40:00 to 4:24:00); "
        "choose fewer of them, or use sweep.hours=4.4 or budget.on_exceed=warn"
    )
