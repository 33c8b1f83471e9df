"""A run's process that makes no progress is ended; one that does, is not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from resnet_lit import watchdog
from resnet_lit.watchdog import Watchdog

# Stands for a run's process: it counts batches for a while, then hangs.
HANGS = """
import signal, sys, time
from pathlib import Path
from resnet_lit.heartbeat import Heartbeat
if "stubborn" in sys.argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("begun", flush=True)
with Heartbeat(Path(sys.argv[1]), {}) as heart:
    for heart.count in range(1, 16):
        heart.beat()
        time.sleep(0.1)
    time.sleep(float(sys.argv[2]))
"""


def watched(folder: Path, seconds: float, minutes: float | None, *more: str) -> tuple[int, str | None]:
    command = [sys.executable, "-c", HANGS, str(folder / ".heartbeat"), str(seconds), *more]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    with Watchdog(process, folder, minutes) as dog:
        process.communicate()
    return process.returncode, dog.reason


@pytest.mark.parametrize(("more", "status"), [((), -15), (("stubborn",), -9)])
def test_a_process_without_progress_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more, status) -> None:
    monkeypatch.setattr(watchdog, "PATIENCE", 0.3)
    assert watched(tmp_path, 1000, 0.02, *more) == (status, "made no step for 0.02 minutes")


@pytest.mark.parametrize("minutes", [0.02, None])
def test_a_process_that_gets_on_is_left_alone(tmp_path: Path, minutes) -> None:
    assert watched(tmp_path, 0.5, minutes) == (0, None)
