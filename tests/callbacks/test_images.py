"""The pictures of a run fit the cards that TensorBoard shows them in."""

from __future__ import annotations

import torch

from resnet_lit.callbacks.images import CARD, captioned_grid, confusion_picture, most_confident_mistakes

CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


def test_pictures_are_no_wider_than_a_card() -> None:
    grid = captioned_grid(torch.zeros(24, 3, 32, 32, dtype=torch.uint8), ["automobile 98.7%\nis airplane"] * 24)
    matrix = confusion_picture(torch.full((10, 10), 100), CLASSES)
    assert grid.dtype == matrix.dtype == torch.uint8
    assert grid.shape[2] <= CARD
    assert matrix.shape == (3, CARD, CARD)


def test_an_empty_row_of_the_matrix_is_white() -> None:
    counts = torch.eye(10, dtype=torch.int64) * 1000
    counts[3] = 0
    cell = (CARD - 80) // 10
    row = confusion_picture(counts, CLASSES)[:, 80 + 3 * cell + 1 : 80 + 4 * cell - 2, 80:]
    assert (row == 255).all()


def test_mistakes_come_most_confident_first() -> None:
    logits = torch.tensor([[9.0, 0.0], [0.0, 1.0], [0.0, 5.0], [3.0, 0.0]])
    assert most_confident_mistakes(logits, torch.tensor([0, 0, 0, 1])).tolist() == [2, 3, 1]
