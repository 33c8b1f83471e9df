"""Images a second by batch size and by size of the network: Model 4 from 32 to 512, and networks from 5 to 560 M multiply-adds.

python -m benchmarks.bench_scaling            # writes outputs/benchmarks/scaling.json and scaling.svg

A loop of resnet_lit's module, loader and optimizer, eager, channels_last; the sizes take turns.
"""

from __future__ import annotations

import statistics
import time
from typing import Any

import torch

from benchmarks import figures
from benchmarks.sides import RESULTS, cifar10, save
from resnet_lit.allocator import keep_freed_memory
from resnet_lit.config import load
from resnet_lit.data.augment import Augment
from resnet_lit.data.loader import BatchLoader
from resnet_lit.datamodule import CIFAR10_MEAN, CIFAR10_STD
from resnet_lit.models.cost import count_multiply_adds
from resnet_lit.module import LitClassifier
from resnet_lit.optim.build import build_optimizer
from resnet_lit.record import usable_cores
from resnet_lit.schema import architecture
from resnet_lit.training import build_network, count_parameters

ROUNDS = 5
BATCHES = (32, 64, 128, 256, 512)
NETWORKS: dict[str, list[str]] = {
    "1 layer of 16": ["model.blocks=[1]", "model.channels=[16]", "model.pool=null"],
    "3 layers, stride 2 at once": [
        "model.blocks=[1,1,1]",
        "model.channels=[64,128,256]",
        "model.strides=[2,2,2]",
        "model.pool=null",
    ],
    "model 2": ["model=model2"],
    "model 3": ["model=model3"],
    "model 4": [],
    "model 1": ["model=model1"],
    "resnet 18": ["model=resnet18"],
}
IMAGES = {"batch": 512, "network": 256}  # in a round


class Loop:
    """Training steps of one configuration, a few at a time."""

    def __init__(self, words: list[str], batch: int) -> None:
        config = load("+experiment=model4", *words, f"data.batch_size={batch}")
        network = build_network(config.model, 10)
        self.parameters, self.macs = count_parameters(network), count_multiply_adds(architecture(config.model))
        self.module = LitClassifier(network, mean=CIFAR10_MEAN, std=CIFAR10_STD)
        self.optimizer = build_optimizer(network, config.optimizer)
        images, labels = (torch.from_numpy(part[:4096]) for part in cifar10())
        self.loader = BatchLoader(images, labels, batch_size=batch, shuffle=True, augment=Augment(4, 0.5))
        self.rates: list[float] = []

    def round(self, images: int) -> float:
        """Images a second over at least so many images."""
        done, started = 0, time.perf_counter()
        for inputs, targets in self.loader:
            self.optimizer.zero_grad()
            self.module.loss(self.module(inputs), targets).backward()
            self.optimizer.step()
            done += len(inputs)
            if done >= images:
                break
        return done / (time.perf_counter() - started)


def measure(loops: dict[Any, Loop], images: int) -> dict[Any, list[float]]:
    """Rates of every loop, taking turns."""
    for loop in loops.values():
        loop.round(1)
    for _ in range(ROUNDS):
        for loop in loops.values():
            loop.rates.append(loop.round(images))
    return {name: loop.rates for name, loop in loops.items()}


def main() -> None:
    keep_freed_memory()
    torch.set_num_threads(usable_cores())
    by_batch = measure({batch: Loop([], batch) for batch in BATCHES}, IMAGES["batch"])
    loops = {name: Loop(words, 128) for name, words in NETWORKS.items()}
    by_network = measure(loops, IMAGES["network"])
    print(f"\nModel 4 by batch size, {ROUNDS} rounds")
    for batch, rates in by_batch.items():
        print(f"  {batch:>4} {statistics.median(rates):>8.1f} images/s  ({min(rates):.1f} to {max(rates):.1f})")
    print("\nNetworks at batch 128")
    rows = []
    for name, rates in by_network.items():
        loop, rate = loops[name], statistics.median(rates)
        rows.append({"name": name, "parameters": loop.parameters, "macs": loop.macs, "rates": rates})
        print(
            f"  {name:28} {loop.macs / 1e6:>7.1f} M multiply-adds  {rate:>8.1f} images/s ({min(rates):.1f} to {max(rates):.1f})"
            f"  {rate * loop.macs * 6 / 1e9:>6.1f} GFLOP/s"
        )
    save("scaling", {"batch": {str(batch): rates for batch, rates in by_batch.items()}, "networks": rows})
    figures.scaling(by_batch, rows, RESULTS / "scaling.svg")


if __name__ == "__main__":
    main()
