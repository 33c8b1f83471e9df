"""How far the run is, how well it does, and how long it will still take."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from resnet_lit.callbacks.metrics import Metrics
from resnet_lit.display import AS_LINE, SHOWN_BY_BAR, Display, Line
from resnet_lit.formatting import duration
from resnet_lit.module import LitClassifier

log = logging.getLogger("resnet_lit")

BAR_SECONDS = 0.2  # between two updates of the bar
LINE_SECONDS = 60.0  # between two log lines within an epoch
EARLY = frozenset(digit * 10**power for power in range(6) for digit in (1, 2, 5))  # steps of a session whose loss is shown aside


class ShowProgress(Callback):
    """Epoch, step, loss, accuracy, images/s and time left: as the bottom line of a terminal, and as log lines.

    A log line comes after a session's first step, every minute and at the end of each epoch. Until the metrics have been read for
    the first time (`trainer.log_every_n_steps`), the loss so far is looked at after steps 1, 2, 5, 10, 20, … without resetting
    what is summed up: what is recorded stays as it is.
    """

    def __init__(self, metrics: Metrics, display: Display, cost: Callable[[int], float] = float) -> None:
        """cost: of the run's first n steps, in any unit of time; by it the time left is estimated."""
        self.metrics, self.display, self.cost = metrics, display, cost
        self._shown = self._line = 0.0
        self._began = (0, 0.0)  # step and time at which the session began
        self._first: tuple[int, float] | None = None  # step and time from which the speed is measured
        self._batches = self._images = 0  # of this session
        self._early_loss: float | None = None

    # --- training

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._line = now = time.monotonic()
        self._began = (trainer.global_step, now)
        self.display.show(Line(f"{self._place(trainer)}: first step", since=now))

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int) -> None:
        self._batches += 1
        self._images += len(batch[1]) * trainer.world_size
        early = self._batches in EARLY and not self.metrics.readings and not self.display.is_silent
        if early:
            self._look(pl_module)
        now = time.monotonic()
        if self._first is None:  # the first step warms up: the speed is measured from its end
            self._first = (trainer.global_step, now)
            self._images = 0
            self._say(trainer, now)
        if early or now - self._shown > BAR_SECONDS:
            self._show(trainer, now)
        if now - self._line > LINE_SECONDS:
            self._say(trainer, now)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._say(trainer, time.monotonic(), every=True)

    def _look(self, module: LightningModule) -> None:
        """The mean loss since training began, of this process. Waits for the device once."""
        assert isinstance(module, LitClassifier)
        loss, count = torch.stack([module.tally.loss.float(), module.tally.count.float()]).tolist()
        self._early_loss = loss / count if count else None

    # --- evaluating

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._evaluate(trainer, 0)

    def on_validation_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        self._evaluate(trainer, _[2] + 1)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._show(trainer, time.monotonic())

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._evaluate(trainer, 0)

    def on_test_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        self._evaluate(trainer, _[2] + 1)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.display.show(Line("writing the results", since=time.monotonic()))

    def _evaluate(self, trainer: Trainer, done: int) -> None:
        """Show an evaluation that has come to batch `done`."""
        now, tests = time.monotonic(), trainer.testing
        tested = getattr(trainer.lightning_module, "tested", "test set")
        if done == 0 and tests:
            self._log(trainer, f"testing on the {tested}", SHOWN_BY_BAR)
        if done and now - self._shown < BAR_SECONDS:
            return
        self._shown = now
        batches: Sequence[float] = trainer.num_test_batches if tests else trainer.num_val_batches
        total = sum(batches) if all(map(math.isfinite, batches)) else 0
        place = "" if tests else f"{self._place(trainer)}: "
        part = "testing" if tests or self.metrics.evaluated == "test" else "validating"
        self.display.show(Line(place + part, done, total, [(1, f"batch {done}/{total}")]))

    # --- what is said

    def _show(self, trainer: Trainer, now: float) -> None:
        self._shown = now
        step, total = trainer.global_step, self._total(trainer)
        details = [(2, f"{step}/{total}" if total else f"step {step}"), *self._details(trainer)]
        self.display.show(Line(self._place(trainer), step, total, details))

    def _say(self, trainer: Trainer, now: float, every: bool = False) -> None:
        """every: the line is of interest beside a bar, too."""
        self._line = now
        details = [(2, f"step {trainer.global_step}/{self._total(trainer)}"), *self._details(trainer)]
        text = "  ".join([self._place(trainer), *(part for _, part in details)])
        self._log(trainer, text, {AS_LINE: Line(self._place(trainer), details=details)} if every else SHOWN_BY_BAR)

    def _log(self, trainer: Trainer, text: str, extra: dict[str, Any]) -> None:
        if trainer.is_global_zero and not self.display.is_silent:
            log.info("%s", text, extra=extra)

    @staticmethod
    def _total(trainer: Trainer) -> int:
        total = trainer.estimated_stepping_batches
        return int(total) if total != float("inf") else 0

    def _place(self, trainer: Trainer) -> str:
        epochs = trainer.max_epochs if trainer.max_epochs and trainer.max_epochs > 0 else None
        return f"epoch {trainer.current_epoch + 1}{f'/{epochs}' if epochs else ''}"

    def _details(self, trainer: Trainer) -> list[tuple[int, str]]:
        """Importance and text of what is known, in the order in which it is shown."""
        latest, details = self.metrics.latest, []
        if not self.metrics.readings and self._early_loss is not None:
            details.append((6, f"loss {self._early_loss:.3f}"))
        elif "train/loss" in latest:
            details += [(6, f"loss {latest['train/loss']:.3f}"), (1, f"train {latest['train/accuracy']:.1%}")]
        for part in ("val", "test"):
            if f"{part}/accuracy" in latest:
                details.append((5, f"{part} {latest[f'{part}/accuracy']:.2%}"))
        if (speed := self._speed()) is not None:
            details.append((4, f"{speed:,.0f} images/s"))
        if left := self._left(trainer):
            details.append((7, f"{duration(math.ceil(left))} left"))
        return details

    def _speed(self) -> float | None:
        """Images a second: as last recorded in this session, before that since its first step."""
        if self.metrics.readings:
            return self.metrics.latest.get("perf/images_per_second")
        if self._first is None or not self._images:
            return None
        return self._images / (time.monotonic() - self._first[1])

    def _left(self, trainer: Trainer) -> float | None:
        """Seconds to go at the mean speed since the first step, evaluations and checkpoints included; at the first step's own
        speed after it. Steps on smaller images count for less.
        """
        step, since = self._first if self._first is not None and trainer.global_step > self._first[0] else self._began
        if trainer.global_step <= step or not self._total(trainer):
            return None
        before, now, total = map(self.cost, (step, trainer.global_step, max(self._total(trainer), trainer.global_step)))
        return (time.monotonic() - since) / (now - before) * (total - now)
