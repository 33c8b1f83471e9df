"""The sections of the schema: what each value of conf/ means, its range and its neutral default.

The defaults are neutral ones, for identities (`resnet_lit.identity`): what equals them is not hashed, so a key added later
changes no identity of an earlier run. Pure Python: nothing heavy is imported.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from resnet_lit.typed import setting

RESNET = "resnet_lit.models.resnet.ResNet"
AUGMENT = "resnet_lit.data.augment.Augment"
CIFAR10_IMAGES, CIFAR10_VALIDATION = 50_000, 5_000  # for training; of them, held out by protocol=holdout (of other data a tenth)
MUON = "resnet_lit.optim.muon.Muon"


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
    stem: Literal["2x2", "3x3", "7x7"] = setting(
        "3x3", "first convolution: 2x2 without padding, 3x3 (CIFAR), or 7x7 with max-pool (ImageNet)"
    )
    stem_channels: int | None = setting(None, "channels of the stem; null: those of the first layer", least=1, example=24)
    stem_norm: bool = setting(True, "BatchNorm after the stem's convolution; false: a bias instead")
    stem_init: Literal["kaiming", "whitened"] = setting(
        "kaiming", "initial weights of the stem; whitened: filters that decorrelate the patches of 5,000 random training images"
    )
    stem_init_eps: float = setting(5e-4, "whitened: added to the variances of the patches", above=0)
    stem_frozen: int | Literal["always"] = setting(
        0, "epochs at the start in which the stem's weight is not trained; always: it never is", least=0, example="always"
    )
    stem_bias_epochs: int | None = setting(
        None, "epochs at the start in which the stem's bias (stem_norm=false) is trained; null: all", least=0, example=3
    )
    transition: Literal["strided", "pool"] = setting(
        "strided",
        "how a layer with a stride begins: a strided convolution in its first block, or a convolution and max-pool before it",
    )
    pool: int | None = setting(
        None, "P: kernel of the pool before the classifier; null: over all pixels that are left", least=1, example=4
    )
    pooling: Literal["average", "max"] = setting("average", "kind of that pool")
    block: Literal["basic", "bottleneck"] = setting("basic", "kind of residual block")
    squeeze_excitation: int | None = setting(
        None, "squeeze-and-excitation in every block with this reduction ratio; null: off", least=1, example=16
    )
    activation: Literal["relu", "gelu", "silu"] = setting("relu", "the nonlinearity")
    norm_momentum: float = setting(0.1, "BatchNorm: weight of a new batch in the running statistics", above=0, most=1)
    norm_eps: float = setting(1e-5, "BatchNorm: added to the variance", above=0)
    norm_scale: bool = setting(True, "BatchNorm: train its scale; false: it stays 1")
    init: Literal["kaiming", "dirac"] = setting(
        "kaiming", "initial weights of the convolutions; dirac: the identity on as many channels as go in"
    )
    head_bias: bool = setting(True, "a bias in the classifier")
    head_std: float | None = setting(
        None, "standard deviation of the classifier's initial weights; null: torch's own", above=0, example=1.0
    )
    logit_scale: float = setting(1.0, "factor of the logits", above=0, example=0.111)
    dropout: float = setting(0.0, "probability of Dropout2d after every BatchNorm2d; 0: off", least=0, below=1, example=0.25)
    num_classes: int | None = setting(None, "classes; null: as many as the data have", least=2, example=10)
    max_parameters: int | None = setting(None, "budget of parameters; null: none", least=1, result=False)
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
    resolution: tuple[int, ...] | None = setting(
        None,
        "pixels a side of the training images, one phase of the run after the other, the full size last; null: full size",
        least=4,
        example=(24, 28, 32),
    )
    resolution_shares: tuple[float, ...] | None = setting(
        None, "relative length of each phase of data.resolution, in epochs; null: all equal", above=0, example=(1, 1, 2)
    )


@dataclass(frozen=True)
class Augment:
    """Random changes of the training images, in this order."""

    name: str = setting("none", "what it is called", result=False)
    target: str = setting(AUGMENT, "import path of the class; another one is called as Class(**args)", key="_target_")
    crop_padding: int = setting(0, "random crop after padding with so many pixels; 0: off", least=0, example=4)
    padding_mode: Literal["zeros", "reflect"] = setting("zeros", "what the crop pads with: black, or the mirrored image")
    flip: float = setting(0.0, "probability of a horizontal flip", least=0, most=1, example=0.5)
    flip_mode: Literal["random", "alternate"] = setting(
        "random", "alternate: by a coin of each image in the first epoch, then the other way in every further one"
    )
    rotation: float = setting(0.0, "rotate by up to so many degrees either way", least=0, most=180, example=15.0)
    blur: float = setting(0.0, "probability of a Gaussian blur", least=0, most=1, example=0.5)
    blur_kernel: int = setting(3, "kernel of the blur in pixels, odd", least=1)
    blur_sigma: tuple[float, ...] = setting((0.1, 2.0), "least and greatest standard deviation of the blur", above=0)
    cutout: int = setting(0, "side in pixels of a square that is filled with the mean; 0: off", least=0, example=8)
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
    groups: dict[str, Any] = setting(
        {},
        "parameters with values of their own: a kind (conv, linear, head, norm_scale, norm_bias, bias, other) or a pattern of "
        "names (stem.*), each with lr_multiple, weight_decay, momentum, epochs",
    )
    args: dict[str, Any] = setting({}, "further arguments of the class")


@dataclass(frozen=True)
class Averaging:
    """A running average of the weights and of BatchNorm's statistics: evaluated (ema), or trained on from (lookahead)."""

    name: str = setting("none", "what it is called", result=False)
    method: Literal["none", "ema", "lookahead"] = setting("none", "which average")
    decay: float = setting(
        0.0, "share of the average that stays at an update; lookahead: at the end of the run", least=0, below=1, example=0.999
    )
    every_steps: int = setting(1, "steps between two updates", least=1, example=5)
    warmup: bool = setting(False, "ema: a lower decay at first, (1 + n) / (10 + n) at the n-th update")
    power: float = setting(
        0.0, "lookahead: the decay grows as (step / steps) to this power; 0: it is constant", least=0, example=3
    )


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
    inference_mode: bool = setting(True, "test under inference_mode (a compiled network: under no_grad)", result=False)


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


PASSES = {"none": 1, "flip": 2, 6: 6}  # evaluation.tta -> forward passes for an image, its single view included


@dataclass(frozen=True)
class Evaluation:
    """How the test set is read, beside the single view of each image."""

    tta: Literal["none", "flip", 6] = setting(
        "none",
        "test-time augmentation: the mean of the logits of an image and its mirror image (flip), or of these and their "
        "translations by one pixel (6 views)",
        example="flip",
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
