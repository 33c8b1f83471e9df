"""Evaluation of the test set with Model 4, a round being a tenth of it: Lightning's `test` of our module against the paper's way.

python -m benchmarks.bench_evaluation
"""

from __future__ import annotations

import sys

import torch
from lightning.pytorch import Trainer

from benchmarks.sides import Pause, Side, alternate, cifar10, save, table
from resnet_lit.data.loader import BatchLoader
from resnet_lit.datamodule import CIFAR10_MEAN, CIFAR10_STD
from resnet_lit.models.resnet import ResNet
from resnet_lit.module import LitClassifier

ROUNDS, BATCHES = 5, 8


def side(mode: str) -> None:
    """The process of our side: `trainer.test` of the module, as a run ends with it."""
    from resnet_lit.allocator import keep_freed_memory

    keep_freed_memory()
    images, labels = map(torch.from_numpy, cifar10())
    network = ResNet([2, 1, 1, 1], [64, 128, 256, 512], pool=4)
    module = LitClassifier(network, mean=CIFAR10_MEAN, std=CIFAR10_STD)
    if mode == "compiled":
        module.compiled, module.compiled_batch = torch.compile(module.network.forward, dynamic=False), 128
    trainer = Trainer(logger=False, enable_checkpointing=False, enable_progress_bar=False, callbacks=[Pause(BATCHES)])
    trainer.test(module, BatchLoader(images, labels, batch_size=128), verbose=False)


def main() -> None:
    sides = {
        "the paper's way": Side("benchmarks.paper_way", "evaluate", str(BATCHES)),
        "resnet_lit, eager": Side("benchmarks.bench_evaluation", "eager"),
        "resnet_lit, compiled": Side("benchmarks.bench_evaluation", "compiled"),
    }
    result = table(
        f"Evaluation of Model 4, batch 128, rounds of {BATCHES} batches", alternate(sides, ROUNDS), against="the paper's way"
    )
    save("evaluation", {"evaluation": result})
    for one in sides.values():
        one.close()


if __name__ == "__main__":
    side(sys.argv[1]) if len(sys.argv) > 1 else main()
