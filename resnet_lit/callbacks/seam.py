"""Where a finished run is continued for more epochs: the schedule of the new length takes over."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import StochasticWeightAveraging, WeightAveraging
from torch.optim.lr_scheduler import LambdaLR

from resnet_lit.optim.groups import base_lr
from resnet_lit.typed import ConfigError

log = logging.getLogger("resnet_lit")


def check_can_continue(state: dict[str, Any], callbacks: Iterable[Callback]) -> None:
    """Refuse more epochs where they would not continue what was trained. state: of the last checkpoint. Raises ConfigError."""
    if state["should_stop"]:
        raise ConfigError(
            "trainer.max_epochs: a callback (early stopping, for instance) ended the run in its last epoch and would end it "
            "again; weights=<checkpoint> starts a new run from its weights"
        )
    for callback in callbacks:
        if isinstance(callback, WeightAveraging | StochasticWeightAveraging):
            raise ConfigError(
                f"trainer.max_epochs: when the run ended, {type(callback).__name__} replaced the trained weights by averaged "
                "ones, from which training cannot continue; weights=<checkpoint> starts a new run from them"
            )


def warn_of_inexact(callbacks: Iterable[Callback]) -> None:
    """Say so where a callback of Lightning's does not restore all of its state when a run is resumed."""
    if any(isinstance(callback, StochasticWeightAveraging) for callback in callbacks):
        log.warning(
            "StochasticWeightAveraging does not restore its learning-rate schedule within an epoch: if it had begun to average, "
            "the resumed run may end with other numbers than an uninterrupted one (EMAWeightAveraging resumes exactly)"
        )


class Seam(Callback):
    """Evaluates the schedule with the new length from the step reached, and says how the learning rate changes there.

    The restored optimizer has the rate that the old, shorter schedule gave for the next step. A schedule of torch's own, which
    does not know how long the run is, goes on as it was restored.

    last_lr: the learning rate of the last step of the run that is continued.
    """

    def __init__(self, last_lr: float) -> None:
        self.last_lr = last_lr

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        for config in trainer.lr_scheduler_configs:
            if isinstance(config.scheduler, LambdaLR):
                config.scheduler.last_epoch -= 1
                config.scheduler.step()  # as many steps as before, evaluated anew
        lr = base_lr(trainer.optimizers[0])
        if trainer.is_global_zero:
            same = math.isclose(lr, self.last_lr, rel_tol=1e-9)
            change = f"{lr:.4g} as before" if same else f"jumps from {self.last_lr:.4g} to {lr:.4g}"
            log.info("continuing from epoch %d, step %d; learning rate %s", trainer.current_epoch, trainer.global_step, change)
