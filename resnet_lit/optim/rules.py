"""The rules of `optimizer.groups`: which parameters have a learning rate, weight decay, momentum or length of their own.

A rule is named by a kind of parameter (`norm_bias`) or by a pattern of parameter names (`stem.*`, as in fnmatch). Where several
match a parameter, the most specific one applies: a pattern before a kind, and of several patterns the one with the most
characters that are no wildcards. Their order plays no part. Pure Python: nothing heavy is imported.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from resnet_lit.typed import ConfigError, build, fields_of, setting, show

KINDS = {
    "conv": "weights of convolutions",
    "linear": "weights of linear layers other than the head",
    "head": "weights and biases of the classifier: the last linear layer, or the last convolution where there is none",
    "norm_scale": "scales of BatchNorm and other normalisations",
    "norm_bias": "their biases",
    "bias": "biases of convolutions and linear layers other than the head",
    "other": "parameters of other modules",
}


GROUPS = "optimizer.groups."  # before a rule's name in a dotted key


def short_key(key: str) -> str:
    """A dotted key's last part; with the rule that it belongs to, where it is one of `optimizer.groups`: `head.lr_multiple`."""
    return key.removeprefix(GROUPS) if key.startswith(GROUPS) else key.rpartition(".")[2]


@dataclass(frozen=True)
class Rule:
    """What the parameters that a rule applies to have of their own."""

    lr_multiple: float = setting(1.0, "their learning rate, as a multiple of the optimizer's at every step", above=0, example=64)
    weight_decay: float | None = setting(None, "their weight decay; null: the optimizer's", least=0, example=0)
    momentum: float | None = setting(None, "their momentum; null: the optimizer's", least=0, below=1, example=0.9)
    epochs: float | None = setting(
        None, "they are trained for so many epochs, on a schedule of that length; null: all", above=0, example=3
    )


def rules_of(groups: Mapping[str, Any]) -> dict[str, Rule]:
    """`optimizer.groups` as rules by kind or pattern, sorted by name; a rule that is null is left out.

    Sorted: a resumed optimizer takes its groups in order, and the order of the rules is no part of a run's identity. Raises
    ConfigError, one line.
    """
    rules = {}
    for name, values in sorted(groups.items(), key=lambda item: str(item[0])):
        if values is None:
            continue
        key = f"optimizer.groups.{name}"
        if not isinstance(values, Mapping) or not values:
            raise ConfigError(f"{key}={show(values)}: must be a group of values (try {key}={{lr_multiple:64,weight_decay:0}})")
        if unknown := [str(value) for value in values if value not in fields_of(Rule)]:
            raise ConfigError(f"{key}.{unknown[0]}: unknown key (a rule has {', '.join(fields_of(Rule))})")
        rules[str(name)] = build(Rule, values, f"{key}.")
    return rules


def applying(rules: Iterable[str], name: str, kind: str) -> str | None:
    """The rule that applies to the parameter `name` of a kind, None where none does.

    Raises ConfigError where two patterns match it that are equally specific.
    """
    patterns = sorted((rule for rule in rules if rule not in KINDS and fnmatchcase(name, rule)), key=_literals, reverse=True)
    if len(patterns) > 1 and _literals(patterns[0]) == _literals(patterns[1]):
        raise ConfigError(
            f"optimizer.groups: {patterns[0]} and {patterns[1]} both match {name}, and neither is more specific (by "
            "its characters that are no wildcards); change one of them"
        )
    return patterns[0] if patterns else kind if kind in rules else None


def _literals(pattern: str) -> int:
    """Characters of a pattern that are no wildcards."""
    return len(re.sub(r"[*?]|\[[^\]]*\]", "", pattern))
