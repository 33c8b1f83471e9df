"""The typed schema of conf/: every value a user may change, with its meaning, its range and its neutral default.

Values live in YAML; this file and `resnet_lit.sections` say what they mean and refuse what cannot work, in about a second:
nothing heavy is imported.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from resnet_lit import resolution
from resnet_lit.models.architecture import Architecture
from resnet_lit.models.cost import count_parameters
from resnet_lit.optim.rules import rules_of
from resnet_lit.parent import Parent
from resnet_lit.reserved import OWNED
from resnet_lit.sections import (
    AUGMENT,
    RESNET,
    Augment,
    Averaging,
    Budget,
    Checkpoint,
    Data,
    Evaluation,
    Model,
    Optimizer,
    Scheduler,
    Sweep,
    Trainer,
)
from resnet_lit.typed import ConfigError, build, plain, section, setting, show

NAME_LENGTH = 200  # bytes of an experiment's name: a file name holds 255


@dataclass(frozen=True)
class Config:
    """One run: everything that decides what it computes, and where it goes."""

    name: str = setting("custom", "the experiment: the folder under outputs/", result=False, example="model4")
    label: str | None = setting(
        None, "the readable part of the run's folder; null: what differs from the experiment", result=False
    )
    seed: int = setting(0, "seed of weights, order, augmentation and dropout", least=0, most=2**32 - 1)
    protocol: Literal["holdout", "paper", "final"] = setting(
        "holdout",
        "holdout: a validation part chooses, the test set is read once, at the end; "
        "final: all training images train, nothing chooses, the last weights read the test set once; "
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
    averaging: Averaging = section(Averaging)
    trainer: Trainer = section(Trainer)
    callbacks: dict[str, Any] = setting({}, "further Lightning callbacks: a name, its _target_ and arguments")
    logger: dict[str, Any] = setting({}, "Lightning loggers: a name, its _target_ and arguments", result=False)
    evaluation: Evaluation = section(Evaluation, result=False)
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
        return self.data.validation if self.protocol == "holdout" else 0


def architecture(model: Model, num_classes: int | None = None, image_size: int = 32, in_channels: int = 3) -> Architecture:
    """The network of a config as plain numbers, for counting. Raises ValueError where the numbers do not fit together."""
    shared = {field.name for field in dataclasses.fields(Architecture)} & {field.name for field in dataclasses.fields(Model)}
    values = {name: getattr(model, name) for name in shared}
    values |= {
        "channels": [max(1, round(channels * model.width)) for channels in model.channels],
        "stem_frozen": model.stem_frozen == "always",
        "num_classes": model.num_classes or num_classes or 10,
    }
    return Architecture(**values, in_channels=in_channels, image_size=image_size)


def check_budget(model: Model, parameters: int) -> None:
    """Refuse a network with more parameters, trained or not, than `model.max_parameters`."""
    if model.max_parameters is not None and parameters > model.max_parameters:
        raise ConfigError(
            f"model.max_parameters={model.max_parameters}: the model has {parameters:,} parameters, over the budget of "
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
    scheduler = config.scheduler
    if model.target == RESNET:
        _check_resnet(model, data.image_size or 32)
    if config.weights_head is not None and config.weights is None:
        raise ConfigError("weights_head=new: says what of weights=<checkpoint> is loaded; give both, or leave it out")
    if config.protocol != "holdout" and data.validation:
        chooses = "chooses on the test set" if config.protocol == "paper" else "chooses nothing"
        raise ConfigError(
            f"data.validation={data.validation}: protocol={config.protocol} trains on all training images and {chooses}; "
            "leave it out, or use protocol=holdout"
        )
    if config.protocol == "final" and scheduler.target.endswith(".ReduceLROnPlateau"):
        raise ConfigError(
            f"scheduler._target_={scheduler.target}: watches a validation, and protocol=final has none (try scheduler=cosine, or "
            "protocol=holdout)"
        )
    if data.image_size is not None and data.name != "folder":
        raise ConfigError(
            f"data.image_size={data.image_size}: only data=folder is resized (data={data.name} is 32x32; "
            "data.resolution=[24,28,32] begins with smaller training images)"
        )
    full = data.image_size if data.name == "folder" else 32
    resolution.check(data, full, architecture(model, image_size=full or 32) if model.target == RESNET else None)
    if data.resolution is not None and trainer.max_epochs is None and trainer.max_steps < 0:
        raise ConfigError(
            f"data.resolution={show(data.resolution)}: its phases are shares of the run's epochs, which trainer.max_time does "
            "not say (give trainer.max_epochs too)"
        )
    if augment.padding_mode == "reflect" and augment.crop_padding == 0 and augment.target == AUGMENT:
        raise ConfigError(
            "augment.padding_mode=reflect: is what a random crop pads with, and augment.crop_padding=0 crops nothing (try "
            "augment.crop_padding=4, or augment.padding_mode=zeros)"
        )
    if augment.padding_mode == "reflect" and full is not None and augment.crop_padding >= full:
        raise ConfigError(
            f"augment.crop_padding={augment.crop_padding}: mirrors more pixels than the images have (try augment.crop_padding=4)"
        )
    if augment.flip_mode == "alternate" and augment.flip != 0.5:
        raise ConfigError(
            f"augment.flip={augment.flip:g}: with augment.flip_mode=alternate each image is flipped in every other epoch "
            "(use augment.flip=0.5)"
        )
    if full is not None and augment.cutout > full:
        raise ConfigError(f"augment.cutout={augment.cutout}: larger than the images (try augment.cutout=8)")
    if augment.blur_kernel % 2 == 0:
        raise ConfigError(f"augment.blur_kernel={augment.blur_kernel}: must be odd (try augment.blur_kernel=3)")
    if augment.blur and full is not None and augment.blur_kernel // 2 >= full:
        raise ConfigError(f"augment.blur_kernel={augment.blur_kernel}: larger than the images (try augment.blur_kernel=3)")
    if len(augment.blur_sigma) != 2 or augment.blur_sigma[0] > augment.blur_sigma[1]:
        raise ConfigError("augment.blur_sigma: must be the least and the greatest value (try augment.blur_sigma=[0.1,2.0])")
    if optimizer.target in ("torch.optim.Adam", "torch.optim.AdamW") and optimizer.momentum is not None:
        raise ConfigError(f"optimizer.momentum={optimizer.momentum:g}: Adam has none (use optimizer.args.betas=[0.9,0.999])")
    if optimizer.nesterov and not optimizer.momentum:
        raise ConfigError("optimizer.nesterov=true: needs momentum (try optimizer.momentum=0.9)")
    rules_of(optimizer.groups)
    _check_averaging(config.averaging, trainer)
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
                better = {
                    "paper": f"{group}.{name}.monitor=test/{monitor[4:]}",
                    "final": "protocol=holdout",
                    "holdout": "data.validation=5000",
                }[config.protocol]
                raise ConfigError(f"{group}.{name}.monitor={monitor}: nothing is held out to measure it (try {better})")


def _check_resnet(model: Model, image_size: int) -> None:
    """What concerns several values of the network at once."""
    if not model.blocks or not model.channels:
        raise ConfigError("model.blocks, model.channels: a ResNet needs both (try model=model4)")
    if model.args:
        raise ConfigError("model.args: for a class of your own (model._target_); a ResNet has model.blocks, model.channels, …")
    try:
        plain = architecture(model, image_size=image_size)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    if model.stem_init == "whitened" and plain.stem_outputs < 2:
        raise ConfigError(f"model.stem_init=whitened: needs two channels at least, the stem has {plain.stem_outputs}")
    if model.stem_init != "whitened" and model.stem_init_eps != Model.stem_init_eps:
        raise ConfigError(
            f"model.stem_init_eps={model.stem_init_eps:g}: is nothing of model.stem_init={model.stem_init} (try "
            f"model.stem_init_eps={Model.stem_init_eps:g}, or model.stem_init=whitened)"
        )
    if model.stem_bias_epochs is not None and model.stem_norm:
        raise ConfigError(
            f"model.stem_bias_epochs={model.stem_bias_epochs}: the stem has no bias of its own beside BatchNorm "
            "(try model.stem_norm=false)"
        )
    check_budget(model, count_parameters(plain))


def _check_averaging(averaging: Averaging, trainer: Trainer) -> None:
    """Refuse values that the method makes nothing of."""
    method = averaging.method
    used = {"none": (), "ema": ("decay", "every_steps", "warmup"), "lookahead": ("decay", "every_steps", "power")}[method]
    for key in ("decay", "every_steps", "warmup", "power"):
        value, neutral = getattr(averaging, key), getattr(Averaging(), key)
        if key not in used and value != neutral:
            raise ConfigError(f"averaging.{key}={show(value)}: is nothing of averaging.method={method} (leave it out)")
    if method != "none" and averaging.decay == 0:
        raise ConfigError(f"averaging.decay=0: the average would be the last weights (try averaging={method})")
    if averaging.power and trainer.max_epochs is None and trainer.max_steps < 0:
        raise ConfigError(
            f"averaging.power={averaging.power:g}: grows over the run's length, which trainer.max_time does not say (give "
            "trainer.max_epochs, or averaging.power=0)"
        )


def to_mapping(config: Config) -> dict[str, Any]:
    """The config as plain data, as saved in config.yaml: `from_mapping` of it gives the same config."""
    return plain(config)


def replace(config: Config, **changes: Any) -> Config:
    """A copy with top-level values exchanged, checked again."""
    changed = dataclasses.replace(config, **changes)
    _check(changed)
    return changed
