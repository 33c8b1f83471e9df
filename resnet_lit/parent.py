"""The part of a config that names the finished run which a run continues for more epochs."""

from __future__ import annotations

from dataclasses import dataclass

from resnet_lit.typed import setting


@dataclass(frozen=True)
class Parent:
    """The finished run that this one continues for more epochs; set by `resume=<run> trainer.max_epochs=N`, never typed."""

    folder: str | None = setting(
        None, "folder of the run that is continued; null: this run starts from the beginning", result=False
    )
    identity: str | None = setting(None, "its identity", result=False)
    # Part of the identity, but no value by which reports tell runs apart: `resumed_at_epoch` is.
    checkpoint: str | None = setting(None, "sha256 of its last.ckpt; it enters this run's identity", result=False)
    resumed_at_epoch: int = setting(0, "epochs that it had trained", least=0)
    steps: int = setting(0, "optimizer steps that it had made", least=0, result=False)
    petaflops: float | None = setting(None, "of its training; null: not recorded", least=0, result=False)
