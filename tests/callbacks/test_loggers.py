"""Weights & Biases and MLflow, where they are installed: one run there for one run here, resumed or not."""

from __future__ import annotations

import importlib.util

import pytest
from tests_support import TINY

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


def twice(name: str) -> None:
    """A run that is stopped after its first epoch and gone on with."""
    from lightning.pytorch import Callback

    from resnet_lit.callbacks.progress import ShowProgress

    class Stop(Exception):
        pass

    def stop(self: Callback, trainer, *_) -> None:
        if trainer.current_epoch == 1:
            raise Stop

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ShowProgress, "on_train_epoch_end", stop)
        assert run(load(*TINY, f"logger={name}"), "run")["status"] == "failed"
    assert run(load(*TINY, f"logger={name}"), "run")["status"] == "finished"


@pytest.mark.slow
def test_mlflow_holds_each_row_once(tmp_path, monkeypatch) -> None:
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.chdir(tmp_path)
    twice("mlflow")
    client = mlflow.MlflowClient("sqlite:///outputs/mlflow.db")
    found = client.search_runs([experiment.experiment_id for experiment in client.search_experiments()])
    assert len(found) == 1
    assert found[0].info.status == "FINISHED"
    assert set(HISTORY) <= set(found[0].data.metrics)
    assert found[0].data.metrics["result/test/accuracy"] == pytest.approx(read("run")["metrics"]["test/accuracy"])
    assert found[0].data.params["optimizer"] == "sgd_momentum"
    steps = [point.step for point in client.get_metric_history(found[0].info.run_id, "val/accuracy")]
    assert steps == [3, 6]
    assert {image.path for image in client.list_artifacts(found[0].info.run_id, "images")} >= {"images/mistakes.png"}


@pytest.mark.slow
def test_wandb_offline_is_one_run(tmp_path, monkeypatch) -> None:
    pytest.importorskip("wandb")
    monkeypatch.chdir(tmp_path)
    twice("wandb")
    sessions = sorted((tmp_path / "run" / "wandb").glob("offline-run-*"))
    assert len({session.name.rpartition("-")[2] for session in sessions}) == 1  # one identity
    written = b"".join(path.read_bytes() for path in (tmp_path / "run" / "wandb").glob("offline-run-*/*.wandb"))
    assert all(name.encode() in written for name in HISTORY)
    assert list((tmp_path / "run" / "wandb").glob("offline-run-*/files/media/images/images/mistakes*.png"))
