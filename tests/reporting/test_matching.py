"""Our cells are recognised as the paper's by their values alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from resnet_lit import paper
from resnet_lit.config import load
from resnet_lit.models.cost import count_parameters
from resnet_lit.reporting.cells import Cell
from resnet_lit.reporting.matching import HOW, NETWORKS, network_of, paper_cell, values_of
from resnet_lit.reporting.runs import Run
from resnet_lit.schema import to_mapping

KINDS = ("model4_sgd_momentum", "model1_adam_dropout", "model2_batch_32", "model3_sgd_dropout", "model4_no_regularization")


def composed(*words: str) -> Cell:
    return Cell("", {}, (Run(Path("none"), {"config": to_mapping(load(*words))}),))


@pytest.mark.parametrize("name", KINDS)
def test_the_values_are_those_that_the_command_line_composes(name: str) -> None:
    values = composed(f"+cell={name}").values
    assert {key: value for key, value in values.items() if key not in HOW} == values_of(paper.cell(name))


def test_a_cell_is_recognised_however_it_was_typed() -> None:
    words = ("+experiment=model4", "optimizer=adam", "protocol=holdout", "seed=3", "threads=1", "trainer.precision=bf16-mixed")
    assert paper_cell(composed(*words)) == "model4_adam"
    assert paper_cell(composed("+experiment=model4", "trainer.max_epochs=199")) is None
    assert paper_cell(composed("+cell=model4_adam", "+scale=smoke")) is None


def test_every_cell_has_values_of_its_own() -> None:
    assert len({str(sorted(values_of(cell).items())) for cell in paper.CELLS}) == len(paper.CELLS)


def test_the_networks_have_the_papers_parameters() -> None:
    assert {name: count_parameters(network) for name, network in NETWORKS.items()} == {
        model.name: model.parameters for model in paper.MODELS
    }
    assert network_of(composed("+experiment=model2", "model.dropout=0.1", "data.batch_size=7").values) == "model2"
    assert network_of(composed("+experiment=model2", "model.width=0.5").values) is None
