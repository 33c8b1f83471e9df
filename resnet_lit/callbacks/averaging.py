"""Running averages of the weights: an exponential moving average to evaluate with, or Lookahead, from which training goes on.

Averaged are the network's parameters and its floating-point buffers, BatchNorm's running statistics, so that averaged weights
come with statistics of their own. The network is changed in place, so that a compiled one sees it. When and by how much is a
function of the step alone; the second set of weights lies in the checkpoint.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import StochasticWeightAveraging, WeightAveraging
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor
from torch.optim import Optimizer

from resnet_lit.identity import fixes
from resnet_lit.module import LitClassifier
from resnet_lit.optim.build import has_modes
from resnet_lit.schema import Config
from resnet_lit.sections import Averaging
from resnet_lit.typed import ConfigError

KEY = "averaging"  # in a checkpoint


class _RunningAverage(Callback):
    """Updates the average after every `every_steps` optimizer steps: average = decay * average + (1 - decay) * network.

    It is kept in float32 at least: in bfloat16 (trainer.precision=bf16-true) a small part of a difference would be lost.
    """

    def __init__(self, every_steps: int) -> None:
        self.every_steps = every_steps
        self.network: dict[str, Tensor] = {}  # the network's own tensors, by their names in the module's state_dict
        self.average: list[Tensor] = []
        self.step = 0

    @property
    def tensors(self) -> list[Tensor]:
        return list(self.network.values())

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, LitClassifier)
        state = pl_module.network.state_dict(prefix="network.")
        self.network = {name: tensor.detach() for name, tensor in state.items() if tensor.is_floating_point()}
        begun = self.average or self.tensors
        self.average = [
            one.to(device=own.device, dtype=_wide(own), copy=True) for one, own in zip(begun, self.tensors, strict=True)
        ]
        self.step = trainer.global_step

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int) -> None:
        if trainer.global_step == self.step:  # gradients are still being accumulated
            return
        self.step = trainer.global_step
        if self.step % self.every_steps == 0:
            self.update(self.decay(self.step))

    @torch.no_grad()
    def update(self, decay: float) -> None:
        """Move the average towards the network."""
        torch._foreach_lerp_(self.average, [tensor.to(_wide(tensor)) for tensor in self.tensors], 1 - decay)

    def decay(self, step: int) -> float:
        """The share of the average that stays at the update after `step` steps."""
        raise NotImplementedError

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        checkpoint[KEY] = {"average": self.average}

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        self.average = checkpoint[KEY]["average"]


class ExponentialMovingAverage(_RunningAverage):
    """Validations, the best weights, the last ones and the test are those of the average.

    decay: share that stays at an update. warmup: min(decay, (1 + n) / (10 + n)) at the n-th update, as in TensorFlow's
    ExponentialMovingAverage and timm: the first weights, which were drawn at random, are soon forgotten.

    A checkpoint's state_dict is the average, too; the weights to go on training with lie beside it.
    """

    def __init__(self, decay: float, *, every_steps: int = 1, warmup: bool = False) -> None:
        super().__init__(every_steps)
        self.highest, self.warmup = decay, warmup
        self.training: list[Tensor] | None = None  # the weights to train with, while the network has the averages

    def decay(self, step: int) -> float:
        updates = step // self.every_steps
        return min(self.highest, (1 + updates) / (10 + updates)) if self.warmup else self.highest

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_start(trainer, pl_module)
        self._take_out()

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.state.fn == TrainerFn.FITTING:
            self._put_in()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.state.fn == TrainerFn.FITTING:
            self._take_out()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._put_in()

    @torch.inference_mode(False)
    @torch.no_grad()
    def _put_in(self) -> None:
        self.training = [tensor.clone() for tensor in self.tensors]
        torch._foreach_copy_(self.tensors, self.average)

    @torch.inference_mode(False)
    @torch.no_grad()
    def _take_out(self) -> None:
        if self.training is not None:
            torch._foreach_copy_(self.tensors, self.training)
            self.training = None

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        super().on_save_checkpoint(trainer, pl_module, checkpoint)
        averages = zip(self.network.items(), self.average, strict=False)  # a run that had ended when it was resumed has no names
        checkpoint["state_dict"] = {**checkpoint["state_dict"], **{name: one.to(own.dtype) for (name, own), one in averages}}
        checkpoint[KEY]["training"] = self.tensors if self.training is None else self.training

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        super().on_load_checkpoint(trainer, pl_module, checkpoint)
        self.training = checkpoint[KEY]["training"]  # a run that has ended does not train: the network keeps the averages


class Lookahead(_RunningAverage):
    """Lookahead (Zhang et al. 2019, arXiv:1907.08610): training goes on from each average, the "slow weights".

    decay: share of the slow weights that stays at an update, 1 - alpha of the paper. power: the decay grows as
    (step / steps)^power, as in airbench94.py (https://github.com/KellerJordan/cifar10-airbench: 5 steps, 0.95^5, power 3); 0: it
    is constant, as in the paper. steps: of the run. The run ends with the slow weights; until then, the network's weights as they
    are are evaluated and kept.
    """

    def __init__(self, decay: float, *, every_steps: int = 5, power: float = 0.0, steps: int) -> None:
        super().__init__(every_steps)
        self.highest, self.power, self.steps = decay, power, steps

    def decay(self, step: int) -> float:
        return self.highest * min(1.0, step / self.steps) ** self.power

    def update(self, decay: float) -> None:
        super().update(decay)
        self._put_in()

    @torch.no_grad()
    def _put_in(self) -> None:
        torch._foreach_copy_(self.tensors, self.average)

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int) -> None:
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)
        if self.step == self.steps:  # before the last validation
            self._put_in()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._put_in()  # of a run that was stopped before its end


def _wide(tensor: Tensor) -> torch.dtype:
    return torch.promote_types(tensor.dtype, torch.float32)


def build_averaging(averaging: Averaging, steps: int, callbacks: Iterable[Callback], optimizer: Optimizer) -> list[Callback]:
    """The callback of a config's `averaging`, if any. steps: of the run.

    Raises ConfigError where one of the user's callbacks, or the optimizer, puts other weights in place for evaluations, too.
    """
    also = [type(one).__name__ for one in callbacks if isinstance(one, WeightAveraging | StochasticWeightAveraging)]
    also += [type(optimizer).__name__] * has_modes(optimizer)
    if also and averaging.method != "none":
        raise ConfigError(f"averaging={averaging.name}: {also[0]} averages weights, too; leave one of them out (averaging=none)")
    common: dict[str, Any] = {"every_steps": averaging.every_steps}
    if averaging.method == "ema":
        return [ExponentialMovingAverage(averaging.decay, warmup=averaging.warmup, **common)]
    if averaging.method == "lookahead":
        return [Lookahead(averaging.decay, power=averaging.power, steps=steps, **common)]
    return []


def evaluated_weights(config: Config, optimizer: Optimizer) -> str:
    """Which weights a run evaluates, tests and saves, as its record names them: docs/record.md."""
    if "evaluated_weights" in fixes(config):
        return "callback"
    if has_modes(optimizer):
        return "optimizer"
    return {"none": "trained"}.get(config.averaging.method, config.averaging.method)
