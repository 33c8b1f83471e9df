"""How a run ended that a signal killed: by what is known of it, and without a guess."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests_support import ROOT

from resnet_lit import crashes, job
from resnet_lit import record as records

CRASHED = """
import ctypes, os, sys
from pathlib import Path
from resnet_lit import crashes, record as records
folder = Path(sys.argv[1])
records.write(folder, {"status": "running", "process": records.process()})
with crashes.noted_in(folder / records.LOG):
    if sys.argv[2] == "SIGSEGV":
        ctypes.string_at(0)
    elif sys.argv[2] == "SIGABRT":
        os.abort()
    os.kill(os.getpid(), 9)
"""


def end(folder: Path, how: str) -> int:
    """The exit status of a process that begins a run in `folder` and ends by a signal."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    ended = subprocess.run([sys.executable, "-c", CRASHED, str(folder), how], env=environment, stderr=subprocess.DEVNULL)
    return ended.returncode


@pytest.mark.parametrize("name", ["SIGSEGV", "SIGABRT"])
def test_a_crashed_run_is_not_running_and_says_by_which_signal(tmp_path: Path, name: str) -> None:
    number = signal.Signals[name]
    (tmp_path / records.LOG).write_text("2026-01-01 00:00:00 epoch 1/3\n")
    assert end(tmp_path, name) == -number
    found = records.read(tmp_path)
    assert found["status"] == "interrupted"
    assert found["reason"] == f"killed by signal {number:d} ({name}); train.log says where"
    assert 'File "<string>"' in (tmp_path / records.LOG).read_text()


def test_where_nothing_is_known_nothing_is_guessed(tmp_path: Path) -> None:
    """SIGKILL leaves no trace; and a crash of the session before is not the end of this one."""
    assert end(tmp_path, "SIGSEGV") == -signal.SIGSEGV
    with (tmp_path / records.LOG).open("a") as log:
        log.write("2026-01-01 00:00:00 epoch 2/3\n")
    assert end(tmp_path, "SIGKILL") == -signal.SIGKILL
    found = records.read(tmp_path)
    assert (found["status"], found["reason"]) == ("interrupted", records.DEAD)
    assert "memory" not in found["reason"]


def test_a_fault_handler_of_somebody_else_stays(tmp_path: Path) -> None:
    import faulthandler

    assert faulthandler.is_enabled()  # by pytest
    with crashes.noted_in(tmp_path / "train.log"):
        pass
    assert faulthandler.is_enabled()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("number", "short", "said"),
    [
        (11, False, "killed by signal 11 (SIGSEGV)"),
        (11, True, "killed by signal 11 (SIGSEGV)"),
        (9, False, "killed by signal 9 (SIGKILL)"),
        (9, True, "killed by signal 9 (SIGKILL): the kernel reports a process killed for lack of memory"),
        (99, False, "killed by signal 99"),
    ],
)
def test_memory_is_named_where_the_kernel_has_counted_it(number: int, short: bool, said: str) -> None:
    assert job.killed_by(number, short) == said


def test_the_kernels_count_is_read(tmp_path: Path) -> None:
    (tmp_path / "memory.events").write_text("low 0\nhigh 0\nmax 3\noom 1\noom_kill 2\noom_group_kill 0\n")
    assert job.kills_for_memory(tmp_path) == 2
    assert job.kills_for_memory(tmp_path / "none") is None
