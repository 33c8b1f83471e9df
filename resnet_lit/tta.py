"""Test-time augmentation (`evaluation.tta`): the weighted mean of a network's logits over several views of each image.

flip: the image and its mirror image, half each. 6: as cifar10-airbench evaluates (airbench94_muon.py, infer_mirror_translate):
that pair has half of the weight, the pairs moved by one pixel, down and right or up and left, have a quarter each.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

TTA = Literal["none", "flip", 6]
# For each kind the pairs of an image and its mirror image: by how many pixels they are moved, and their weight.
PAIRS: dict[TTA, tuple[tuple[int, float], ...]] = {"flip": ((0, 1.0),), 6: ((0, 0.5), (1, 0.25), (-1, 0.25))}


def averaged(network: Callable[[Tensor], Tensor], images: Tensor, logits: Tensor, tta: TTA) -> Tensor:
    """Mean logits over all views of images (N, C, H, W), of any dtype: (N, classes) float32.

    network: images -> logits (N, classes). logits: those of `images` themselves, the first view.
    """
    mean = torch.zeros_like(logits, dtype=torch.float32)
    for pixels, weight in PAIRS[tta]:
        moved = translated(images, pixels)
        # each result is used before the next call: a CUDA graph writes over what it gave before
        mean = mean + weight / 2 * (network(moved) if pixels else logits).float()
        mean = mean + weight / 2 * network(moved.flip(3)).float()
    return mean


def translated(images: Tensor, pixels: int) -> Tensor:
    """images (N, C, H, W) moved down and right by `pixels`, up and left where that is negative.

    What becomes free shows the image mirrored at its border, whose own pixels are not repeated (F.pad's mode reflect).
    """
    for dim in (2, 3):
        last = images.shape[dim] - 1
        source = (torch.arange(last + 1, device=images.device) - pixels).abs()
        images = images.index_select(dim, last - (last - source).abs())
    return images
