"""torch.compile: decided from the config, given up with one warning, and never a difference beyond rounding."""

from __future__ import annotations

import csv
import logging
from pathlib import Path

import pytest
import torch
from tests_support import TINY

from resnet_lit.callbacks.compilation import COMPILE_FROM_IMAGES, compile_mode
from resnet_lit.config import load
from resnet_lit.record import Record, read, write
from resnet_lit.run import run
from resnet_lit.training import load_module

TOLERANCE = 2e-3  # of losses and logits after a few steps: sums are taken in another order


@pytest.mark.parametrize(
    ("words", "steps", "mode"),
    [
        ([], COMPILE_FROM_IMAGES // 128 + 1, "default"),
        ([], COMPILE_FROM_IMAGES // 128 - 1, None),
        (["data.batch_size=64"], COMPILE_FROM_IMAGES // 128 + 1, None),
        (["compile=false"], 10**6, None),
        (["compile=max-autotune"], 1, "max-autotune"),
    ],
)
def test_the_config_alone_decides(words: list[str], steps: int, mode: str | None) -> None:
    assert compile_mode(load("+experiment=model4", *words), steps) == mode


def train(folder: Path, *words: str) -> Record:
    return run(load(*TINY, "data.batch_size=64", *words), folder)


def test_what_does_not_compile_trains_eagerly_and_says_so_once(tmp_path, monkeypatch, caplog) -> None:
    def broken(*_, **__):
        raise RuntimeError("the compiler\nhas a cold")

    monkeypatch.setattr(torch, "compile", broken)
    with caplog.at_level(logging.WARNING, logger="resnet_lit"):
        record = train(tmp_path / "run", "compile=default")
    assert (record["status"], record["compile"]) == ("finished", None)
    said = [r.getMessage() for r in caplog.records if "compile" in r.getMessage()]
    assert said == ["compile=default does not work here (the compiler has a cold): training runs eagerly, which is slower"]
    content = torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=True)["resnet_lit"]
    assert content["compile"] is None


def test_what_was_given_up_is_not_tried_again_when_resumed(tmp_path, monkeypatch) -> None:
    tried: list[str] = []

    def broken(*_, mode: str, **__):
        tried.append(mode)
        raise RuntimeError("no")

    monkeypatch.setattr(torch, "compile", broken)
    record = train(tmp_path / "run", "compile=default")
    write(tmp_path / "run", {**record, "status": "interrupted"})
    assert train(tmp_path / "run", "compile=default")["status"] == "finished"
    assert tried == ["default"]


def test_what_compiles_for_training_alone_trains_eagerly_and_truly(tmp_path, monkeypatch) -> None:
    """The trial fails half-way, in evaluation mode: training must not go on in it."""

    def half(forward, **_):
        def call(images):
            if not torch.is_grad_enabled():
                raise RuntimeError("evaluation does not compile")
            return forward(images)

        return call

    plain = train(tmp_path / "plain", "deterministic=true", "model.dropout=0.2")
    monkeypatch.setattr(torch, "compile", half)
    tried = train(tmp_path / "tried", "deterministic=true", "model.dropout=0.2", "compile=default")
    assert tried["compile"] is None
    assert tried["metrics"] == plain["metrics"]


def test_each_size_of_images_is_compiled_once_and_before_its_first_step(tmp_path, monkeypatch, caplog) -> None:
    """And again for what is trained from an epoch on: four ways to train, two to evaluate. Steps are as they would be."""
    tried: list[tuple[bool, int]] = []

    def noting(forward, **_):
        def call(images):
            if images.std((0, 2, 3)).eq(0).all():  # the trial's black images
                tried.append((torch.is_grad_enabled(), images.shape[-1]))
            return forward(images)

        return call

    words = ["data.resolution=[16,24,32]", "trainer.max_epochs=6", "model.stem_frozen=1", "deterministic=true", "logger=none"]
    plain = train(tmp_path / "plain", *words)
    monkeypatch.setattr(torch, "compile", noting)
    with caplog.at_level(logging.INFO, logger="resnet_lit"):
        compiled = train(tmp_path / "compiled", *words, "compile=default")
    assert tried == [(True, 16), (False, 32), (True, 16), (False, 32), (True, 24), (True, 32)]
    said = [r.getMessage() for r in caplog.records if r.getMessage().startswith("compiling")]
    assert len(said) == 4
    assert said[0].startswith("compiling the network for training images of 16x16 (compile=default)")
    assert said[3].startswith("compiling the network (compile=default)")
    assert compiled["metrics"] == plain["metrics"]


@pytest.mark.slow
def test_validation_and_test_share_a_graph_for_each_set_of_trained_parameters(tmp_path, monkeypatch) -> None:
    """In three epochs with other parameters each, six graphs, all compiled before an epoch's first step."""
    compiled, real, trained = torch.compile, [], []

    def backend(graph, _):
        real.append(torch.is_grad_enabled())
        return graph.forward

    def note(self, trainer, module, *_):
        trained.append(len(real))

    monkeypatch.setattr(torch, "compile", lambda forward, **_: compiled(forward, backend=backend, dynamic=False))
    monkeypatch.setattr("resnet_lit.callbacks.progress.ShowProgress.on_train_batch_start", note, raising=False)
    stem = ("model.stem_norm=false", "model.stem_frozen=1", "model.stem_bias_epochs=2", "trainer.max_epochs=3")
    record = train(tmp_path, *stem, "compile=default", "data.limit_test=128")
    assert (record["compile"], record["status"]) == ("default", "finished")
    assert trained == [2] * 3 + [4] * 3 + [6] * 3
    assert real == [True, False] * 3


@pytest.fixture(scope="module")
def eager(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was not compiled."""
    folder = tmp_path_factory.mktemp("eager")
    train(folder, "model.dropout=0")
    return folder


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_compiled_and_eager_agree_and_their_checkpoints_are_read_alike(tmp_path, eager) -> None:
    folders = (tmp_path, eager)
    train(tmp_path, "model.dropout=0", "compile=default")
    records = [read(folder) for folder in folders]
    assert [record["compile"] for record in records] == ["default", None]
    assert records[0]["timing"]["compile"] > 0 == records[1]["timing"]["compile"]
    losses = []
    for folder in folders:
        with (folder / "metrics.csv").open() as file:
            losses.append([float(row["train/loss_epoch"]) for row in csv.DictReader(file) if row["train/loss_epoch"]])
    assert losses[0] == pytest.approx(losses[1], abs=TOLERANCE)
    images = torch.randint(256, (16, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    modules = [load_module(folder / "checkpoints" / "last.ckpt") for folder in folders]
    with torch.inference_mode():
        assert torch.allclose(modules[0](images), modules[1](images), atol=TOLERANCE)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_trying_changes_nothing_that_training_sees(tmp_path, eager) -> None:
    """Compiled for batches that never come: every step is eager, so only the trial could make a difference.

    It begins with weights that an eager run has left.
    """
    words = ("model.dropout=0.2", "deterministic=true", "data.limit_train=48", "data.limit_validation=48", "data.limit_test=48")
    words += (f"weights={eager}/checkpoints/last.ckpt",)
    plain = train(tmp_path / "plain", *words)
    tried = train(tmp_path / "tried", *words, "compile=default")
    assert tried["compile"] == "default"
    weights = [
        torch.load(tmp_path / name / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"] for name in ("plain", "tried")
    ]
    assert plain["metrics"]["train/loss"] == tried["metrics"]["train/loss"]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
