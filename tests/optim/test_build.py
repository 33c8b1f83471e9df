"""From config to torch: groups, arguments, the learning rate at each step, and going on after a checkpoint."""

from __future__ import annotations

import io
import re
import shlex
from dataclasses import replace

import pytest
import torch
from tests_support import ROOT
from torch import nn

from resnet_lit.config import load
from resnet_lit.models.resnet import ResNet
from resnet_lit.optim.build import build_optimizer, build_scheduler, unused_values
from resnet_lit.sections import Optimizer, Scheduler
from resnet_lit.typed import ConfigError

COSINE = "resnet_lit.optim.schedules.cosine"


def network() -> nn.Module:
    return ResNet([1], [4])


def rates(scheduler: Scheduler, *, epochs: float, steps_per_epoch: int, steps: int) -> list[float]:
    """The learning rate of each step, stepped as Lightning steps it."""
    optimizer = build_optimizer(network(), Optimizer(lr=1.0))
    entry = build_scheduler(optimizer, scheduler, epochs=epochs, steps_per_epoch=steps_per_epoch)
    found = []
    for step in range(1, steps + 1):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if entry["interval"] == "step" or step % steps_per_epoch == 0:
            entry["scheduler"].step()
    return found


@pytest.mark.parametrize(
    ("optimizer", "kind", "expected"),
    [
        (Optimizer(lr=0.1, momentum=0.9, weight_decay=5e-4), torch.optim.SGD, {"lr": 0.1, "momentum": 0.9, "nesterov": False}),
        (Optimizer(momentum=0.9, nesterov=True), torch.optim.SGD, {"nesterov": True}),
        (Optimizer(target="torch.optim.Adam", lr=1e-3, args={"betas": [0.8, 0.99]}), torch.optim.Adam, {"betas": (0.8, 0.99)}),
        (Optimizer(target="torch.optim.RMSprop", lr=1e-3, momentum=0.5), torch.optim.RMSprop, {"momentum": 0.5}),
    ],
)
def test_the_class_gets_its_arguments(optimizer: Optimizer, kind: type, expected: dict[str, object]) -> None:
    built = build_optimizer(network(), optimizer)
    assert type(built) is kind
    assert {key: built.param_groups[0][key] for key in expected} == expected


def test_an_argument_that_the_class_does_not_take_is_named() -> None:
    with pytest.raises(ConfigError, match=r"torch\.optim\.SGD does not take these values: .*'foo'"):
        build_optimizer(network(), Optimizer(args={"foo": 1}))
    with pytest.raises(ConfigError, match=r"optimizer\._target_=torch\.optim\.SDG: cannot be imported"):
        build_optimizer(network(), Optimizer(target="torch.optim.SDG"))


def test_epoch_and_step_intervals() -> None:
    by_epoch = rates(Scheduler(target=COSINE), epochs=4, steps_per_epoch=5, steps=20)
    assert by_epoch[:5] == [1.0] * 5
    assert by_epoch[10:15] == pytest.approx([0.5] * 5)
    by_step = rates(Scheduler(target=COSINE, interval="step"), epochs=4, steps_per_epoch=5, steps=20)
    assert by_step == sorted(by_step, reverse=True)
    assert by_step[10] == pytest.approx(0.5)


def test_the_schedules_length_can_be_set_apart_from_the_runs() -> None:
    found = rates(Scheduler(target=COSINE, epochs=8), epochs=4, steps_per_epoch=5, steps=20)
    assert found[15] == pytest.approx((1 + torch.cos(torch.tensor(torch.pi * 3 / 8)).item()) / 2)


@pytest.mark.parametrize("interval", ["epoch", "step"])
def test_warm_up_rises_by_steps_then_the_schedule_takes_the_rest(interval: str) -> None:
    found = rates(Scheduler(target=COSINE, interval=interval, warmup_epochs=2), epochs=6, steps_per_epoch=5, steps=30)
    assert found[:10] == pytest.approx([(i + 1) / 10 for i in range(10)])
    assert found[10] == pytest.approx(1.0)
    assert found[20] == pytest.approx(0.5)


def test_a_warm_up_that_does_not_multiply_exactly_still_ends_at_the_full_rate() -> None:
    assert 0.28 * 25 > 7
    found = rates(Scheduler(target=COSINE, interval="step", warmup_epochs=0.28), epochs=2, steps_per_epoch=25, steps=8)
    assert found[:7] == pytest.approx([(i + 1) / 7 for i in range(7)])


def test_values_that_a_schedule_refuses_are_one_line() -> None:
    scheduler = Scheduler(target="resnet_lit.optim.schedules.sgdr", args={"multiply": 0.5})
    with pytest.raises(ConfigError, match=r"^scheduler\.args: .*multiply=0\.5"):
        rates(scheduler, epochs=5, steps_per_epoch=2, steps=1)


def test_a_warm_up_longer_than_the_run_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"scheduler\.warmup_epochs=5: leaves nothing"):
        rates(Scheduler(target=COSINE, warmup_epochs=5), epochs=5, steps_per_epoch=2, steps=1)


def test_a_torch_scheduler_class_is_taken_as_it_is() -> None:
    scheduler = Scheduler(target="torch.optim.lr_scheduler.ExponentialLR", args={"gamma": 0.5})
    assert rates(scheduler, epochs=3, steps_per_epoch=1, steps=3) == [1.0, 0.5, 0.25]
    with pytest.raises(ConfigError, match="does not take these values"):
        rates(Scheduler(target="torch.optim.lr_scheduler.ExponentialLR", args={"gama": 1}), epochs=1, steps_per_epoch=1, steps=1)
    plateau = Scheduler(target="torch.optim.lr_scheduler.ReduceLROnPlateau", args={"monitor": "val/accuracy", "mode": "max"})
    optimizer = build_optimizer(network(), Optimizer())
    assert build_scheduler(optimizer, plateau, epochs=1, steps_per_epoch=1)["monitor"] == "val/accuracy"
    with pytest.raises(ConfigError, match=r"scheduler\.interval=step: ReduceLROnPlateau looks at epochs"):
        build_scheduler(optimizer, replace(plateau, interval="step"), epochs=1, steps_per_epoch=1)


def test_another_class_does_not_get_what_a_file_of_ours_gave_to_its_own() -> None:
    """`scheduler._target_=…` alone keeps the args of scheduler=cosine, `optimizer._target_=…` those of optimizer=adam."""
    exponential = Scheduler(target="torch.optim.lr_scheduler.ExponentialLR", args={"gamma": 0.5, "final": 0.0})
    assert rates(exponential, epochs=2, steps_per_epoch=1, steps=2) == [1.0, 0.5]
    rprop = Optimizer(target="torch.optim.Rprop", lr=0.1, args={"betas": [0.9, 0.999], "eps": 1e-8})
    assert isinstance(build_optimizer(network(), rprop), torch.optim.Rprop)
    with pytest.raises(ConfigError, match="unexpected keyword argument 'final'"):  # a value of the user's own
        rates(replace(exponential, args={"gamma": 0.5, "final": 0.3}), epochs=2, steps_per_epoch=1, steps=2)


def test_text_where_a_class_wants_a_number_is_said() -> None:
    adam = Optimizer(target="torch.optim.Adam", args={"betas": ["0.9", 0.99]})
    with pytest.raises(ConfigError, match=r"\(args\.betas holds the text '0\.9': \$\{oc\.decode:…\} makes it a number\)"):
        build_optimizer(network(), adam)


@pytest.mark.parametrize("name", ["cosine", "sgdr", "step", "linear", "one_cycle", "constant"])
def test_rates_after_a_checkpoint_equal_those_without_one(name: str) -> None:
    scheduler = Scheduler(target=f"resnet_lit.optim.schedules.{name}", interval="step", warmup_epochs=0.5)

    def built():
        optimizer = build_optimizer(network(), Optimizer(lr=0.1, momentum=0.9))
        return optimizer, build_scheduler(optimizer, scheduler, epochs=6, steps_per_epoch=5)["scheduler"]

    def go_on(optimizer, schedule, steps: int) -> list[float]:
        found = []
        for _ in range(steps):
            found.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            schedule.step()
        return found

    whole = go_on(*built(), 30)
    optimizer, schedule = built()
    first = go_on(optimizer, schedule, 13)
    buffer = io.BytesIO()
    torch.save([optimizer.state_dict(), schedule.state_dict()], buffer)
    buffer.seek(0)
    states = torch.load(buffer, weights_only=True)  # plain data only
    optimizer, schedule = built()
    schedule.load_state_dict(states[1])
    optimizer.load_state_dict(states[0])
    assert first + go_on(optimizer, schedule, 17) == whole


LION = """
import torch

class Lion(torch.optim.Optimizer):
    def __init__(self, params, lr=1e-4, betas=(0.9, 0.99), weight_decay=0.0):
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure=None):
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            beta1, beta2 = group["betas"]
            for p in group["params"]:
                if p.grad is None:
                    continue
                average = self.state[p].setdefault("average", torch.zeros_like(p))
                p.mul_(1 - group["lr"] * group["weight_decay"])
                p.add_(average.mul(beta1).add(p.grad, alpha=1 - beta1).sign_(), alpha=-group["lr"])
                average.mul_(beta2).add_(p.grad, alpha=1 - beta2)
        return loss

class Bare(torch.optim.Optimizer):
    def __init__(self, params, lr=0.1):
        super().__init__(params, {"lr": lr})

class NoClosure(Bare):
    def step(self):
        pass
"""


@pytest.fixture
def own_optimizers(tmp_path, monkeypatch) -> None:
    (tmp_path / "mypackage.py").write_text(LION)
    monkeypatch.syspath_prepend(str(tmp_path))


def test_readmes_lion_line_builds_as_printed(own_optimizers) -> None:
    line = re.search(r"`(optimizer\._target_=mypackage\.Lion [^`]*)`", (ROOT / "README.md").read_text())
    assert line is not None
    config = load("+experiment=digits", *shlex.split(line[1]))
    optimizer = build_optimizer(network(), config.optimizer)
    assert type(optimizer).__name__ == "Lion"
    assert list(optimizer.defaults["betas"]) == [0.9, 0.99]
    assert (optimizer.defaults["lr"], optimizer.defaults["weight_decay"]) == (1e-4, config.optimizer.weight_decay)


def test_a_class_gets_only_what_it_takes(own_optimizers) -> None:
    settings = Optimizer(target="mypackage.Bare", momentum=0.9, nesterov=True, weight_decay=5e-4, decay="weights")
    (group,) = build_optimizer(network(), settings).param_groups
    assert "weight_decay" not in group
    assert unused_values(settings) == {"optimizer.weight_decay": 5e-4, "optimizer.momentum": 0.9, "optimizer.nesterov": True}
    assert unused_values(Optimizer(momentum=0.9, nesterov=True, weight_decay=5e-4)) == {}


@pytest.mark.parametrize(
    ("target", "line"),
    [
        ("torch.optim.LBFGS", "LBFGS cannot train"),
        ("mypackage.NoClosure", "step takes no closure"),
        ("builtins.dict", "subclass"),
    ],
)
def test_an_optimizer_that_cannot_train_is_refused_in_one_line(target: str, line: str, own_optimizers) -> None:
    with pytest.raises(ConfigError, match=f"^optimizer.*{line}"):
        build_optimizer(network(), Optimizer(target=target))
