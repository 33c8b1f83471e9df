"""Parameter groups of torch from `optimizer.decay` and `optimizer.groups`, and the one learning rate that a log shows of them.

A group that a rule makes has, beside what optimizers read, `lr_multiple`: its learning rate over the optimizer's, and `epochs`
where it is trained for a part of the run. Optimizers of torch keep such keys in their state.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from torch import nn
from torch.optim import Optimizer

from resnet_lit.optim.rules import KINDS, Rule, applying, rules_of
from resnet_lit.sections import Optimizer as OptimizerConfig
from resnet_lit.typed import ConfigError


def kinds_of(network: nn.Module) -> dict[str, str]:
    """The kind (`rules.KINDS`) of each parameter of a network, by its name."""
    kinds = {}
    for layer in (nn.Linear, nn.Conv2d):
        heads = [module for module in network.modules() if isinstance(module, layer)]
        if heads:
            break
    for prefix, module in network.named_modules():
        for name, _ in module.named_parameters(recurse=False):
            is_head = bool(heads) and module is heads[-1]
            kinds[f"{prefix}.{name}".lstrip(".")] = "head" if is_head else _kind(module, name)
    return kinds


def _kind(module: nn.Module, name: str) -> str:
    if "norm" in type(module).__name__.lower():
        return "norm_bias" if name == "bias" else "norm_scale"
    is_linear = isinstance(module, nn.Linear)
    if is_linear or "conv" in type(module).__name__.lower():
        return "bias" if name == "bias" else "linear" if is_linear else "conv"
    return "other"


def parameter_groups(
    network: nn.Module, optimizer: OptimizerConfig, takes: Collection[str] | None = None
) -> list[dict[str, Any]]:
    """The trainable parameters of a network, in groups for a torch optimizer.

    First those that no rule applies to: one group with decay="all", as in the paper; with decay="weights" biases and BatchNorm's
    scales, all of one dimension, are spared weight decay in a second one. Then those of each rule.

    takes: the arguments of the optimizer's class; None: any. Raises ConfigError where a rule applies to no parameter, or sets
    what the class does not take.
    """
    rules, kinds = rules_of(optimizer.groups), kinds_of(network)
    trainable = {name: p for name, p in network.named_parameters() if p.requires_grad}
    chosen = {name: applying(rules, name, kinds[name]) for name in trainable}
    groups = []
    for rule in (None, *rules):
        members = [p for name, p in trainable.items() if chosen[name] == rule]
        if rule is not None and not members:
            raise ConfigError(_unmatched(rule, trainable, kinds))
        own = {} if rule is None else _values(rule, rules[rule], optimizer, takes)
        spares = optimizer.decay == "weights" and "weight_decay" not in own
        parts = [[p for p in members if p.ndim >= 2], [p for p in members if p.ndim < 2]] if spares else [members]
        decays = takes is None or "weight_decay" in takes
        if not decays:
            parts = [[p for part in parts for p in part]]
        for part, decay in zip(parts, (optimizer.weight_decay, 0.0), strict=False):
            if part:
                groups.append({"params": part, **({"weight_decay": decay} if decays else {}), **own})
    return groups


def _values(name: str, rule: Rule, optimizer: OptimizerConfig, takes: Collection[str] | None) -> dict[str, Any]:
    """What the groups of a rule have of their own. Raises ConfigError where the optimizer's class does not take it."""
    own: dict[str, Any] = {}
    if rule.lr_multiple != 1:
        own |= {"lr": optimizer.lr * rule.lr_multiple, "lr_multiple": rule.lr_multiple}
    own |= {key: value for key in ("weight_decay", "momentum") if (value := getattr(rule, key)) is not None}
    for key in ("lr", "weight_decay", "momentum"):
        if key in own and takes is not None and key not in takes:
            raise ConfigError(f"optimizer.groups.{name}: sets {key}, and {optimizer.target} takes none; leave it out")
    return own | ({} if rule.epochs is None else {"epochs": rule.epochs})


def _unmatched(rule: str, trainable: Collection[str], kinds: dict[str, str]) -> str:
    present = [kind for kind in KINDS if kind in {kinds[name] for name in trainable}]
    return (
        f"optimizer.groups.{rule}: applies to no trainable parameter of this network; its kinds are {', '.join(present)}; "
        f"its names, for patterns, {', '.join(list(trainable)[:2])}, … ('+optimizer.groups={{{rule}: null}}' leaves the rule out)"
    )


def base_lr(optimizer: Optimizer) -> float:
    """The optimizer's learning rate at this step, without the multiples of its groups."""
    group = next((group for group in optimizer.param_groups if "epochs" not in group), optimizer.param_groups[0])
    lr: float = group["lr"] / group.get("lr_multiple", 1.0)
    return lr
