"""The numbers of an evaluation against other implementations."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from torchmetrics.functional.classification import multiclass_calibration_error, multiclass_confusion_matrix

from resnet_lit.reporting.answers import Answers


@pytest.fixture
def answers() -> Answers:
    random = np.random.default_rng(0)
    targets = random.integers(0, 4, 997)
    logits = random.normal(size=(997, 5)).astype(np.float32) * 3
    logits[np.arange(997), targets] += 2
    return Answers(logits, targets, ("a", "b", "c", "d", "e"))


def test_loss_confusion_and_calibration_are_those_of_torch_and_torchmetrics(answers) -> None:
    logits, targets = torch.from_numpy(answers.logits), torch.from_numpy(answers.targets)
    assert answers.loss == pytest.approx(float(F.cross_entropy(logits.double(), targets)), abs=1e-9)
    assert (answers.confusion == multiclass_confusion_matrix(logits.argmax(1), targets, num_classes=5).numpy()).all()
    expected = multiclass_calibration_error(torch.softmax(logits, 1), targets, num_classes=5, n_bins=15)
    assert answers.calibration_error == pytest.approx(float(expected), abs=1e-6)


def test_the_interval_is_wilsons() -> None:
    """The worked example of Wilson's interval: 7 of 10, Newcombe 1998 gives 0.3968 to 0.8922."""
    logits = np.array([[1.0, 0.0]] * 7 + [[0.0, 1.0]] * 3)
    low, high = Answers(logits, np.zeros(10, int), ("a", "b")).interval
    assert (low, high) == pytest.approx((0.3968, 0.8922), abs=1e-4)


def test_classes_without_images_are_left_out_and_the_worst_mistake_is_named() -> None:
    logits = np.array([[2.0, 1.0, 0.0], [0.0, 2.0, 1.0], [0.0, 1.0, 2.0], [1.0, 2.0, 0.0]])
    answers = Answers(logits, np.array([0, 1, 1, 1]), ("cat", "dog", "cow"))
    assert answers.per_class() == [("cat", 1, 1.0, "", 0.0), ("dog", 3, pytest.approx(2 / 3), "cow", pytest.approx(1 / 3))]
    assert sum(bin.count for bin in answers.reliability) == 4
