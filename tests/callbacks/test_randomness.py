"""Random streams of several processes."""

from __future__ import annotations

import pytest
import torch

from resnet_lit.callbacks.randomness import random_state, restore_random_state, seed_apart


@pytest.fixture(autouse=True)
def _as_it_was():
    with torch.random.fork_rng([]):
        yield


def mask(seed: int, rank: int) -> torch.Tensor:
    torch.manual_seed(seed)  # as all processes are seeded, so that they begin with equal weights
    seed_apart(seed, rank)
    return torch.rand(20)


def test_processes_draw_different_dropout_masks_and_the_first_one_those_of_a_single_run() -> None:
    torch.manual_seed(3)
    alone = torch.rand(20)
    assert torch.equal(mask(3, 0), alone)
    drawn = [mask(3, 0), mask(3, 1), mask(3, 2), mask(4, 1)]
    assert len({tuple(values.tolist()) for values in drawn}) == 4
    assert torch.equal(mask(3, 1), drawn[1])


def test_a_restored_state_goes_on_where_it_was() -> None:
    torch.manual_seed(0)
    state = random_state()
    first = torch.rand(5)
    torch.rand(7)
    restore_random_state(state)
    assert torch.equal(torch.rand(5), first)
