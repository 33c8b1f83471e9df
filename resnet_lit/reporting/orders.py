"""What the paper says about orders (which batch size, optimizer, regularisation, network is better) beside differences of ours.

A difference is one in test accuracy between two cells of one section that differ in nothing else, paired where seeds pair.
`confirmed`: it has the paper's sign and differs from zero, p-values corrected by Holm over the differences that bear on the
statement in the section; `contradicted`: it has the other sign; else `not distinguishable`. Orders are looked at on any data,
protocol and network, each named; they say nothing about others. Test accuracy is that of the chosen weights; where the test set
chose them (protocol=paper) and the paper prints the last epoch, it is the last epoch's.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from resnet_lit import paper
from resnet_lit.reporting.cells import Cell, Section
from resnet_lit.reporting.contents import Contrast, OrderClaim, Verdict
from resnet_lit.reporting.matching import network_of
from resnet_lit.reporting.naming import USUAL, names
from resnet_lit.reporting.statistics import corrected, differences


@dataclass(frozen=True)
class Statement:
    """An order in words; pairs: (better, worse) by kind; kind_of: the kind of a cell, or None where it is no part of this."""

    text: str
    place: str
    pairs: tuple[tuple[str, str], ...]
    kind_of: Callable[[Mapping[str, Any]], str | None]
    free: tuple[str, ...]  # the keys in which kinds may differ: dotted, or groups with a dot behind
    printed: Callable[[str, str, str | None], float | None]  # better, worse, network -> the paper's difference


def _is_momentum(values: Mapping[str, Any]) -> bool:
    return _optimizer(values) == "SGD + momentum"


def _optimizer(values: Mapping[str, Any]) -> str | None:
    target, momentum = values.get("optimizer._target_"), values.get("optimizer.momentum")
    if target == "torch.optim.Adam":
        return "Adam"
    if target != "torch.optim.SGD" or values.get("optimizer.nesterov"):
        return None
    return "SGD + momentum" if momentum else "SGD"


def _batch(values: Mapping[str, Any]) -> str | None:
    return f"batch {values.get('data.batch_size')}" if _is_momentum(values) else None


def _optimizer_at_128(values: Mapping[str, Any]) -> str | None:
    return _optimizer(values) if values.get("data.batch_size") == paper.BATCH_SIZE else None


def _regularization(values: Mapping[str, Any]) -> str | None:
    dropout, decay = values.get("model.dropout"), values.get("optimizer.weight_decay")
    if dropout not in (0, paper.DROPOUT) or decay not in (0, paper.WEIGHT_DECAY):
        return None
    return {(True, True): "dropout + L2", (True, False): "dropout", (False, True): "L2", (False, False): "none"}[
        bool(dropout), bool(decay)
    ]


def _network(values: Mapping[str, Any]) -> str | None:
    recipe = _is_momentum(values) and values.get("data.batch_size") == paper.BATCH_SIZE
    return network_of(values) if recipe else None


def _printed_row(better: str, worse: str, network: str | None) -> float | None:
    rows = {result.row: result.test_accuracy for result in paper.RESULTS if result.model == network}
    return rows[better] - rows[worse] if better in rows and worse in rows else None


def _printed_network(better: str, worse: str, _network: str | None) -> float | None:
    rows = {result.model: result.test_accuracy for result in paper.RESULTS if result.row == "SGD + momentum"}
    return rows[better] - rows[worse]


TABLES = "figures 6, 8, 10, 12"
STATEMENTS = (
    Statement(
        "Batch 64 is worse than both 32 and 128 (SGD with momentum)",
        TABLES,
        (("batch 32", "batch 64"), ("batch 128", "batch 64")),
        _batch,
        ("data.batch_size",),
        _printed_row,
    ),
    Statement(
        "SGD with momentum and SGD without are better than Adam (batch 128)",
        TABLES,
        (("SGD + momentum", "Adam"), ("SGD", "Adam")),
        _optimizer_at_128,
        ("optimizer._target_", "optimizer.lr", "optimizer.momentum", "optimizer.args."),
        _printed_row,
    ),
    Statement(
        "Momentum is better than SGD without (batch 128): so in models 1 to 3, the other way round in model 4",
        TABLES,
        (("SGD + momentum", "SGD"),),
        _optimizer_at_128,
        ("optimizer._target_", "optimizer.lr", "optimizer.momentum", "optimizer.args."),
        _printed_row,
    ),
    Statement(
        "L2 alone is better than dropout + L2, dropout alone and neither",
        "figures 1 to 4",
        (("L2", "dropout + L2"), ("L2", "dropout"), ("L2", "none")),
        _regularization,
        ("model.dropout", "optimizer.weight_decay"),
        _printed_row,
    ),
    Statement(
        "Model 4 is better than 1, 1 than 3, 3 than 2 (SGD with momentum, batch 128, equal regularisation)",
        TABLES,
        (("model4", "model1"), ("model1", "model3"), ("model3", "model2")),
        _network,
        ("model.blocks", "model.channels"),
        _printed_network,
    ),
)


def orders(sections: Iterable[Section]) -> tuple[OrderClaim, ...]:
    """Each statement beside the differences of each section that bear on it, or `not measured`."""
    found: list[OrderClaim] = []
    real = [section for section in sections if not section.says_nothing]
    for statement in STATEMENTS:
        mine = [_order(statement, section) for section in real]
        mine = [order for order in mine if order.contrasts]
        found += mine or [
            OrderClaim(statement.text, statement.place, None, (), "not measured", "no two cells differ in this alone")
        ]
    return tuple(map(_judged, found))


def _order(statement: Statement, section: Section) -> OrderClaim:
    metric = "test/accuracy_last" if section.protocol == "paper" and statement.place == TABLES else "test/accuracy"
    found = []
    for kinds in _comparable(statement, section.measured):
        for better, worse in statement.pairs:
            if better in kinds and worse in kinds:
                first, second = kinds[better], kinds[worse]
                network = network_of(first.values)
                printed = statement.printed(better, worse, network) if network or statement.kind_of is _network else None
                what = f"{_common(section, first, second)}: {better} minus {worse}"
                found.append((what, first, second, printed))
    sides = differences([(first.by_seed(metric), second.by_seed(metric)) for _, first, second, _ in found])
    contrasts = tuple(
        Contrast(what, first, second, printed, apart, "not distinguishable")
        for (what, first, second, printed), apart in zip(found, sides, strict=True)
    )
    return OrderClaim(statement.text, statement.place, section, contrasts, "not distinguishable", "")


def _comparable(statement: Statement, cells: Sequence[Cell]) -> list[dict[str, Cell]]:
    """Groups of cells that differ in what the statement is about alone: {kind: cell}. A kind with several cells is left out."""
    groups: dict[str, dict[str, list[Cell]]] = {}
    for cell in cells:
        kind = statement.kind_of(cell.values)
        if kind is None:
            continue
        rest = {k: v for k, v in cell.values.items() if not _is_free(k, statement.free)}
        groups.setdefault(json.dumps(rest, sort_keys=True, default=str), {}).setdefault(kind, []).append(cell)
    return [{kind: found[0] for kind, found in group.items() if len(found) == 1} for group in groups.values()]


def _common(section: Section, first: Cell, second: Cell) -> str:
    """What two cells have in common, as their names write it."""
    network = first.model if first.model == second.model else f"{first.model}, {second.model}"
    known = names(section)
    both = [part for part in known.parts[first.title] if part in known.parts[second.title]]
    return " · ".join([network, *(part for part in both if part not in (first.model, USUAL))])


def _is_free(key: str, free: tuple[str, ...]) -> bool:
    return any(key == name or (name.endswith(".") and key.startswith(name)) for name in free)


def _judged(order: OrderClaim) -> OrderClaim:
    if not order.contrasts:
        return order
    contrasts = []
    differences = corrected([contrast.difference for contrast in order.contrasts])
    for contrast, found in zip(order.contrasts, differences, strict=True):
        # where the paper itself prints the other sign for this network, that is what it claims
        sign = -1 if contrast.printed is not None and contrast.printed < 0 else 1
        verdict: Verdict = (
            "not distinguishable" if not found.resolved else "confirmed" if sign * found.mean > 0 else "contradicted"
        )
        contrasts.append(replace(contrast, difference=found, verdict=verdict))
    verdicts = [contrast.verdict for contrast in contrasts]
    whole: Verdict = (
        "contradicted" if "contradicted" in verdicts else "confirmed" if set(verdicts) == {"confirmed"} else "not distinguishable"
    )
    counts = ", ".join(f"{verdicts.count(kind)} {kind}" for kind in dict.fromkeys(verdicts))
    return replace(order, contrasts=tuple(contrasts), verdict=whole, why=f"{counts}, of {_setting(order)}")


def _setting(order: OrderClaim) -> str:
    """On which networks, for how long: what the verdict is about."""
    assert order.section is not None
    cells = [cell for contrast in order.contrasts for cell in (contrast.better, contrast.worse)]
    networks = sorted({f"{cell.model} ({cell.parameters:,} parameters)" for cell in cells})
    epochs = sorted({str(cell.values.get("trainer.max_epochs")) for cell in cells})
    return f"{', '.join(networks)}, {' and '.join(epochs)} epochs, {order.section.variant}, protocol {order.section.protocol}"
