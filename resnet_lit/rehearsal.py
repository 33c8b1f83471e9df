"""A run in small, in a process of its own: the real training, cut to a few steps, evaluations and checkpoints, and timed.

python -m resnet_lit.rehearsal <answer.json>

stdin says which run, and how much of it. `resnet_lit.planning` starts two of these: a first look, which says how long a step is
about and what an epoch's last, smaller batch takes of it (and compiles: the cache of torch.compile is warm from then on), and the
timed one, on all images. Each epoch of a rehearsal is one of the run with fewer batches; it is evaluated, and its checkpoints are
written.
"""

from __future__ import annotations

from resnet_lit import lean  # noqa: F401

# isort: split
import dataclasses
import json
import math
import resource
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from resnet_lit import resolution, training
from resnet_lit.callbacks.checkpoint import Checkpoints
from resnet_lit.callbacks.compilation import compile_mode
from resnet_lit.callbacks.interrupt import Interrupt
from resnet_lit.callbacks.metrics import Diverged
from resnet_lit.callbacks.timing import Timing
from resnet_lit.checkpoints import BEST, LAST
from resnet_lit.data import sources
from resnet_lit.data.paths import request
from resnet_lit.datamodule import ImageData
from resnet_lit.forecast import Extent, OptimizerCost, Pace, limited
from resnet_lit.length import run_length
from resnet_lit.parent import Parent
from resnet_lit.record import METRICS, Record
from resnet_lit.schema import Config, from_mapping
from resnet_lit.sections import Evaluation, Scheduler
from resnet_lit.typed import Refused
from resnet_lit.work import multiply_adds

TENSORBOARD = "resnet_lit.callbacks.tensorboard.TensorBoard"
OPTIMIZER_STEPS = 11  # of each; the first one warms up
ALONE: dict[str, Any] = {  # one device, evaluated after every epoch, ended by nothing else
    **{"devices": 1, "num_nodes": 1, "strategy": "auto", "max_steps": -1, "min_steps": None, "max_time": None},
    **{"overfit_batches": 0.0, "fast_dev_run": False, "check_val_every_n_epoch": 1, "val_check_interval": None},
}


def main() -> None:
    """Read the request, rehearse, write the answer. Exit status 2 and one line where the run itself would be refused."""
    request, answer = json.load(sys.stdin), Path(sys.argv[1])
    configs = [from_mapping(values) for values in request["configs"]]
    try:
        decoding, known = 0.0, request.get("extents")
        if known is None:
            began = time.perf_counter()
            new = not _is_decoded(configs[0])
            extents = _extents(configs)
            decoding = time.perf_counter() - began if new else 0.0
        else:
            extents = [Extent(**values) for values in known]
        amount = {name: request[name] for name in ("batches", "evaluated", "epochs")}
        since = request["since"] + decoding
        pace = rehearse(configs[0], extents[0], answer.parent / "run", **amount, whole=known is not None, since=since)
        optimizers = [from_mapping(values) for values in request.get("optimizers", [])]
        costs = _optimizer_costs(optimizers, extents[0].classes) if len(optimizers) > 1 else []
    except Refused as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    found = {"extents": [*map(dataclasses.asdict, extents)], "pace": dataclasses.asdict(pace), "decoding": decoding}
    found["optimizers"] = [*map(dataclasses.asdict, costs)]
    answer.write_text(json.dumps({**found, "at": time.time()}))


def _is_decoded(config: Config) -> bool:
    """Whether the images are in the cache, so that the run need not decode them."""
    return bool(sources.identify(**request(config.data)))


def _extents(configs: list[Config]) -> list[Extent]:
    """How much each of some runs does. Their data are read, and decoded where they have not been."""
    known: dict[str, ImageData] = {}
    found = []
    for config in configs:
        key = repr((config.data, config.protocol))
        if key not in known:
            known[key] = ImageData(config)
        found.append(_extent(config, known[key]))
    return found


def _extent(config: Config, data: ImageData) -> Extent:
    channels, size = data.source.train_images.shape[1:3]
    network = training.build_network(config.model, len(data.source.classes), channels, size)
    length = run_length(config, len(data.train_indices))
    trainer, batch = config.trainer, config.data.batch_size
    endless = trainer.max_epochs is None and trainer.max_steps < 0 and not trainer.fast_dev_run
    evaluated = {"val": len(data.validation_indices), "test": len(data.test_indices), None: 0}[data.chooses_on]
    debugged = trainer.overfit_batches or int(trainer.fast_dev_run) or None
    in_test = trainer.limit_test_batches if not trainer.fast_dev_run else int(trainer.fast_dev_run)
    return Extent(
        batches=length.batches_per_epoch,
        steps=length.steps_per_epoch,
        epochs=math.inf if endless else length.epochs,
        train_images=len(data.train_indices),
        evaluation_images=limited(evaluated, batch, debugged or trainer.limit_val_batches),
        test_images=limited(len(data.test_indices), batch, in_test),
        classes=len(data.source.classes),
        compile=compile_mode(config, length.steps),
        parameters=training.count_parameters(network),
        macs=multiply_adds(config.model, len(data.source.classes), [size], channels).get(size),
        devices=training._processes(config),
        image_size=size,
    )


class Stopwatch(Callback):
    """Notes when the parts of a rehearsal begin and end. batches: full ones in an epoch."""

    def __init__(self, batches: int) -> None:
        self.batches = batches
        self.epochs: list[dict[str, float]] = []
        self.ended = 0.0
        self.saver: Checkpoints | None = None
        self.tests: list[tuple[float, int]] = []  # seconds and images of each
        self.rows: list[tuple[int, int]] = []  # readings written and bytes of them, when epochs began
        self._images, self._began = 0, 0.0

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._note_rows(trainer)
        spent = {name: _seconds(trainer, part) for name, part in (("save", "checkpoint"), ("compile", "compile"))}
        self.epochs.append({"start": _now(), **spent, "evaluation": 0.0, "images": 0})

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: tuple[Tensor, Tensor], batch_idx: int
    ) -> None:
        if batch_idx >= self.batches - 1:  # on an accelerator, looking at the clock means to wait for it
            name = "full" if batch_idx == self.batches - 1 else "small"
            self.epochs[-1][name] = _now()

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._images, self._began = 0, _now()

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: tuple[Tensor, Tensor], *_: Any
    ) -> None:
        self._images += len(batch[1])

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.epochs[-1].update(evaluation=_now() - self._began, images=self._images)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._note_rows(trainer)
        self.ended, self.saved, self.compiling = _now(), _seconds(trainer, "checkpoint"), _seconds(trainer, "compile")
        self.saver = _callback(trainer, Checkpoints)

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.on_validation_start(trainer, pl_module)

    def on_test_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: tuple[Tensor, Tensor], *_: Any
    ) -> None:
        self._images += len(batch[1])

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.tests.append((_now() - self._began, self._images))

    def _note_rows(self, trainer: Trainer) -> None:
        for logger in trainer.loggers:
            logger.save()
        metrics = Path(trainer.default_root_dir) / METRICS
        rows = metrics.read_text().count("\n") - 1 if metrics.exists() else 0
        self.rows.append((rows, _size(Path(trainer.default_root_dir))))


def rehearse(
    config: Config, extent: Extent, folder: Path, *, batches: int, evaluated: int, epochs: int, whole: bool, since: float
) -> Pace:
    """Train `epochs` epochs of so many full batches, each evaluated on so many; the first is a warm-up where there are more.

    Where the run trains on smaller images too, each of these is one epoch on every size, one after the other.
    folder: an empty one, for what the run writes. whole: with all training images at hand, as in the run, but without the small
    batch at an epoch's end. since: time.time() when this process was started.
    """
    small = extent.small_batch(config.data.batch_size)
    batches = max(1, min(batches, extent.batches - bool(small)))
    short = _shortened(config, extent, batches, evaluated, epochs, whole)
    watch = Stopwatch(batches)
    (folder / "checkpoints").mkdir(parents=True)
    outcome: Record = {"identity": "", "hardware": {}}
    epoch, clock = time.time(), _now()
    try:
        training.train(short, folder, outcome, Interrupt(), lambda: None, [watch])
    except Diverged as error:
        raise Refused(f"the loss is not finite after a few steps: {error}") from error
    closed, saver = _now(), watch.saver
    assert saver is not None
    best = path.stat().st_size if (path := folder / "checkpoints" / BEST).exists() else 0
    best_is_last = saver.best is not None and saver.best["step"] == outcome["steps"]  # stored once: in the run they differ
    begun = [*(lap["start"] for lap in watch.epochs), watch.ended]
    saves = [*(lap["save"] for lap in watch.epochs), watch.saved]
    compiled = [*(lap["compile"] for lap in watch.epochs), watch.compiling]
    laps = []
    for number, lap in enumerate(watch.epochs):
        last = lap.get("small", lap["full"])
        save, compiling = (values[number + 1] - values[number] for values in (saves, compiled))  # compiling: for the next epoch
        laps.append(
            {
                "wall": begun[number + 1] - begun[number] - compiling,
                "step": (lap["full"] - lap["start"]) / batches,
                "small": last - lap["full"],
                "evaluated": lap["evaluation"] / lap["images"] if lap["images"] else 0.0,
                "turn": begun[number + 1] - last - lap["evaluation"] - save - compiling,
            }
        )
    sides = resolution.sizes(config.data, extent.image_size)
    by_side = {side: laps[number :: len(sides)] for number, side in enumerate(sides)}
    whole_size = by_side.pop(extent.image_size)
    warm = whole_size[1:] or whole_size
    smaller = {
        side: statistics.median(lap["step"] / other["step"] for lap, other in zip(found[1:] or found, warm, strict=True))
        for side, found in by_side.items()
    }
    middle = {name: statistics.median(lap[name] for lap in warm) for name in laps[0]}
    per_burst = max(1, len(warm) // 5)
    bursts = [warm[start : start + per_burst] for start in range(0, len(warm), per_burst)]
    tested = [seconds / images for seconds, images in watch.tests]
    evaluating = [statistics.mean(lap["evaluated"] for lap in burst) for burst in bursts] if extent.evaluation_images else tested
    (rows, size), (more_rows, more) = watch.rows[min(1, len(watch.rows) - 2)], watch.rows[-1]
    row = (more - size) / max(1, more_rows - rows)
    return Pace(
        start=begun[0] - clock + epoch - since - compiled[0],
        compiling=watch.compiling,
        compiled=outcome["compile"],
        first=sum(
            max(0.0, found[0]["wall"] - statistics.median(lap["wall"] for lap in found[1:] or found))
            for found in (whole_size, *by_side.values())
        ),
        step=tuple(statistics.mean(lap["step"] for lap in burst) for burst in bursts),
        small=middle["small"] / small * config.data.batch_size / middle["step"] if small and not whole else 1.0,
        evaluated=tuple(evaluating),
        turn=max(0.0, middle["turn"]),
        save=saver.duration,
        close=closed - watch.ended - sum(seconds for seconds, _ in watch.tests),
        memory=_memory(),
        memory_of="process" if not torch.cuda.is_available() else "accelerator",
        last_checkpoint=(folder / "checkpoints" / LAST).stat().st_size + (best if best_is_last else 0),
        best_checkpoint=best,
        row=row,
        rest=round(_size(folder) - row * more_rows),
        outputs_images=watch.tests[-1][1],
        smaller=tuple((side, part * middle["step"]) for side, part in smaller.items()),
    )


def _optimizer_costs(configs: list[Config], classes: int) -> list[OptimizerCost]:
    """What the optimizer of each config costs, on gradients of the size of its network's; in turns, so that all meet the same
    conditions.
    """
    channels, size = 3, configs[0].data.image_size or 32
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = training.build_network(configs[0].model, classes, channels, size).to(device)
    network = network.to(memory_format=torch.channels_last)
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizers = [training.build_run_optimizer(network, config) for config in configs]
    times: list[list[float]] = [[] for _ in configs]
    for _ in range(OPTIMIZER_STEPS):
        for optimizer, taken in zip(optimizers, times, strict=True):
            began = _now()
            optimizer.step()
            taken.append(_now() - began)
    states = [
        sum(value.nbytes for state in optimizer.state.values() for value in state.values() if isinstance(value, Tensor))
        for optimizer in optimizers
    ]
    return [OptimizerCost(statistics.median(taken[1:]), state) for taken, state in zip(times, states, strict=True)]


def _shortened(config: Config, extent: Extent, batches: int, evaluated: int, epochs: int, whole: bool) -> Config:
    """The same run with less of everything. The learning rate is next to nothing: what it does to the loss is of no interest."""
    data = dataclasses.replace(config.data, batch_size=math.ceil(config.data.batch_size / extent.devices))
    small = math.ceil(extent.small_batch(config.data.batch_size) / extent.devices)
    if small and not whole:
        data = dataclasses.replace(data, limit_train=batches * data.batch_size + small)
        batches += 1
    frozen = config.model.stem_frozen == "always"
    sides = resolution.sizes(config.data, extent.image_size)
    if len(sides) > 1:
        data = dataclasses.replace(data, resolution=(*sides,) * epochs, resolution_shares=None)
    return dataclasses.replace(
        config,
        seed=0,
        compile=extent.compile or False,  # type: ignore[arg-type]
        progress="none",
        weights=None,
        weights_head=None,
        parent=Parent(),
        data=data,
        evaluation=Evaluation(),
        model=dataclasses.replace(
            config.model, stem_frozen="always" if frozen else 0, stem_bias_epochs=None
        ),  # the dearer epochs
        optimizer=dataclasses.replace(config.optimizer, lr=min(config.optimizer.lr, 1e-6)),
        scheduler=Scheduler(),
        trainer=dataclasses.replace(
            config.trainer,
            max_epochs=epochs * len(sides),
            min_epochs=epochs * len(sides),
            limit_train_batches=batches,
            limit_val_batches=evaluated if extent.evaluation_images else 0,
            limit_test_batches=evaluated,
            **ALONE,
        ),
        logger={name: entry for name, entry in config.logger.items() if entry and entry["_target_"] == TENSORBOARD},
        checkpoint=dataclasses.replace(config.checkpoint, every_minutes=math.inf),
    )


def _now() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def _seconds(trainer: Trainer, part: str) -> float:
    """Seconds spent so far on a part of the run that it times itself."""
    return _callback(trainer, Timing).seconds[part]


def _callback(trainer: Trainer, kind: type[Callback]) -> Any:
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]  # Lightning sets it without declaring it
    return next(callback for callback in callbacks if isinstance(callback, kind))


def _size(folder: Path) -> int:
    """Bytes of what lies in a run's folder, without checkpoints/."""
    return sum(path.stat().st_size for path in folder.iterdir() if path.is_file())


def _memory() -> int:
    """Peak bytes: allocated on the accelerator, else of this process."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    main()
