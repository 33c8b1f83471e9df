"""Killed runs, typed again, end as runs that were left alone: a small part of `benchmarks.kill_matrix`."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from tests_support import ROOT

from resnet_lit.config import load
from resnet_lit.run import run

WORDS = (
    *("data.limit_train=192", "data.batch_size=32", "trainer.log_every_n_steps=2", "checkpoint.every_minutes=0.0001"),
    *("model.dropout=0.25", "augment=all", "trainer.max_steps=15"),  # two epochs and a half
    *("optimizer=muon", "averaging=ema", "averaging.decay=0.9"),
    *("scheduler=constant", "scheduler._target_=torch.optim.lr_scheduler.ReduceLROnPlateau", "+scheduler.args.patience=0"),
)
MOMENTS = [("at an epoch's start", 2), ("between the two renames", 4), ("before the final record", 1)]


@pytest.mark.slow
def test_killed_run_resumes_bit_for_bit(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))
    from benchmarks import kill_matrix

    whole, other = tmp_path / "whole", tmp_path / "other"
    run(load(*kill_matrix.COMMON, *WORDS), whole)
    result = kill_matrix.trial(WORDS, MOMENTS, whole, tmp_path / "killed", seconds=0, seed=0)
    assert [kill["landed"] for kill in result["kills"]] == [True] * len(MOMENTS)
    assert result["differences"] == []

    shutil.copytree(whole, other)  # what differs is seen
    best = torch.load(other / "checkpoints" / "best.ckpt", weights_only=True)
    best["state_dict"]["network.fc.bias"][0] += 1e-6
    torch.save(best, other / "checkpoints" / "best.ckpt")
    (other / "metrics.csv").write_text((other / "metrics.csv").read_text().replace("\n2,", "\n3,"))
    assert [line.split(":")[0] for line in kill_matrix.compare(whole, other)] == [
        "best.ckpt.state_dict.network.fc.bias",
        "metrics.csv[0].step",
    ]
