"""The first lines of a run: what is trained, on what, by which protocol, where, and from which step on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from resnet_lit.printable import printable
from resnet_lit.record import Record
from resnet_lit.schema import Config

CHOICE = {
    "holdout": "validation images choose the epoch, the test set does not",
    "final": "all training images train, nothing chooses, the last weights read the test set once",
    "paper": "the test set chooses the epoch: its accuracy is optimistic",
}
NO_CHOICE = "no validation images, so the last epoch counts"

PARTS = {"train": "training", "validation": "validation", "test": "test"}


def header(
    config: Config,
    record: Record,
    folder: Path,
    compiled: str | None,
    state: Mapping[str, Any] | None,
    petaflops: float | None,
    epochs_at: Mapping[int, float],
) -> list[str]:
    """A line for each. compiled: the mode of torch.compile, None for eager. state: the checkpoint that is resumed from.

    petaflops: of the whole training, None where they are not known. epochs_at: how many epochs have training images of each size.
    """
    model, data, sizes = record["model"], record["data"], record["data"]["sizes"]
    macs = "" if model["macs"] is None else f", {_millions(model['macs'])} multiply-adds per image"
    parts = ", ".join(f"{sizes[key]:,} {name}" for key, name in PARTS.items())
    devices = Counter(record["hardware"]["devices"])
    where = ", ".join(name if count == 1 else f"{count} x {name}" for name, count in devices.items())
    threads = f"{record['threads']} thread{'s' * (record['threads'] != 1)}"
    how = f"compiled (compile={compiled})" if compiled else "eager (not compiled)"
    chooses = config.protocol != "holdout" or sizes["validation"]
    training = [_length(config), f"batches of {config.data.batch_size}", config.optimizer.name, config.scheduler.name]
    training += [config.averaging.name] * (config.averaging.method != "none")
    training += [] if petaflops is None else [f"{petaflops:.3g} petaFLOPs"]
    lines = {
        "model": f"{config.model.name}: {model['parameters']:,} parameters{macs}",
        "data": f"{data['variant']}: {parts} images",
        "training": ", ".join(training),
        "protocol": f"{config.protocol}: {CHOICE[config.protocol] if chooses else NO_CHOICE}",
        "device": f"{where}, {threads}, {how}",
        "record": f"{folder}",
    }
    if len(epochs_at) > 1 or (config.data.resolution is not None and config.parent.folder is None):
        lines["images"] = ", then ".join(
            f"{epochs:g} epoch{'s' * (epochs != 1)} of {size}x{size} pixels" for size, epochs in epochs_at.items()
        )
    if config.parent.folder is not None:
        lines["continues"] = f"{config.parent.folder}, from epoch {config.parent.resumed_at_epoch}"
    if state is not None:
        lines["resuming"] = f"from step {state['global_step']:,}"
    return [printable(f"{name:<9} {text}") for name, text in lines.items()]


def _millions(number: int) -> str:
    return f"{number / 1e6:,.0f} M" if number >= 1e7 else f"{number / 1e6:.2g} M"


def _length(config: Config) -> str:
    trainer, limits = config.trainer, []
    for unit, count in (("epoch", trainer.max_epochs), ("step", trainer.max_steps if trainer.max_steps > 0 else None)):
        if count is not None:
            limits.append(f"{count:,} {unit}{'s' * (count != 1)}")
    return " or ".join(limits) or str(trainer.max_time)
