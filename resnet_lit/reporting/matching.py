"""Which of our cells repeat the paper's: by the values themselves, however they were typed.

The values of a paper cell stand here as plain data; a test holds them against what `+cell=NAME` composes.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from typing import Any

from resnet_lit import paper
from resnet_lit.models.architecture import Architecture
from resnet_lit.reporting.cells import Cell, Section
from resnet_lit.reporting.runs import neutral

# What may differ between two runs of one cell: where and how fast the same experiment was computed, and what was held out.
HOW = (
    "protocol",
    "threads",
    "compile",
    "deterministic",
    "data.validation",
    "data.split_seed",
    "data.limit_validation",
    "trainer.accelerator",
    "trainer.devices",
    "trainer.num_nodes",
    "trainer.strategy",
    "trainer.precision",
    "trainer.benchmark",
    "trainer.sync_batchnorm",
    "trainer.limit_val_batches",
)

# The four networks as their parameter counts show them to be; the text of the paper contradicts these (`paper.MODELS`).
NETWORKS = {
    "model1": Architecture(blocks=(2, 2, 2), channels=(64, 128, 256)),
    "model2": Architecture(blocks=(2, 2, 2, 2), channels=(32, 64, 128, 256)),
    "model3": Architecture(blocks=(3, 3, 3, 3), channels=(32, 64, 128, 256)),
    "model4": Architecture(blocks=(2, 1, 1, 1), channels=(64, 128, 256, 512)),
}

# What the cells have in common beside the neutral values.
RECIPE: dict[str, Any] = {
    "data.normalization": "paper",
    "augment.crop_padding": 4,
    "augment.flip": 0.5,
    "scheduler._target_": "resnet_lit.optim.schedules.cosine",
    "scheduler.args.final": 0.0,
    "trainer.max_epochs": paper.EPOCHS,
}
OPTIMIZERS: dict[str, dict[str, Any]] = {
    "sgd": {"optimizer.lr": 0.1},
    "sgd_momentum": {"optimizer.lr": 0.1, "optimizer.momentum": 0.9},
    "adam": {
        "optimizer._target_": "torch.optim.Adam",
        "optimizer.lr": 0.001,
        "optimizer.args.betas": [0.9, 0.999],
        "optimizer.args.eps": 1e-8,
    },
}


def values_of(cell: paper.Cell) -> dict[str, Any]:
    """The values of a paper cell that change a result, by dotted key, without the seed and HOW."""
    network = NETWORKS[cell.model]
    own = {
        "model.blocks": list(network.blocks),
        "model.channels": list(network.channels),
        "model.dropout": cell.dropout,
        "data.batch_size": cell.batch_size,
        "optimizer.weight_decay": cell.weight_decay,
    }
    return {key: value for key, value in {**neutral(), **RECIPE, **OPTIMIZERS[cell.optimizer], **own}.items() if key not in HOW}


def paper_cell(cell: Cell) -> str | None:
    """The name of the paper cell that a cell of ours repeats, as in `+cell=NAME`."""
    return _by_values().get(_text(cell.values))


def repeated(sections: tuple[Section, ...]) -> dict[str, tuple[tuple[Section, Cell], ...]]:
    """{name of a paper cell: our cells that repeat it}; several where precision or data differ. Reduced scales never do."""
    found: dict[str, list[tuple[Section, Cell]]] = {}
    for section in sections:
        for cell in () if section.says_nothing else section.cells:
            if (name := paper_cell(cell)) is not None:
                found.setdefault(name, []).append((section, cell))
    return {name: tuple(cells) for name, cells in found.items()}


def network_of(values: Mapping[str, Any]) -> str | None:
    """Which of the paper's networks the values describe, whatever its dropout."""
    return _networks().get(network_key(values))


def network_key(values: Mapping[str, Any]) -> str:
    """The values of the network but for its dropout, as text."""
    return json.dumps({k: v for k, v in values.items() if k.startswith("model.") and k != "model.dropout"}, sort_keys=True)


@functools.cache
def _networks() -> dict[str, str]:
    return {network_key(values_of(paper.Cell(name))): name for name in NETWORKS}


@functools.cache
def _by_values() -> dict[str, str]:
    return {_text(values_of(cell)): cell.name for cell in paper.CELLS}


def _text(values: Mapping[str, Any]) -> str:
    return json.dumps({key: value for key, value in values.items() if key not in HOW}, sort_keys=True, default=str)
