"""Checkpoints: last, the one before it, and best; each whole or not there at all."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from resnet_lit.callbacks.interrupt import Interrupt
from resnet_lit.callbacks.metrics import Metrics, epoch_number
from resnet_lit.callbacks.timing import Timing
from resnet_lit.record import FolderError

LAST, PREVIOUS, BEST = "last.ckpt", "last.previous.ckpt", "best.ckpt"


class Checkpoints(Callback):
    """Writes `checkpoints/` in Lightning's format, with plain data only: they load with `weights_only=True`.

    last.ckpt every `every_minutes`, after every epoch and when the run is interrupted; the one before stays as
    last.previous.ckpt. best.ckpt (weights alone) after every evaluation that beats all before. Inside are the random states.
    Must be the last callback: what the others note at a step is then in its checkpoint.
    """

    def __init__(
        self,
        folder: Path,
        *,
        every_minutes: float,
        monitor: str | None,
        metrics: Metrics,
        timing: Timing,
        interrupt: Interrupt,
    ) -> None:
        self.folder = folder / "checkpoints"
        self.every_seconds = every_minutes * 60
        self.monitor = monitor  # val/accuracy, test/accuracy under protocol=paper, None where nothing is held out
        self.metrics, self.timing, self.interrupt = metrics, timing, interrupt
        self.best: dict[str, Any] | None = None  # {"epoch", "step", "value", "metrics"}
        self._written = time.monotonic()
        self._random_state: dict[str, Any] | None = None

    # --- when

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._random_state is not None:
            restore_random_state(self._random_state)
            self._random_state = None
        self._written = time.monotonic()
        self.interrupt.defer()

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int) -> None:
        if trainer.is_last_batch or not self._between_steps(trainer, batch_idx):
            return
        if self._is_due(trainer):
            self.save_last(trainer)
            self.interrupt.check()

    def _is_due(self, trainer: Trainer) -> bool:
        """Whether it is time, or a signal has come. The first of several processes decides for all, when losses are read."""
        due = self.interrupt.noted is not None or time.monotonic() - self._written > self.every_seconds
        if trainer.world_size == 1:
            return due
        if trainer.global_step % self.metrics.every_steps:
            return False
        due, self.interrupt.noted = trainer.strategy.broadcast((due, self.interrupt.noted))
        return due

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.monitor is None or trainer.sanity_checking:
            return
        value = self.metrics.latest[self.monitor]
        if self.best is None or value > self.best["value"]:
            found = {key: self.metrics.latest[key] for key in (self.monitor, self.monitor.replace("accuracy", "loss"))}
            self.best = {"epoch": epoch_number(trainer), "step": trainer.global_step, "value": value, "metrics": found}
            with self.timing.during("checkpoint"):
                self._save(trainer, BEST, weights_only=True)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.interrupt.noted = trainer.strategy.broadcast(self.interrupt.noted)
        self.save_last(trainer)
        self.interrupt.check()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.interrupt.deferred = False

    @staticmethod
    def _between_steps(trainer: Trainer, batch_idx: int) -> bool:
        """No gradients are half summed up, and no validation is about to start: the run can go on from here."""
        validates = trainer.val_check_batch not in (None, float("inf")) and (batch_idx + 1) % trainer.val_check_batch == 0
        return (batch_idx + 1) % trainer.accumulate_grad_batches == 0 and not validates

    # --- how

    def save_last(self, trainer: Trainer) -> None:
        """Write last.ckpt; the one it replaces becomes last.previous.ckpt."""
        with self.timing.during("checkpoint"):
            self._save(trainer, LAST, keep_as=PREVIOUS)
        self._written = time.monotonic()

    def _save(self, trainer: Trainer, name: str, *, weights_only: bool = False, keep_as: str | None = None) -> None:
        temporary, path = self.folder / f".{name}.tmp", self.folder / name
        trainer.save_checkpoint(temporary, weights_only=weights_only)
        if not trainer.is_global_zero:
            return
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        if keep_as is not None and path.exists():
            path.replace(self.folder / keep_as)
        temporary.replace(path)
        folder = os.open(self.folder, os.O_RDONLY)
        try:
            os.fsync(folder)  # the renames, too, survive a power cut
        finally:
            os.close(folder)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        states: list[Any] = [random_state()]
        if trainer.world_size > 1:
            states *= trainer.world_size
            torch.distributed.all_gather_object(states, random_state())
        checkpoint["random_states"] = states  # of every process
        checkpoint["best"] = self.best

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        states = checkpoint["random_states"]
        self._random_state = states[trainer.global_rank % len(states)]
        self.best = checkpoint["best"]


def random_state() -> dict[str, Any]:
    """The state of every global random generator of this process and its device, as plain data and tensors."""
    kind, keys, position, has_gauss, gauss = np.random.get_state()
    return {
        "python": random.getstate(),
        "numpy": [kind, torch.from_numpy(np.asarray(keys).astype(np.int64)), position, has_gauss, gauss],
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state() if torch.cuda.is_available() else None,
    }


def restore_random_state(state: dict[str, Any]) -> None:
    """Put every global random generator where `random_state` found it."""
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    kind, keys, position, has_gauss, gauss = state["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), position, has_gauss, gauss))
    torch.set_rng_state(state["torch"])
    if state["cuda"] is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])


def load(path: Path) -> dict[str, Any]:
    """A checkpoint's content, on the CPU. Raises an exception of torch's where the file is damaged."""
    return torch.load(path, map_location="cpu", weights_only=True)


def newest(folder: Path) -> tuple[Path, str | None] | None:
    """The checkpoint to go on from: last.ckpt, or last.previous.ckpt and why; None where there is neither.

    Raises FolderError where there are some, and all are damaged.
    """
    complaint = None
    for name in (LAST, PREVIOUS):
        path = folder / "checkpoints" / name
        if not path.exists():
            continue
        try:
            load(path)
        except Exception as error:  # whatever a damaged zip or pickle raises
            complaint = f"{path} is damaged ({str(error).splitlines()[0][:100]})"
            continue
        return path, complaint
    if complaint:
        raise FolderError(f"{complaint}, and there is no other to go on from; fresh=true puts the folder aside and starts anew")
    return None


def tidy(folder: Path, keep: str) -> None:
    """What stays of a finished run's checkpoints. keep: all (last and best), best, none."""
    gone = {"all": (PREVIOUS,), "best": (PREVIOUS, LAST), "none": (PREVIOUS, LAST, BEST)}[keep]
    if keep == "best" and not (folder / "checkpoints" / BEST).exists():
        gone = (PREVIOUS,)  # nothing was held out to choose by: the last weights are the result
    for name in gone:
        (folder / "checkpoints" / name).unlink(missing_ok=True)
