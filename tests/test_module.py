"""The LightningModule's own arithmetic."""

from __future__ import annotations

import pytest
import torch

from resnet_lit.module import Tally


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_tallies_keep_their_precision_whatever_the_network_is_cast_to(dtype: torch.dtype) -> None:
    module = torch.nn.Sequential(torch.nn.Linear(2, 3), Tally()).to(dtype)
    tally, logits = module[1], torch.tensor([[2.0, 1.0, 0.0]] * 100, dtype=dtype)
    for right in (0, 0, 1):
        tally.add(logits, torch.full((100,), right), torch.tensor(1.25, dtype=dtype))
    assert module[0].weight.dtype == dtype
    assert {name: value.item() for name, value in tally.compute().items()} == {
        "loss": 1.25,
        "accuracy": pytest.approx(2 / 3),
        "count": 300,
    }
    tally.reset()
    assert tally.loss.dtype == torch.float32
