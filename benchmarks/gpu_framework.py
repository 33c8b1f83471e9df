"""What the whole framework does on a device: its share of the bare loop's speed, its synchronisations, a real training.

Every run here goes through resnet_lit.run with progress, metrics, TensorBoard and checkpoints. What is measured hangs on it as a
Lightning callback, given in the config as a user would give one.
"""

from __future__ import annotations

import json
import os
import statistics
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import lightning
import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer

import resnet_lit
from benchmarks.gpu_loop import WARM_UP, BareLoop, Clock, spread
from resnet_lit.config import load
from resnet_lit.data import sources
from resnet_lit.data.cifar10 import CLASSES
from resnet_lit.datamodule import ImageData
from resnet_lit.module import LitClassifier
from resnet_lit.run import run

CODE = tuple(
    str(Path(str(package.__file__)).parent) for package in (resnet_lit, lightning)
)  # where a synchronisation is looked for
FIRST_TIMED = 5  # step of an epoch from whose end its steps are timed


class Alternate(Callback):
    """Before every epoch of a run the bare loop takes as many steps as the epoch has: two sides that alternate in one process.

    The first epoch warms up. Written to `path` in the end: images a second of both sides, of ours with and without what an epoch
    ends with (metrics, checkpoints, the next order); evaluation is timed apart.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.found: dict[str, list[float]] = {"bare": [], "steps": [], "epochs": [], "epoch_end": [], "evaluation": []}
        self._began: float | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        data = trainer.datamodule  # type: ignore[attr-defined]
        assert isinstance(data, ImageData)
        assert isinstance(pl_module, LitClassifier)
        mode = pl_module.content["compile"]
        self.bare = BareLoop(data.config, data.train_dataloader(), classes=len(data.source.classes), compile_mode=mode)
        self.compile = mode
        self.clock = Clock(pl_module.device)
        self.batch_size = data.config.data.batch_size
        self.steps = int(trainer.num_training_batches)
        self.evaluated = len(data.validation_indices)
        self.bare.run(WARM_UP)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._end_epoch()
        start = self.clock.mark()
        self.bare.run(self.steps)
        self.found["bare"].append(self.steps * self.batch_size / self.clock.between(start, self.clock.mark()))
        self._evaluating = 0.0
        self._began = self.clock.now()

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int) -> None:
        if batch_idx == FIRST_TIMED:
            self._first = self.clock.mark()
        elif batch_idx == self.steps - 1:
            self._last = self.clock.mark()

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._evaluation = self.clock.now()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._evaluating = self.clock.now() - self._evaluation

    def _end_epoch(self) -> None:
        if self._began is None:
            return
        whole = self.clock.now() - self._began - self._evaluating
        images = self.steps * self.batch_size
        step = self.clock.between(self._first, self._last) / (self.steps - 1 - FIRST_TIMED)
        self.found["steps"].append(self.batch_size / step)
        self.found["epochs"].append(images / whole)
        self.found["epoch_end"].append(whole - step * self.steps)
        self.found["evaluation"].append(self.evaluated / self._evaluating)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._end_epoch()
        found = {name: values[1:] for name, values in self.found.items()}
        result: dict[str, Any] = {
            f"{name}_images_per_second": spread(found[name]) for name in ("bare", "steps", "epochs", "evaluation")
        }
        for name in ("steps", "epochs"):
            pairs = spread([ours / bare for ours, bare in zip(found[name], found["bare"], strict=True)])
            result[f"share_{name}"] = {**pairs, "median": statistics.median(found[name]) / statistics.median(found["bare"])}
        result["epoch_end_seconds"] = spread(found["epoch_end"])
        result |= {"steps_an_epoch": self.steps, "images_evaluated": self.evaluated, "compile": self.compile}
        Path(self.path).write_text(json.dumps(result))


class Window(Callback):
    """Looks on from the end of one step of a run to the end of another, within an epoch, and writes to `path` what it saw."""

    def __init__(self, path: str, first: int, last: int) -> None:
        self.path, self.first, self.last = path, first, last

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int) -> None:
        if trainer.global_step == self.first:
            self.open(trainer)
        elif trainer.global_step == self.last:
            found = {**self.close(), "steps": self.last - self.first}
            Path(self.path).write_text(json.dumps(found))

    def open(self, trainer: Trainer) -> None:
        raise NotImplementedError

    def close(self) -> dict[str, Any]:
        raise NotImplementedError


class Synchronisations(Window):
    """Every place where the host waited for the device, as torch.cuda.set_sync_debug_mode reports it."""

    def open(self, trainer: Trainer) -> None:
        self.at_readings, self.elsewhere = Counter[str](), Counter[str]()
        self.stack = ExitStack()
        self.stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("always")
        warnings.showwarning = self._note  # type: ignore[assignment]
        if torch.cuda.is_available():
            torch.cuda.set_sync_debug_mode("warn")
            self.stack.callback(torch.cuda.set_sync_debug_mode, "default")

    def _note(self, message: Any, *_: Any) -> None:
        if "called a synchronizing" not in str(message):
            return
        frames = traceback.extract_stack()[:-1]
        frame = [frame for frame in frames if frame.filename.startswith(CODE)][-1:] or frames[-1:]
        where = f"{'/'.join(Path(frame[0].filename).parts[-3:])}:{frame[0].lineno} {frame[0].name}"
        reading = any(frame.filename.endswith("callbacks/metrics.py") for frame in frames)
        (self.at_readings if reading else self.elsewhere)[where] += 1

    def close(self) -> dict[str, Any]:
        self.stack.close()
        return {"at_readings": dict(self.at_readings), "elsewhere": dict(self.elsewhere)}


class Profile(Window):
    """Calls of the CUDA runtime and copies by kind, per step, and how long the device was busy."""

    def open(self, trainer: Trainer) -> None:
        activities = [torch.profiler.ProfilerActivity.CPU]
        if torch.cuda.is_available():
            activities.append(torch.profiler.ProfilerActivity.CUDA)
        self.clock = Clock(trainer.strategy.root_device)
        self.profile = torch.profiler.profile(activities=activities)
        self.profile.start()
        self.began = self.clock.now()

    def close(self) -> dict[str, Any]:
        seconds, steps = self.clock.now() - self.began, self.last - self.first
        self.profile.stop()
        events = self.profile.key_averages()
        calls = {e.key: e.count / steps for e in events if e.key.startswith(("cuda", "cuLaunch", "Memcpy", "Memset"))}
        on_device = [e for e in events if e.device_type.name == "CUDA"]
        busy = sum(e.self_device_time_total for e in on_device) * 1e-6
        top = sorted(on_device, key=lambda e: -e.self_device_time_total)[:15]
        return {
            "calls_per_step": dict(sorted(calls.items(), key=lambda item: -item[1])),
            "ms_per_step": 1000 * seconds / steps,
            "device_busy_share": busy / seconds,
            "kernels_per_step": sum(e.count for e in on_device) / steps,
            "longest_kernels_us_per_step": {e.key[:90]: round(e.self_device_time_total / steps, 1) for e in top},
        }


@contextmanager
def data_set(sizes: tuple[int, int], *, synthetic: bool) -> Iterator[None]:
    """The data set of RESNET_LIT_DATA; where synthetic, random pixels and labels of its shape stand in for it."""
    if not synthetic:
        yield
        return
    random = np.random.default_rng(0)
    arrays = {
        key: value
        for part, n in zip(("train", "test"), sizes, strict=True)
        for key, value in (
            (f"{part}_images", random.integers(0, 256, (n, 3, 32, 32), dtype=np.uint8)),
            (f"{part}_labels", random.permutation(np.arange(n) % len(CLASSES))),
        )
    }
    flat = (0.5, 0.5, 0.5)
    made = sources.DataSet(
        **arrays, classes=CLASSES, variant="synthetic", hash="synthetic", mean=flat, std=flat, test_origin="given"
    )
    with mock.patch.object(sources, "load", return_value=made):
        yield


def run_framework(words: list[str], folder: Path, callback: type[Callback] | None = None, **options: Any) -> dict[str, Any]:
    """One run of the whole framework in `folder`; what the callback wrote, or the record where there is none."""
    path = folder / "found.json"
    if callback is not None:
        target = f"{callback.__module__}.{callback.__qualname__}"
        given = {"_target_": target, "path": str(path), **options}
        words = [*words, *(f"+callbacks.measured.{key}={value}" for key, value in given.items())]
    record = run(load(*words), folder)
    if record["status"] != "finished":
        raise RuntimeError(f"the run {record['status']}: {record['reason']}")
    if callback is None:
        return record
    return {**json.loads(path.read_text()), "data": record["data"]["variant"], "compile": record["compile"]}


def has_real_data() -> bool:
    """Whether RESNET_LIT_DATA says where the real images are."""
    return bool(os.environ.get("RESNET_LIT_DATA"))
