"""Optimizers that keep other weights to evaluate with than to train with: schedule-free ones, with train() and eval()."""

from __future__ import annotations

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn

from resnet_lit.optim.build import switch


class OptimizerMode(Callback):
    """Calls the optimizer's `eval()` before a validation and when training ends, `train()` before training and after it.

    So validations, the best weights, the last ones and the test are those of the weights to evaluate with. A checkpoint within
    training holds those to train with, and the optimizer's state says so. Optimizers without the two are left alone.
    """

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        _switch(trainer, "train")

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.state.fn == TrainerFn.FITTING:
            _switch(trainer, "eval")

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.state.fn == TrainerFn.FITTING:
            _switch(trainer, "train")

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        _switch(trainer, "eval")


def _switch(trainer: Trainer, mode: str) -> None:
    for optimizer in trainer.optimizers:
        switch(optimizer, mode)
