"""Training itself: from a typed config to trained weights and what was measured of them."""

from __future__ import annotations

from resnet_lit import lean  # noqa: F401

# isort: split
import logging
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer, seed_everything
from torch import nn

from resnet_lit import checkpoints, devices, measure, more_epochs, resolution, same_run
from resnet_lit.allocator import keep_freed_memory
from resnet_lit.callbacks.averaging import build_averaging, evaluated_weights
from resnet_lit.callbacks.best import BestWeights
from resnet_lit.callbacks.checkpoint import Checkpoints
from resnet_lit.callbacks.compilation import Compilation, compile_mode
from resnet_lit.callbacks.frozen_stem import FrozenStem, starts_late, trains_in_parts
from resnet_lit.callbacks.images import ShowImages
from resnet_lit.callbacks.interrupt import Interrupt
from resnet_lit.callbacks.loggers import RunLogger
from resnet_lit.callbacks.metrics import Metrics, cut_back
from resnet_lit.callbacks.optimizer_mode import OptimizerMode
from resnet_lit.callbacks.plateau import Plateau
from resnet_lit.callbacks.progress import ShowProgress
from resnet_lit.callbacks.seam import Seam, check_can_continue, warn_of_inexact
from resnet_lit.callbacks.timing import Timing
from resnet_lit.datamodule import ImageData
from resnet_lit.display import Display, Line
from resnet_lit.length import Length, run_length, smallest_batch
from resnet_lit.models.init import WHITENING_IMAGES
from resnet_lit.module import LitClassifier
from resnet_lit.monitoring import check_monitors
from resnet_lit.network import (
    build_network,
    check_smaller_images,
    check_smallest_batch,
    count_parameters,
    count_trained,
    initialise_stem,
    needs_images,
)
from resnet_lit.opening import header
from resnet_lit.optim.build import build_optimizer, build_scheduler, unused_values
from resnet_lit.optim.trial import try_step
from resnet_lit.peak import measured_peak, number_format
from resnet_lit.printable import printable
from resnet_lit.quiet import quieten
from resnet_lit.record import Record, default_threads
from resnet_lit.schema import Config, from_mapping, to_mapping
from resnet_lit.starting_weights import start_from
from resnet_lit.trainer import build_callbacks, build_loggers, build_trainer
from resnet_lit.typed import ConfigError
from resnet_lit.work import FLOPS_PER_MULTIPLY_ADD, epochs_at, multiply_adds, relative_cost, training_petaflops

log = logging.getLogger("resnet_lit")


def load_module(path: str | Path) -> LitClassifier:
    """A trained classifier in eval mode, from a checkpoint alone: network, weights and input normalisation."""
    state = checkpoints.load(Path(path))
    content = state["resnet_lit"]
    mean, std = content["normalization"]["mean"], content["normalization"]["std"]
    channels, size, _ = content["image_shape"]
    network = build_network(from_mapping(content["config"]).model, len(content["classes"]), channels, size)
    module = LitClassifier(network, mean=mean, std=std, content=content)
    module.load_state_dict(state["state_dict"])
    return module.eval()


def train(
    config: Config,
    folder: Path,
    outcome: Record,
    interrupt: Interrupt,
    begin: Callable[[], None],
    watching: Sequence[Callback] = (),
    display: Display | None = None,
    hold: Callable[[], None] = lambda: None,
) -> None:
    """Train, choose, test. `outcome` is filled as results come, so that it holds what there is whatever happens.

    begin: called when config and data have proved to fit, just before anything is written. watching: further callbacks.
    display: where its progress is shown (default: nowhere). hold: called before every write; raises where the folder is no
    longer this process's to write in.

    Resumes from the newest whole checkpoint in `folder` where there is one. Raises Diverged, Interrupted, Refused, and what
    torch raises.
    """
    quieten(config)
    devices.check(config.trainer)
    keep_freed_memory()
    display = display or Display("none")
    timing = Timing()
    outcome["threads"] = threads = outcome.get("threads") or (default_threads() if config.threads == "auto" else config.threads)
    torch.set_num_threads(threads)
    resumed = checkpoints.newest(folder)
    if resumed is not None and resumed[1]:
        log.warning("%s; resuming from %s", resumed[1], resumed[0])
    curves = None  # the rows of metrics.csv of a run that this one continues
    continues = resumed is None and config.parent.checkpoint is not None
    start = resumed[0] if resumed else more_epochs.checkpoint_of(config.parent) if continues else None

    data = ImageData(config, progress=display.progress())
    for note in data.notes():
        log.info("%s", note)
    display.show(Line("building the network", since=time.monotonic()))
    channels, size, _ = data.source.train_images.shape[1:]
    if size != data.source.train_images.shape[-1]:
        raise ConfigError("data.image_size=null: the images are not square (try data.image_size=32)")
    seed_everything(config.seed, verbose=False)
    network = build_network(config.model, len(data.source.classes), channels, size)
    mean, std = data.normalization
    loaded = None
    if config.weights is not None and start is None:
        loaded = start_from(network, config.weights, new_head=config.weights_head == "new")
    elif needs_images(config.model) and start is None:
        initialise_stem(network, config.model, data.sample("stem", WHITENING_IMAGES), mean, std)
    length = run_length(config, len(data.train_indices))
    smallest = smallest_batch(config, len(data.train_indices), length)
    sizes = resolution.sizes(config.data, size)
    check_smaller_images(network, config.model, config.data, len(data.source.classes), channels)
    least = min(sizes)
    check_smallest_batch(network, smallest, config.data.batch_size, (channels, least, least), max(1, _processes(config)))
    state = checkpoints.load(start) if start else None
    if state is not None:
        same_run.check_data(folder, state, data.source.variant, data.source.hash)
        same_run.check(folder, state, config, outcome, continues=continues)
    outcome["data"] = data.provenance()
    macs = multiply_adds(config.model, len(data.source.classes), sizes, channels)
    outcome["model"] = {
        "parameters": count_parameters(network),
        "trained": count_trained(network),
        "macs": macs.get(size),
    }

    content = {
        "config": to_mapping(config),
        "identity": outcome["identity"],
        "classes": list(data.source.classes),
        "normalization": {"mean": list(mean), "std": list(std)},
        "image_shape": [channels, size, size],
        "data": outcome["data"],
    }
    module = LitClassifier(
        network,
        mean=mean,
        std=std,
        label_smoothing=config.label_smoothing,
        configure=lambda net: _configure(net, config, length),
        evaluated="test" if config.protocol == "paper" else "val",
        tta=config.evaluation.tta,
        content=content,
    )
    optimizer, scheduler = _configure(
        network, config, length
    )  # a wrong argument is refused now, not after data have been moved about
    try_step(network, config.optimizer, (channels, size, size))
    for key, value in unused_values(config.optimizer).items():
        log.warning("%s=%s is not used: %s takes none", key, value, config.optimizer.target)
    every_steps = config.trainer.log_every_n_steps
    metrics = Metrics(folder, timing, every_steps=every_steps, evaluated=module.evaluated, hold=hold)
    chosen_by = f"{data.chooses_on}/accuracy" if data.chooses_on else None
    own_callbacks = build_callbacks(config)
    averaging = build_averaging(config.averaging, length.steps, own_callbacks, optimizer)
    outcome["evaluated_weights"] = evaluated_weights(config, optimizer)
    chooser = BestWeights(metrics, timing, chosen_by, exchanged=bool(own_callbacks or averaging))
    evaluated = len(data.test_indices if data.chooses_on == "test" else data.validation_indices)
    ends = config.trainer.max_epochs is not None or config.trainer.max_steps > 0  # else by max_time alone
    epochs = length.epochs if ends else math.inf
    check_monitors(config, own_callbacks, scheduler.get("monitor"), module.evaluated, evaluated, length.batches_per_epoch, epochs)
    saver = Checkpoints(
        folder,
        every_minutes=config.checkpoint.every_minutes,
        chooser=chooser,
        metrics=metrics,
        timing=timing,
        interrupt=interrupt,
        seed=config.seed,
    )
    mode = state["resnet_lit"]["compile"] if state is not None else compile_mode(config, length.steps)
    compilation = Compilation(mode, config, (channels, size, size), timing, display, data.pixels_in)
    frozen = [FrozenStem(config.model)] if trains_in_parts(config.model) else []
    written = state["written"] if state is not None else None
    loggers = build_loggers(config, folder, written if resumed else None)
    mine = [*watching, *own_callbacks]
    if resumed is not None:
        warn_of_inexact(own_callbacks)
    if state is not None and continues:
        check_can_continue(state, mine)
        curves = more_epochs.curves_of(config.parent, state["written"]["metrics"])
        mine.append(Seam(state["metrics"]["lr"]))

    def cost(steps: int) -> float:
        return relative_cost(config, macs, size, length.epochs, steps / length.steps_per_epoch)

    mine += [ShowProgress(metrics, display, cost), Plateau(metrics)]
    if config.data.batch_size % max(1, _processes(config)):
        raise ConfigError(
            f"data.batch_size={config.data.batch_size}: no multiple of the {_processes(config)} devices that share it"
        )
    trainer = build_trainer(
        config,
        loggers,
        [chooser, OptimizerMode(), *averaging, timing, *frozen, compilation, metrics, ShowImages(), *mine, saver],
        folder,
        compiled=mode is not None,
    )
    if config.trainer.sync_batchnorm and trainer.strategy.root_device.type == "cpu":
        raise ConfigError("trainer.sync_batchnorm=true: works only on GPUs; set trainer.sync_batchnorm=false")
    outcome["hardware"]["devices"] = _devices(trainer)
    outcome["peak"] = peak = _peak(config, trainer)
    if macs:
        flops = peak["tflops"] * 1e12 * trainer.world_size
        metrics.peak_images_per_second = lambda epoch: flops / (FLOPS_PER_MULTIPLY_ADD * macs[data.pixels_in(epoch)])

    begin()
    if trainer.is_global_zero and not display.is_silent:
        petaflops = training_petaflops(config, macs, size, length) if macs and ends else None
        for line in header(config, outcome, folder, mode, state, petaflops, epochs_at(config, size, length.epochs)):
            log.info("%s", line)
    if trainer.is_global_zero:
        if loaded is not None:
            log.info("%s", printable(loaded))
        hold()
        checkpoints.prepare(folder, resumed[0] if resumed else None)
        if curves is not None:
            metrics.path.write_bytes(curves)
        cut_back(metrics.path, written["metrics"] if written else 0)
        for logger in loggers:
            if isinstance(logger, RunLogger):
                hold()
                logger.start(_hparams(config, outcome), [f"result/{name}" for name in measure.result_names(config)])
    try:
        trainer.fit(module, datamodule=data, ckpt_path=start, weights_only=True if start else None)
        interrupt.deferred = False
        measure.validate_at_the_end(trainer, module, data, metrics, saver)
        saver.write_best(trainer)
        measure.measure(trainer, module, data, metrics, saver, outcome, folder)
    finally:
        interrupt.deferred = False
        outcome["compile"] = compilation.mode
        outcome["timing"] = timing.result()
        outcome["steps"], outcome["epochs"] = trainer.global_step, trainer.current_epoch
        done = trainer.global_step / length.steps_per_epoch
        outcome["petaflops"] = round(training_petaflops(config, macs, size, length, done), 12) if macs else None
        for logger in loggers:
            if isinstance(logger, RunLogger):
                logger.close()


def _processes(config: Config) -> int:
    """Processes that share a batch, where the config alone says how many."""
    devices = config.trainer.devices
    count = devices if isinstance(devices, int) else len(devices) if isinstance(devices, tuple) else 1
    return max(1, count) * config.trainer.num_nodes


def build_run_optimizer(network: nn.Module, config: Config) -> torch.optim.Optimizer:
    """The optimizer that a run trains a network with. Raises as `build_optimizer`."""
    # with a gradient scaler, a fused step takes the scale off by itself, after Lightning would have clipped
    fused = config.trainer.gradient_clip_val is None or config.trainer.precision not in (16, "16-mixed")
    fused = fused and not starts_late(config.model)  # torch's fused SGD takes no parameter whose momentum begins later
    return build_optimizer(network, config.optimizer, fused=fused)


def _configure(network: nn.Module, config: Config, length: Length) -> tuple[torch.optim.Optimizer, dict[str, Any]]:
    try:
        optimizer = build_run_optimizer(network, config)
        scheduler = build_scheduler(optimizer, config.scheduler, epochs=length.epochs, steps_per_epoch=length.steps_per_epoch)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    return optimizer, scheduler


# --- small things


def _hparams(config: Config, outcome: Record) -> dict[str, Any]:
    """The run in HParams: one fixed set of names, each with one type in all runs."""
    values = {
        "model": config.model.name,
        "data": outcome["data"]["variant"],
        "parameters": outcome["model"]["parameters"],
        "batch_size": config.data.batch_size,
        "optimizer": config.optimizer.name,
        "lr": config.optimizer.lr,
        "momentum": config.optimizer.momentum or 0.0,
        "weight_decay": config.optimizer.weight_decay,
        "dropout": config.model.dropout,
        "scheduler": config.scheduler.name,
        "augment": config.augment.name,
        "max_epochs": config.trainer.max_epochs or 0,
        "protocol": config.protocol,
        "seed": config.seed,
    }
    return {key: printable(value) if isinstance(value, str) else value for key, value in values.items()}


def _devices(trainer: Trainer) -> list[str]:
    device = trainer.strategy.root_device
    return (
        [torch.cuda.get_device_name(device)] * trainer.world_size if device.type == "cuda" else [device.type] * trainer.world_size
    )


def _peak(config: Config, trainer: Trainer) -> dict[str, Any]:
    """The arithmetic peak of one device, as the record has it."""
    if config.peak_tflops is not None:
        return {"tflops": config.peak_tflops, "how": "stated"}
    dtype = number_format(config.trainer.precision)
    tflops = measured_peak(trainer.strategy.root_device, dtype) / 1e12
    return {"tflops": round(tflops, 3), "how": f"matrix product in {str(dtype).removeprefix('torch.')}, measured"}
