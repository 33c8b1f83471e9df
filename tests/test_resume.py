"""Killed, interrupted, damaged, put aside: how a run goes on, and when it must not."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from tests_support import ROOT, TINY, image_tree, start, wait_for

from resnet_lit.record import read, write
from resnet_lit.run import FolderError, run

pytestmark = pytest.mark.slow


def test_a_signal_ends_a_run_with_a_checkpoint_and_it_goes_on_elsewhere_from_the_one_before(tmp_path) -> None:
    """Between two optimizer steps too. Its folder is moved and its last checkpoint damaged; `resume=` needs no other words."""
    words = [*TINY, "trainer.max_epochs=1000", "trainer.accumulate_grad_batches=3", "data.batch_size=8", "fresh=true"]
    folder, moved = tmp_path / "run", tmp_path / "moved, a=b"
    process = start(*words, "hydra.run.dir=run", cwd=tmp_path)
    wait_for(lambda: (folder / "checkpoints" / "last.previous.ckpt").exists() or process.poll() is not None)
    busy = start(*words, "hydra.run.dir=run", cwd=tmp_path)
    assert "is training this run" in busy.communicate()[0]
    assert busy.returncode == 75
    steps = _ended_by(process, signal.SIGINT, 130, folder)

    folder.rename(moved)
    last = moved / "checkpoints" / "last.ckpt"
    last.write_bytes(last.read_bytes()[: last.stat().st_size // 2])
    again = start("resume=moved, a=b", cwd=tmp_path)
    line = next((line for line in again.stdout if "resuming from" in line), "the run ended without saying so")
    assert "last.ckpt is damaged" in line
    assert "last.previous.ckpt" in line
    assert any(int(step[1]) > steps for line in again.stdout if (step := re.search(r" step (\d+)/", line)))
    assert _ended_by(again, signal.SIGTERM, 143, moved) > steps
    assert [p.name for p in tmp_path.iterdir()] == ["moved, a=b"]


def _ended_by(process: subprocess.Popen[str], signum: signal.Signals, status: int, folder: Path) -> int:
    """End a run by a signal; the steps that its record and its last checkpoint say it has made."""
    process.send_signal(signum)
    output = process.communicate()[0]
    assert process.returncode == status, output
    assert "rerun the same command to resume" in output
    record = read(folder)
    assert record["status"] == "interrupted"
    assert torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == record["steps"]
    return record["steps"]


def test_fresh_puts_the_earlier_run_aside(tmp_path) -> None:
    from resnet_lit.config import load

    config = load(*TINY, "trainer.max_epochs=1")
    first = run(config, tmp_path / "run")
    second = run(load(*TINY, "trainer.max_epochs=1", "fresh=true"), tmp_path / "run")
    assert read(tmp_path / "run.1")["ended"] == first["ended"]
    assert second["process"]["started"] == first["process"]["started"]
    assert read(tmp_path / "run")["status"] == "finished"


def test_an_unfinished_run_does_not_go_on_with_other_data(tmp_path) -> None:
    from resnet_lit.config import load

    words = [
        "model.blocks=[1]",
        "model.channels=[4]",
        "data=folder",
        "data.image_size=8",
        "compile=false",
        "threads=1",
        "augment=none",
    ]
    image_tree(tmp_path / "first", seed=0)
    image_tree(tmp_path / "second", seed=1)
    run(load(*words, f"data.root={tmp_path}/first", "trainer.max_epochs=1"), tmp_path / "run")
    write(tmp_path / "run", {**read(tmp_path / "run"), "status": "interrupted"})
    with pytest.raises(FolderError, match="on other data"):
        run(load(*words, f"data.root={tmp_path}/second", "trainer.max_epochs=1"), tmp_path / "run")


def test_checkpoints_that_are_all_damaged_are_not_passed_over(tmp_path) -> None:
    from resnet_lit.config import load

    config = load(*TINY, "trainer.max_epochs=1")
    run(config, tmp_path / "run")
    (tmp_path / "run" / "checkpoints" / "last.ckpt").write_bytes(b"broken")
    write(tmp_path / "run", {**read(tmp_path / "run"), "status": "interrupted"})
    with pytest.raises(FolderError, match=r"last\.ckpt is damaged .*fresh=true"):
        run(config, tmp_path / "run")


def test_sigterm_to_all_processes_of_a_run_ends_them_together(tmp_path) -> None:
    """As a cluster sends it: to each of them. None waits for another, and the first one writes how it ended."""
    words = [*TINY, "trainer.accelerator=cpu", "trainer.devices=2", "trainer.strategy=ddp", "trainer.max_epochs=1000"]
    process = subprocess.Popen(
        [sys.executable, "-m", "resnet_lit.train", *words, "hydra.run.dir=run"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        start_new_session=True,
    )
    while not (tmp_path / "run" / "metrics.csv").exists():
        assert process.poll() is None
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGTERM)
    try:
        assert process.wait(timeout=120) == 143
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert read(tmp_path / "run")["status"] == "interrupted"
    assert (tmp_path / "run" / "checkpoints" / "last.ckpt").exists()
