"""A process that slept while another took its run over: it wakes, sees it, and writes nothing more."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests_support import ROOT, TINY, files_of, hear_ctrl_c, wait_for

from resnet_lit import record as records
from resnet_lit.config import load
from resnet_lit.heartbeat import DEAD_SECONDS, HEARTBEAT, Heartbeat
from resnet_lit.run import run

ELSEWHERE = """
import runpy, socket, sys
socket.gethostname = lambda: "elsewhere"
runpy.run_module("resnet_lit.train", run_name="__main__", alter_sys=True)
"""


def fall_silent(folder: Path) -> None:
    """As another machine sees a holder that sleeps, where the file system passes no locks on."""
    (folder / records.LOCK).unlink()
    long_ago = time.time() - DEAD_SECONDS - 1
    os.utime(folder / HEARTBEAT, (long_ago, long_ago))


@pytest.mark.slow
def test_a_woken_process_leaves_the_run_to_the_one_that_took_it_over(tmp_path: Path, monkeypatch) -> None:
    """It sleeps within its second epoch; the other finishes the run."""
    monkeypatch.syspath_prepend(str(ROOT / "tests"))
    held = ["+callbacks.held._target_=held.Held", "+callbacks.held.seeds=[0]", f"+callbacks.held.until={tmp_path}/go"]
    words = [*TINY, *held, "trainer.max_epochs=3", "trainer.log_every_n_steps=1"]
    folder = tmp_path / "run"
    sleeper = subprocess.Popen(
        [sys.executable, "-c", ELSEWHERE, *words, f"hydra.run.dir={folder}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])},
        preexec_fn=hear_ctrl_c,
    )
    try:
        wait_for(lambda: (folder / "checkpoints" / "last.ckpt").exists() or sleeper.poll() is not None)
        assert sleeper.poll() is None, sleeper.stderr.read()
        sleeper.send_signal(signal.SIGSTOP)
        fall_silent(folder)
        (tmp_path / "go").touch()
        record = run(load(*words), folder)
        assert record["status"] == "finished"
        before = files_of(folder)
        sleeper.send_signal(signal.SIGCONT)
        said = sleeper.communicate(timeout=120)[1]
    finally:
        sleeper.kill()
    assert files_of(folder) == before
    assert records.read(folder) == record  # whole, and finished by this process
    assert sleeper.returncode == 75
    assert "Traceback" not in said
    (line,) = [line for line in said.splitlines() if "taken this run over" in line]
    assert line.startswith(f"run: process {os.getpid()} on ")
    assert "rerun the command for the result" in line
    assert len(list(folder.glob("events.out.tfevents.*"))) == 1


def test_a_heart_that_another_has_replaced_beats_no_more(tmp_path: Path) -> None:
    with records.lock(tmp_path) as first:
        records.write(tmp_path, {"status": "running", "process": records.process()})
        records.check_hold(tmp_path, first)
        with Heartbeat(tmp_path / HEARTBEAT, {"host": "elsewhere", "pid": 7, "token": "another"}):
            first.beat()
            with pytest.raises(records.TakenOver, match="process 7 on elsewhere has taken this run over"):
                records.check_hold(tmp_path, first)
            assert (tmp_path / HEARTBEAT).read_text().startswith('{"host": "elsewhere"')
        with pytest.raises(records.TakenOver):  # the other has gone; what it has left must not be written over
            records.check_hold(tmp_path, first)
    assert [path.name for path in tmp_path.iterdir() if path.name != records.LOCK] == [records.RESULT]


def test_a_heart_whose_file_was_removed_goes_on_unless_another_has_begun(tmp_path: Path) -> None:
    records.write(tmp_path, {"status": "running", "process": {"host": "elsewhere", "pid": 7, "started": 1}})  # the session before
    with records.lock(tmp_path) as heart:
        (tmp_path / HEARTBEAT).unlink()
        records.check_hold(tmp_path, heart)
        records.write(tmp_path, {"status": "running", "process": records.process()})
        records.check_hold(tmp_path, heart)
        heart.beat()
        assert (tmp_path / HEARTBEAT).exists()
        (tmp_path / HEARTBEAT).unlink()
        records.write(tmp_path, {"status": "finished", "process": {"host": "third", "pid": 8, "started": 1}})
        with pytest.raises(records.TakenOver, match="process 8 on third"):
            records.check_hold(tmp_path, heart)
        heart.beat()
        assert not (tmp_path / HEARTBEAT).exists()


def test_on_a_full_disk_a_dead_holders_heartbeat_is_not_taken_for_another(tmp_path: Path, monkeypatch) -> None:
    from resnet_lit import heartbeat

    def full(path: Path, text: str) -> None:
        raise OSError(28, "No space left on device")

    with Heartbeat(tmp_path / HEARTBEAT, {"pid": 7, "token": "dead"}) as dead:
        dead.holds = lambda: False  # it leaves its file
    assert (tmp_path / HEARTBEAT).exists()
    monkeypatch.setattr(heartbeat, "_replace", full)
    with Heartbeat(tmp_path / HEARTBEAT, {"pid": 8, "token": "living"}) as living:
        assert living.holds()


@pytest.mark.slow
@pytest.mark.parametrize("moment", [1, 2])
def test_a_process_that_slept_at_its_first_or_last_record_writes_nothing_more(tmp_path: Path, monkeypatch, moment: int) -> None:
    """After its first record it has still to make its event file; its last record, which takes a moment, would be renamed."""
    from resnet_lit import durable

    taken, synced = {}, durable.sync

    def taken_over(path: Path) -> None:
        synced(path)
        if path.name.startswith(f".{records.RESULT}."):
            taken["count"] = taken.get("count", 0) + 1
            if taken["count"] == moment:
                (tmp_path / HEARTBEAT).write_text('{"host": "elsewhere", "pid": 7, "token": "another"}')
                taken["files"] = {name: data for name, data in files_of(tmp_path).items() if ".result" not in str(name)}

    monkeypatch.setattr(durable, "sync", taken_over)
    with pytest.raises(records.TakenOver, match="process 7 on elsewhere"):
        run(load(*TINY, "progress=none"), tmp_path)
    assert files_of(tmp_path) == taken["files"]


def test_a_record_that_is_not_ours_to_replace_any_more_stays(tmp_path: Path) -> None:
    before = records.write(tmp_path, {"status": "finished"})

    def lost() -> None:
        raise records.TakenOver("another has it")

    with pytest.raises(records.TakenOver):
        records.write(tmp_path, {"status": "failed"}, lost)
    assert records.read(tmp_path) == before
    assert [path.name for path in tmp_path.iterdir()] == [records.RESULT]
