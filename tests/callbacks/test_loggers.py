"""Weights & Biases and MLflow, where they are installed: one run there for one run here, killed or not."""

from __future__ import annotations

import csv
import importlib.util
import json
import struct
from pathlib import Path
from typing import Any

import pytest
from tests_support import TINY, start, wait_for

from resnet_lit.config import load
from resnet_lit.record import read
from resnet_lit.run import Refused, run

HISTORY = ("train/loss", "train/loss_epoch", "val/accuracy", "lr", "test/accuracy", "result/test/accuracy")


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_a_missing_package_is_one_line(name, tmp_path, monkeypatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda package, *rest: None if package == name else found(package, *rest))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Refused, match=rf"^logger={name}: needs the package {name}: pip install 'resnet_lit\[{name}\]'$"):
        run(load(*TINY, f"logger={name}"), "run")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("word", "line"),
    [
        ("+logger.mine._target_=pathlib.Path", r"^logger\.mine\._target_=pathlib\.Path: must be a subclass of lightning"),
        ("+logger.mine._target_=lightning.pytorch.loggers.CometLogger", r"^logger: CometLogger cannot be made .*comet"),
    ],
)
def test_what_is_no_logger_is_refused_before_training(word: str, line: str, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Refused, match=line):
        run(load(*TINY, word), "run")
    assert list(tmp_path.iterdir()) == []


# Three steps an epoch: a row of metrics.csv for every second step, and one for each epoch.
KILLED = ("trainer.max_epochs=12", "trainer.log_every_n_steps=2", "checkpoint.every_minutes=0.0001")


def killed(name: str, folder: Path) -> list[int]:
    """A run that is killed and typed again until it has finished; the steps of its evaluations."""
    words = [*TINY, *KILLED, f"logger={name}", "hydra.run.dir=run"]
    process = start(*words, cwd=folder)
    rows = folder / "run" / "metrics.csv"
    wait_for(lambda: rows.exists() and rows.read_text().count("\n") > 8, seconds=120)
    process.kill()
    process.communicate()
    assert read(folder / "run")["status"] == "interrupted"
    again = start(*words, cwd=folder)
    assert again.communicate(timeout=240)[0]
    assert again.returncode == 0
    assert len(read(folder / "run")["sessions"]) == 2
    with rows.open() as file:
        return [int(row["step"]) for row in csv.DictReader(file) if row["val/accuracy"]]


@pytest.mark.slow
def test_mlflow_holds_each_row_once(tmp_path) -> None:
    mlflow = pytest.importorskip("mlflow")
    evaluated = killed("mlflow", tmp_path)
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path}/outputs/mlflow.db")
    found = client.search_runs([experiment.experiment_id for experiment in client.search_experiments()])
    assert len(found) == 1
    assert found[0].info.status == "FINISHED"
    assert set(HISTORY) <= set(found[0].data.metrics)
    assert found[0].data.metrics["result/test/accuracy"] == pytest.approx(read(tmp_path / "run")["metrics"]["test/accuracy"])
    assert found[0].data.params["optimizer"] == "sgd_momentum"
    assert [point.step for point in client.get_metric_history(found[0].info.run_id, "val/accuracy")] == evaluated
    images = {image.path for image in client.list_artifacts(found[0].info.run_id, "images")}
    assert images == {f"images/{name}.png" for name in ("augmented", "confusion_matrix", "mistakes")}
    assert {path.name for path in tmp_path.iterdir()} == {"outputs", "run"}


@pytest.mark.slow
def test_wandb_offline_is_one_session_with_each_row_once(tmp_path) -> None:
    pytest.importorskip("wandb")
    evaluated = killed("wandb", tmp_path)
    (session,) = (tmp_path / "run" / "wandb").glob("offline-run-*")
    records = wandb_records(next(session.glob("*.wandb")))
    history = [
        {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in record.history.item}
        for record in records
        if record.WhichOneof("record_type") == "history"
    ]
    steps = [row["_step"] for row in history]
    assert steps == sorted(set(steps))
    assert [row["_step"] for row in history if "val/accuracy" in row] == evaluated
    assert set(HISTORY[:-1]) <= set().union(*history)
    summary = {
        item.key or "/".join(item.nested_key): json.loads(item.value_json)
        for record in records
        if record.WhichOneof("record_type") == "summary"
        for item in record.summary.update
    }
    assert summary["result/test/accuracy"] == pytest.approx(read(tmp_path / "run")["metrics"]["test/accuracy"])
    pictures = {path.name.rsplit("_", 2)[0] for path in session.glob("files/media/images/images/*.png")}
    assert pictures == {"augmented", "confusion_matrix", "mistakes"}


def wandb_records(path: Path) -> list[Any]:
    """The records of a .wandb file: a LevelDB log (blocks of 32 KiB, chunks with crc, length and type) of protocol buffers."""
    from wandb.proto.wandb_internal_pb2 import Record

    content, block, header = path.read_bytes(), 32768, struct.Struct("<IHB")
    found, parts, place = [], [], 7  # behind the file's own header
    while place + header.size <= len(content):
        if block - place % block < header.size:
            place += block - place % block
            continue
        _, length, kind = header.unpack_from(content, place)
        place += header.size
        parts.append(content[place : place + length])
        place += length
        if kind in (1, 4):  # whole, or the last part
            found.append(Record.FromString(b"".join(parts)))
            parts = []
    return found


def test_csv_says_what_is_written_anyway() -> None:
    assert load(*TINY, "logger=csv").logger == load(*TINY, "logger=none").logger == {}
