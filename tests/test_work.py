"""petaFLOPs against sums worked out by hand."""

from __future__ import annotations

import dataclasses

import pytest

from resnet_lit.config import load
from resnet_lit.length import Length
from resnet_lit.models.cost import count_multiply_adds
from resnet_lit.parent import Parent
from resnet_lit.schema import architecture
from resnet_lit.work import epochs_at, multiply_adds, pixels_in, relative_cost, training_petaflops

CONFIG = load("+experiment=model4", "data.resolution=[24,28,32]", "data.resolution_shares=[1,1,2]", "trainer.max_epochs=8")
LENGTH = Length(steps_per_epoch=10, epochs=8.0, batches_per_epoch=10, images=1000)
MACS = {24: 1_000_000, 28: 2_000_000, 32: 4_000_000}


def test_multiply_adds_are_those_of_the_network_at_each_size() -> None:
    found = multiply_adds(CONFIG.model, 10, (24, 32))
    assert found == {size: count_multiply_adds(architecture(CONFIG.model, image_size=size)) for size in (24, 32)}
    assert found[24] / found[32] == pytest.approx((24 / 32) ** 2, rel=1e-3)  # all but the classifier
    assert multiply_adds(dataclasses.replace(CONFIG.model, target="own.Network"), 10, (24, 32)) == {}


def test_petaflops_are_summed_over_the_sizes_of_images() -> None:
    assert epochs_at(CONFIG, 32, 8.0) == {24: 2.0, 28: 2.0, 32: 4.0}
    whole = 6 * 1000 * (2 * 1e6 + 2 * 2e6 + 4 * 4e6) / 1e15
    assert training_petaflops(CONFIG, MACS, 32, LENGTH) == pytest.approx(whole)
    assert epochs_at(CONFIG, 32, 8.0, done=2.5) == {24: 2.0, 28: 0.5}  # of a run that was stopped there
    assert training_petaflops(CONFIG, MACS, 32, LENGTH, done=2.5) == pytest.approx(6 * 1000 * (2 * 1e6 + 0.5 * 2e6) / 1e15)


def test_the_time_of_epochs_is_compared_by_multiply_adds_or_by_pixels() -> None:
    assert relative_cost(CONFIG, MACS, 32, 8.0, 8.0) == pytest.approx(2 / 4 + 2 * 2 / 4 + 4)
    assert relative_cost(CONFIG, {}, 32, 8.0, 2.0) == pytest.approx(2 * (24 / 32) ** 2)
    assert relative_cost(load("+experiment=model4"), {}, 32, 200.0, 3.5) == 3.5


def test_more_epochs_go_on_at_full_size_and_are_added_to_those_before() -> None:
    parent = Parent(folder="before", checkpoint="0" * 64, resumed_at_epoch=8, steps=80, petaflops=0.5)
    longer, length = dataclasses.replace(CONFIG, parent=parent), dataclasses.replace(LENGTH, epochs=12.0)
    assert {pixels_in(longer, epoch, 12.0, 32) for epoch in range(8, 12)} == {32}
    assert training_petaflops(longer, MACS, 32, length) == pytest.approx(0.5 + 6 * 1000 * 4 * 4e6 / 1e15)
    unknown = dataclasses.replace(longer, parent=dataclasses.replace(parent, petaflops=None))  # of before sizes could change
    assert training_petaflops(unknown, MACS, 32, length) == pytest.approx(6 * 1000 * 12 * 4e6 / 1e15)


def test_model_4_at_full_size_is_what_it_was() -> None:
    paper = load("+experiment=model4", "protocol=paper")
    length = Length(steps_per_epoch=391, epochs=200.0, batches_per_epoch=391, images=50_000)
    assert training_petaflops(paper, multiply_adds(paper.model, 10, (32,)), 32, length) == pytest.approx(19.7, abs=0.05)
