"""What a run deletes: what it has made itself, by name, and nothing else that lies in its folder."""

from __future__ import annotations

import json
import logging
import os
import socket
import time
from pathlib import Path

import pytest
from tests_support import TINY, start

from resnet_lit import own_files
from resnet_lit import record as records
from resnet_lit.config import load
from resnet_lit.record import Busy, FolderError
from resnet_lit.run import run
from resnet_lit.typed import Refused

DEBUG = (*TINY, "+debug=fast_dev_run")
REFUSED = (*TINY, "trainer.strategy=foo")  # seen when Lightning is asked, long after the folder was made


def debug_run(folder: Path, *names: str, marked: bool = True) -> Path:
    """A folder as a debug run leaves it, with further files."""
    (folder / "checkpoints").mkdir(parents=True)
    if marked:
        own_files.mark_debug(folder, load(*DEBUG))
    for name in ("config.yaml", "train.log", "metrics.csv", ".lock", "checkpoints/last.ckpt", *names):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("something")
    records.write(folder, {"status": "finished", "debug": True})
    return folder


def left(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_a_refused_run_takes_away_what_it_has_made_alone(tmp_path: Path, monkeypatch, caplog) -> None:
    """A user's files that appeared in its folder while it was being checked stay, in folders too, and are named."""
    from resnet_lit import training

    checked = training.build_trainer

    def meanwhile(*args, **options):
        (tmp_path / "new" / "thesis").mkdir()
        (tmp_path / "new" / "thesis" / "chapter.tex").write_text("years")
        (tmp_path / "new" / "notes.txt").write_text("days")
        return checked(*args, **options)

    monkeypatch.setattr(training, "build_trainer", meanwhile)
    with caplog.at_level(logging.WARNING), pytest.raises(Refused, match="trainer: "):
        run(load(*REFUSED), tmp_path / "new")
    assert left(tmp_path / "new") == {"thesis/chapter.tex", "notes.txt"}
    assert "kept files that this run did not make: notes.txt, thesis" in caplog.text


def test_a_refused_run_leaves_a_folder_alone_that_another_has_taken(tmp_path: Path) -> None:
    with records.lock(tmp_path):
        (tmp_path / records.LOG).write_text("of the other")
        own_files.leave_as_found(tmp_path, set(), [])
        assert (tmp_path / records.LOG).exists()
        assert (tmp_path / records.LOCK).exists()


@pytest.mark.parametrize("name", ["thesis", "debug/thesis"])
def test_a_debug_run_does_not_begin_among_files_of_others(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir(parents=True)
    (folder / "chapter.tex").write_text("years")
    with pytest.raises(FolderError, match=r"holds something other than a debug run.*hydra\.run\.dir="):
        run(load(*DEBUG), folder)
    assert left(folder) == {"chapter.tex"}


def test_a_debug_run_never_replaces_a_real_one(tmp_path: Path) -> None:
    own_files.mark_debug(tmp_path, load(*DEBUG))  # a debug run was killed at once, and a real one was trained there
    records.write(tmp_path, {"status": "finished", "debug": False})
    with pytest.raises(FolderError, match="other than a debug run"):
        own_files.check_debug(tmp_path)


@pytest.mark.parametrize("marked", [True, False])
def test_what_a_debug_run_has_not_made_stays_and_is_named(tmp_path: Path, caplog, marked: bool) -> None:
    """marked: without one it is a debug run of an earlier version, known by its record."""
    folder = debug_run(tmp_path / "run", "notes.txt", "checkpoints/mine.ckpt", "plots/a.png", marked=marked)
    own_files.check_debug(folder)
    with caplog.at_level(logging.WARNING):
        own_files.clear_debug(folder)
    assert left(folder) == {".lock", "notes.txt", "checkpoints/mine.ckpt", "plots/a.png"}
    assert "kept files that the earlier debug run did not make: checkpoints, notes.txt, plots" in caplog.text


def test_events_of_others_stay_beside_those_of_a_debug_run(tmp_path: Path) -> None:
    mine, other = f"events.out.tfevents.17.{socket.gethostname()}.{os.getpid()}.0", "events.out.tfevents.17.elsewhere.1.0"
    folder = debug_run(tmp_path / "run", mine, other)
    own_files.clear_debug(folder)
    assert left(folder) == {".lock", other}


def test_a_marker_that_points_elsewhere_deletes_nothing_there(tmp_path: Path) -> None:
    folder = debug_run(tmp_path / "run")
    (tmp_path / "thesis.txt").write_text("years")
    (folder / own_files.MARKER).write_text(json.dumps({"files": ["../thesis.txt", str(tmp_path / "thesis.txt"), "config.yaml"]}))
    own_files.clear_debug(folder)
    assert (tmp_path / "thesis.txt").exists()
    assert not (folder / "config.yaml").exists()


def test_what_a_linked_folder_holds_stays(tmp_path: Path) -> None:
    folder = debug_run(tmp_path / "run")
    (tmp_path / "wandb").mkdir()
    (tmp_path / "wandb" / "thesis.txt").write_text("years")
    (folder / "wandb").symlink_to(tmp_path / "wandb")
    (folder / own_files.MARKER).write_text(json.dumps({"files": ["wandb/"]}))
    own_files.clear_debug(folder)
    assert (tmp_path / "wandb" / "thesis.txt").exists()


def test_a_debug_run_waits_for_no_one_and_takes_nothing_from_a_living_one(tmp_path: Path) -> None:
    folder = debug_run(tmp_path / "run")
    (folder / ".lock").unlink()
    before = left(folder)
    with records.lock(folder), pytest.raises(Busy):
        own_files.check_debug(folder)
    assert left(folder) == {*before, ".lock"}


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["before its record", "with its record"])
def test_a_debug_run_that_was_killed_blocks_nothing(tmp_path: Path, moment: str) -> None:
    """By SIGKILL, as soon as it has made its first files, and later; a file of the user's is there afterwards."""
    awaited = own_files.MARKER if moment == "before its record" else "metrics.csv"
    words = (*TINY, "+debug=limit", "trainer.max_epochs=1000", "hydra.run.dir=run")
    process = start(*words, cwd=tmp_path)
    folder = tmp_path / "run"
    while not (folder / awaited).exists():
        assert process.poll() is None, process.stdout.read()
        time.sleep(0.01)
    process.kill()
    process.wait()
    (folder / "notes.txt").write_text("days")
    record = run(load(*DEBUG), folder)
    assert (record["status"], len(record["sessions"])) == ("finished", 1)
    assert (folder / "notes.txt").read_text() == "days"
    assert len(list(folder.glob("events.out.tfevents.*"))) == 1
