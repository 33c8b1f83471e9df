"""A callback that holds runs in their second epoch until a file appears; for tests of processes that meet each other.

`+callbacks.held._target_=held.Held`, with this folder on PYTHONPATH.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

from lightning.pytorch import Callback, LightningModule, Trainer

MOST_SECONDS = 280  # a test that has failed leaves nothing running for ever


class Held(Callback):
    """seeds: of the runs that wait. until: the file that lets them go on."""

    def __init__(self, seeds: Sequence[int], until: str) -> None:
        self.seeds, self.until = seeds, Path(until)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        held = trainer.current_epoch == 1 and int(os.environ["PL_GLOBAL_SEED"]) in self.seeds
        since = time.monotonic()
        while held and not self.until.exists() and time.monotonic() < since + MOST_SECONDS:
            time.sleep(0.05)
