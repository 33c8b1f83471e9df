"""The record on disk: whole or not there, and honest about processes that have died."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from resnet_lit import record as records


def test_a_record_is_replaced_in_one_step_and_carries_its_digest(tmp_path: Path) -> None:
    records.write(tmp_path, {"status": "finished"})
    found = records.read(tmp_path)
    assert found["schema_version"] == records.SCHEMA_VERSION
    assert records.is_whole(tmp_path, found)
    assert [p.name for p in tmp_path.iterdir()] == ["result.json"]
    (tmp_path / "metrics.csv").write_text("step\n1\n")
    assert not records.is_whole(tmp_path, found)  # a file was added or edited afterwards


def test_nothing_there_is_no_record_and_a_damaged_one_is_named(tmp_path: Path) -> None:
    assert records.read(tmp_path) is None
    (tmp_path / "result.json").write_text('{"status": "fin')
    with pytest.raises(records.FolderError, match=r"result\.json: not a record of a run"):
        records.read(tmp_path)


def test_running_with_a_dead_holder_reads_as_interrupted(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    holder = {**records.process(), "pid": process.pid, "started": records._start_time(process.pid)}
    records.write(tmp_path, {"status": "running", "process": holder})
    assert records.read(tmp_path)["status"] == "running"
    process.kill()
    process.wait()
    found = records.read(tmp_path)
    assert found["status"] == "interrupted"
    assert "ended unexpectedly" in found["reason"]
    assert json.loads((tmp_path / "result.json").read_text())["status"] == "running"  # reading writes nothing


def test_a_later_process_with_the_same_number_is_another(tmp_path: Path) -> None:
    assert records.is_alive(records.process(), tmp_path)
    assert not records.is_alive({**records.process(), "started": 1}, tmp_path)


def test_the_lock_is_held_by_one(tmp_path: Path) -> None:
    code = f"from resnet_lit.record import lock\ntry:\n    with lock({str(tmp_path)!r}): print('mine')\n"
    code += "except Exception as e: print(type(e).__name__)"
    with records.lock(tmp_path):
        taken = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert taken.stdout.strip() == "Busy"
    free = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert free.stdout.strip() == "mine"


def test_folders_are_put_aside_under_the_first_free_number(tmp_path: Path) -> None:
    for expected in ("run.1", "run.2"):
        (tmp_path / "run").mkdir()
        assert records.set_aside(tmp_path / "run").name == expected


def test_provenance_names_versions_and_hardware() -> None:
    assert records.versions()["torch"]
    hardware = records.hardware()
    assert hardware["cores"] >= 1
    assert hardware["cpu"]
    assert len(records.source_hash()) == 64


def test_a_package_without_a_repository_knows_what_it_was_built_from(tmp_path: Path) -> None:
    built = tmp_path / "built.json"
    assert records._built_from(built) == {"commit": None, "dirty": None}
    built.write_text('{"commit": "0123", "dirty": false}')
    assert records._built_from(built) == {"commit": "0123", "dirty": False}
