"""When checkpoints are written, and what is in them."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch import __version__ as lightning_version
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.trainer.states import TrainerFn

from resnet_lit.callbacks.best import BestWeights, same_weights
from resnet_lit.callbacks.interrupt import Interrupt, Interrupted
from resnet_lit.callbacks.metrics import Metrics
from resnet_lit.callbacks.randomness import random_state, restore_random_state, seed_apart
from resnet_lit.callbacks.tensorboard import TensorBoard
from resnet_lit.callbacks.timing import Timing
from resnet_lit.checkpoints import BEST, LAST, WholeFiles, write
from resnet_lit.durable import sync
from resnet_lit.record import checksum
from resnet_lit.sections import CHECKPOINT_SPACING


class Checkpoints(Checkpoint):
    """Writes `checkpoints/` in Lightning's format, with plain data only: they load with `weights_only=True`.

    last.ckpt every `every_minutes`, at the end of the first epoch and of later ones where CHECKPOINT_SPACING allows it,
    when training ends and when a signal ends it; the one before stays as last.previous.ckpt.

    last.ckpt is all that a run is resumed from. The best weights, kept in memory since the evaluation that chose them, and how
    far metrics.csv and the events had got, are inside it: what belongs together is replaced in one step, and whenever a process
    is killed, the resumed run finds the best weights of the same step as its own weights. If a better epoch was not yet in a
    checkpoint, the resumed run trains it again and finds the same weights. best.ckpt is a copy for readers, written after
    last.ckpt; a resumed run never reads it and writes it anew.

    A Checkpoint of Lightning's: its hooks come after those of all other callbacks, EarlyStopping included, so that what they
    note at a step is in the checkpoint.
    """

    def __init__(
        self,
        folder: Path,
        *,
        every_minutes: float,
        chooser: BestWeights,
        metrics: Metrics,
        timing: Timing,
        interrupt: Interrupt,
        seed: int,
    ) -> None:
        self.folder = folder / "checkpoints"
        self.every_seconds = every_minutes * 60
        self.chooser = chooser
        self.metrics, self.timing, self.interrupt = metrics, timing, interrupt
        self.seed = seed
        self.under_test: dict[str, torch.Tensor] | None = None  # the test is made with these, whatever callbacks do
        self.duration = 0.0  # of the last save, in seconds; 0: none has been made
        self._best_on_disk: dict[str, Any] | None = None  # what best.ckpt holds, where this session has written it
        self._written = time.monotonic()
        self._random_state: dict[str, Any] | None = None
        self._max_steps: int | None = None
        self._signal: int | None = None

    @property
    def best(self) -> dict[str, Any] | None:
        """The best weights so far, with their epoch, step and metrics."""
        return self.chooser.best

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Whatever writes into the folder asks first whether it still is this process's to write in."""
        for writer in (trainer.strategy.checkpoint_io, *trainer.loggers):
            if isinstance(writer, WholeFiles | TensorBoard):
                writer.hold = self.metrics.hold

    # --- when

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._random_state is not None:
            restore_random_state(self._random_state)
            self._random_state = None
        else:
            seed_apart(self.seed, trainer.global_rank)
        if self._max_steps is not None:
            trainer.fit_loop.epoch_loop.max_steps, self._max_steps = self._max_steps, None
        self._written = time.monotonic()
        self.interrupt.defer()

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int) -> None:
        if trainer.is_last_batch or not self._between_steps(trainer, batch_idx):
            return
        if trainer.world_size > 1 and trainer.global_step % self.metrics.every_steps:
            return  # processes agree on it when losses are read
        if self._agreed(trainer, time.monotonic() - self._written > self.every_seconds):
            if self._is_ending(trainer, trainer.current_epoch):
                return
            self.save_last(trainer)
            self._stop_on_signal()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.state.fn != TrainerFn.FITTING:
            self.on_test_end(trainer, pl_module)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._is_ending(trainer, trainer.current_epoch + 1):
            return
        passed = time.monotonic() - self._written
        if self._agreed(trainer, not self.duration or passed > min(self.every_seconds, CHECKPOINT_SPACING * self.duration)):
            self.save_last(trainer)
            self._stop_on_signal()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.save_last(trainer)
        self._agreed(trainer, False)
        self.interrupt.deferred = False
        self._stop_on_signal()

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.state.fn != TrainerFn.FITTING:
            self.on_test_start(trainer, pl_module)

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.world_size > 1:  # one that stopped at once would leave the others waiting for it
            self.interrupt.defer()

    def on_test_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.under_test is not None:
            pl_module.load_state_dict(self.under_test)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.world_size > 1:
            self._agreed(trainer, False)
            self.interrupt.deferred = False
            self._stop_on_signal()

    def _agreed(self, trainer: Trainer, due: bool) -> bool:
        """Whether it is time, or a signal has come. The first of several processes decides for all."""
        self._signal = self.interrupt.noted
        due = due or self._signal is not None
        if trainer.world_size > 1:
            due, self._signal = trainer.strategy.broadcast((due, self._signal))
        return due

    def _stop_on_signal(self) -> None:
        """Raise Interrupted where a signal had come when it was last agreed; one that has come since is heard next time."""
        if self._signal is not None:
            raise Interrupted(self._signal)

    @staticmethod
    def _between_steps(trainer: Trainer, batch_idx: int) -> bool:
        """No gradients are half summed up, and no validation is about to start: the run can go on from here."""
        across = trainer.check_val_every_n_epoch is None  # validations are counted across epochs
        batches = trainer.fit_loop.total_batch_idx + 1 if across else batch_idx + 1
        validates = trainer.val_check_batch not in (None, float("inf")) and batches % trainer.val_check_batch == 0
        return (batch_idx + 1) % trainer.accumulate_grad_batches == 0 and not validates

    @staticmethod
    def _is_ending(trainer: Trainer, epochs: int) -> bool:
        """Whether training ends here, with so many epochs behind it. `on_train_end` saves then: a run that is resumed from a
        checkpoint of here would find itself done, and leave out what is still to come.
        """
        enough = epochs >= (trainer.min_epochs or 0) and trainer.global_step >= (trainer.min_steps or 0)
        return trainer.global_step == trainer.max_steps or epochs == trainer.max_epochs or (trainer.should_stop and enough)

    # --- how

    def save_last(self, trainer: Trainer) -> None:
        """Write last.ckpt; the one it replaces becomes last.previous.ckpt. Then best.ckpt, where there are better weights."""
        started = time.monotonic()
        with self.timing.during("checkpoint"):
            trainer.save_checkpoint(self.folder / LAST)
            self.write_best(trainer)
        self._written = time.monotonic()
        self.duration = self._written - started

    def write_best(self, trainer: Trainer) -> None:
        """Write best.ckpt, the best weights alone, where this session has not done so yet."""
        if self.best is None or self.best is self._best_on_disk:
            return
        self._best_on_disk = self.best
        if trainer.is_global_zero:
            content = {
                "epoch": self.best["epoch"],
                "global_step": self.best["step"],
                "pytorch-lightning_version": lightning_version,
                "state_dict": self.best["state_dict"],
            }
            trainer.lightning_module.on_save_checkpoint(content)
            write(content, self.folder / BEST, hold=self.metrics.hold)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        states: list[Any] = [random_state()]
        if trainer.world_size > 1:
            states *= trainer.world_size
            torch.distributed.all_gather_object(states, random_state())
        checkpoint["random_states"] = states  # of every process
        checkpoint["should_stop"] = bool(trainer.should_stop)
        checkpoint["best"] = self.best
        at_this_step = self.best is not None and self.best["step"] == trainer.global_step
        if self.best is not None and at_this_step and same_weights(self.best["state_dict"], checkpoint["state_dict"]):
            checkpoint["best"] = {**self.best, "state_dict": checkpoint["state_dict"]}  # torch stores them once
        checkpoint["evaluated"] = self.chooser.was_evaluated(pl_module)
        if trainer.is_global_zero:
            checkpoint["written"] = self._written_so_far(trainer)

    def _written_so_far(self, trainer: Trainer) -> dict[str, int | str | None]:
        """Bytes of metrics.csv and of TensorBoard's events: a resumed run cuts back what came after them.

        And the checksum of these bytes of metrics.csv; the events have one each.
        """
        path = self.metrics.path
        files = [path, *(logger.flushed() for logger in trainer.loggers if isinstance(logger, TensorBoard))]
        sizes = []
        for file in files:
            if file.exists():
                sync(file)
            sizes.append(file.stat().st_size if file.exists() else 0)
        return {
            "metrics": sizes[0],
            "metrics_sha256": checksum(path, sizes[0]) if sizes[0] else None,
            "events": sum(sizes[1:]),
            "events_file": files[1].name if files[1:] else None,
        }

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        states = checkpoint["random_states"]
        self._random_state = states[trainer.global_rank % len(states)]
        self.chooser.best = checkpoint["best"]
        self.chooser.resumed_evaluated = checkpoint.get("evaluated", True)
        trainer.should_stop = checkpoint["should_stop"]  # else a run that was stopped early would train one more epoch
        progress = checkpoint["loops"]["fit_loop"]["epoch_progress"]["current"]
        if progress["ready"] == progress["processed"] and checkpoint["global_step"] < trainer.max_steps:
            # Where max_steps is given, Lightning would end once more the epoch that has ended
            self._max_steps, trainer.fit_loop.epoch_loop.max_steps = trainer.max_steps, -1
