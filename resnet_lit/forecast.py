"""What a run will cost, worked out from how much it does and how fast that was when rehearsed. Arithmetic only: no torch.

An `Extent` says how much a run does, from config and data alone; a `Pace` how long each of it takes here and now, and how much
memory and disk (`resnet_lit.rehearsal` measures it). `forecast` puts the two together.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from resnet_lit import resolution
from resnet_lit.formatting import duration
from resnet_lit.schema import Config
from resnet_lit.sections import CHECKPOINT_SPACING, MUON, PASSES
from resnet_lit.typed import flatten
from resnet_lit.work import FLOPS_PER_MULTIPLY_ADD, epochs_at, multiply_adds, pixels_in

# The interval. Steps are timed in bursts, and the run is taken for one more burst: t(0.95, 4 degrees) * s * sqrt(1 + 1/5) on
# either side holds it with 90 %. The minute of timing does not show how a machine drifts over the minutes or hours of the run;
# the allowances for that are added in quadrature.
BURSTS = 5
T_QUANTILE = 2.132
DRIFT = 0.10  # of what is repeated: in a run of 25 minutes on a shared machine with 2 cores, the mean of ten readings of 50 steps
# lay within 9.9 % of the reading before them in 9 of 10 cases (32 neighbouring readings, 22 cases)
START_DRIFT = 0.25  # of what happens once: imports, compiling, closing

# Bytes that a rehearsal does not show.
RECORD_BYTES = 10_000  # result.json and config.yaml
LOG_LINE_BYTES = 120  # of train.log, one an epoch

# Bytes of a run that has not been rehearsed.
REST_BYTES = 3_000_000  # pictures, curves, test outputs
BYTES_PER_NUMBER = 4
OPTIMIZER_NUMBERS = 2  # kept for each parameter, where the optimizer is not known: as many as Adam

# Keys that say how much a run does, or with which numbers, but not how long a step takes or how much memory it needs.
_SAME_PACE = (
    *("name", "label", "seed", "protocol", "fresh", "resume", "progress", "debug", "weights", "label_smoothing"),
    "weights_head",
    *("model.name", "model.max_parameters", "augment.name"),
    *("data.validation", "data.split_seed", "data.limit_train", "data.limit_validation", "data.limit_test"),
    *("data.test_fraction", "data.normalization", "trainer.max_epochs", "trainer.max_steps", "trainer.min_epochs"),
    *("trainer.min_steps", "trainer.max_time", "trainer.limit_train_batches", "trainer.limit_val_batches"),
    *("trainer.limit_test_batches", "trainer.overfit_batches", "trainer.fast_dev_run", "trainer.check_val_every_n_epoch"),
    *("trainer.val_check_interval", "data.resolution_shares"),
)
_SAME_PACE_GROUPS = ("parent.", "evaluation.", "scheduler.", "checkpoint.", "budget.", "sweep.")
_ON_OR_OFF = ("model.dropout", "optimizer.momentum", "optimizer.weight_decay")  # the amount costs nothing
_FREE_OF_OPTIMIZER = ("optimizer.name", "optimizer.lr")
# Optimizers whose step does the same work whatever the network has computed: they are timed apart from it.
_OF_TORCH = ("SGD", "Adam", "AdamW", "NAdam", "RAdam", "RMSprop", "Adagrad")
PLAIN_OPTIMIZERS = frozenset((*(f"torch.optim.{name}" for name in _OF_TORCH), MUON))


def pace_key(config: Config) -> str:
    """Runs with equal keys are rehearsed once. A value that is not known to be free is taken to cost.

    Of two plain optimizers only the difference is timed (`optimizer_key`), not two rehearsals of the whole.
    """
    values = {}
    plain = config.optimizer.target in PLAIN_OPTIMIZERS
    for key, value in flatten(config).items():
        if key not in _SAME_PACE and not key.startswith(_SAME_PACE_GROUPS) and not (plain and key.startswith("optimizer.")):
            values[key] = bool(value) if key in _ON_OR_OFF else value
    return repr(sorted((key, value) for key, value in values.items() if key not in _FREE_OF_OPTIMIZER))


def optimizer_key(config: Config) -> str:
    """Runs with equal keys have optimizers that cost the same."""
    values = {key: value for key, value in flatten(config).items() if key.startswith("optimizer.")}
    values = {key: bool(value) if key in _ON_OR_OFF else value for key, value in values.items() if key not in _FREE_OF_OPTIMIZER}
    return repr(sorted(values.items()))


@dataclass(frozen=True)
class Extent:
    """How much a run does. batches, steps: of a full epoch; epochs: fractional where trainer.max_steps ends the run.

    train_images: one epoch can see; evaluation_images: of one evaluation, 0 where there is none; test_images: of one test.
    compile: the mode of torch.compile, None for eager. parameters: all; macs: multiply-adds of one image's forward pass,
    None for a class of the user's own. devices: that share a batch. image_size: side of the images, in pixels.
    """

    batches: int
    steps: int
    epochs: float
    train_images: int
    evaluation_images: int
    test_images: int
    classes: int
    compile: str | None
    parameters: int
    macs: int | None
    devices: int = 1
    image_size: int = 32

    def small_batch(self, batch_size: int) -> int:
        """Images in the last, smaller batch of an epoch; 0 where there is none."""
        full, rest = divmod(self.train_images, batch_size)
        return rest if rest and full and self.batches == full + 1 else 0

    def first_batch(self, batch_size: int) -> int:
        """Images in every other batch."""
        return min(batch_size, self.train_images)


@dataclass(frozen=True)
class Pace:
    """What a rehearsal measured; seconds and bytes.

    start: process start to first step, without `compiling`. compiled: the mode in the end, None for eager. first: what the first
    epoch took beyond the others: choosing kernels, asking for memory. step: mean of a full batch, a value for each burst.
    smaller: the same where training images are smaller (`data.resolution`): pairs of their side in pixels and the seconds.
    small: what an image of the epoch's last, smaller batch takes, in images of a full one.
    evaluated: for one image, a value for each burst. turn: from an epoch's last evaluation to the next one's first step,
    without checkpoints. save: one of them. close: after the last epoch, without tests. memory: peak, of the process, or what is
    allocated on the accelerator. last_checkpoint, best_checkpoint: bytes; the first holds the best weights, too. row: bytes that
    one reading of the metrics adds; rest: of the folder without rows and checkpoints, with `outputs_images` test images in it.
    """

    start: float
    compiling: float
    compiled: str | None
    first: float
    step: tuple[float, ...]
    small: float
    evaluated: tuple[float, ...]
    turn: float
    save: float
    close: float
    memory: int
    memory_of: str
    last_checkpoint: int
    best_checkpoint: int
    row: float
    rest: int
    outputs_images: int
    smaller: tuple[tuple[int, float], ...] = ()

    @property
    def every_step(self) -> float:
        """Seconds of a full batch of each size of images."""
        return statistics.median(self.step) + sum(seconds for _, seconds in self.smaller)

    @property
    def spread(self) -> float:
        """Standard deviation between the bursts, as a part of their median."""
        return statistics.stdev(self.step) / statistics.median(self.step) if len(self.step) > 1 else 0.0


@dataclass(frozen=True)
class OptimizerCost:
    """seconds: of a step of the optimizer alone, on the parameters of the run's network. state: bytes that it keeps."""

    seconds: float
    state: int


def with_optimizer(pace: Pace, own: OptimizerCost, rehearsed: OptimizerCost, batches_per_step: int) -> Pace:
    """The pace of a run that was rehearsed with another optimizer."""
    seconds, state = (own.seconds - rehearsed.seconds) / batches_per_step, own.state - rehearsed.state
    last = max(1, pace.last_checkpoint + state)
    return dataclasses.replace(
        pace,
        step=tuple(max(step / 2, step + seconds) for step in pace.step),
        smaller=tuple((pixels, max(step / 2, step + seconds)) for pixels, step in pace.smaller),
        memory=pace.memory + state,
        last_checkpoint=last,
        save=pace.save * last / max(1, pace.last_checkpoint),
    )


@dataclass(frozen=True)
class Forecast:
    """What a run will cost from now on. seconds: by part; low, high: the 90 % interval of their sum.

    macs and petaflops: of the whole run, however much of it is done; null for a class of the user's own.
    """

    seconds: dict[str, float]
    low: float
    high: float
    spread: float
    parameters: int
    macs: int | None
    training_petaflops: float | None
    evaluation_petaflops: float | None
    compile: str | None
    images: int
    memory: int
    memory_of: str
    disk_end: int
    disk_peak: int
    devices: int

    @property
    def total(self) -> float:
        return sum(self.seconds.values())


def forecast(config: Config, extent: Extent, pace: Pace, steps_done: int = 0) -> Forecast:
    """The cost of the run `config`, of which an earlier session has made `steps_done` optimizer steps."""
    planned, extent = extent, dataclasses.replace(extent, epochs=_epochs(config, extent, pace))
    size = config.data.batch_size
    small_images, first = extent.small_batch(size), extent.first_batch(size)
    whole = math.floor(extent.epochs + 1e-9)
    part = min(extent.batches, round((extent.epochs - whole) * extent.steps) * config.trainer.accumulate_grad_batches)
    full_batches = whole * (extent.batches - bool(small_images)) + part
    small_batches = whole if small_images else 0
    images = full_batches * first + small_batches * small_images
    step, small = _batch_seconds(config, extent, pace)
    evaluations = count_evaluations(config, extent)
    image = statistics.median(pace.evaluated)
    epochs = whole + bool(part)
    left = max(0.0, 1 - steps_done / max(1, whole * extent.steps + part / config.trainer.accumulate_grad_batches))
    done = (1 - left) * extent.epochs
    tests = 1.5 if evaluations > 1 else 1.0  # the chosen weights are tested too, where they are not the last ones
    views = PASSES[config.evaluation.tta]
    tested = (tests + views - 1) * extent.test_images  # forward passes
    tested += views * extent.evaluation_images if views > 1 and config.protocol == "holdout" else 0
    spent, before = (epochs_at(config, extent.image_size, planned.epochs, n) for n in (extent.epochs, done))
    smaller = {pixels: seconds / step for pixels, seconds in pace.smaller}
    cost = sum(smaller.get(pixels, 1.0) * (n - before.get(pixels, 0.0)) for pixels, n in spent.items()) / max(extent.epochs, 1e-9)

    seconds = {
        "start": pace.start + pace.first,
        "compiling": pace.compiling,
        "training": cost * (full_batches * step + small_batches * small),
        "evaluation": left * evaluations * extent.evaluation_images * image,
        "epoch ends": left * epochs * pace.turn,
    }
    once = pace.start + pace.first + pace.compiling + pace.close
    repeated = sum(seconds.values()) + pace.close - once
    at_ends = min(left * epochs, 2 + repeated / max(CHECKPOINT_SPACING * pace.save, 1e-9))  # the first and the last, and between
    seconds["checkpoints"] = max(at_ends, repeated // (config.checkpoint.every_minutes * 60)) * pace.save
    seconds["test"] = tested * image
    seconds["close"] = pace.close

    total = sum(seconds.values())
    burst = T_QUANTILE * pace.spread * math.sqrt(1 + 1 / BURSTS)
    half = math.hypot(math.hypot(burst, DRIFT) * (total - once), START_DRIFT * once, (tests - 1) * extent.test_images * image)
    rows = math.ceil(extent.epochs * extent.steps) // config.trainer.log_every_n_steps + epochs + 1
    outputs = (extent.test_images - pace.outputs_images) * (4 * extent.classes + 1)  # float32 logits, a label
    outputs += extent.test_images * 4 * extent.classes * (views > 1)
    rest = round(pace.rest + outputs + rows * pace.row + RECORD_BYTES + epochs * LOG_LINE_BYTES)
    disk_end, disk_peak = disk(config, pace.last_checkpoint, pace.best_checkpoint if evaluations else 0, rest)
    return Forecast(
        seconds=seconds,
        low=max(0.0, total - half),
        high=total + half,
        spread=pace.spread,
        parameters=extent.parameters,
        macs=extent.macs,
        training_petaflops=None if extent.macs is None else _training_petaflops(config, extent, planned.epochs, images),
        evaluation_petaflops=None
        if extent.macs is None
        else 2 * extent.macs * (evaluations * extent.evaluation_images + tested) / 1e15,
        compile=pace.compiled,
        images=images,
        memory=pace.memory,
        memory_of=pace.memory_of,
        disk_end=disk_end,
        disk_peak=disk_peak,
        devices=extent.devices,
    )


def disk(config: Config, last: int, best: int, rest: int) -> tuple[int, int]:
    """Bytes of a run when it has finished, and at the most while it trains. last, best: of a checkpoint; rest: of all else."""
    kept = {"best": best or last, "none": 0}.get(config.checkpoint.keep, last + best)
    return rest + kept, rest + 3 * last + best  # last, the one before it, and the next one while it is written


def estimated_disk(config: Config, parameters: int) -> tuple[int, int]:
    """`disk` of a run of which no more is known than its config and its parameters."""
    numbers = OPTIMIZER_NUMBERS
    if config.optimizer.target in ("torch.optim.SGD", MUON):
        numbers = 1 if config.optimizer.momentum else 0
    numbers += config.averaging.method != "none"
    best = parameters * BYTES_PER_NUMBER if config.validation != 0 or config.protocol == "paper" else 0
    return disk(config, parameters * BYTES_PER_NUMBER * (1 + numbers) + best, best, REST_BYTES)


def count_evaluations(config: Config, extent: Extent) -> int:
    """How often the run is evaluated while it trains, the evaluation of its last weights included."""
    if not extent.evaluation_images:
        return 0
    trainer, every = config.trainer, config.trainer.check_val_every_n_epoch or 1
    interval: Any = trainer.val_check_interval
    if isinstance(interval, int | float) and not isinstance(interval, bool) and interval != 1.0:
        apart = interval if isinstance(interval, int) else max(1, int(extent.batches * interval))
        if trainer.check_val_every_n_epoch is None:  # counted across epochs
            times = extent.epochs * extent.batches / apart
            return math.ceil(times - 1e-9)
        per_epoch, evaluated = extent.batches // apart, math.floor(extent.epochs + 1e-9) // every
        return max(1, per_epoch * evaluated + (extent.epochs % every > 1e-9))
    return math.ceil(extent.epochs / every - 1e-9)  # where the run ends between two, its last weights are evaluated


def limited(images: int, batch_size: int, limit: int | float | None) -> int:
    """Images of an evaluation that is cut to so many batches, or to a part of them."""
    if limit is None:
        return images
    batches = limit if isinstance(limit, int) else int(math.ceil(images / batch_size) * limit)
    return min(images, batches * batch_size)


def _batch_seconds(config: Config, extent: Extent, pace: Pace) -> tuple[float, float]:
    """Seconds for a full batch, and for an epoch's last, smaller one."""
    step, size = statistics.median(pace.step), config.data.batch_size
    return step, pace.small * step * extent.small_batch(size) / extent.first_batch(size)


def _epochs(config: Config, extent: Extent, pace: Pace) -> float:
    """Epochs of the run, fewer where `trainer.max_time` ends it."""
    if config.trainer.max_time is None:
        return extent.epochs
    days, hours, minutes, seconds = map(int, str(config.trainer.max_time).split(":"))
    step, small = _batch_seconds(config, extent, pace)
    evaluation = extent.evaluation_images * statistics.median(pace.evaluated) / (config.trainer.check_val_every_n_epoch or 1)
    rest = bool(extent.small_batch(config.data.batch_size))
    training, left = (extent.batches - rest) * step + rest * small, float(((days * 24 + hours) * 60 + minutes) * 60 + seconds)
    if not pace.smaller:
        return min(extent.epochs, left / (training + evaluation + pace.turn))
    for epoch in range(math.ceil(extent.epochs)):
        pixels = pixels_in(config, epoch, extent.epochs, extent.image_size)
        each = training * dict(pace.smaller).get(pixels, step) / step + evaluation + pace.turn
        if left < each:
            return min(extent.epochs, epoch + left / each)
        left -= each
    return extent.epochs


def _training_petaflops(config: Config, extent: Extent, planned: float, images: int) -> float:
    """petaFLOPs of a run that trains on so many images, planned for so many epochs, with those of the run that it continues."""
    macs = multiply_adds(config.model, extent.classes, resolution.sizes(config.data, extent.image_size))
    spent = epochs_at(config, extent.image_size, planned, extent.epochs)
    relative = sum(epochs * macs[pixels] for pixels, epochs in spent.items()) / macs[extent.image_size] / extent.epochs
    before = config.parent.petaflops
    new = 1.0 if before is None else 1 - config.parent.resumed_at_epoch / extent.epochs
    return (before or 0.0) + FLOPS_PER_MULTIPLY_ADD * (extent.macs or 0) * relative * new * images / 1e15


def interval(low: float, high: float) -> str:
    """`0:52:10 to 1:08:00`."""
    return f"{duration(low)} to {duration(high)}"


def makespan(seconds: Iterable[float], slots: int) -> float:
    """When the last run has ended, of runs that begin in their order, `slots` at a time."""
    busy = [0.0] * slots
    for one in seconds:
        busy[busy.index(min(busy))] += one
    return max(busy)


def over_budget(forecasts: Iterable[Forecast], hours: float | None, key: str, remedy: str) -> str | None:
    """One line where the runs are forecast to take longer than `hours` together; None where they fit. remedy: what to do."""
    forecasts = list(forecasts)
    if hours is None or not forecasts:
        return None
    total, low, high = (sum(values) for values in zip(*((f.total, f.low, f.high) for f in forecasts), strict=True))
    if total <= hours * 3600:
        return None
    what = "the run is" if key == "budget.hours" else f"the {len(forecasts)} runs to do are"
    enough = math.ceil(high / 36) / 100
    return (
        f"{key}={hours:g}: {what} forecast to take {duration(total)} ({interval(low, high)}); "
        f"{remedy}, or use {key}={enough:g} or budget.on_exceed=warn"
    )
