"""Lightning's Trainer, its loggers and the user's callbacks, from the config."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.loggers import Logger
from lightning.pytorch.plugins.environments import SLURMEnvironment
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from resnet_lit import checkpoints
from resnet_lit.callbacks.frozen_stem import trains_in_parts
from resnet_lit.callbacks.tensorboard import TensorBoard
from resnet_lit.callbacks.timing import NoProfiler
from resnet_lit.plugins import locate
from resnet_lit.schema import Config
from resnet_lit.sections import Trainer as TrainerConfig
from resnet_lit.typed import ConfigError


def build_trainer(
    config: Config, loggers: list[Logger], callbacks: list[Callback], folder: Path, *, compiled: bool = False
) -> Trainer:
    """Lightning's Trainer with the values of `trainer.*`, and what belongs to resnet_lit.

    compiled: the test runs under no_grad, as validations do in any case: inference_mode would have to be compiled anew.
    """
    values = {f.name: getattr(config.trainer, f.name) for f in fields(config.trainer)}
    values["inference_mode"] = config.trainer.inference_mode and not compiled
    meant = ("check_val_every_n_epoch",)  # null says something there: val_check_interval counts across epochs
    values = {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in values.items()
        if value is not None or key in meant
    }
    values.setdefault("profiler", NoProfiler())
    try:
        return _trainer(config, values, loggers, callbacks, folder)
    except (ValueError, TypeError, RuntimeError, MisconfigurationException) as error:
        raise ConfigError(f"trainer: {' '.join(str(error).split())[:300]}") from error


def _trainer(config: Config, values: dict[str, Any], loggers: list[Logger], callbacks: list[Callback], folder: Path) -> Trainer:
    if trains_in_parts(config.model):
        values["strategy"] = _finding_unused(config.trainer)
    slurm = [SLURMEnvironment(auto_requeue=False)] if SLURMEnvironment.detect() else []  # our launcher queues it again
    return Trainer(
        **values,
        logger=loggers or False,
        callbacks=callbacks,
        plugins=[checkpoints.WholeFiles(), *slurm],
        default_root_dir=folder,
        enable_progress_bar=False,
        num_sanity_val_steps=0,
        deterministic=config.deterministic,
        use_distributed_sampler=False,
        enable_autolog_hparams=False,
    )


def _finding_unused(trainer: TrainerConfig) -> str:
    """The strategy where some parameters are trained in some epochs alone: DDP has to expect those without a gradient."""
    devices = len(trainer.devices) if isinstance(trainer.devices, tuple) else trainer.devices
    if devices in ("auto", -1):
        devices = torch.cuda.device_count()
    if (trainer.num_nodes == 1 and devices in (0, 1)) or "find_unused_parameters_true" in trainer.strategy:
        return trainer.strategy
    named = "ddp" if trainer.strategy == "auto" else trainer.strategy
    if named not in ("ddp", "ddp_spawn", "ddp_fork", "ddp_notebook"):
        raise ConfigError(
            f"trainer.strategy={named}: cannot train the stem in some epochs alone; leave out model.stem_frozen and "
            "model.stem_bias_epochs, or use trainer.strategy=ddp"
        )
    return f"{named}_find_unused_parameters_true"


def build_loggers(config: Config, folder: Path, written: Mapping[str, Any] | None) -> list[Logger]:
    """The loggers of `logger.*`, each writing into the run's folder. written: what the checkpoint says of earlier sessions."""
    loggers = []
    for name, entry in config.logger.items():
        if entry is None:
            continue
        target = locate(entry["_target_"], f"logger.{name}._target_")
        options = {key: value for key, value in entry.items() if key != "_target_"}
        if target is TensorBoard:
            options |= {"keep": written["events"], "earlier": written.get("events_file")} if written else {}
        if "save_dir" in inspect.signature(target).parameters:
            options.setdefault("save_dir", str(folder))
        logger = _called(target, options, "logger")
        if not isinstance(logger, Logger):
            raise ConfigError(
                f"logger.{name}._target_={entry['_target_']}: must be a subclass of lightning.pytorch.loggers.Logger"
            )
        loggers.append(logger)
    return loggers


def build_callbacks(config: Config) -> list[Callback]:
    """The user's callbacks, those of `callbacks.*`. Raises ConfigError."""
    built = []
    for name, entry in config.callbacks.items():
        if entry is None:
            continue
        options = {key: value for key, value in entry.items() if key != "_target_"}
        callback = _called(locate(entry["_target_"], f"callbacks.{name}._target_"), options, "callbacks")
        if not isinstance(callback, Callback):
            raise ConfigError(f"callbacks.{name}._target_={entry['_target_']}: must be a subclass of lightning.pytorch.Callback")
        built.append(callback)
    return built


def _called(target: Any, options: dict[str, Any], group: str) -> Any:
    try:
        return target(**options)
    except ConfigError:
        raise
    except Exception as error:  # whatever the user's class raises; a package that is not installed, too
        name = getattr(target, "__name__", target)
        line = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise ConfigError(f"{group}: {name} cannot be made with these values: {line}") from error
