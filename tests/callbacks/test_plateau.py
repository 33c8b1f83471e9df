"""ReduceLROnPlateau is told of an epoch before its checkpoint is written."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests_support import TINY

from resnet_lit.config import load
from resnet_lit.run import run
from resnet_lit.typed import ConfigError

PLATEAU = ("scheduler=constant", "scheduler._target_=torch.optim.lr_scheduler.ReduceLROnPlateau", "+scheduler.args.patience=0")
NEVER_GOOD_ENOUGH = (
    "+scheduler.args.threshold=1e9",
    "+scheduler.args.threshold_mode=abs",
)  # every epoch but the first is a plateau


def test_the_last_checkpoint_knows_of_every_epoch(tmp_path: Path) -> None:
    words = ("+scheduler.args.monitor=train/loss_epoch", "optimizer.lr=0.1", "trainer.max_epochs=3")
    record = run(load(*TINY, *PLATEAU, *NEVER_GOOD_ENOUGH, *words), tmp_path)
    assert record["status"] == "finished", record["reason"]
    last = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
    assert last["lr_schedulers"][0]["last_epoch"] == 3
    assert last["optimizer_states"][0]["param_groups"][0]["lr"] == pytest.approx(0.1 * 0.1**2)


def test_a_metric_that_the_run_has_not_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"scheduler\.args\.monitor=val/f1: no metric of this run \(choose one of .*val/loss"):
        run(load(*TINY, *PLATEAU, "+scheduler.args.monitor=val/f1"), tmp_path)
