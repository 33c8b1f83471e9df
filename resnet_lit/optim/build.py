"""From config to torch: the optimizer, and the learning-rate schedule as Lightning takes it."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from typing import Any

from torch import nn
from torch.optim import LBFGS, Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, ReduceLROnPlateau

from resnet_lit.optim.groups import base_lr, parameter_groups
from resnet_lit.optim.schedules import ROUNDING
from resnet_lit.plugins import locate, parameters_of
from resnet_lit.run_name import shipped_args
from resnet_lit.sections import Optimizer as OptimizerConfig
from resnet_lit.sections import Scheduler as SchedulerConfig
from resnet_lit.typed import ConfigError, flatten, spelled


def build_optimizer(network: nn.Module, optimizer: OptimizerConfig, *, fused: bool = True) -> Optimizer:
    """The optimizer of a config over a network's parameters, called with what its class takes of lr, weight_decay and momentum.

    fused: one pass over all parameters where the class has it and `optimizer.args` says nothing of it: two to three times as
    fast on a CPU, one kernel on a GPU. Raises ConfigError where its class does not take the arguments.
    """
    kind = locate(optimizer.target, "optimizer._target_")
    if isinstance(kind, type) and issubclass(kind, LBFGS):
        raise ConfigError(
            f"optimizer._target_={optimizer.target}: torch's LBFGS cannot train weights in channels_last memory, which every "
            "network has here (use another optimizer)"
        )
    takes = parameters_of(kind)
    args = _without_leftovers(optimizer.args, kind, "optimizer")
    wanted = {name: value for name, value in _wanted(optimizer).items() if name not in args}
    options: dict[str, Any] = {name: value for name, value in wanted.items() if takes is None or name in takes}
    if fused and takes is not None and "fused" in takes and not {"foreach", "fused", "differentiable"} & {*args}:
        options["fused"] = True
    groups = parameter_groups(network, optimizer, {*options, *args} if takes is None else takes)
    try:
        built = kind(groups, **options, **args)
    except Exception as error:  # whatever the user's class raises
        line = _in_a_line(error, args)
        raise ConfigError(f"optimizer={optimizer.name}: {optimizer.target} does not take these values: {line}") from error
    if not isinstance(built, Optimizer):
        raise ConfigError(f"optimizer._target_={optimizer.target}: must be a subclass of torch.optim.Optimizer")
    if any("lr" not in group for group in built.param_groups):
        raise ConfigError(
            f"optimizer._target_={optimizer.target}: its parameter groups have no lr, which schedules set and the log "
            "shows (call `super().__init__(params, {'lr': lr})` in it)"
        )
    if "closure" not in (parameters_of(type(built).step) or ["closure"]):
        raise ConfigError(
            f"optimizer._target_={optimizer.target}: its step takes no closure (write `def step(self, closure=None)`)"
        )
    return built


def has_modes(optimizer: Optimizer) -> bool:
    """Whether an optimizer has other weights to evaluate with, behind `train()` and `eval()`: a schedule-free one."""
    return all(callable(getattr(optimizer, name, None)) for name in ("train", "eval"))


def switch(optimizer: Optimizer, mode: str) -> None:
    """Call `optimizer.train()` or `optimizer.eval()`, as `mode` says, where the optimizer has both."""
    if has_modes(optimizer):
        getattr(optimizer, mode)()


def unused_values(optimizer: OptimizerConfig) -> dict[str, Any]:
    """What a config sets that the optimizer's class does not take, by dotted key: the run trains without it."""
    takes = parameters_of(locate(optimizer.target, "optimizer._target_"))
    if takes is None:
        return {}
    return {f"optimizer.{name}": value for name, value in _wanted(optimizer).items() if value and name not in takes}


def _without_leftovers(args: dict[str, Any], kind: Any, group: str) -> dict[str, Any]:
    """`args` without what a file of the package's own gave to another class: `scheduler._target_=` alone keeps those of cosine.

    What `kind` takes stays, and so does what no such file says: the user's own, which is refused where it does not fit.
    """
    takes, shipped = parameters_of(kind), shipped_args(group)
    if takes is None:
        return args
    return {name: value for name, value in args.items() if name in takes or value not in shipped.get(name, [])}


def _in_a_line(error: Exception, args: dict[str, Any]) -> str:
    """What a class has raised; where its `args` hold a number as text, from the environment, also how it becomes one."""
    line = " ".join(f"{type(error).__name__}: {error}".split())[:300]
    items = ((key, item) for key, value in flatten(args).items() for item in (value if isinstance(value, list) else [value]))
    text = next(((key, item) for key, item in items if isinstance(item, str) and spelled(item) != item), None)
    return line if text is None else f"{line} (args.{text[0]} holds the text '{text[1]}': ${{oc.decode:…}} makes it a number)"


def _wanted(optimizer: OptimizerConfig) -> dict[str, Any]:
    """lr, weight_decay, and momentum and nesterov where they are set."""
    wanted: dict[str, Any] = {"lr": optimizer.lr, "weight_decay": optimizer.weight_decay}
    if optimizer.momentum is not None:
        wanted["momentum"] = optimizer.momentum
    if optimizer.nesterov:
        wanted["nesterov"] = True
    return wanted


def build_scheduler(optimizer: Optimizer, scheduler: SchedulerConfig, *, epochs: float, steps_per_epoch: int) -> dict[str, Any]:
    """The schedule of a config, as Lightning's lr_scheduler config.

    epochs: the run's length, fractional where max_steps ends it; `scheduler.epochs` replaces it. Raises ConfigError.
    """
    kind = locate(scheduler.target, "scheduler._target_")
    entry = {"name": "lr", "interval": scheduler.interval, "frequency": 1}
    per_step = scheduler.interval == "step"
    if isinstance(kind, type):
        found = _torch_scheduler(kind, optimizer, scheduler)
        total, length = getattr(found["scheduler"], "total_steps", None), epochs * (steps_per_epoch if per_step else 1)
        if isinstance(total, int) and total < round(length):  # OneCycleLR raises an error at the end of it
            raise ConfigError(f"scheduler.args: the schedule has {total} {scheduler.interval}s, the run has {round(length)}")
        return {**entry, **found}
    warmup = scheduler.warmup_epochs
    length = scheduler.epochs or epochs
    if warmup >= length:
        raise ConfigError(f"scheduler.warmup_epochs={warmup:g}: leaves nothing of the schedule's {length:g} epochs")
    if warmup:
        entry["interval"] = "step"  # a warm-up in steps of whole epochs would be none
    per_epoch = steps_per_epoch if entry["interval"] == "step" else 1
    warmup_steps = math.ceil(warmup * per_epoch - 1e-6)  # 0.28 * 25 is a little more than 7
    args = _without_leftovers(scheduler.args, kind, "scheduler")
    try:
        kind(0.0, length - warmup, **args)
    except Exception as error:  # whatever the user's function raises
        if scheduler.target.startswith("resnet_lit."):
            raise ConfigError(f"scheduler.args: {error}") from error
        called = f"scheduler._target_={scheduler.target}: as a function (epoch, epochs) that gives a factor, raises"
        raise ConfigError(f"{called} {_in_a_line(error, args)}") from error

    def factor(count: int, length: float) -> float:
        epoch = count / per_epoch
        if count < warmup_steps:
            return (count + 1) / warmup_steps  # the first step learns something, the last one is at full rate
        if scheduler.interval == "epoch":
            epoch = math.floor(epoch)
        return kind(max(0.0, epoch - warmup), length - warmup, **args)

    def part(epochs: float) -> Callable[[int], float]:
        """Of a group that is trained for so many epochs, on a schedule of that length."""
        if warmup >= epochs:
            raise ConfigError(
                f"scheduler.warmup_epochs={warmup:g}: leaves nothing of the {epochs:g} epochs of a rule of optimizer.groups"
            )
        return lambda count: factor(count, epochs) if count < epochs * per_epoch - ROUNDING else 0.0

    whole: Callable[[int], float] = lambda count: factor(count, length)  # noqa: E731
    factors = [part(group["epochs"]) if "epochs" in group else whole for group in optimizer.param_groups]
    return {**entry, "scheduler": LambdaLR(optimizer, factors)}


def _torch_scheduler(kind: type, optimizer: Optimizer, scheduler: SchedulerConfig) -> dict[str, Any]:
    if not issubclass(kind, LRScheduler):
        raise ConfigError(f"scheduler._target_={scheduler.target}: must be a function (epoch, epochs) or a torch scheduler class")
    if scheduler.warmup_epochs:
        raise ConfigError(f"scheduler.warmup_epochs={scheduler.warmup_epochs:g}: {scheduler.target} has its own; set it to 0")
    options = _without_leftovers(scheduler.args, kind, "scheduler")
    extra: dict[str, Any] = {}
    if issubclass(kind, ReduceLROnPlateau):
        if scheduler.interval == "step":
            raise ConfigError("scheduler.interval=step: ReduceLROnPlateau looks at epochs; set scheduler.interval=epoch")
        # Lightning would change the rate after the epoch's checkpoint; callbacks.Plateau does it before
        extra = {"monitor": options.pop("monitor", "val/loss"), "frequency": sys.maxsize}
    groups = [{**group} for group in optimizer.param_groups]
    if any("epochs" in group for group in groups):
        raise ConfigError(
            f"scheduler._target_={scheduler.target}: cannot end for a part of the parameters, as optimizer.groups asks"
        )
    try:
        built = kind(optimizer, **options)
    except Exception as error:  # whatever the user's class raises
        line = _in_a_line(error, options)
        raise ConfigError(f"scheduler.args: {scheduler.target} does not take these values: {line}") from error
    _check_kept(optimizer, groups, scheduler.target)
    return {"scheduler": built, **extra}


def _check_kept(optimizer: Optimizer, before: list[dict[str, Any]], target: str) -> None:
    """Refuse a scheduler that has made what differs between the groups of an optimizer equal, as torch's OneCycleLR does."""
    lr = base_lr(optimizer)
    multiples = all(math.isclose(group["lr"], lr * group.get("lr_multiple", 1.0)) for group in optimizer.param_groups)
    momenta = [[group.get("momentum") for group in groups] for groups in (before, optimizer.param_groups)]
    if not multiples or (len({*momenta[0]}) > 1 and len({*momenta[1]}) == 1):
        what = "learning rate" if not multiples else "momentum"
        raise ConfigError(
            f"scheduler._target_={target}: gives all parameters one {what}, and groups of this optimizer differ in it; use "
            "scheduler=one_cycle, or another one of resnet_lit's own"
        )
