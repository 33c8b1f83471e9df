"""The last lines of a run."""

from __future__ import annotations

from typing import Any

import pytest

from resnet_lit import closing

METRICS = {"test/accuracy": 1.0, "test/accuracy_last": 1.0}


@pytest.mark.parametrize(
    ("chosen_on", "scale", "said"),
    [
        ("val", None, "data         cifar10-jpeg, seed 4294967295"),
        ("val", "smoke", "data         cifar10-jpeg, seed 4294967295, at smoke scale, so it means nothing"),
        ("test", None, "data         cifar10-jpeg, seed 4294967295, protocol=paper (optimistic)"),
        (None, None, "data         cifar10-jpeg, seed 4294967295"),
    ],
)
def test_the_result_fits_80_columns_and_says_how_the_epoch_was_chosen(
    chosen_on: str | None, scale: str | None, said: str
) -> None:
    record: Any = {
        "metrics": METRICS,
        "best": {"epoch": 1234, "chosen_on": chosen_on},
        "data": {"variant": "cifar10-jpeg"},
        "seed": 2**32 - 1,
        "scale": scale,
    }
    accuracy, data = closing._result(record)
    assert accuracy.startswith("test accuracy 100.00%  (")
    assert accuracy.endswith("last epoch 100.00%)")
    assert data == said
    assert max(len(accuracy), len(data)) <= 80
