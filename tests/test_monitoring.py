"""What is watched but never measured is refused before training."""

from __future__ import annotations

import pytest
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import EarlyStopping

from resnet_lit.config import load
from resnet_lit.monitoring import check_monitors
from resnet_lit.typed import ConfigError

EARLY = ("+experiment=model4", "callbacks=early_stopping", "trainer.max_epochs=3", "data.batch_size=10")


def check(
    *words: str, monitor: str = "val/accuracy", images: int = 50, evaluated: str = "val", plateau: str | None = None
) -> None:
    config = load(*EARLY, *words)
    check_monitors(config, [EarlyStopping(monitor)], plateau, evaluated, images, batches=20, epochs=3.0)


def test_what_is_measured_may_be_watched() -> None:
    check()
    check(monitor="val/loss", plateau="val/accuracy")
    check(plateau="train/loss_epoch")
    check(monitor="test/accuracy", evaluated="test")
    check("trainer.val_check_interval=20")
    check("trainer.val_check_interval=60", "trainer.check_val_every_n_epoch=null")
    check("trainer.limit_val_batches=0.2")


@pytest.mark.parametrize(
    ("words", "options", "line"),
    [
        ([], {"images": 0}, "callbacks.early_stopping.monitor=val/accuracy: nothing is held out.*data.validation="),
        (["trainer.limit_val_batches=0"], {}, "trainer.limit_val_batches=0 leaves nothing to measure it"),
        (["trainer.limit_val_batches=0.1"], {}, "trainer.limit_val_batches=0.1 leaves nothing"),
        (["trainer.check_val_every_n_epoch=5"], {}, "due after epoch 5, training ends after 3"),
        (
            ["trainer.val_check_interval=61", "trainer.check_val_every_n_epoch=null"],
            {},
            "due after 61 batches, training ends after 60",
        ),
        (["trainer.val_check_interval=21"], {}, "trainer.val_check_interval=21: above the 20 batches of an epoch"),
        ([], {"monitor": "val/acc"}, "monitor=val/acc: no metric of this run .choose one of val/loss, val/accuracy"),
        ([], {"monitor": "val/accuracy", "evaluated": "test"}, "choose one of test/loss, test/accuracy"),
        ([], {"plateau": "valid/loss"}, "scheduler.args.monitor=valid/loss: no metric of this run"),
    ],
)
def test_what_is_never_measured_is_refused(words: list[str], options: dict, line: str) -> None:
    with pytest.raises(ConfigError, match=line):
        check(*words, **options)


def test_an_own_callback_may_log_what_another_watches() -> None:
    class Logs(Callback):
        pass

    config = load(*EARLY, "+callbacks.mine._target_=tests.Logs")
    check_monitors(config, [EarlyStopping("mine/metric"), Logs()], None, "val", 50, batches=20, epochs=3.0)


def test_a_plateau_with_nothing_held_out_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"scheduler.args.monitor=val/loss: nothing is held out"):
        check_monitors(load("+experiment=model4"), [], "val/loss", "val", 0, batches=20, epochs=3.0)
