"""Callbacks and optimizers that exchange weights for an evaluation: what is recorded is of the weights that are kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tests_support import TINY

from resnet_lit.callbacks.interrupt import Interrupted
from resnet_lit.config import load
from resnet_lit.datamodule import ImageData
from resnet_lit.identity import fixes
from resnet_lit.run import config_of, run
from resnet_lit.training import load_module

EMA = ("+callbacks.average._target_=lightning.pytorch.callbacks.EMAWeightAveraging", "+callbacks.average.decay=0.6")
SWA = (
    "+callbacks.average._target_=lightning.pytorch.callbacks.StochasticWeightAveraging",
    "+callbacks.average.swa_lrs=0.5",
    "+callbacks.average.swa_epoch_start=1",
)
OWN_EMA = ("averaging=ema", "averaging.decay=0.8", "averaging.every_steps=2")
LOOKAHEAD = ("averaging=lookahead", "averaging.every_steps=4", "optimizer=muon")
SCHEDULE_FREE = ("optimizer._target_=own_optimizers.ScheduleFree", "optimizer.lr=0.5")

WAYS = {"ema": OWN_EMA, "lookahead": LOOKAHEAD, "lightning_ema": EMA, "swa": SWA, "schedule_free": SCHEDULE_FREE}

# The way of schedule-free optimizers (Defazio et al. 2024): weights to train with lie between the steps z and their average x,
# which is the one to evaluate with. Like the package of that name, it refuses to step in the wrong mode.
OWN_OPTIMIZERS = """
import torch

class ScheduleFree(torch.optim.Optimizer):
    def __init__(self, params, lr=0.1, beta=0.9):
        super().__init__(params, {"lr": lr, "beta": beta, "train_mode": False, "steps": 0})

    def train(self):
        self._switch(True)

    def eval(self):
        self._switch(False)

    @torch.no_grad()
    def _switch(self, train):
        for group in self.param_groups:
            if group["train_mode"] != train:
                for p in group["params"]:
                    z = self.state[p].setdefault("z", p.clone())
                    p.lerp_(z, 1 - group["beta"] if train else 1 - 1 / group["beta"])
                group["train_mode"] = train

    @torch.no_grad()
    def step(self, closure=None):
        with torch.enable_grad():
            loss = closure()
        for group in self.param_groups:
            if not group["train_mode"]:
                raise RuntimeError("call optimizer.train() first")
            group["steps"] += 1
            for p in group["params"]:
                z = self.state[p].setdefault("z", p.clone())
                p.lerp_(z, 1 - 1 / group["beta"])
                z.sub_(p.grad, alpha=group["lr"])
                p.lerp_(z, 1 / group["steps"]).lerp_(z, 1 - group["beta"])
        return loss
"""


def accuracy(folder: Path, checkpoint: str, part: str) -> float:
    """Of the weights in a checkpoint, evaluated again."""
    data = ImageData(config_of(folder))
    source = data.source
    images, labels, indices = (
        (source.train_images, source.train_labels, data.validation_indices)
        if part == "val"
        else (source.test_images, source.test_labels, data.test_indices)
    )
    module = load_module(folder / "checkpoints" / checkpoint)
    with torch.inference_mode():
        answers = module(torch.from_numpy(images[np.asarray(indices)])).argmax(1).numpy()
    return float((answers == labels[np.asarray(indices)]).mean())


OWN_CALLBACKS = """
import signal, os
import torch
from lightning.pytorch import Callback

class Zeros(Callback):
    '''Evaluates and tests with other weights than those that are trained.'''
    def on_validation_epoch_start(self, trainer, module):
        self.kept = [p.detach().clone() for p in module.parameters()]
        with torch.inference_mode(False), torch.no_grad():
            for p in module.network.fc.parameters():
                p.data.copy_(p.data * -1)
    def on_validation_epoch_end(self, trainer, module):
        for p, kept in zip(module.parameters(), self.kept):
            p.data.copy_(kept)
    on_test_epoch_start, on_test_epoch_end = on_validation_epoch_start, on_validation_epoch_end

class Interrupts(Callback):
    def on_train_epoch_end(self, trainer, module):
        if trainer.current_epoch == 1 and os.environ.pop("INTERRUPT_EPOCH", None):
            os.kill(os.getpid(), signal.SIGTERM)
    def on_train_batch_end(self, trainer, module, *_):
        if trainer.global_step == 5 and os.environ.pop("INTERRUPT_STEP", None):
            os.kill(os.getpid(), signal.SIGTERM)
"""


def test_an_own_callback_that_exchanges_weights_is_seen_through(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "own_callbacks_zeros.py").write_text(OWN_CALLBACKS)
    monkeypatch.syspath_prepend(str(tmp_path))
    config = load(*TINY, "+callbacks.mine._target_=own_callbacks_zeros.Zeros", "logger=none")
    assert "evaluated_weights" in fixes(config)
    recorded = run(config, tmp_path / "run")["metrics"]
    assert accuracy(tmp_path / "run", "best.ckpt", "val") == pytest.approx(recorded["val/accuracy"])
    assert accuracy(tmp_path / "run", "best.ckpt", "test") == pytest.approx(recorded["test/accuracy"])
    assert accuracy(tmp_path / "run", "last.ckpt", "test") == pytest.approx(recorded["test/accuracy_last"])


def test_a_run_that_was_killed_in_its_test_is_not_evaluated_once_more_at_its_end(tmp_path: Path, monkeypatch) -> None:
    from resnet_lit import measure

    def killed(*_) -> None:
        raise Interrupted(15)

    (tmp_path / "own_callbacks_twice.py").write_text(OWN_CALLBACKS)
    monkeypatch.syspath_prepend(str(tmp_path))
    config = load(*TINY, "+callbacks.mine._target_=own_callbacks_twice.Zeros", "logger=none")
    with monkeypatch.context() as patch:
        patch.setattr(measure, "_test", killed)
        with pytest.raises(Interrupted):
            run(config, tmp_path / "run")
    before = (tmp_path / "run" / "metrics.csv").read_text().splitlines()
    run(config, tmp_path / "run")
    after = (tmp_path / "run" / "metrics.csv").read_text().splitlines()
    assert after[:-1] == before  # the one row more is the test's


def test_resuming_under_swa_says_that_it_is_inexact(caplog) -> None:
    from lightning.pytorch.callbacks import EMAWeightAveraging, StochasticWeightAveraging

    from resnet_lit.callbacks.seam import warn_of_inexact

    warn_of_inexact([EMAWeightAveraging()])
    assert not caplog.text
    warn_of_inexact([StochasticWeightAveraging(swa_lrs=0.1)])
    assert "may end with other numbers" in caplog.text


@pytest.mark.parametrize("way", WAYS)
def test_the_evaluated_weights_are_kept_and_an_interrupted_run_ends_with_the_same(way: str, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "own_optimizers.py").write_text(OWN_OPTIMIZERS)
    (tmp_path / "own_callbacks_stop.py").write_text(OWN_CALLBACKS)
    monkeypatch.syspath_prepend(str(tmp_path))
    stop = "+callbacks.stop._target_=own_callbacks_stop.Interrupts"
    words = (*TINY, *WAYS[way], "trainer.max_epochs=4", "logger=none")
    record = run(load(*words), tmp_path / "whole")
    assert record["status"] == "finished", record["reason"]
    others = {"lightning_ema": "callback", "swa": "callback", "schedule_free": "optimizer"}
    assert record["evaluated_weights"] == others.get(way, way)
    recorded = record["metrics"]
    assert accuracy(tmp_path / "whole", "best.ckpt", "val") == pytest.approx(recorded["val/accuracy"])
    assert accuracy(tmp_path / "whole", "best.ckpt", "test") == pytest.approx(recorded["test/accuracy"])
    assert accuracy(tmp_path / "whole", "last.ckpt", "test") == pytest.approx(recorded["test/accuracy_last"])
    monkeypatch.setenv("INTERRUPT_EPOCH" if way == "swa" else "INTERRUPT_STEP", "1")  # between epochs, or within the second one
    interrupted = load(*words, stop)
    with pytest.raises(Interrupted):
        run(interrupted, tmp_path / "parts")
    run(interrupted, tmp_path / "parts")
    for name in ("best.ckpt", "last.ckpt"):
        one, other = (load_module(tmp_path / folder / "checkpoints" / name).state_dict() for folder in ("whole", "parts"))
        assert all(torch.equal(one[key], other[key]) for key in one), name


def test_only_callbacks_that_exchange_weights_mark_the_identity() -> None:
    assert "evaluated_weights" in fixes(load("+experiment=model4", *EMA))
    assert "evaluated_weights" in fixes(load("+experiment=model4", *SWA))
    assert fixes(load("+experiment=model4", "callbacks=early_stopping")) == ()
