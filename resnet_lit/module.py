"""The LightningModule: what one training step does. The network itself is any nn.Module from images to logits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer
from torchmetrics import Metric

from resnet_lit.tta import TTA, averaged


class Tally(Metric):
    """Sums of loss, right answers and images, kept on the device and read when asked; summed over processes.

    `update` takes logits (N, classes) float, targets (N,) int64 and the mean loss of the batch; `compute` gives
    {"loss", "accuracy", "count"} as scalar tensors, accuracy in [0, 1].
    """

    full_state_update = False
    loss: Tensor
    correct: Tensor
    count: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("loss", torch.tensor(0.0), dist_reduce_fx="sum")
        self.add_state("correct", torch.tensor(0), dist_reduce_fx="sum")
        self.add_state("count", torch.tensor(0), dist_reduce_fx="sum")

    def update(self, logits: Tensor, targets: Tensor, loss: Tensor) -> None:
        self.add(logits, targets, loss)

    def add(self, logits: Tensor, targets: Tensor, loss: Tensor) -> None:
        """`update` without what torchmetrics wraps around it, which takes longer than the sums: for the training step."""
        # in place: assigning to a torchmetrics state takes longer than adding to it
        self.loss.add_(loss.detach(), alpha=len(targets))
        self.correct.add_((logits.detach().argmax(1) == targets).sum())
        self.count.add_(len(targets))

    def _apply(self, fn: Callable[[Tensor], Tensor], exclude_state: Sequence[str] = "") -> nn.Module:
        """Moved with the module, never cast with it (trainer.precision=bf16-true): bfloat16 counts no further than 256."""
        moved: nn.Module = super()._apply(lambda tensor: fn(tensor).to(tensor.dtype), exclude_state)
        return moved

    def compute(self) -> dict[str, Tensor]:
        return {"loss": self.loss / self.count, "accuracy": self.correct / self.count, "count": self.count}


class LitClassifier(LightningModule):
    """A network, its input normalisation, and how it is trained.

    network: nn.Module, (N, C, H, W) float -> logits (N, classes). mean, std: per channel, of pixels in [0, 1].
    configure: called with the network when training starts, gives the optimizer and Lightning's scheduler config.
    evaluated: what the validation loop sees: "val", or "test" under protocol=paper. tta: of a test, beside the single view.
    content: what else a checkpoint must hold to be of use by itself: config, identity, class names, normalisation.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        network: nn.Module,
        *,
        mean: Sequence[float],
        std: Sequence[float],
        label_smoothing: float = 0.0,
        configure: Callable[[nn.Module], tuple[Optimizer, dict[str, Any]]] | None = None,
        evaluated: str = "val",
        tta: TTA = "none",
        content: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.network = network.to(memory_format=torch.channels_last)
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1) * 255)
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1) * 255)
        self.label_smoothing = label_smoothing
        self.configure = configure
        # The network compiled, and for which size of batches (callbacks.Compilation); others, the last of an epoch for
        # instance, run eagerly, which spares a compilation for each further shape.
        self.compiled: Callable[[Tensor], Tensor] | None = None
        self.compiled_batch = 0
        self.evaluated, self.tta = evaluated, tta
        self.tested = "test set"  # what a test reads, in words
        self.content = content if content is not None else {}
        self.tally = Tally()
        self.evaluation = Tally()
        self.evaluation_tta = Tally()
        self.outputs: list[
            tuple[Tensor, ...]
        ] = []  # targets, logits, logits with TTA where asked for: of the last test, by batch

    def forward(self, images: Tensor) -> Tensor:
        """images (N, C, H, W) uint8, or float in [0, 255] -> logits (N, classes)."""
        images = ((images - self.mean) / self.std).contiguous(memory_format=torch.channels_last)
        if self.compiled is not None and len(images) == self.compiled_batch:
            return self.compiled(images)
        logits: Tensor = self.network(images)
        return logits

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Mean cross-entropy, label-smoothed in training only. logits (N, classes), targets (N,) int64 -> scalar float32."""
        smoothing = self.label_smoothing if self.training else 0.0
        return F.cross_entropy(logits.float(), targets, label_smoothing=smoothing)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        images, targets = batch
        logits = self(images)
        loss = self.loss(logits, targets)
        self.tally.add(logits, targets, loss)
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        images, targets = batch
        logits = self(images)
        self.evaluation.update(logits, targets, self.loss(logits, targets))

    def test_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        images, targets = batch
        logits = self(images)
        self.evaluation.update(logits, targets, self.loss(logits, targets))
        outputs: tuple[Tensor, ...] = (targets, logits.float().clone())  # a copy: a CUDA graph writes over what it gave before
        if self.tta != "none":
            mean = averaged(self, images, outputs[1], self.tta)
            self.evaluation_tta.update(mean, targets, self.loss(mean, targets))
            outputs += (mean,)
        self.outputs.append(outputs)

    def on_validation_epoch_start(self) -> None:
        self.evaluation.reset()

    def on_validation_epoch_end(self) -> None:
        values = self.evaluation.compute()  # for callbacks that monitor a metric; our own loggers are fed by callbacks.Metrics
        self.log_dict({f"{self.evaluated}/{name}": values[name] for name in ("loss", "accuracy")}, logger=False, sync_dist=True)

    def on_test_epoch_start(self) -> None:
        self.evaluation.reset()
        self.evaluation_tta.reset()
        self.outputs.clear()

    def on_test_epoch_end(self) -> None:
        self.outputs = [tuple(part.cpu() for part in batch) for batch in self.outputs]

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["resnet_lit"] = self.content

    def configure_optimizers(self) -> Any:
        if self.configure is None:
            raise RuntimeError("this module was built for evaluation: it has no optimizer")
        optimizer, scheduler = self.configure(self.network)
        return {"optimizer": optimizer, "lr_scheduler": scheduler}
