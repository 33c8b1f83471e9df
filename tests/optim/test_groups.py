"""`optimizer.decay` and `optimizer.groups`: which parameters have what of their own, and what schedules make of it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from resnet_lit.models.resnet import ResNet
from resnet_lit.optim.build import build_optimizer, build_scheduler
from resnet_lit.optim.groups import base_lr, kinds_of, parameter_groups
from resnet_lit.sections import Optimizer, Scheduler
from resnet_lit.typed import ConfigError

ONE_CYCLE = "torch.optim.lr_scheduler.OneCycleLR"


def network() -> nn.Module:
    return ResNet([1], [4])


def values_by_name(model: nn.Module, optimizer: Optimizer) -> dict[str, dict[str, Any]]:
    """What each parameter's group has, by the parameter's name."""
    names = {id(p): name for name, p in model.named_parameters()}
    groups = build_optimizer(model, optimizer).param_groups
    return {names[id(p)]: group for group in groups for p in group["params"]}


def test_decay_all_is_the_papers_one_group() -> None:
    (group,) = parameter_groups(network(), Optimizer(weight_decay=5e-4))
    assert len(group["params"]) == len(list(network().parameters()))
    assert group["weight_decay"] == 5e-4


def test_decay_weights_spares_biases_and_batchnorm() -> None:
    model = network()
    decayed, spared = parameter_groups(model, Optimizer(weight_decay=5e-4, decay="weights"))
    kinds = {id(p): type(m) for m in model.modules() for p in m.parameters(recurse=False)}
    assert {kinds[id(p)] for p in decayed["params"]} == {nn.Conv2d, nn.Linear}
    assert spared["weight_decay"] == 0
    assert sum(p.numel() for g in (decayed, spared) for p in g["params"]) == sum(p.numel() for p in model.parameters())


def test_a_frozen_parameter_is_left_out() -> None:
    model = network()
    model.fc.weight.requires_grad_(False)
    assert sum(len(g["params"]) for g in parameter_groups(model, Optimizer())) == len(list(model.parameters())) - 1


def test_every_parameter_has_a_kind() -> None:
    kinds = kinds_of(network())
    assert kinds.keys() == dict(network().named_parameters()).keys()
    assert {name: kinds[name] for name in ("stem.conv.weight", "stem.bn.weight", "stem.bn.bias", "fc.weight", "fc.bias")} == {
        "stem.conv.weight": "conv",
        "stem.bn.weight": "norm_scale",
        "stem.bn.bias": "norm_bias",
        "fc.weight": "head",
        "fc.bias": "head",
    }
    own = nn.Sequential(nn.Conv2d(3, 4, 1), nn.GroupNorm(2, 4), nn.Linear(4, 4), nn.MultiheadAttention(4, 1), nn.Linear(4, 10))
    assert [*dict.fromkeys(kinds_of(own).values())] == ["conv", "bias", "norm_scale", "norm_bias", "linear", "other", "head"]
    assert {*kinds_of(nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 10, 1))).values()} == {"conv", "bias", "head"}


def test_rules_by_kind_and_by_pattern() -> None:
    rules = {
        "norm_bias": {"lr_multiple": 64, "weight_decay": 0},
        "stem.*": {"momentum": 0.5},
        "stem.bn.*": {"lr_multiple": 2},
        "head": {"lr_multiple": 0.5},
        "conv": None,  # of a preset, taken away again
    }
    found = values_by_name(network(), Optimizer(lr=0.1, momentum=0.9, weight_decay=5e-4, decay="weights", groups=rules))
    has = {name: (g["lr"], g["momentum"], g["weight_decay"]) for name, g in found.items()}
    assert has["layers.0.0.bn1.bias"] == (6.4, 0.9, 0.0)
    assert has["layers.0.0.bn1.weight"] == (0.1, 0.9, 0.0)  # spared by decay=weights
    assert has["layers.0.0.conv1.weight"] == (0.1, 0.9, 5e-4)
    assert has["stem.conv.weight"] == (0.1, 0.5, 5e-4)
    assert has["stem.bn.bias"] == (0.2, 0.9, 0.0)  # a pattern before a kind, the more specific of two before the other
    assert has["fc.weight"] == (0.05, 0.9, 5e-4)


def test_the_order_of_rules_plays_no_part() -> None:
    rules = {"stem.*": {"lr_multiple": 2}, "stem.bn.bias": {"lr_multiple": 4}}
    for given in (rules, dict(reversed(rules.items()))):
        found = values_by_name(network(), Optimizer(lr=1.0, groups=given))
        assert [found[name]["lr"] for name in ("stem.conv.weight", "stem.bn.weight", "stem.bn.bias")] == [2.0, 2.0, 4.0]
        groups = parameter_groups(network(), Optimizer(lr=1.0, groups=given))
        assert [group.get("lr") for group in groups] == [None, 2.0, 4.0]  # a checkpoint has them in this order
    with pytest.raises(ConfigError, match=r"^optimizer\.groups: .* both match stem\.bn\.weight, and neither is more specific"):
        parameter_groups(network(), Optimizer(groups={"stem.*": {"lr_multiple": 2}, "*.bn.w*": {"lr_multiple": 3}}))


@pytest.mark.parametrize(
    ("values", "line"),
    [
        (
            {"groups": {"norm_biases": {"lr_multiple": 2}}},
            r"groups\.norm_biases: applies to no trainable parameter .* conv, head, norm_scale, norm_bias; .* stem\.conv\.weight"
            r".* \('\+optimizer\.groups=\{norm_biases: null\}' leaves the rule out\)",
        ),
        ({"groups": {"bias": {"lr_multiple": 2}}}, "groups.bias: applies to no"),
        ({"groups": {"head": {"lr": 2}}}, r"groups\.head\.lr: unknown key \(a rule has lr_multiple, "),
        ({"groups": {"head": {"momentum": 1}}}, r"groups\.head\.momentum=1: must be below 1"),
        ({"groups": {"head": {}}}, r"groups\.head=\{\}: must be a group"),
        ({"groups": {"head": {"momentum": 0.5}}, "target": "torch.optim.Adam"}, "sets momentum, and torch.optim.Adam takes none"),
    ],
)
def test_a_rule_that_cannot_be_is_one_line(values: dict[str, Any], line: str) -> None:
    with pytest.raises(ConfigError, match=line):
        build_optimizer(network(), Optimizer(**values))


@pytest.mark.parametrize("target", ["torch.optim.SGD", "torch.optim.Adam", "torch.optim.AdamW", "resnet_lit.optim.muon.Muon"])
def test_multiples_follow_the_schedule_and_the_log_shows_the_base(target: str) -> None:
    model = network()
    groups = {"norm_bias": {"lr_multiple": 64, "weight_decay": 0}, "fc.bias": {"epochs": 2}}
    optimizer = build_optimizer(model, Optimizer(target=target, lr=0.1, groups=groups))
    schedule = Scheduler(target="resnet_lit.optim.schedules.linear", interval="step")
    scheduler = build_scheduler(optimizer, schedule, epochs=4, steps_per_epoch=2)["scheduler"]
    biases = next(g for g in optimizer.param_groups if any(p is model.stem.bn.bias for p in g["params"]))
    part = next(g for g in optimizer.param_groups if any(p is model.fc.bias for p in g["params"]))
    assert (first := biases["lr"]) == pytest.approx(6.4)
    began, shares = part["lr"], []
    for step in range(8):
        assert base_lr(optimizer) == pytest.approx(0.1 * (1 - step / 8))
        assert biases["lr"] == pytest.approx(first * (1 - step / 8))
        shares.append(part["lr"] / began)
        optimizer.step()
        scheduler.step()
    assert shares == pytest.approx([1, 0.75, 0.5, 0.25, 0, 0, 0, 0])


def test_parameters_whose_epochs_are_over_stay() -> None:
    model = network()
    optimizer = build_optimizer(model, Optimizer(momentum=0.9, weight_decay=0.1, groups={"head": {"epochs": 1}}))
    scheduler = build_scheduler(optimizer, Scheduler(), epochs=3, steps_per_epoch=1)["scheduler"]
    kept = []
    for _ in range(3):
        model(torch.randn(2, 3, 8, 8)).square().sum().backward()
        optimizer.step()
        scheduler.step()
        kept.append(model.fc.weight.detach().clone())
    assert torch.equal(kept[0], kept[1])
    assert torch.equal(kept[0], kept[2])


def test_a_schedule_of_torch_that_makes_groups_equal_is_refused() -> None:
    rules = {"head": {"lr_multiple": 2}}
    one_cycle = Scheduler(target=ONE_CYCLE, args={"max_lr": 0.1, "total_steps": 9, "cycle_momentum": False}, interval="step")
    with pytest.raises(ConfigError, match="OneCycleLR: gives all parameters one learning rate"):
        build_scheduler(build_optimizer(network(), Optimizer(groups=rules)), one_cycle, epochs=1, steps_per_epoch=2)
    exponential = Scheduler(target="torch.optim.lr_scheduler.ExponentialLR", args={"gamma": 0.5})
    optimizer = build_optimizer(network(), Optimizer(lr=1.0, groups=rules))
    scheduler = build_scheduler(optimizer, exponential, epochs=1, steps_per_epoch=2)["scheduler"]
    optimizer.step()
    scheduler.step()
    assert [group["lr"] for group in optimizer.param_groups] == [0.5, 1.0]
    ends = build_optimizer(network(), Optimizer(groups={"head": {"epochs": 2}}))
    with pytest.raises(ConfigError, match="cannot end for a part of the parameters"):
        build_scheduler(ends, exponential, epochs=1, steps_per_epoch=2)
    warm = Scheduler(warmup_epochs=2)
    with pytest.raises(ConfigError, match=r"scheduler\.warmup_epochs=2: leaves nothing of the 2 epochs of a rule"):
        build_scheduler(ends, warm, epochs=5, steps_per_epoch=2)
