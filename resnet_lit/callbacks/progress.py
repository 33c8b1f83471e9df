"""How far the run is, how well it does, and how long it will still take."""

from __future__ import annotations

import logging
import sys
import time
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from resnet_lit.callbacks.metrics import Metrics
from resnet_lit.formatting import duration

log = logging.getLogger("resnet_lit")

BAR_SECONDS = 0.2  # between two redraws of the bar
LINE_SECONDS = 60.0  # between two plain lines within an epoch


class ShowProgress(Callback):
    """One bar over the whole run on a terminal, one line an epoch (and a minute) elsewhere.

    style: auto (a bar where stderr is a terminal), rich, plain, none. The lines go to the log in every style but none, where
    they land in train.log.
    """

    def __init__(self, metrics: Metrics, style: str = "auto") -> None:
        self.metrics = metrics
        self.bar_wanted = style == "rich" or (style == "auto" and sys.stderr.isatty())
        self.silent = style == "none"
        self._bar: Progress | None = None
        self._shown = 0.0
        self._line = 0.0
        self._first: tuple[int, float] | None = None  # step and time from which the speed is measured

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._line = time.monotonic()
        if self.bar_wanted and trainer.is_global_zero:
            columns = (TextColumn("{task.description}"), BarColumn(bar_width=None), TextColumn("{task.fields[text]}"))
            self._bar = Progress(*columns, console=Console(stderr=True), auto_refresh=False, transient=True)
            self._task = self._bar.add_task("", total=self._total(trainer), text="")
            self._bar.start()

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int) -> None:
        now = time.monotonic()
        if self._first is None:  # the first step may compile and warm up: the estimate starts after it
            self._first = (trainer.global_step, now)
        if self._bar is not None and now - self._shown > BAR_SECONDS:
            self._shown = now
            self._bar.update(
                self._task,
                completed=trainer.global_step,
                total=self._total(trainer),
                description=self._place(trainer),
                text=self._text(trainer),
                refresh=True,
            )
        if now - self._line > LINE_SECONDS:
            self._say(trainer, now)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._say(trainer, time.monotonic())

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._close()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _say(self, trainer: Trainer, now: float) -> None:
        self._line = now
        if trainer.is_global_zero and not self.silent:
            log.info("%s  step %d/%d  %s", self._place(trainer), trainer.global_step, self._total(trainer), self._text(trainer))

    @staticmethod
    def _total(trainer: Trainer) -> int:
        total = trainer.estimated_stepping_batches
        return int(total) if total != float("inf") else 0

    def _place(self, trainer: Trainer) -> str:
        epochs = trainer.max_epochs if trainer.max_epochs and trainer.max_epochs > 0 else None
        return f"epoch {trainer.current_epoch + 1}{f'/{epochs}' if epochs else ''}"

    def _text(self, trainer: Trainer) -> str:
        latest, words = self.metrics.latest, []
        if "train/loss" in latest:
            words.append(f"loss {latest['train/loss']:.3f}  train {latest['train/accuracy']:.1%}")
        words += [f"{part} {latest[f'{part}/accuracy']:.2%}" for part in ("val", "test") if f"{part}/accuracy" in latest]
        if "perf/images_per_second" in latest:
            words.append(f"{latest['perf/images_per_second']:,.0f} images/s")
        if (left := self._left(trainer)) is not None:
            words.append(f"{duration(left)} left")
        return "  ".join(words)

    def _left(self, trainer: Trainer) -> float | None:
        """Seconds to go at the mean speed since the first step, evaluations and checkpoints included."""
        if self._first is None or trainer.global_step <= self._first[0]:
            return None
        seconds_per_step = (time.monotonic() - self._first[1]) / (trainer.global_step - self._first[0])
        return max(0, self._total(trainer) - trainer.global_step) * seconds_per_step
