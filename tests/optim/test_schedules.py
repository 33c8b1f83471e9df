"""Every schedule equals torch's own, step for step."""

from __future__ import annotations

import pytest
import torch
from torch.optim import lr_scheduler as theirs

from resnet_lit.optim import schedules as ours

EPOCHS = 20


def rates(scheduler_of, steps: int) -> list[float]:
    """The learning rates that a torch scheduler gives, from a base of 1."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = scheduler_of(optimizer)
    found = []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


def test_cosine_also_beyond_its_end() -> None:
    expected = rates(lambda o: theirs.CosineAnnealingLR(o, EPOCHS, eta_min=0.01), 25)  # the paper's script: 250 epochs on 200
    assert [ours.cosine(e, EPOCHS, 0.01) for e in range(25)] == pytest.approx(expected, abs=1e-9)


def test_sgdr() -> None:
    expected = rates(lambda o: theirs.CosineAnnealingWarmRestarts(o, T_0=3, T_mult=2), 30)
    assert [ours.sgdr(e, EPOCHS, period=3, multiply=2) for e in range(30)] == pytest.approx(expected, abs=1e-9)


def test_step_by_epochs_and_by_shares() -> None:
    expected = rates(lambda o: theirs.MultiStepLR(o, [10, 15], gamma=0.1), EPOCHS)
    assert [ours.step(e, EPOCHS, (0.5, 0.75)) for e in range(EPOCHS)] == pytest.approx(expected)
    assert [ours.step(e, EPOCHS, (10, 15)) for e in range(EPOCHS)] == pytest.approx(expected)


def test_a_share_that_does_not_multiply_exactly_is_not_an_epoch_late() -> None:
    assert 0.55 * 100 > 55
    assert ours.step(54, 100, (0.55,)) == 1.0
    assert ours.step(55, 100, (0.55,)) == 0.1


@pytest.mark.parametrize("args", [{"period": 0.0}, {"multiply": 0.0}, {"multiply": 0.5}])
def test_sgdr_refuses_periods_that_never_reach_the_end(args: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="multiply at least 1"):
        ours.sgdr(25.0, EPOCHS, **args)


def test_linear() -> None:
    expected = rates(lambda o: theirs.LinearLR(o, 1.0, 1e-12, EPOCHS), EPOCHS + 3)
    assert [ours.linear(e, EPOCHS) for e in range(EPOCHS + 3)] == pytest.approx(expected, abs=1e-9)


def test_one_cycle() -> None:
    steps = 101  # torch's last step is total_steps - 1
    expected = rates(lambda o: theirs.OneCycleLR(o, max_lr=1.0, total_steps=steps, pct_start=0.3), steps - 1)
    # torch peaks at 0.3 * total_steps - 1, ours at 0.3 of the length
    rise = (0.3 * steps - 1) / (steps - 1)
    assert [ours.one_cycle(s / 5, 20, rise=rise) for s in range(steps - 1)] == pytest.approx(expected, abs=1e-9)


def test_one_cycle_may_rise_to_the_end() -> None:
    assert [ours.one_cycle(e, EPOCHS, rise=1.0) for e in (0, 20, 21)] == pytest.approx([0.04, 1.0, 1.0])


def test_constant() -> None:
    assert {ours.constant(e, EPOCHS) for e in range(30)} == {1.0}


def test_triangular_is_airbenchs() -> None:
    def airbench(step: int, steps: int) -> float:
        warmup = int(steps * 0.23)
        if step < warmup:
            return 0.2 + 0.8 * step / warmup
        return 1 - 0.93 * (step - warmup) / (steps - warmup)

    assert [ours.triangular(e / 10, 10) for e in range(101)] == pytest.approx([airbench(step, 100) for step in range(101)])
    assert [ours.triangular(e, 8, peak=1.0, start=0.5) for e in (0, 4, 8, 9)] == [0.5, 0.75, 1.0, 1.0]
    assert [ours.triangular(e, 8, peak=0.0, final=0.5) for e in (0, 4, 8, 9)] == [1.0, 0.75, 0.5, 0.5]
