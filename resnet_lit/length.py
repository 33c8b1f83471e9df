"""How long a run is, from its config and the number of its training images. No torch here."""

from __future__ import annotations

import math
from dataclasses import dataclass

from resnet_lit.schema import Config
from resnet_lit.typed import ConfigError


@dataclass(frozen=True)
class Length:
    """How long a run is. steps_per_epoch: optimizer steps; epochs may be fractional where max_steps ends the run. images: that an
    epoch sees.
    """

    steps_per_epoch: int
    epochs: float
    batches_per_epoch: int
    images: int

    @property
    def steps(self) -> int:
        return math.ceil(self.epochs * self.steps_per_epoch - 1e-6)


def run_length(config: Config, train_images: int) -> Length:
    """The length of a run, from the config and the number of training images alone."""
    trainer, data = config.trainer, config.data
    rounded = math.floor if data.drop_last else math.ceil
    batches = rounded(train_images / data.batch_size)
    if batches == 0:
        raise ConfigError(
            f"data.batch_size={data.batch_size}: larger than the {train_images} training images, and data.drop_last=true leaves "
            f"out what fills no batch (try data.drop_last=false, or data.batch_size={train_images})"
        )
    for limit in (trainer.limit_train_batches, trainer.overfit_batches or None, int(trainer.fast_dev_run) or None):
        if limit is not None:
            batches = min(batches, limit if isinstance(limit, int) else int(batches * limit))
    if batches == 0:
        raise ConfigError(f"trainer.limit_train_batches={trainer.limit_train_batches}: leaves no training batch")
    steps = math.ceil(batches / trainer.accumulate_grad_batches)
    epochs = math.inf if trainer.max_epochs is None else float(trainer.max_epochs)
    if trainer.max_steps > 0:
        epochs = min(epochs, trainer.max_steps / steps)
    if trainer.fast_dev_run:
        epochs = 1.0
    epochs = epochs if math.isfinite(epochs) else 1.0  # only max_time ends it: schedules take an epoch as their length
    return Length(steps, epochs, batches, min(train_images, batches * data.batch_size))


def smallest_batch(config: Config, train_images: int, length: Length) -> int:
    """Images in the smallest batch of an epoch, over all processes."""
    full, rest = divmod(train_images, config.data.batch_size)
    return rest if rest and not config.data.drop_last and length.batches_per_epoch > full else config.data.batch_size
