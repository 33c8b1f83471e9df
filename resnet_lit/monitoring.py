"""What callbacks and schedules watch, held against what a run measures, before it trains."""

from __future__ import annotations

from collections.abc import Sequence

from lightning.pytorch import Callback
from lightning.pytorch.callbacks import EarlyStopping

from resnet_lit.schema import Config
from resnet_lit.typed import ConfigError

OF_TRAINING = ("train/loss", "train/accuracy", "train/loss_epoch", "train/accuracy_epoch")


def check_monitors(
    config: Config, callbacks: Sequence[Callback], plateau: str | None, evaluated: str, images: int, batches: int, epochs: float
) -> None:
    """Refuse a callback or a plateau schedule whose metric the run never has. Raises ConfigError.

    callbacks: the user's. plateau: the metric that ReduceLROnPlateau watches, None where another schedule is used. evaluated:
    "val", or "test" under protocol=paper; images: in its part. batches: of training in an epoch. epochs: of the run.
    """
    _check_interval(config, batches)
    measured = [f"{evaluated}/loss", f"{evaluated}/accuracy"]
    missing = why_no_validation(config, images, batches, epochs)
    own = any(not type(callback).__module__.startswith(("lightning.", "pytorch_lightning.")) for callback in callbacks)
    names = [name for name, entry in config.callbacks.items() if entry is not None]
    for name, callback in zip(names, callbacks, strict=True):
        if config.protocol == "final" and isinstance(callback, EarlyStopping):
            raise ConfigError(
                f"callbacks.{name}: stops early, and protocol=final trains to the end (leave it out, or use protocol=holdout)"
            )
    further: tuple[str, ...] | None = None if own else ()  # what a callback may watch besides; an own one may log anything
    watched = [
        (f"callbacks.{name}.monitor", str(monitor), further)
        for name, callback in zip(names, callbacks, strict=True)
        if (monitor := getattr(callback, "monitor", None)) is not None
    ]
    if plateau is not None:
        watched.append(("scheduler.args.monitor", plateau, OF_TRAINING))
    for key, monitor, others in watched:
        if monitor in measured:
            if missing:
                raise ConfigError(f"{key}={monitor}: {missing}")
        elif others is not None and monitor not in others:
            raise ConfigError(f"{key}={monitor}: no metric of this run (choose one of {', '.join([*measured, *others])})")


def why_no_validation(config: Config, images: int, batches: int, epochs: float) -> str | None:
    """Why no validation runs before training ends, and what to do; None where one does."""
    trainer, limit = config.trainer, config.trainer.limit_val_batches
    if images == 0:
        return f"nothing is held out to measure it (try data.validation={max(1, config.data.batch_size)})"
    if trainer.fast_dev_run:
        return None
    evaluated = -(-images // config.data.batch_size)
    if limit is not None and (limit if isinstance(limit, int) else int(evaluated * limit)) == 0:
        return f"trainer.limit_val_batches={limit:g} leaves nothing to measure it (leave it out)"
    every, interval = trainer.check_val_every_n_epoch, trainer.val_check_interval
    if every is not None and every > epochs:
        late = f"the first validation is due after epoch {every}, training ends after {epochs:g}"
        return f"{late} (try trainer.check_val_every_n_epoch=1)"
    if every is None and isinstance(interval, int) and interval > batches * epochs:
        return (
            f"the first validation is due after {interval} batches, training ends after {batches * epochs:g} "
            f"(try trainer.val_check_interval={max(1, round(batches * epochs))})"
        )
    return None


def _check_interval(config: Config, batches: int) -> None:
    """Lightning refuses it too, but only when training has begun."""
    trainer, interval = config.trainer, config.trainer.val_check_interval
    within_epochs = trainer.check_val_every_n_epoch is not None and not trainer.fast_dev_run
    if within_epochs and isinstance(interval, int) and interval > batches:
        raise ConfigError(
            f"trainer.val_check_interval={interval}: above the {batches} batches of an epoch (try "
            f"trainer.val_check_interval={batches}, or trainer.check_val_every_n_epoch=null to count across epochs)"
        )
