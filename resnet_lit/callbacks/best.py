"""The best weights so far: those that the evaluation was made with, whatever callbacks exchange for it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from resnet_lit.callbacks.metrics import Metrics, epoch_number
from resnet_lit.callbacks.timing import Timing


class BestWeights(Callback):
    """Keeps the weights of the evaluation with the highest accuracy, in memory.

    The first of a run's callbacks: those that average weights (Lightning's WeightAveraging, EMAWeightAveraging) put the averages
    in place when a validation starts and take them out again when it ends, and this one must see them before.

    monitor: the metric that chooses, val/accuracy or test/accuracy; None where nothing is held out. exchanged: whether the user
    has callbacks, which may change weights between an evaluation and the end of training: the last evaluation's are kept, too.
    """

    def __init__(self, metrics: Metrics, timing: Timing, monitor: str | None, *, exchanged: bool) -> None:
        self.metrics, self.timing, self.monitor, self.exchanged = metrics, timing, monitor, exchanged
        self.best: dict[str, Any] | None = None  # {"epoch", "step", "value", "metrics", "state_dict"}
        self.resumed_evaluated = True  # what `was_evaluated` said when the checkpoint was written that this session began with
        self.evaluated_at_the_end = False
        self._evaluated: dict[str, Tensor] | None = None

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.monitor is None:
            return
        found = self.metrics.evaluation_so_far(pl_module)
        better = self.best is None or found[self.monitor] > self.best["value"]
        with self.timing.during("checkpoint"), torch.inference_mode(False):
            if self.exchanged:
                self._evaluated = copied(pl_module)
            if better and all(map(math.isfinite, found.values())):
                self.best = {
                    "epoch": epoch_number(trainer),
                    "step": trainer.global_step,
                    "value": found[self.monitor],
                    "metrics": found,
                    "state_dict": self._evaluated or copied(pl_module),
                }

    def was_evaluated(self, module: LightningModule) -> bool:
        """Whether the last evaluation was of the weights of `module`, or of those that callbacks exchange its last ones for."""
        if self.evaluated_at_the_end:
            return True
        return self.resumed_evaluated if self._evaluated is None else same_weights(self._evaluated, module.state_dict())


def copied(module: LightningModule) -> dict[str, Tensor]:
    """The weights and statistics of `module`, in memory of their own."""
    return {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}


def same_weights(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    """Whether two state dicts hold the same numbers."""
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name].to(one[name].device)) for name in one)
