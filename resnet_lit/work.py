"""How much arithmetic a run's training is: the size of its images in every epoch, and petaFLOPs. No torch here.

petaFLOPs = 6 x multiply-adds x images / 1e15, summed over the epochs with the size of images that each has: two operations for a
multiply-add forward, four backward, whatever is frozen. As cifar10-airbench counts; optimizer, BatchNorm and evaluations are left
out.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from resnet_lit import resolution
from resnet_lit.length import Length
from resnet_lit.models.cost import count_multiply_adds
from resnet_lit.schema import Config, architecture
from resnet_lit.sections import RESNET, Model

FLOPS_PER_MULTIPLY_ADD = 6


def multiply_adds(model: Model, classes: int | None, sizes: Iterable[int], channels: int = 3) -> dict[int, int]:
    """Multiply-adds of one image's forward pass for each side in pixels; empty for a class of the user's own."""
    if model.target != RESNET:
        return {}
    return {size: count_multiply_adds(architecture(model, classes, size, channels)) for size in sizes}


def pixels_in(config: Config, epoch: int, epochs: float, full: int) -> int:
    """Side of the training images in `epoch`, counted from 0, of a run of `epochs` on images of `full` pixels a side.

    A run that continues a finished one for more epochs goes on at full size, with which that one has ended.
    """
    if config.parent.checkpoint is not None:
        return full
    return resolution.pixels_in(config.data, epoch, epochs) or full


def epochs_at(config: Config, full: int, epochs: float, done: float | None = None) -> dict[int, float]:
    """Epochs at each size of images, of the first `done` of a run of `epochs` (None: of all); full: side of the images."""
    done = epochs if done is None else done
    if config.data.resolution is None or config.parent.checkpoint is not None:
        return {full: done}
    found: dict[int, float] = {}
    for epoch in range(math.ceil(done - 1e-9)):
        pixels = pixels_in(config, epoch, epochs, full)
        found[pixels] = found.get(pixels, 0.0) + min(1.0, done - epoch)
    return found


def relative_cost(config: Config, macs: Mapping[int, int], full: int, epochs: float, done: float) -> float:
    """About how long the first `done` epochs take, in epochs at full size: by multiply-adds, or pixels where `macs` is empty."""
    spent = epochs_at(config, full, epochs, done)
    cost = macs or {pixels: pixels**2 for pixels in spent}
    return sum(cost[pixels] * count for pixels, count in spent.items()) / (macs.get(full) or full**2)


def training_petaflops(config: Config, macs: Mapping[int, int], full: int, length: Length, done: float | None = None) -> float:
    """petaFLOPs of the first `done` epochs of a run (None: of all), with those of the finished run that it continues.

    macs: `multiply_adds` of every size; length: of the whole run.
    """
    spent = epochs_at(config, full, length.epochs, done)
    before, parent = config.parent.petaflops, config.parent
    if parent.checkpoint is not None and before is not None:
        spent[full] -= parent.resumed_at_epoch
    per_image = sum(macs[pixels] * epochs for pixels, epochs in spent.items())
    return (before or 0.0) + FLOPS_PER_MULTIPLY_ADD * per_image * length.images / 1e15
