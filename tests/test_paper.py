"""The paper as data, and the cells that repeat it: complete, each run once, each equal to what a user would type."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter

import pytest

from resnet_lit import paper
from resnet_lit.config import folder_name, load
from resnet_lit.identity import result_values
from resnet_lit.models.cost import count_parameters
from resnet_lit.schema import architecture

NAMES = [cell.name for cell in paper.CELLS]


def test_every_printed_result_has_its_cells_and_every_cell_its_results() -> None:
    rows = Counter(result.model for result in paper.RESULTS if result.place not in {f"figure {n}" for n in range(1, 5)})
    assert rows == {"model1": 6, "model2": 6, "model3": 6, "model4": 6}
    assert [(r.place, r.row, r.test_accuracy) for r in paper.RESULTS[24:]] == [
        ("figure 1", "dropout + L2", 0.9315),
        ("figure 2", "none", 0.9295),
        ("figure 3", "dropout", 0.9302),
        ("figure 4", "L2", 0.9514),
    ]
    assert {name for result in paper.RESULTS for name in result.cells} == set(NAMES)
    assert all(len(result.cells) == (2 if result.epoch == 200 else 1) for result in paper.RESULTS)  # with dropout or without?


def test_rows_that_are_the_same_run_are_one_cell() -> None:
    assert len(NAMES) == len(set(NAMES)) == len(set(paper.CELLS)) == 42  # 4 models x 5 different rows x 2, and 2 without L2
    headline = [(result.place, result.row) for result in paper.results_of("model4_sgd_momentum")]
    assert headline == [("figure 12", "batch 128"), ("figure 12", "SGD + momentum"), ("figure 4", "L2")]


def test_the_most_valuable_cells_come_first() -> None:
    assert NAMES[:4] == [
        "model4_sgd_momentum",
        "model4_sgd_momentum_dropout",
        "model4_no_regularization",
        "model4_dropout_only",
    ]
    assert NAMES[4:8] == ["model4_batch_32", "model4_batch_64", "model4_sgd", "model4_adam"]
    assert not any(name.startswith("model4") for name in NAMES[8:38])


@pytest.mark.parametrize("model", paper.MODELS, ids=lambda model: model.name)
def test_the_models_have_the_papers_parameters(model: paper.Model) -> None:
    assert count_parameters(architecture(load(f"+experiment={model.name}").model)) == model.parameters


@pytest.mark.parametrize(
    "name",
    [
        name if name in ("model4_sgd_momentum", "model1_adam_dropout") else pytest.param(name, marks=pytest.mark.slow)
        for name in NAMES
    ],
)
def test_a_cell_is_the_run_that_its_words_give(name: str) -> None:
    cell, typed, swept = load(f"+cell={name}"), load(*paper.cell(name).words), load("seed=0", f"+cell={name}", "+sweep=paper")
    assert result_values(cell) == result_values(typed) == result_values(swept)
    assert folder_name(cell) == folder_name(typed) == folder_name(swept)
    assert folder_name(cell).startswith(f"{name[:6]}/")
    assert (cell.protocol, cell.trainer.max_epochs, cell.data.normalization) == ("paper", paper.EPOCHS, "paper")


def test_a_cell_has_a_readable_name() -> None:
    assert folder_name(load("+cell=model1_batch_32_dropout", "seed=3")).startswith(
        "model1/dropout=0.25,batch_size=32,seed=3,protocol=paper-"
    )


def test_the_paper_is_read_without_torch() -> None:
    code = "import sys, resnet_lit.paper; print({'torch', 'numpy', 'hydra'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "set()"
