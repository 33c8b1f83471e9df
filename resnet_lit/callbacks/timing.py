"""Where the time of a run goes: waiting for data, computing, logging, checkpoints, evaluation."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.profilers import PassThroughProfiler

PARTS = ("compile", "data_wait", "compute", "logging", "checkpoint", "evaluation", "total")
EPOCHS = ("first_epoch", "later_epochs")


class Timing(Callback):
    """Seconds spent on each part, summed over every session of a resumed run. Must be the first of the callbacks.

    `data_wait` is all that lies between two steps and is neither logging, checkpoint nor evaluation: the next batch, and the
    loop's own work. On an accelerator `compute` is the time to queue a step; what the host waits for shows where it waits.
    The first epoch, which warms up, and all later ones are timed apart, evaluations included.
    """

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(PARTS + EPOCHS, 0.0)
        self._epoch: tuple[str, float] | None = None  # which of EPOCHS is running, since when
        self._session = time.perf_counter()
        self._mark: float | None = None  # start of the current step, or end of the last one
        self._measured = 0.0  # time since `_mark` that another part has taken

    @contextmanager
    def during(self, part: str) -> Iterator[None]:
        """Add the time of a block to `part`; what is measured inside it counts there alone."""
        start, before = time.perf_counter(), self._measured
        try:
            yield
        finally:
            spent = time.perf_counter() - start
            self.seconds[part] += spent - (self._measured - before)
            self._measured = before + spent

    def _lap(self, part: str) -> None:
        now = time.perf_counter()
        if self._mark is not None:
            self.seconds[part] += now - self._mark - self._measured
        self._mark, self._measured = now, 0.0

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._epoch = EPOCHS[trainer.current_epoch > 0], time.perf_counter()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._add_epoch()
        self._epoch = None

    def _add_epoch(self) -> None:
        if self._epoch is not None:
            (name, since), now = self._epoch, time.perf_counter()
            self.seconds[name] += now - since
            self._epoch = name, now

    def on_train_batch_start(self, *_: Any) -> None:
        self._lap("data_wait")

    def on_train_batch_end(self, *_: Any) -> None:
        self._lap("compute")

    def on_validation_start(self, *_: Any) -> None:
        self._evaluation = time.perf_counter()

    def on_validation_end(self, *_: Any) -> None:
        spent = time.perf_counter() - self._evaluation
        self.seconds["evaluation"] += spent
        self._measured += spent

    def on_test_start(self, *_: Any) -> None:
        self.on_validation_start()

    def on_test_end(self, *_: Any) -> None:
        self.on_validation_end()

    def result(self) -> dict[str, float]:
        """Seconds by part, `total` included, to the millisecond."""
        self._add_epoch()
        now = time.perf_counter()
        self.seconds["total"] += now - self._session
        self._session = now
        return {part: round(seconds, 3) for part, seconds in self.seconds.items()}

    def state_dict(self) -> dict[str, Any]:
        return dict(self.result())

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.seconds.update(state_dict)


class NoProfiler(PassThroughProfiler):
    """What Lightning uses where no profiler is asked for, but quicker: it enters one around each of some 60 hooks a step."""

    _nothing = nullcontext()

    def profile(self, action_name: str) -> AbstractContextManager[None]:  # type: ignore[override]
        return self._nothing
