"""The stem's weight and bias, each trained in some of the epochs alone: model.stem_frozen and model.stem_bias_epochs."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, nn

from resnet_lit.module import LitClassifier
from resnet_lit.sections import RESNET, Model


def trains_in_parts(model: Model) -> bool:
    """Whether what is trained changes between two epochs of a run."""
    return starts_late(model) or (model.target == RESNET and model.stem_bias_epochs is not None)


def starts_late(model: Model) -> bool:
    """Whether a parameter gets its first gradient in a later epoch than others."""
    return model.target == RESNET and model.stem_frozen not in (0, "always")


class FrozenStem(Callback):
    """Sets `requires_grad` of the stem's weight and bias by the epoch alone, so that a resumed run does as an uninterrupted one.

    What is not trained gets no gradient: none is computed, and the optimizer leaves it and its momentum as they are, without
    weight decay. Parameters are trained when optimizer and DDP are set up, which know all of them; DDP has to look for unused
    ones (trainer.py).
    """

    def __init__(self, model: Model) -> None:
        self.weight_from = 0 if model.stem_frozen == "always" else model.stem_frozen
        self.bias_until = model.stem_bias_epochs
        self._epoch = 0

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        self._epoch = checkpoint["loops"]["fit_loop"]["epoch_progress"]["current"]["processed"]

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._set(pl_module, self._epoch)  # before the network is compiled; also for a resumed epoch, which does not start again

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._set(pl_module, trainer.current_epoch)

    def _set(self, module: LightningModule, epoch: int) -> None:
        assert isinstance(module, LitClassifier)
        conv = module.network.get_submodule("stem.conv")
        assert isinstance(conv, nn.Conv2d)
        if self.weight_from:
            _train(conv.weight, epoch >= self.weight_from)
        if self.bias_until is not None and conv.bias is not None:
            _train(conv.bias, epoch < self.bias_until)


def _train(parameter: Tensor, yes: bool) -> None:
    parameter.requires_grad_(yes)
    if not yes:
        parameter.grad = None
