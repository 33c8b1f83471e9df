"""Learning-rate schedules as plain functions of time: (epoch, epochs, **args) -> multiplier of the base learning rate.

`epoch` is the time since the schedule began, in epochs, fractional between two steps; `epochs` is the schedule's length.
A function of your own with the same arguments is used by its import path (`scheduler._target_`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

ROUNDING = 1e-9  # epochs: 0.55 * 100 is a little more than 55, and a milestone there must not wait for epoch 56


def constant(epoch: float, epochs: float) -> float:
    """The base learning rate throughout."""
    return 1.0


def cosine(epoch: float, epochs: float, final: float = 0.0) -> float:
    """Cosine annealing to `final` (Loshchilov and Hutter 2017, eq. 5, without restarts), as torch's CosineAnnealingLR.

    It rises again after `epochs`, as torch's does: the paper's script ran 250 epochs on a schedule of 200.
    """
    return final + (1 - final) * (1 + math.cos(math.pi * epoch / epochs)) / 2


def sgdr(epoch: float, epochs: float, period: float = 10.0, multiply: float = 2.0, final: float = 0.0) -> float:
    """Cosine annealing with warm restarts (Loshchilov and Hutter 2017, eq. 5), as torch's CosineAnnealingWarmRestarts.

    period: epochs to the first restart. multiply: each period lasts so many times the one before. `epochs` plays no part.
    Raises ValueError where the periods would add up to an end (period <= 0, multiply < 1).
    """
    if period <= 0 or multiply < 1:
        raise ValueError(f"period={period:g}, multiply={multiply:g}: period must be above 0 and multiply at least 1")
    while epoch >= period:
        epoch, period = epoch - period, period * multiply
    return cosine(epoch, period, final)


def step(epoch: float, epochs: float, milestones: Sequence[float] = (0.5, 0.75), gamma: float = 0.1) -> float:
    """Times `gamma` at each milestone, as torch's MultiStepLR. milestones: in epochs, or, if all are <= 1, shares of `epochs`."""
    share = epochs if all(m <= 1 for m in milestones) else 1.0
    return gamma ** sum(epoch >= m * share - ROUNDING for m in milestones)


def linear(epoch: float, epochs: float, final: float = 0.0) -> float:
    """Straight down to `final`, and constant from there."""
    return final + (1 - final) * max(0.0, 1 - epoch / epochs)


def one_cycle(epoch: float, epochs: float, rise: float = 0.3, start: float = 0.04, final: float = 4e-6) -> float:
    """Up from `start` to 1 over the share `rise` of the run, then down to `final`, both along a cosine (Smith and Topin 2018).

    The base learning rate is the highest. start and final are those of torch's OneCycleLR (div_factor 25, final_div_factor 1e4);
    momentum is left alone. torch ends at step total_steps - 1 and peaks at pct_start * total_steps - 1: over a length of
    total_steps - 1 steps, rise=(pct_start * total_steps - 1) / (total_steps - 1) gives its rates exactly, rise=pct_start nearly.
    """
    top = rise * epochs
    if epoch < top or top >= epochs:  # rise=1 only rises: there is no way down to divide by
        epoch = min(epoch, top)
        return start + (1 - start) * (1 - math.cos(math.pi * epoch / top)) / 2
    return cosine(min(1.0, (epoch - top) / (epochs - top)), 1.0, final)


def triangular(epoch: float, epochs: float, peak: float = 0.23, start: float = 0.2, final: float = 0.07) -> float:
    """Up from `start` to 1 over the share `peak` of the run, then down to `final`, both straight, and constant from there.

    Smith 2018, "A disciplined approach to neural network hyper-parameters" (arXiv:1803.09820); the defaults are those of
    airbench94.py (https://github.com/KellerJordan/cifar10-airbench), which rounds the peak down to a whole step.
    """
    top = peak * epochs
    if epoch < top or top >= epochs:
        return start + (1 - start) * min(1.0, epoch / top)
    return linear(epoch - top, epochs - top, final)
