"""Averages of the weights equal their sources' formulas, written out plainly."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import EMAWeightAveraging
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor, nn

from resnet_lit.callbacks.averaging import ExponentialMovingAverage, Lookahead, build_averaging
from resnet_lit.config import load, replace
from resnet_lit.models.resnet import ResNet
from resnet_lit.module import LitClassifier
from resnet_lit.optim.muon import Muon
from resnet_lit.sections import Averaging, Scheduler
from resnet_lit.typed import ConfigError

STEPS = 23
State = dict[str, Tensor]


def learn(network: nn.Module, step: int) -> None:
    """A step's change of parameters and of BatchNorm's statistics, drawn for the step."""
    torch.manual_seed(step)
    with torch.no_grad():
        network.train()(torch.randn(4, 3, 8, 8))
        for p in network.parameters():
            p.add_(torch.randn_like(p), alpha=0.1)


def trained(average: Any, watch: Callable[[int, nn.Module], None] = lambda step, network: None) -> nn.Module:
    """A network after so many steps, each of two batches whose gradients are accumulated, with a callback that averages."""
    torch.manual_seed(0)
    module = LitClassifier(ResNet([1], [4]), mean=[0.5] * 3, std=[0.2] * 3)
    trainer: Any = SimpleNamespace(global_step=0, state=SimpleNamespace(fn=TrainerFn.FITTING))
    average.on_train_start(trainer, module)
    for step in range(1, STEPS + 1):
        average.on_train_batch_end(trainer, module, None, None, 2 * step)
        learn(module.network, step)
        trainer.global_step = step
        average.on_train_batch_end(trainer, module, None, None, 2 * step + 1)
        average.on_validation_start(trainer, module)
        watch(step, module.network)
        average.on_validation_end(trainer, module)
    average.on_train_end(trainer, module)
    return module.network


def reference(update: Callable[[State, State, int], None]) -> State:
    """The second set of weights after all steps. update(second, the network's, step): called after a step, may change both."""
    torch.manual_seed(0)
    network = ResNet([1], [4]).to(memory_format=torch.channels_last)  # as a module's: the order in which changes are drawn
    second = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    for step in range(1, STEPS + 1):
        learn(network, step)
        with torch.no_grad():
            update(second, network.state_dict(), step)
    return second


def floats(state: State) -> State:
    return {name: tensor for name, tensor in state.items() if tensor.is_floating_point()}


def equal(one: State, other: State) -> bool:
    return floats(one).keys() == floats(other).keys() and all(torch.equal(one[name], other[name]) for name in floats(one))


def test_lookahead_is_airbenchs() -> None:
    """LookaheadState of airbench94.py: every five steps and once at the end, all floating-point values of the state_dict."""
    decays = [0.95**5 * (step / STEPS) ** 3 for step in range(STEPS + 1)]

    def update(slow: State, fast: State, step: int) -> None:
        for decay in ([decays[step]] if step % 5 == 0 else []) + ([1.0] if step == STEPS else []):
            for name in floats(slow):
                slow[name].lerp_(fast[name], 1 - decay)
                fast[name].copy_(slow[name])

    ours = trained(Lookahead(0.95**5, every_steps=5, power=3, steps=STEPS))
    assert equal(ours.state_dict(), reference(update))


def test_lookahead_with_a_constant_decay_is_the_papers() -> None:
    """Algorithm 1 of Zhang et al. 2019: slow += alpha (fast - slow), fast = slow, after every k steps."""

    def update(slow: State, fast: State, step: int) -> None:
        if step % 4 == 0:
            for name in floats(slow):
                slow[name] += 0.3 * (fast[name] - slow[name])
                fast[name].copy_(slow[name])

    ours = floats(trained(Lookahead(0.7, every_steps=4, steps=STEPS)).state_dict())
    torch.testing.assert_close(ours, floats(reference(update)))


@pytest.mark.parametrize("warmup", [False, True])
def test_an_exponential_moving_average_is_evaluated_and_kept(warmup: bool) -> None:
    """d * average + (1 - d) * weights every other step; with warm-up d is that of tf.train.ExponentialMovingAverage."""
    evaluated: dict[int, State] = {}
    statistics = []

    def watch(step: int, network: nn.Module) -> None:
        evaluated[step] = copy.deepcopy(network.state_dict())

    def update(average: State, weights: State, step: int) -> None:
        if step % 2 == 0:
            decay = min(0.6, (1 + step // 2) / (10 + step // 2)) if warmup else 0.6
            for name in floats(average):
                average[name].lerp_(weights[name], 1 - decay)
        statistics.append(equal(evaluated[step], average))

    ours = trained(ExponentialMovingAverage(0.6, every_steps=2, warmup=warmup), watch)
    assert equal(ours.state_dict(), reference(update))
    assert statistics == [True] * STEPS  # so training went on from the trained weights


def test_an_average_of_bfloat16_weights_moves_by_small_parts() -> None:
    module = LitClassifier(ResNet([1], [4]).bfloat16(), mean=[0.5] * 3, std=[0.2] * 3)
    weight, average = module.network.fc.weight, ExponentialMovingAverage(0.999)
    trainer: Any = SimpleNamespace(global_step=0, state=SimpleNamespace(fn=TrainerFn.FITTING))
    weight.data.fill_(1)
    average.on_train_start(trainer, module)
    weight.data.fill_(2)
    for trainer.global_step in range(1, 501):
        average.on_train_batch_end(trainer, module, None, None, 0)
    average.on_train_end(trainer, module)
    torch.testing.assert_close(weight.detach(), torch.full_like(weight, 2 - 0.999**500))


def test_no_step_waits_for_the_device() -> None:
    """Tensors of the meta device have no values: whatever looked at one would fail."""
    with torch.device("meta"):
        module = LitClassifier(ResNet([1, 1], [4, 8]), mean=[0.5] * 3, std=[0.2] * 3)
    optimizer = Muon(module.network.parameters(), weight_decay=0.1)
    for p in module.network.parameters():
        p.grad = torch.empty_like(p)
    trainer: Any = SimpleNamespace(global_step=0, state=SimpleNamespace(fn=TrainerFn.FITTING))
    averages: list[Any] = [ExponentialMovingAverage(0.9, warmup=True), Lookahead(0.9, every_steps=1, steps=3)]
    for average in averages:
        average.on_train_start(trainer, module)
    for trainer.global_step in (1, 2, 3):
        optimizer.step()
        for average in averages:
            average.on_train_batch_end(trainer, module, None, None, 0)
    with pytest.raises(RuntimeError, match="meta"):
        next(module.network.parameters()).sum().item()


def test_two_ways_to_average_are_refused() -> None:
    class ScheduleFree(torch.optim.SGD):
        def train(self) -> None: ...

        def eval(self) -> None: ...

    optimizer: Any = torch.optim.SGD([torch.zeros(1)])
    ema = Averaging(name="ema", method="ema", decay=0.9)
    with pytest.raises(ConfigError, match=r"^averaging=ema: EMAWeightAveraging averages weights, too"):
        build_averaging(ema, 10, [EMAWeightAveraging()], optimizer)
    with pytest.raises(ConfigError, match=r"^averaging=ema: ScheduleFree averages weights, too"):
        build_averaging(ema, 10, [], ScheduleFree([torch.zeros(1)]))
    assert build_averaging(Averaging(), 10, [EMAWeightAveraging()], optimizer) == []


def test_values_that_a_method_makes_nothing_of_are_refused() -> None:
    config = load("trainer.max_epochs=3")
    endless = dataclasses.replace(config.trainer, max_epochs=None, max_time="00:08:00:00")
    for averaging, line in {
        Averaging(decay=0.5): r"averaging\.decay=0\.5: is nothing of averaging\.method=none",
        Averaging(method="ema", decay=0.5, power=3): r"averaging\.power=3: is nothing of averaging\.method=ema",
        Averaging(method="lookahead", decay=0.5, warmup=True): r"averaging\.warmup=true: is nothing",
        Averaging(method="ema"): r"averaging\.decay=0: .*try averaging=ema",
    }.items():
        with pytest.raises(ConfigError, match=line):
            replace(config, averaging=averaging)
    with pytest.raises(ConfigError, match=r"averaging\.power=3: grows over the run's length"):
        replace(
            config, averaging=Averaging(method="lookahead", decay=0.5, power=3), trainer=endless, scheduler=Scheduler(epochs=1)
        )
