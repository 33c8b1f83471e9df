"""A callback for the cells of a sweep: it writes down what its process was given, and ends some of them, each once.

`+callbacks.casualties._target_=casualties.Casualties`, with this folder on PYTHONPATH. Its arguments name seeds.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from threading import Event
from types import FrameType

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

MOST_SECONDS = 120  # a test that has failed leaves nothing running for ever


class Casualties(Callback):
    """What happens to runs in their second epoch, by their seeds.

    raises, killed: the run raises, is killed. ended: it waits there until SIGTERM tells it to end. orphaned: it kills the worker
    that started it, and waits likewise. nth: which run beside the others in its folder raises, from 1; 0: none.
    """

    def __init__(
        self,
        raises: Sequence[int] = (),
        killed: Sequence[int] = (),
        ended: Sequence[int] = (),
        orphaned: Sequence[int] = (),
        nth: int = 0,
    ) -> None:
        self.raises, self.killed, self.ended, self.orphaned, self.nth = raises, killed, ended, orphaned, nth

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        told = {"gpus": os.environ.get("CUDA_VISIBLE_DEVICES"), "threads": torch.get_num_threads()}
        (Path(trainer.default_root_dir) / "told.json").write_text(json.dumps(told))

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        seed, once = int(os.environ["PL_GLOBAL_SEED"]), Path(trainer.default_root_dir) / "had its accident"
        if trainer.current_epoch == 0 or once.exists():
            return
        if self.nth and len(list(once.parent.parent.glob("*/result.json"))) == self.nth:
            once.touch()
            raise RuntimeError("an accident")
        if seed in (*self.raises, *self.killed, *self.ended, *self.orphaned):
            once.touch()
        if seed in self.raises:
            raise RuntimeError("an accident")
        if seed in self.killed:
            os.kill(os.getpid(), signal.SIGKILL)
        if seed in self.orphaned:
            os.kill(os.getppid(), signal.SIGKILL)
        if seed in (*self.ended, *self.orphaned):
            _wait_for_sigterm()


def _wait_for_sigterm() -> None:
    """A run this short would end before it notices that its worker is gone. The signal goes on to who handles it."""
    handle, arrived = signal.getsignal(signal.SIGTERM), Event()

    def note(signum: int, frame: FrameType | None) -> None:
        arrived.set()
        if callable(handle):
            handle(signum, frame)

    signal.signal(signal.SIGTERM, note)
    arrived.wait(MOST_SECONDS)
    signal.signal(signal.SIGTERM, handle)
