"""A bare training loop, torch alone, and how it is timed: what the whole framework is held against."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from resnet_lit.data.loader import BatchLoader
from resnet_lit.datamodule import CIFAR10_MEAN, CIFAR10_STD
from resnet_lit.optim.build import build_optimizer
from resnet_lit.peak import number_format
from resnet_lit.schema import Config
from resnet_lit.training import build_network

WARM_UP = 12  # steps: kernels are searched for, a CUDA graph is recorded at the second


class Clock:
    """Marks on the device's own time line, which nothing waits for until they are read; on a CPU, the clock of the process."""

    def __init__(self, device: torch.device) -> None:
        self.on_gpu = device.type == "cuda"

    def mark(self) -> Any:
        if not self.on_gpu:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def between(self, start: Any, end: Any) -> float:
        """Seconds from one mark to the other."""
        if not self.on_gpu:
            return float(end - start)
        end.synchronize()
        return float(start.elapsed_time(end)) / 1000

    def now(self) -> float:
        """The time in seconds, read when the device has done all that it was asked to."""
        if self.on_gpu:
            torch.cuda.synchronize()
        return time.perf_counter()


class BareLoop:
    """The network, data, augmentation, optimizer, precision and compile mode of a config, and nothing else."""

    def __init__(self, config: Config, loader: BatchLoader, *, classes: int, compile_mode: str | None) -> None:
        self.device = loader.device
        precision = str(config.trainer.precision or "32-true")
        self.dtype = number_format(precision) if precision.endswith("-true") else torch.float32
        network = build_network(config.model, classes).to(self.device, self.dtype).to(memory_format=torch.channels_last)
        self.mean, self.std = (
            torch.tensor(values, device=self.device).view(1, -1, 1, 1) * 255 for values in (CIFAR10_MEAN, CIFAR10_STD)
        )
        self.forward = torch.compile(network.forward, mode=compile_mode, dynamic=False) if compile_mode else network
        self.optimizer = build_optimizer(network, config.optimizer)
        self.mixed = precision.endswith("-mixed")
        self.mixed_dtype = number_format(precision)
        self.batches = endless(loader)

    def _autocast(self) -> AbstractContextManager[Any]:
        return torch.autocast(self.device.type, self.mixed_dtype) if self.mixed else nullcontext()

    def run(self, steps: int) -> None:
        """So many steps of training. Nothing is read, nothing waits."""
        for _ in range(steps):
            images, targets = next(self.batches)
            with self._autocast():
                images = ((images - self.mean) / self.std).to(self.dtype, memory_format=torch.channels_last)
                loss = F.cross_entropy(self.forward(images).float(), targets)
            loss.backward()
            self.optimizer.step()
            self.optimizer.zero_grad()


def endless(loader: BatchLoader) -> Iterator[tuple[Tensor, Tensor]]:
    """The batches of one epoch after another."""
    epoch = 0
    while True:
        loader.set_epoch(epoch)
        yield from loader
        epoch += 1


def spread(values: list[float]) -> dict[str, float]:
    """Median, least and greatest."""
    return {"median": statistics.median(values), "least": min(values), "greatest": max(values), "n": len(values)}


def rates(clock: Clock, run: Any, images_per_step: int, *, rounds: int, seconds: float) -> dict[str, float]:
    """Images a second of `run(steps)`, several times over about so many seconds each."""
    run(WARM_UP)
    start = clock.now()
    run(WARM_UP)
    steps = max(WARM_UP, math.ceil(seconds / max((clock.now() - start) / WARM_UP, 1e-6)))
    found = []
    for _ in range(rounds):
        began = clock.mark()
        run(steps)
        found.append(steps * images_per_step / clock.between(began, clock.mark()))
    return spread(found)


@contextmanager
def arithmetic(*, tf32: bool, search: bool) -> Iterator[None]:
    """Within the block: whether float32 products may be rounded to TF32, and whether cuDNN searches for its fastest kernels."""
    cudnn, before = torch.backends.cudnn, torch.get_float32_matmul_precision()
    allowed, searching = cudnn.allow_tf32, cudnn.benchmark
    torch.set_float32_matmul_precision("high" if tf32 else "highest")
    cudnn.allow_tf32, cudnn.benchmark = tf32, search
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
        cudnn.allow_tf32, cudnn.benchmark = allowed, searching
