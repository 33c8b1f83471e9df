"""Signs of life between machines: who holds a run, and when a holder counts as dead."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests_support import ROOT, wait_for

from resnet_lit import heartbeat
from resnet_lit import record as records
from resnet_lit.heartbeat import DEAD_SECONDS, HEARTBEAT, Heartbeat

ELSEWHERE = """
import socket, sys
socket.gethostname = lambda: "elsewhere"
from resnet_lit import record as records
with records.lock(sys.argv[1]):
    records.write(sys.argv[1], {"status": "running", "process": records.process()})
    print("held", flush=True)
    input()
"""


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process of another host that trains the run in `tmp_path`, on a file system that passes no locks on."""
    process = subprocess.Popen(
        [sys.executable, "-c", ELSEWHERE, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    (tmp_path / records.LOCK).unlink()  # what is locked now is another file
    yield process
    process.kill()
    process.wait()


def test_the_heartbeat_says_who_holds_and_how_far_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "BEAT_SECONDS", 0.05)
    monkeypatch.setattr(heartbeat, "LEAST_SECONDS", 0.01)
    with Heartbeat(tmp_path / HEARTBEAT, records.process()) as heart:
        heart.describe = lambda: {"step": 7}
        heart.count += 3
        wait_for(lambda: (heartbeat.read(tmp_path / HEARTBEAT) or {}).get("step") == 7, 10)
        assert heartbeat.read(tmp_path / HEARTBEAT) == {**records.process(), "count": 3, "step": 7}
        os.utime(tmp_path / HEARTBEAT, (0, 0))
        wait_for(lambda: heartbeat.age(tmp_path / HEARTBEAT) < 60, 10)
    assert list(tmp_path.iterdir()) == []


def test_a_run_of_another_host_is_left_alone_while_its_heart_beats(elsewhere, tmp_path: Path) -> None:
    assert records.read(tmp_path)["status"] == "running"
    assert records.is_held(tmp_path)
    with pytest.raises(records.Busy, match=f"process {elsewhere.pid} on elsewhere is training this run"), records.lock(tmp_path):
        pass


def test_a_run_of_another_host_whose_heart_has_stopped_is_taken_over(elsewhere, tmp_path: Path) -> None:
    elsewhere.kill()
    elsewhere.wait()
    assert records.read(tmp_path)["status"] == "running"  # nobody here can know yet
    long_ago = time.time() - DEAD_SECONDS - 1
    os.utime(tmp_path / HEARTBEAT, (long_ago, long_ago))
    assert records.read(tmp_path)["status"] == "interrupted"
    assert not records.is_held(tmp_path)
    with records.lock(tmp_path):
        assert json.loads((tmp_path / HEARTBEAT).read_text())["pid"] == os.getpid()


def test_a_killed_holder_of_this_host_is_known_to_be_dead_at_once(tmp_path: Path) -> None:
    code = ELSEWHERE.replace('socket.gethostname = lambda: "elsewhere"\n', "")
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    assert records.is_held(tmp_path)
    process.kill()
    process.wait()
    assert (tmp_path / HEARTBEAT).exists()
    assert not records.is_held(tmp_path)
    assert records.read(tmp_path)["status"] == "interrupted"
