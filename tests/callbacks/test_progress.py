"""What a run says while it goes on, and that saying it changes nothing that is recorded."""

from __future__ import annotations

import csv
from pathlib import Path
from types import SimpleNamespace

import pytest
from tests_support import TINY

from resnet_lit.callbacks.progress import ShowProgress
from resnet_lit.config import load
from resnet_lit.display import AS_LINE, Display, Line
from resnet_lit.run import run

WORDS = (*TINY, "data.batch_size=16", "trainer.log_every_n_steps=8", "trainer.max_epochs=1")  # 12 steps


class Shown(Display):
    """A terminal's display that keeps its lines."""

    def __init__(self, style: str) -> None:
        super().__init__("plain")
        self.lines: list[Line] = []

    def show(self, line: Line) -> None:
        self.lines.append(line)


@pytest.fixture(scope="module")
def talking(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Line]]:
    """A run whose bar is kept: its folder and what the bar showed."""
    folder, shown = tmp_path_factory.mktemp("talking"), Shown("plain")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("resnet_lit.run.Display", lambda style: shown)
        patch.setattr("resnet_lit.callbacks.progress.BAR_SECONDS", 0.0)
        run(load(*WORDS, "progress=plain"), folder)
    return folder, shown.lines


def texts(line: Line) -> str:
    return f"{line.title} {' '.join(text for _, text in line.details)}"


def test_loss_speed_and_time_left_are_shown_from_the_first_steps_on(talking: tuple[Path, list[Line]]) -> None:
    steps = [texts(line) for line in talking[1] if line.total == 12]
    first = next(text for text in steps if " 1/12" in text)
    assert first.startswith("epoch 1/1 1/12 loss ")
    assert first.endswith(" left")
    second = next(text for text in steps if " 2/12" in text)
    assert "images/s" in second
    assert "loss" in second


def test_steps_on_smaller_images_count_for_less_in_the_time_left(monkeypatch) -> None:
    clock = [0.0]
    monkeypatch.setattr("resnet_lit.callbacks.progress.time.monotonic", lambda: clock[0])
    shown, metrics = Shown("plain"), SimpleNamespace(readings=1, latest={})
    progress = ShowProgress(metrics, shown, cost=[0, 1, 2, 6, 10].__getitem__)  # two steps of one second, two of four
    trainer = SimpleNamespace(global_step=0, current_epoch=0, max_epochs=2, estimated_stepping_batches=4, world_size=1)
    trainer.is_global_zero = False
    progress.on_train_start(trainer, None)
    for step in (1, 2):
        clock[0], trainer.global_step = float(step), step
        progress.on_train_batch_end(trainer, None, None, (None, [0]), step)
    assert shown.lines[-1].details[-1] == (7, "8 s left")


def test_evaluations_have_a_progress_of_their_own(talking: tuple[Path, list[Line]]) -> None:
    shown = [texts(line) for line in talking[1]]
    assert "epoch 1/1: validating batch 9/9" in shown
    assert "testing batch 4/4" in shown
    assert not [text for text in shown if " 0 s left" in text]
    assert shown.index("testing batch 4/4") > shown.index("epoch 1/1: validating batch 9/9")


def test_an_epochs_note_fits_a_terminal_and_is_whole_in_the_log(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    with caplog.at_level("INFO", logger="resnet_lit"):
        run(load(*WORDS, "progress=plain"), tmp_path)
    (note,) = (record for record in caplog.records if hasattr(record, AS_LINE))
    line = getattr(note, AS_LINE)
    assert note.getMessage() == "  ".join([line.title, *(text for _, text in line.details)])
    assert {text.split()[0] for _, text in line.details} >= {"step", "loss", "val"}
    assert not line.total  # it has no bar
    assert note.getMessage() in (tmp_path / "train.log").read_text()


def test_the_log_begins_with_what_is_trained_and_where(talking: tuple[Path, list[Line]]) -> None:
    folder, _ = talking
    said = [line.split(maxsplit=2)[2] for line in (folder / "train.log").read_text().splitlines()]
    assert said[:6] == [
        "model     model4: 1,454 parameters, 0.63 M multiply-adds per image",
        "data      digits: 192 training, 143 validation, 64 test images",
        "training  1 epoch, batches of 16, sgd_momentum, one_cycle, 7.31e-07 petaFLOPs",
        "protocol  holdout: validation images choose the epoch, the test set does not",
        "device    cpu, 1 thread, eager (not compiled)",
        f"record    {folder}",
    ]
    assert said[6].startswith("epoch 1/1  step 1/12  loss ")
    assert all(len(line) <= 79 for line in said if not line.startswith("record"))


def test_looking_at_the_loss_early_changes_nothing_that_is_recorded(talking: tuple[Path, list[Line]], tmp_path: Path) -> None:
    run(load(*WORDS, "progress=none"), tmp_path)
    rows = []
    for folder in (talking[0], tmp_path):
        with (folder / "metrics.csv").open(newline="") as file:
            rows.append([{k: v for k, v in row.items() if not k.startswith("perf/")} for row in csv.DictReader(file)])
    assert rows[0] == rows[1]
    assert "train/loss" in rows[0][0]
    assert rows[0][0]["step"] == "8"  # the mean over all eight steps, although it was looked at after 1, 2 and 5
    assert not (tmp_path / "train.log").exists()


def test_a_resumed_run_says_from_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Stop(RuntimeError):
        pass

    def stop(self: ShowProgress, *_: object) -> None:
        if self._batches == 12:  # the second epoch has begun: the checkpoint of the first is there
            raise Stop

    monkeypatch.setattr(ShowProgress, "on_train_batch_start", stop, raising=False)
    words = [*TINY, "data.batch_size=16", "trainer.max_epochs=2"]
    assert run(load(*words), tmp_path)["status"] == "failed"
    monkeypatch.undo()
    assert run(load(*words), tmp_path)["status"] == "finished"
    assert "resuming  from step 12\n" in (tmp_path / "train.log").read_text()
