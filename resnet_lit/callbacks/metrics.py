"""Loss and accuracy: read from the device now and then, checked, written to metrics.csv and handed to the loggers."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn

from resnet_lit.callbacks.timing import Timing
from resnet_lit.module import LitClassifier, Tally
from resnet_lit.optim.groups import base_lr
from resnet_lit.record import METRICS

COLUMNS = (
    "step",
    "epoch",
    "train/loss",
    "train/accuracy",
    "train/loss_epoch",
    "train/accuracy_epoch",
    "val/loss",
    "val/accuracy",
    "test/loss",
    "test/accuracy",
    "lr",
    "perf/images_per_second",
    "perf/mfu",
    "perf/seconds",
)


SUMS = ("loss", "correct", "count")  # the states of a Tally


class Diverged(Exception):
    """The loss is no longer a finite number."""


class Metrics(Callback):
    """Reads the module's tallies every `every_steps`, and once an epoch; nothing else waits for the device.

    A row of metrics.csv holds what is known at one step: means over the steps since the last reading (train/loss), over the
    epoch (train/loss_epoch), over an evaluation (val/loss; test/loss under protocol=paper). Accuracy in [0, 1].
    hold: raises where the folder is no longer this process's to write in. Raises Diverged where a loss is not finite.
    """

    def __init__(
        self, folder: Path, timing: Timing, *, every_steps: int, hold: Callable[[], None] = lambda: None, evaluated: str = "val"
    ) -> None:
        self.hold = hold
        self.path = folder / METRICS
        self.timing = timing
        self.every_steps = every_steps
        self.evaluated = evaluated  # what the validation loop sees: "val", or "test" under protocol=paper
        # at the peak of the devices' arithmetic, in an epoch counted from 0; perf/mfu is a share of it
        self.peak_images_per_second: Callable[[int], float] | None = None
        self.latest: dict[str, float] = {}
        self.readings = 0  # of training, in this session
        self.evaluated_at: int | None = None  # step of the last evaluation
        self._epoch = {"loss": 0.0, "accuracy": 0.0, "count": 0.0}  # sums over the epoch so far
        self._row: dict[str, float] = {}
        self._last = (0, 0.0)  # step and training seconds at the last reading
        self._images = 0
        self._lr = math.nan
        self._resumed_tally: dict[str, Any] = {}

    # --- reading

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._last = (self._last[0], self._training_seconds())
        if trainer.is_global_zero:  # it holds the sums over all processes
            for name, value in self._resumed_tally.items():
                setattr(pl_module.tally, name, value.to(pl_module.device))

    def on_train_batch_start(self, trainer: Trainer, *_: Any) -> None:
        self._lr = base_lr(trainer.optimizers[0])  # of this step; when it has ended the schedule has moved on

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int) -> None:
        self._images += len(batch[1]) * trainer.world_size
        step = trainer.global_step
        if step % self.every_steps == 0 and step != self._last[0] and not trainer.is_last_batch:
            self._read_training(trainer, pl_module)  # waits for what the device has still to compute
            with self.timing.during("logging"):
                self._write(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        with self.timing.during("logging"):
            self.read_evaluation(trainer, pl_module, self.evaluated)
            if trainer.state.fn != TrainerFn.FITTING or not trainer.is_last_batch:  # else it is written with the epoch's row
                self._write(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.global_step != self._last[0]:
            self._read_training(trainer, pl_module)
        with self.timing.during("logging"):
            sums, count = self._epoch, self._epoch["count"]
            if count:
                self._row.update({"train/loss_epoch": sums["loss"] / count, "train/accuracy_epoch": sums["accuracy"] / count})
            self._epoch = dict.fromkeys(sums, 0.0)
            self._write(trainer)

    def _read_training(self, trainer: Trainer, module: LightningModule) -> None:
        values = self._read(module, "tally")
        self.readings += 1
        for name in ("loss", "accuracy"):
            self._epoch[name] += values[name] * values["count"]
            self._row[f"train/{name}"] = values[name]
        self._epoch["count"] += values["count"]
        self._row["lr"] = self._lr
        seconds = self._training_seconds()
        speed = self._images / max(seconds - self._last[1], 1e-9)
        self._row["perf/images_per_second"] = speed
        if self.peak_images_per_second is not None:
            self._row["perf/mfu"] = speed / self.peak_images_per_second(trainer.current_epoch)
        self._last, self._images = (trainer.global_step, seconds), 0
        self._check_finite(values["loss"], "train/loss", trainer)

    def evaluation_so_far(self, module: LightningModule) -> dict[str, float]:
        """Loss and accuracy of the evaluation that is ending, as `read_evaluation` will have them."""
        assert isinstance(module, LitClassifier)
        values = module.evaluation.compute()
        return {f"{self.evaluated}/{name}": float(values[name]) for name in ("loss", "accuracy")}

    def read_evaluation(self, trainer: Trainer, module: LightningModule, part: str) -> dict[str, float]:
        """Loss and accuracy of the evaluation that has just ended, as `<part>/loss` and `<part>/accuracy`."""
        values = self._read(module, "evaluation")
        found = {f"{part}/{name}": values[name] for name in ("loss", "accuracy")}
        self._check_finite(values["loss"], f"{part}/loss", trainer)
        self._row.update(found)
        self.latest.update(found)
        self.evaluated_at = trainer.global_step
        return found

    def read_tta(self, module: LightningModule, part: str) -> dict[str, float]:
        """`<part>/loss_tta` and `<part>/accuracy_tta` of the test that has just ended: with test-time augmentation."""
        values = self._read(module, "evaluation_tta")
        return {f"{part}/{name}_tta": values[name] for name in ("loss", "accuracy")}

    @staticmethod
    def _read(module: LightningModule, name: str) -> dict[str, float]:
        assert isinstance(module, LitClassifier)
        tally: Tally = getattr(module, name)
        values = tally.compute()
        numbers = torch.stack([value.float() for value in values.values()]).tolist()  # waits for the device once
        tally.reset()
        return dict(zip(values, numbers, strict=True))

    def _check_finite(self, loss: float, name: str, trainer: Trainer) -> None:
        if not math.isfinite(loss):
            raise Diverged(f"{name} is {loss} at step {trainer.global_step}, lr {self._lr:g}")

    def _training_seconds(self) -> float:
        return self.timing.seconds["data_wait"] + self.timing.seconds["compute"]

    # --- writing

    def _write(self, trainer: Trainer) -> None:
        row, self._row = self._row, {}
        self.latest.update(row)
        if trainer.is_global_zero:
            self.append({"step": trainer.global_step, "epoch": epoch_number(trainer), **row})
            for logger in trainer.loggers:
                logger.log_metrics(row, step=trainer.global_step)

    def append(self, row: dict[str, float]) -> None:
        """Add one row to metrics.csv; it is on its way to the disk when this returns."""
        self.hold()
        new = not self.path.exists()
        row = {**row, "perf/seconds": self.timing.result()["total"]}
        with self.path.open("a", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS)
            if new:
                writer.writeheader()
            writer.writerow({key: f"{value:.8g}" if isinstance(value, float) else value for key, value in row.items()})

    # --- resuming: what has been tallied since the last reading goes on

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        assert isinstance(pl_module, LitClassifier)
        tally = {name: trainer.strategy.reduce(getattr(pl_module.tally, name).clone(), reduce_op="sum").cpu() for name in SUMS}
        checkpoint["metrics"] = {
            "tally": tally,
            "epoch": dict(self._epoch),
            "latest": dict(self.latest),
            "step": self._last[0],
            "evaluated_at": self.evaluated_at,
            "lr": self._lr,
        }

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        state = checkpoint["metrics"]
        self._epoch, self.latest, self._last = dict(state["epoch"]), dict(state["latest"]), (state["step"], 0.0)
        self._lr, self.evaluated_at, self._resumed_tally = state["lr"], state["evaluated_at"], state["tally"]


def epoch_number(trainer: Trainer) -> int:
    """The epoch, counted from 1: the one being trained, or the last one when training is over."""
    return trainer.current_epoch + (trainer.state.fn == TrainerFn.FITTING)


def cut_back(path: Path, size: int) -> None:
    """Keep the first `size` bytes of metrics.csv: a resumed run writes the rest again."""
    if size:
        os.truncate(path, min(size, path.stat().st_size))
    else:
        path.unlink(missing_ok=True)
