"""How far a run is, for those who look at it from outside: other processes, other machines."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from resnet_lit.callbacks.metrics import Metrics, epoch_number
from resnet_lit.heartbeat import Heartbeat


class Beat(Callback):
    """Counts batches, trained or evaluated, for the heartbeat of the process, and tells it where the run stands.

    hold: raises where another process has taken the run over; asked when a beat has found that out.
    """

    def __init__(self, heart: Heartbeat, hold: Callable[[], None]) -> None:
        self.heart, self.hold = heart, hold

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        metrics = next(callback for callback in trainer.callbacks if isinstance(callback, Metrics))  # type: ignore[attr-defined]
        steps = trainer.estimated_stepping_batches
        epochs = trainer.max_epochs if trainer.max_epochs and trainer.max_epochs > 0 else None
        first, since = trainer.global_step, time.monotonic()

        def describe() -> dict[str, Any]:  # called by another thread
            latest = dict(metrics.latest)
            return {
                "epoch": epoch_number(trainer),
                "epochs": epochs,
                "step": trainer.global_step,
                "steps": None if steps == float("inf") else int(steps),
                "first_step": first,
                "seconds": round(time.monotonic() - since, 1),
                "metrics": {key: latest[key] for key in ("train/accuracy", "val/accuracy", "test/accuracy") if key in latest},
            }

        self.heart.describe = describe
        self.heart.soon()

    def on_train_batch_end(self, *_: Any) -> None:
        self._count()

    def on_validation_batch_end(self, *_: Any) -> None:
        self._count()

    def on_test_batch_end(self, *_: Any) -> None:
        self._count()

    def _count(self) -> None:
        self.heart.count += 1
        if self.heart.is_lost:
            self.hold()

    def on_validation_end(self, *_: Any) -> None:
        self.heart.soon()

    def on_train_epoch_end(self, *_: Any) -> None:
        self.heart.soon()
