"""What a step costs beside its arithmetic: everything on, against a bare loop, on a network whose step takes about 2 ms.

python -m benchmarks.bench_overhead

Three sides over the same loader, network and optimizer: a bare loop; Lightning with a bare module and nothing hung on it; and
resnet_lit's run with progress, metrics, TensorBoard and checkpoints. What lies between the last two is our share.
"""

from __future__ import annotations

import itertools
import statistics
import sys
import tempfile
from pathlib import Path

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor
from torch.nn import functional as F

from benchmarks.sides import Pause, Side, alternate, save, serve
from resnet_lit.config import load
from resnet_lit.datamodule import ImageData
from resnet_lit.module import LitClassifier
from resnet_lit.optim.build import build_optimizer
from resnet_lit.run import run
from resnet_lit.schema import Config
from resnet_lit.training import build_network

ROUNDS, STEPS, BATCH = 9, 500, 4
WORDS = (
    "+experiment=model4",
    "model.blocks=[1]",
    "model.channels=[4]",
    "model.pool=null",
    f"data.batch_size={BATCH}",
    "compile=false",
    "trainer.max_epochs=200",
    "threads=1",
)


class Plain(LightningModule):
    """Lightning with nothing hung on it."""

    def __init__(self, classifier: LitClassifier, config: Config) -> None:
        super().__init__()
        self.classifier, self.config = classifier, config

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        return F.cross_entropy(self.classifier(batch[0]), batch[1])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return build_optimizer(self.classifier.network, self.config.optimizer)


def side(what: str) -> None:
    """The process of one side."""
    config = load(*WORDS)
    if what == "resnet_lit":
        with tempfile.TemporaryDirectory() as folder:
            pause = "+callbacks.pause._target_=benchmarks.sides.Pause", f"+callbacks.pause.batches={STEPS}"
            run(load(*WORDS, *pause, "+callbacks.pause.warm_up=200", "progress=rich"), Path(folder) / "run")
    torch.set_num_threads(1)
    data = ImageData(config)
    classifier = LitClassifier(build_network(config.model, 10), mean=data.normalization[0], std=data.normalization[1])
    loader = data.train_dataloader()
    if what == "lightning":
        trainer = Trainer(
            max_epochs=200,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            callbacks=[Pause(STEPS, warm_up=200)],
        )
        trainer.fit(Plain(classifier, config), loader)
    batches = itertools.chain.from_iterable(itertools.repeat(loader))
    optimizer = build_optimizer(classifier.network, config.optimizer)

    def loop() -> int:
        for images, targets in itertools.islice(batches, STEPS):
            optimizer.zero_grad()
            F.cross_entropy(classifier(images), targets).backward()
            optimizer.step()
        return STEPS * BATCH

    serve(loop)


def main() -> None:
    terminal = {"FORCE_COLOR": "1", "COLUMNS": "120"}  # the bar is drawn, as on a terminal
    sides = {name: Side("benchmarks.bench_overhead", name, env=terminal) for name in ("bare", "lightning", "resnet_lit")}
    rates = alternate(sides, ROUNDS)
    micros = {name: [BATCH / rate * 1e6 for rate in found] for name, found in rates.items()}
    print(f"\nA step of a small network, {ROUNDS} rounds of {STEPS} steps, one thread")
    for name, found in micros.items():
        print(f"  {name:12} {statistics.median(found):>8,.0f} us  ({min(found):,.0f} to {max(found):,.0f})")
    over = {}
    for name, base in (("lightning", "bare"), ("resnet_lit", "lightning"), ("resnet_lit", "bare")):
        found = [a - b for a, b in zip(micros[name], micros[base], strict=True)]
        over[f"{name} over {base}"] = statistics.median(found)
        print(f"  {name} over {base}: {statistics.median(found):,.0f} us a step  ({min(found):,.0f} to {max(found):,.0f})")
    save("overhead", {"microseconds_a_step": {k: statistics.median(v) for k, v in micros.items()}, "over": over})
    for one in sides.values():
        one.close()


if __name__ == "__main__":
    side(sys.argv[1]) if len(sys.argv) > 1 else main()
