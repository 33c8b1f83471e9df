"""Files on file systems that refuse fsync, and on those where it fails."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from resnet_lit import checkpoints, durable
from resnet_lit import record as records
from resnet_lit.data import cache


def refuse(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def fsync(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fsync)


@pytest.mark.parametrize("number", [errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_file_system_without_fsync_fails_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    refuse(monkeypatch, number)
    records.write(tmp_path, {"status": "finished"})
    checkpoints.write({"step": 1}, tmp_path / checkpoints.LAST, keep_as=checkpoints.PREVIOUS)
    cache.sync(tmp_path / records.RESULT)
    durable.sync(tmp_path)
    assert records.read(tmp_path)["status"] == "finished"
    assert checkpoints.load(tmp_path / checkpoints.LAST) == {"step": 1}


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC])
def test_a_disk_that_fails_is_not_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    records.write(tmp_path, {"status": "running", "process": records.process()})
    refuse(monkeypatch, number)
    with pytest.raises(OSError, match=os.strerror(number)):
        records.write(tmp_path, {"status": "finished"})
    assert records.read(tmp_path)["status"] == "running"
    assert [path.name for path in tmp_path.iterdir()] == [records.RESULT]
