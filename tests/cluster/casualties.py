"""A callback for the cells of a sweep: it writes down what its process was given, and ends some of them, each once.

`+callbacks.casualties._target_=casualties.Casualties`, with this folder on PYTHONPATH. Its arguments name seeds.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from lightning.pytorch import Callback, LightningModule, Trainer


class Casualties(Callback):
    """raises, killed, orphaned: seeds whose run raises, is killed, loses the worker that started it, in its second epoch.

    nth: which run beside the others in its folder raises, from 1; 0: none.
    """

    def __init__(
        self, raises: Sequence[int] = (), killed: Sequence[int] = (), orphaned: Sequence[int] = (), nth: int = 0
    ) -> None:
        self.raises, self.killed, self.orphaned, self.nth = raises, killed, orphaned, nth

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
        if seed in (*self.raises, *self.killed, *self.orphaned):
            once.touch()
        if seed in self.raises:
            raise RuntimeError("an accident")
        if seed in self.killed:
            os.kill(os.getpid(), signal.SIGKILL)
        if seed in self.orphaned:
            os.kill(os.getppid(), signal.SIGKILL)
            time.sleep(5)  # a run this short would end before it notices
