"""The typed schema of conf/: every value a user may change, with its meaning, its range and its neutral default.

Values live in YAML; this file says what they mean and refuses what cannot work, in about a second: nothing heavy is
imported. The defaults here are neutral ones, for identities (`resnet_lit.identity`): what equals them is not hashed, so a key
added later changes no identity of an earlier run.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from resnet_lit.models import cost
from resnet_lit.parent import Parent
from resnet_lit.reserved import OWNED
from resnet_lit.typed import ConfigError, build, plain, section, setting

RESNET = "resnet_lit.models.resnet.ResNet"
AUGMENT = "resnet_lit.data.augment.Augment"
NAME_LENGTH = 200  # bytes of an experiment's name: a file name holds 255


@dataclass(frozen=True)
class Model:
    """The network. The paper's letters: B = blocks, C = channels, F = kernels, K = skip_kernels, P = pool."""

    name: str = setting("custom", "what the network is called in tables and folders", result=False)
    target: str = setting(
        RESNET, "import path of the class; another one is called as Class(num_classes=n, **args)", key="_target_"
    )
    blocks: tuple[int, ...] = setting((), "B: residual blocks in each layer", least=1, example=(2, 2, 2, 2))
    channels: tuple[int, ...] = setting((), "C: channels of each layer", least=1, example=(64, 128, 256, 512))
    width: float = setting(1.0, "multiplies the channels of every layer (rounded, at least 1)", above=0, example=0.5)
    kernels: int | tuple[int, ...] = setting(3, "F: convolution kernel, one for all layers or one for each", least=1)
    skip_kernels: int | tuple[int, ...] = setting(1, "K: kernel of the skip convolutions, one or one for each layer", least=1)
    strides: tuple[int, ...] | None = setting(None, "stride of each layer; null: 1, then 2", least=1, example=(1, 2, 2, 2))
    stem: Literal["3x3", "7x7"] = setting("3x3", "first convolution: 3x3 (CIFAR) or 7x7 with max-pool (ImageNet)")
    pool: int | None = setting(None, "P: average-pool kernel; null: over all pixels that are left", least=1, example=4)
    block: Literal["basic", "bottleneck"] = setting("basic", "kind of residual block")
    dropout: float = setting(0.0, "probability of Dropout2d after every BatchNorm2d; 0: off", least=0, below=1, example=0.25)
    num_classes: int | None = setting(None, "classes; null: as many as the data have", least=2, example=10)
    max_parameters: int | None = setting(None, "budget of trainable parameters; null: none", least=1, result=False)
    args: dict[str, Any] = setting({}, "arguments of a class of your own")


@dataclass(frozen=True)
class Data:
    """The images, their split into training, validation and test, and the batches."""

    name: Literal["cifar10", "digits", "folder"] = setting("cifar10", "which data set")
    root: str | None = setting(
        None, "file or folder with the data, which must be there; null: $RESNET_LIT_DATA, or a download", result=False
    )
    download: str | None = setting(None, "folder for a download of CIFAR-10; null: downloads in the cache", result=False)
    cache: str | None = setting(None, "folder for decoded images; null: $RESNET_LIT_CACHE or ~/.cache/resnet_lit", result=False)
    image_size: int | None = setting(None, "resize to this many pixels a side (data=folder)", least=4, example=32)
    test_fraction: float = setting(0.2, "part held out for the test where a folder has no test/", above=0, below=1)
    batch_size: int = setting(128, "images in one optimizer step, over all devices", least=1)
    validation: int | None = setting(
        None, "images held out to choose by; null: the protocol's, or the data's own val/", least=0, example=5000
    )
    split_seed: int = setting(0, "seed of the split into training and validation", least=0)
    limit_train: int | None = setting(None, "use the first n training images only", least=1, example=1000)
    limit_validation: int | None = setting(None, "use the first n; null: at most limit_train", least=1, example=1000)
    limit_test: int | None = setting(None, "use the first n test images only", least=1, example=1000)
    normalization: Literal["cifar10", "paper", "computed", "none"] = setting(
        "cifar10", "mean and std: CIFAR-10's true ones, the paper's (a wrong std), those of this training set, or none"
    )
    drop_last: bool = setting(False, "leave out the last, smaller batch of an epoch")


@dataclass(frozen=True)
class Augment:
    """Random changes of the training images, in this order."""

    name: str = setting("none", "what it is called", result=False)
    target: str = setting(AUGMENT, "import path of the class; another one is called as Class(**args)", key="_target_")
    crop_padding: int = setting(0, "random crop after padding with so many black pixels; 0: off", least=0, example=4)
    flip: float = setting(0.0, "probability of a horizontal flip", least=0, most=1, example=0.5)
    rotation: float = setting(0.0, "rotate by up to so many degrees either way", least=0, most=180, example=15.0)
    blur: float = setting(0.0, "probability of a Gaussian blur", least=0, most=1, example=0.5)
    blur_kernel: int = setting(3, "kernel of the blur in pixels, odd", least=1)
    blur_sigma: tuple[float, ...] = setting((0.1, 2.0), "least and greatest standard deviation of the blur", above=0)
    args: dict[str, Any] = setting({}, "arguments of a class of your own")


@dataclass(frozen=True)
class Optimizer:
    """The optimizer: its class is called as Class(parameters, lr=, weight_decay=, **args)."""

    name: str = setting("custom", "what it is called", result=False)
    target: str = setting("torch.optim.SGD", "import path of the class", key="_target_", example="torch.optim.SGD")
    lr: float = setting(0.1, "base learning rate", above=0)
    momentum: float | None = setting(None, "momentum; null: the class takes none", least=0, below=1, example=0.9)
    nesterov: bool = setting(False, "Nesterov's momentum")
    weight_decay: float = setting(0.0, "L2 penalty", least=0, example=5e-4)
    decay: Literal["all", "weights"] = setting("all", "decay every parameter (the paper), or no biases and no BatchNorm")
    args: dict[str, Any] = setting({}, "further arguments of the class")


@dataclass(frozen=True)
class Scheduler:
    """The learning-rate schedule: a function (epoch, epochs, **args) -> multiplier, or a torch scheduler class."""

    name: str = setting("custom", "what it is called", result=False)
    target: str = setting("resnet_lit.optim.schedules.constant", "import path of the function or class", key="_target_")
    interval: Literal["epoch", "step"] = setting("epoch", "when the learning rate changes")
    epochs: float | None = setting(None, "length of the schedule in epochs; null: the run's", above=0, example=200)
    warmup_epochs: float = setting(0.0, "linear warm-up before it, in epochs", least=0, example=5)
    args: dict[str, Any] = setting({}, "arguments of the function or class")


@dataclass(frozen=True)
class Trainer:
    """Lightning's Trainer: what it takes, with its meaning there. null: Lightning's own default."""

    max_epochs: int | None = setting(200, "epochs to train; null: max_steps alone decides", least=1)
    max_steps: int = setting(-1, "optimizer steps to train; -1: no limit", least=-1, example=1000)
    min_epochs: int | None = setting(None, "no early stop before so many epochs", least=0)
    min_steps: int | None = setting(None, "no early stop before so many steps", least=0)
    max_time: Any = setting(None, "stop after this time (DD:HH:MM:SS)")
    accelerator: Literal["auto", "cpu", "gpu", "cuda", "mps", "tpu"] = setting("auto", "where to train")
    devices: int | str | tuple[int, ...] = setting(1, "how many devices, or which; auto: all")
    num_nodes: int = setting(1, "machines", least=1)
    strategy: str = setting("auto", "how several devices work together, ddp for instance")
    precision: (
        Literal[16, 32, 64, "16-mixed", "bf16-mixed", "16-true", "bf16-true", "32-true", "64-true", "transformer-engine"] | None
    ) = setting(None, "number format of the arithmetic; null: 32", example="bf16-mixed")
    accumulate_grad_batches: int = setting(1, "batches summed up for one optimizer step", least=1)
    gradient_clip_val: float | None = setting(None, "clip gradients at this value", above=0, example=1.0)
    gradient_clip_algorithm: Literal["norm", "value"] | None = setting(None, "how to clip", example="norm")
    sync_batchnorm: bool = setting(False, "BatchNorm statistics over all devices")
    limit_train_batches: int | float | None = setting(None, "batches (or part) of a training epoch", least=0, example=10)
    limit_val_batches: int | float | None = setting(None, "batches (or part) of a validation", least=0, example=10)
    limit_test_batches: int | float | None = setting(None, "batches (or part) of the test", above=0, example=10)
    overfit_batches: int | float = setting(0.0, "train on so many batches only (debugging)", least=0, example=1)
    fast_dev_run: int | bool = setting(False, "run so many batches of everything (debugging)", example=True)
    check_val_every_n_epoch: int | None = setting(1, "validate after every n epochs", least=1)
    val_check_interval: Any = setting(None, "validate within an epoch too")
    log_every_n_steps: int = setting(50, "steps between two readings of loss and accuracy", least=1, result=False)
    enable_model_summary: bool = setting(False, "Lightning's own layer table", result=False)
    profiler: Literal["simple", "advanced", "pytorch", "xla"] | None = setting(
        None, "where the time goes", result=False, example="simple"
    )
    detect_anomaly: bool = setting(False, "find the operation that made a NaN (slow)", result=False)
    benchmark: bool | None = setting(None, "let cuDNN search for its fastest kernels")
    inference_mode: bool = setting(True, "evaluate under inference_mode", result=False)


# Checkpoints at epochs' ends lie at least so many times the last one's own duration apart: they take half a percent of the time
# however short epochs are, and with those that are always written, the first and the last, under one percent.
CHECKPOINT_SPACING = 200


@dataclass(frozen=True)
class Checkpoint:
    """When checkpoints are written, and which are kept when a run has finished."""

    every_minutes: float = setting(10.0, "minutes after which a checkpoint is due, within an epoch too", above=0)
    keep: Literal["auto", "all", "best", "none"] = setting(
        "auto", "which stay when a run has finished; auto: all of a single run, best of those of a multirun"
    )


@dataclass(frozen=True)
class Budget:
    """What a run may cost: the forecast (python -m resnet_lit.plan) is made before it starts."""

    hours: float | None = setting(None, "hours that a run may take; null: no forecast is made", above=0, example=8)
    on_exceed: Literal["refuse", "warn"] = setting("refuse", "what to do with a run, or a multirun, that will not fit")


@dataclass(frozen=True)
class Sweep:
    """A multirun as a whole."""

    seeds: int = setting(
        1,
        "seeds of each run of a sweep file (+sweep=NAME): all runs with seed=0 come first, then those with seed=1, …",
        least=1,
        example=5,
        result=False,
    )
    hours: float | None = setting(
        None, "hours that all runs to do may take together; null: no forecast is made", above=0, example=24, result=False
    )
    stall_minutes: float | None = setting(
        30.0,
        "minutes without a batch trained or evaluated after which a run of a multirun is ended; null: never",
        above=0,
        example=60,
        result=False,
    )


@dataclass(frozen=True)
class Config:
    """One run: everything that decides what it computes, and where it goes."""

    name: str = setting("custom", "the experiment: the folder under outputs/", result=False, example="model4")
    label: str | None = setting(
        None, "the readable part of the run's folder; null: what differs from the experiment", result=False
    )
    seed: int = setting(0, "seed of weights, order, augmentation and dropout", least=0, most=2**32 - 1)
    protocol: Literal["holdout", "paper"] = setting(
        "holdout",
        "holdout: a validation part chooses, the test set is read once, at the end; "
        "paper: the test set is read after every epoch and chooses the epoch",
    )
    deterministic: bool = setting(False, "equal weights from run to run on one machine at equal threads")
    threads: int | Literal["auto"] = setting(
        "auto", "CPU threads; auto: $OMP_NUM_THREADS, or one for each core the process may use", least=1
    )
    compile: Literal["auto", False, "default", "max-autotune"] = setting(
        "auto", "torch.compile; auto: where the run is long enough"
    )
    peak_tflops: float | None = setting(
        None, "arithmetic peak that perf/mfu is a share of; null: that of a matrix product, measured", above=0, result=False
    )
    label_smoothing: float = setting(0.0, "share of the target spread over all classes", least=0, below=1, example=0.1)
    weights: str | None = setting(
        None, "checkpoint or state_dict whose weights the run starts from", example="outputs/…/checkpoints/best.ckpt"
    )
    weights_head: Literal["new"] | None = setting(
        None, "new: all of `weights` but the classifier head, which starts new (other classes)", example="new"
    )
    fresh: bool = setting(False, "set an earlier run in this folder aside and start again", result=False)
    resume: str | None = setting(None, "resume the run in this folder, with its own config", result=False)
    progress: Literal["auto", "rich", "plain", "none"] = setting("auto", "how progress is shown", result=False)
    debug: str | None = setting(None, "name of a debug preset: the run goes to outputs/debug and into no report", result=False)
    scale: str | None = setting(
        None,
        "name of a reduced scale (+scale=smoke): it goes to outputs/<experiment>-<scale>/, in a report to its own section",
    )
    model: Model = section(Model)
    data: Data = section(Data)
    augment: Augment = section(Augment)
    optimizer: Optimizer = section(Optimizer)
    scheduler: Scheduler = section(Scheduler)
    trainer: Trainer = section(Trainer)
    callbacks: dict[str, Any] = setting({}, "further Lightning callbacks: a name, its _target_ and arguments")
    logger: dict[str, Any] = setting({}, "Lightning loggers: a name, its _target_ and arguments", result=False)
    checkpoint: Checkpoint = section(Checkpoint, result=False)
    budget: Budget = section(Budget, result=False)
    sweep: Sweep = section(Sweep)
    parent: Parent = section(Parent)

    @property
    def is_debug(self) -> bool:
        """A run for finding faults: always runs, into outputs/debug/, and is read by no report."""
        return self.debug is not None or bool(self.trainer.fast_dev_run) or bool(self.trainer.overfit_batches)

    @property
    def validation(self) -> int | None:
        """Images held out of the training set; None: the default of the data (5,000 of CIFAR-10)."""
        return 0 if self.protocol == "paper" else self.data.validation


def architecture(model: Model, num_classes: int | None = None, image_size: int = 32, in_channels: int = 3) -> cost.Architecture:
    """The network of a config as plain numbers, for counting. Raises ValueError where the numbers do not fit together."""
    return cost.Architecture(
        blocks=model.blocks,
        channels=[max(1, round(channels * model.width)) for channels in model.channels],
        kernels=model.kernels,
        skip_kernels=model.skip_kernels,
        strides=model.strides,
        stem=model.stem,
        pool=model.pool,
        block=model.block,
        dropout=model.dropout,
        num_classes=model.num_classes or num_classes or 10,
        in_channels=in_channels,
        image_size=image_size,
    )


def check_budget(model: Model, parameters: int) -> None:
    """Refuse a network with more trainable parameters than `model.max_parameters`."""
    if model.max_parameters is not None and parameters > model.max_parameters:
        raise ConfigError(
            f"model.max_parameters={model.max_parameters}: the model has {parameters:,} trainable parameters, over the budget of "
            f"{model.max_parameters:,} (use fewer channels or blocks, or model.max_parameters=null)"
        )


def from_mapping(values: Mapping[str, Any]) -> Config:
    """The typed config of a resolved mapping (a composed YAML, a saved config.yaml). Raises ConfigError."""
    trainer = values.get("trainer")
    if isinstance(trainer, Mapping):
        for key, instead in OWNED.items():
            if key in trainer:
                raise ConfigError(f"trainer.{key}: belongs to resnet_lit: {instead}")
    for key in ("model", "data", "augment", "optimizer", "scheduler", "trainer"):
        if not values.get(key):
            raise ConfigError(f"{key}: must not be left out (choose one with {key}=…)")
    if values.get("resume") is not None:
        raise ConfigError(
            f"resume={values['resume']}: stands alone, python -m resnet_lit.train resume=<folder>; from Python run.resume"
        )
    config = build(Config, values)
    _check(config)
    return config


def _check(config: Config) -> None:
    """What concerns several values at once."""
    model, data, augment, optimizer, trainer = config.model, config.data, config.augment, config.optimizer, config.trainer
    if model.target == RESNET:
        if not model.blocks or not model.channels:
            raise ConfigError("model.blocks, model.channels: a ResNet needs both (try model=model4)")
        if model.args:
            raise ConfigError(
                "model.args: for a class of your own (model._target_); a ResNet has model.blocks, model.channels, …"
            )
        try:
            size = data.image_size or 32
            check_budget(model, cost.count_parameters(architecture(model, image_size=size)))
        except ValueError as error:
            raise ConfigError(str(error)) from error
    if config.weights_head is not None and config.weights is None:
        raise ConfigError("weights_head=new: says what of weights=<checkpoint> is loaded; give both, or leave it out")
    if config.protocol == "paper" and data.validation:
        raise ConfigError(
            f"data.validation={data.validation}: protocol=paper trains on all training images and chooses on the test set; "
            "leave it out, or use protocol=holdout"
        )
    if data.image_size is not None and data.name != "folder":
        raise ConfigError(f"data.image_size={data.image_size}: only data=folder is resized (data={data.name} is 32x32)")
    if augment.blur_kernel % 2 == 0:
        raise ConfigError(f"augment.blur_kernel={augment.blur_kernel}: must be odd (try augment.blur_kernel=3)")
    if augment.blur and augment.blur_kernel // 2 >= (data.image_size or 32):
        raise ConfigError(f"augment.blur_kernel={augment.blur_kernel}: larger than the images (try augment.blur_kernel=3)")
    if len(augment.blur_sigma) != 2 or augment.blur_sigma[0] > augment.blur_sigma[1]:
        raise ConfigError("augment.blur_sigma: must be the least and the greatest value (try augment.blur_sigma=[0.1,2.0])")
    if optimizer.target in ("torch.optim.Adam", "torch.optim.AdamW") and optimizer.momentum is not None:
        raise ConfigError(f"optimizer.momentum={optimizer.momentum:g}: Adam has none (use optimizer.args.betas=[0.9,0.999])")
    if optimizer.nesterov and not optimizer.momentum:
        raise ConfigError("optimizer.nesterov=true: needs momentum (try optimizer.momentum=0.9)")
    if trainer.max_epochs is None and trainer.max_steps < 0 and trainer.max_time is None:
        raise ConfigError("trainer.max_epochs=null: give trainer.max_steps or trainer.max_time instead")
    if (
        trainer.max_epochs is None
        and trainer.max_steps < 0
        and config.scheduler.epochs is None
        and config.scheduler.name != "constant"
    ):
        raise ConfigError(
            f"trainer.max_time={trainer.max_time}: does not say how long the schedule is (give scheduler.epochs, or "
            "scheduler=constant)"
        )
    if trainer.max_time is not None and not re.fullmatch(r"\d+:\d{1,2}:\d{1,2}:\d{1,2}", str(trainer.max_time)):
        raise ConfigError(
            f"trainer.max_time={trainer.max_time}: must be days:hours:minutes:seconds (try trainer.max_time=00:08:00:00)"
        )
    for key in ("limit_train_batches", "limit_val_batches", "limit_test_batches", "overfit_batches"):
        part = getattr(trainer, key)
        if isinstance(part, float) and part > 1:
            raise ConfigError(f"trainer.{key}={part:g}: a part must be at most 1.0, a number of batches must be whole")
    if isinstance(trainer.devices, int) and trainer.devices < 1 and trainer.devices != -1:
        raise ConfigError(f"trainer.devices={trainer.devices}: must be at least 1, or auto (try trainer.devices=1)")
    if not any(map(str.isalnum, config.name)):
        raise ConfigError(f"name={config.name}: must have a letter or a digit (try name=mine)")
    if (length := len(config.name.encode("utf-8", "surrogateescape"))) > NAME_LENGTH:
        raise ConfigError(f"name={config.name[:40]}…: is a folder's name, at most {NAME_LENGTH} bytes long (this has {length:,})")
    if config.compile == "max-autotune" and trainer.accumulate_grad_batches > 1:
        raise ConfigError(
            "compile=max-autotune: its CUDA graphs write over gradients that "
            f"trainer.accumulate_grad_batches={trainer.accumulate_grad_batches} sums up; use compile=default"
        )
    if trainer.max_steps == 0:
        raise ConfigError("trainer.max_steps=0: must be at least 1, or -1 for no limit (try trainer.max_steps=1000)")
    for group in ("callbacks", "logger"):
        for name, entry in getattr(config, group).items():
            if entry is None:
                continue
            if not isinstance(entry, Mapping) or not isinstance(entry.get("_target_"), str):
                raise ConfigError(f"{group}.{name}: needs _target_, the import path of a class")
            monitor = str(entry.get("monitor", ""))
            if monitor.startswith("val/") and config.validation == 0:
                better = f"{group}.{name}.monitor=test/{monitor[4:]}" if config.protocol == "paper" else "data.validation=5000"
                raise ConfigError(f"{group}.{name}.monitor={monitor}: nothing is held out to measure it (try {better})")


def to_mapping(config: Config) -> dict[str, Any]:
    """The config as plain data, as saved in config.yaml: `from_mapping` of it gives the same config."""
    return plain(config)


def replace(config: Config, **changes: Any) -> Config:
    """A copy with top-level values exchanged, checked again."""
    changed = dataclasses.replace(config, **changes)
    _check(changed)
    return changed
