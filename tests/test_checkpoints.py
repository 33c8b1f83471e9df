"""Checkpoint files: damage is seen, and at every instant there is a whole one."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
import torch

from resnet_lit import checkpoints
from resnet_lit.checkpoints import BEST, LAST, PREVIOUS
from resnet_lit.record import FolderError


def content(step: int) -> dict[str, object]:
    return {"step": step, "weights": torch.full((300,), float(step))}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run's folder with the checkpoints of steps 1 and 2."""
    checkpoints.prepare(tmp_path, None)
    for step in (1, 2):
        checkpoints.write(content(step), tmp_path / "checkpoints" / LAST, keep_as=PREVIOUS)
    return tmp_path


def steps(folder: Path) -> dict[str, int]:
    return {path.name: checkpoints.load(path)["step"] for path in (folder / "checkpoints").glob("*.ckpt")}


def test_the_one_before_is_kept(folder: Path) -> None:
    assert steps(folder) == {LAST: 2, PREVIOUS: 1}
    assert sorted(path.name for path in (folder / "checkpoints").iterdir()) == [LAST, PREVIOUS]


def test_a_flipped_bit_anywhere_is_seen_or_changes_nothing(folder: Path) -> None:
    path = folder / "checkpoints" / LAST
    whole, draw, refused = path.read_bytes(), random.Random(0), 0
    for _ in range(300):
        damaged = bytearray(whole)
        damaged[draw.randrange(len(whole))] ^= 1 << draw.randrange(8)
        path.write_bytes(damaged)
        try:
            loaded = checkpoints.load(path)
        except Exception:
            refused += 1
        else:
            assert loaded["step"] == 2
            assert torch.equal(loaded["weights"], content(2)["weights"])
    assert refused > 100


def test_a_damaged_newest_falls_back_to_the_one_before_and_says_so(folder: Path) -> None:
    path = folder / "checkpoints" / LAST
    damaged = bytearray(path.read_bytes())
    place = damaged.index(content(2)["weights"].numpy().tobytes())
    damaged[place] ^= 1  # torch alone loads other weights without a word
    path.write_bytes(damaged)
    assert not torch.equal(torch.load(path, weights_only=True)["weights"], content(2)["weights"])
    found, complaint = checkpoints.newest(folder)
    assert found.name == PREVIOUS
    assert "last.ckpt is damaged (" in complaint
    assert "does not fit its checksum" in complaint


def test_a_damaged_last_checkpoint_never_replaces_the_whole_one(folder: Path) -> None:
    (folder / "checkpoints" / LAST).write_bytes(b"broken")
    found, _ = checkpoints.newest(folder)
    checkpoints.prepare(folder, found)
    checkpoints.write(content(3), folder / "checkpoints" / LAST, keep_as=PREVIOUS)
    assert steps(folder) == {LAST: 3, PREVIOUS: 1}


def test_all_damaged_is_said_and_not_passed_over(folder: Path) -> None:
    for name in (LAST, PREVIOUS):
        (folder / "checkpoints" / name).write_bytes(b"broken")
    with pytest.raises(FolderError, match="fresh=true"):
        checkpoints.newest(folder)


@pytest.mark.parametrize("call", range(4))
def test_whenever_a_save_is_cut_off_there_is_a_whole_checkpoint(folder: Path, monkeypatch, call: int) -> None:
    """Cut off before the temporary file is on the disk, before each of the two renames, and before the folder is."""
    calls: list[str] = []

    class Killed(BaseException):
        pass

    def counted(name, original):
        def wrapped(*args, **kwargs):
            if len(calls) == call:
                raise Killed
            calls.append(name)
            return original(*args, **kwargs)

        return wrapped

    monkeypatch.setattr(os, "fsync", counted("fsync", os.fsync))
    monkeypatch.setattr(Path, "replace", counted("replace", Path.replace))
    with pytest.raises(Killed):
        checkpoints.write(content(3), folder / "checkpoints" / LAST, keep_as=PREVIOUS)
    monkeypatch.undo()
    found, complaint = checkpoints.newest(folder)
    assert checkpoints.load(found)["step"] == (3 if call == 3 else 2)
    assert complaint is None
    checkpoints.prepare(folder, found)
    assert not list((folder / "checkpoints").glob(".*"))


@pytest.mark.parametrize(
    ("keep", "left"),
    [("auto", {LAST, BEST}), ("all", {LAST, BEST}), ("best", {BEST}), ("none", set())],
)
def test_what_stays_of_a_finished_run(folder: Path, keep: str, left: set[str]) -> None:
    checkpoints.write(content(2), folder / "checkpoints" / BEST)
    checkpoints.tidy(folder, keep)
    assert set(steps(folder)) == left


def test_without_chosen_weights_the_last_ones_are_the_result(folder: Path) -> None:
    checkpoints.tidy(folder, "best")
    assert set(steps(folder)) == {LAST}
