"""Run folders that were never trained, made in a millisecond each, as `resnet_lit.run` would leave them."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from resnet_lit import paper
from resnet_lit import record as records
from resnet_lit.reporting.matching import values_of
from resnet_lit.schema import Config, to_mapping

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def made_config(values: Mapping[str, Any], seed: int = 0, protocol: str = "holdout", scale: str | None = None) -> dict[str, Any]:
    """A whole config: neutral values, but for those given by dotted key."""
    config = to_mapping(Config())
    for key, value in {**values, "seed": seed, "protocol": protocol, "scale": scale}.items():
        node, *rest = config, *key.split(".")
        for part in rest[:-1]:
            node = node.setdefault(part, {})
        node[rest[-1]] = value
    return config


def make_run(
    folder: Path,
    values: Mapping[str, Any] | None = None,
    *,
    seed: int = 0,
    accuracy: float = 0.9,
    status: str = "finished",
    protocol: str = "holdout",
    variant: str = "cifar10-jpeg",
    scale: str | None = None,
    epochs: int = 3,
    outputs: bool = False,
    **record: Any,
) -> Path:
    """Write a run folder. accuracy: on the test set by the chosen weights; under protocol=paper the last epoch has 0.002 less."""
    config = made_config({"model.name": "model4", "name": "model4", **(values or {})}, seed, protocol, scale)
    last = accuracy - (0.002 if protocol == "paper" else 0.0)
    folder.mkdir(parents=True)
    _write_metrics(folder / records.METRICS, epochs, accuracy, last, protocol)
    text = json.dumps([config, variant], sort_keys=True)
    whole = {
        "status": status,
        "reason": None if status in ("finished", "running") else f"made to be {status}",
        "identity": hashlib.sha256(text.encode()).hexdigest()[:10],
        "name": config["name"],
        "label": ",".join(f"{key.split('.')[-1]}={value}" for key, value in (values or {}).items() if "name" not in key) or None,
        "debug": False,
        "scale": scale,
        "command": "made",
        "config": config,
        "seed": seed,
        "protocol": protocol,
        "process": records.process(),
        "started": "2026-01-01T00:00:00+00:00",
        "ended": "2026-01-01T01:00:00+00:00",
        "sessions": ["2026-01-01T00:00:00+00:00"],
        "git": {"commit": "0123456789abcdef", "dirty": False},
        "versions": {"python": "3.12", "torch": "2.9"},
        "hardware": {"cpu": "a processor", "cores": 2, "avx512": None, "memory_gib": 8.0, "devices": ["cpu"]},
        "sources": {"resnet_lit": "0" * 64},
        "data": {
            "variant": variant,
            "hash": hashlib.sha256(variant.encode()).hexdigest(),
            "classes": list(CLASSES),
            "sizes": {"train": 45_000, "validation": 5_000, "test": 10_000},
            "test_origin": "as published",
            "normalization": "paper",
        },
        "model": {"parameters": 4_977_226, "macs": 329_000_000},  # of model 4
    }
    if status == "finished":
        whole |= _results(accuracy, last, protocol, epochs)
    records.write(folder, {**whole, **record})
    if outputs:
        write_outputs(folder, accuracy)
    return folder


def make_paper_run(folder: Path, cell: str, **options: Any) -> Path:
    """A run of `+cell=NAME`."""
    found = paper.cell(cell)
    names = {"model.name": found.model, "name": found.model, "optimizer.name": found.optimizer}
    return make_run(folder, {**names, **values_of(found)}, **{"protocol": "paper", "variant": "cifar10", **options})


def _results(accuracy: float, last: float, protocol: str, epochs: int) -> dict[str, Any]:
    parts = {"compile": 5.0, "data_wait": 10.0, "compute": 3000.0, "logging": 5.0, "checkpoint": 5.0, "evaluation": 75.0}
    metrics = {"train/loss": 0.01, "train/accuracy": 0.999, "test/accuracy": accuracy, "test/loss": 1 - accuracy}
    metrics |= {"test/accuracy_last": last, "test/loss_last": 1 - last}
    if protocol == "holdout":
        metrics |= {"val/accuracy": accuracy, "val/loss": 1 - accuracy}
    return {
        "metrics": metrics,
        "best": {"epoch": epochs, "step": epochs * 391, "chosen_on": "test" if protocol == "paper" else "val"},
        "steps": epochs * 391,
        "epochs": epochs,
        "timing": {**parts, "total": 3600.0, "first_epoch": 30.0, "later_epochs": 3000.0},
        "peak": {"tflops": 1.0, "how": "stated"},
        "threads": 2,
        "compile": None,
    }


def _write_metrics(path: Path, epochs: int, accuracy: float, last: float, protocol: str) -> None:
    part = "test" if protocol == "paper" else "val"
    head = [
        "step",
        "epoch",
        "train/loss",
        "train/accuracy",
        "train/loss_epoch",
        "train/accuracy_epoch",
        "val/loss",
        "val/accuracy",
    ]
    head += ["test/loss", "test/accuracy", "lr", "perf/images_per_second", "perf/mfu", "perf/seconds"]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, head)
        writer.writeheader()
        for epoch in range(1, epochs + 1):
            at = last if epoch == epochs else accuracy * epoch / epochs
            row = {"step": epoch * 391, "epoch": epoch, "lr": 0.1, "train/loss": 1 - at, "train/accuracy": at}
            row |= {"train/loss_epoch": 1 - at, "train/accuracy_epoch": at, f"{part}/loss": 1 - at, f"{part}/accuracy": at}
            writer.writerow(row)


def write_outputs(folder: Path, accuracy: float, images: int = 10_000) -> None:
    """test_outputs.npz with so many answers right: the same images of each folder are the hard ones."""
    random = np.random.default_rng(0)
    targets = random.integers(0, len(CLASSES), images)
    answers = np.where(np.arange(images) < round(accuracy * images), targets, (targets + 1) % len(CLASSES))
    logits = (4 * np.eye(len(CLASSES))[answers] + random.normal(0, 0.1, (images, len(CLASSES)))).astype(np.float32)
    mistakes = np.arange(images)[-8:]
    pictures = random.integers(0, 256, (len(mistakes), 3, 32, 32), dtype=np.uint8)
    np.savez_compressed(folder / "test_outputs.npz", targets=targets, logits=logits, mistakes=mistakes, mistake_images=pictures)


def make_mixed(folder: Path) -> Path:
    """14 runs as a folder of weeks has them: sweeps, an own network, own photos, a demo, a failure, a divergence. Returns it."""
    model4 = {"data.batch_size": 128, "optimizer.name": "sgd_momentum", "optimizer._target_": "torch.optim.SGD"}
    model4 |= {"optimizer.lr": 0.1, "optimizer.momentum": 0.9, "trainer.max_epochs": 30, "optimizer.weight_decay": 0.0005}
    model4 |= {"model.blocks": [2, 1, 1, 1], "model.channels": [64, 128, 256, 512]}
    adam = {"optimizer.name": "adam", "optimizer._target_": "torch.optim.Adam", "optimizer.lr": 0.001, "optimizer.momentum": None}
    deep = {"model.blocks": [3, 3, 3, 3, 2, 2, 2, 1], "model.channels": [16, 16, 32, 32, 64, 64, 128, 128], "model.width": 0.5}
    own = {"model.name": "TinyNet", "model._target_": "my_project.networks.small.TinyNet", "name": "tiny"}
    own |= {"model.blocks": [], "model.channels": []}
    for seed, accuracy in enumerate((0.9312, 0.9327, 0.9301)):
        make_run(folder / "model4" / f"lr-0.1-{seed}", model4, seed=seed, accuracy=accuracy, epochs=30)
    for seed, accuracy in enumerate((0.9221, 0.9240, 0.9233)):
        make_run(folder / "model4" / f"lr-0.05-{seed}", {**model4, "optimizer.lr": 0.05}, seed=seed, accuracy=accuracy, epochs=30)
    make_run(folder / "model4" / "batch-64", {**model4, "data.batch_size": 64}, accuracy=0.9331, epochs=30)
    make_run(folder / "model4" / "adam", {**model4, **adam}, accuracy=0.9187, epochs=30)
    metrics = {"train/loss": 0.02, "train/accuracy": 0.997, "test/accuracy": 0.9342, "test/loss": 0.24}
    metrics |= {"test/accuracy_last": 0.9342, "test/loss_last": 0.24}
    nothing_chosen = {"epoch": 30, "step": 11730, "chosen_on": None}
    make_run(folder / "model4" / "all", {**model4, "data.validation": 0.0}, metrics=metrics, best=nothing_chosen, epochs=30)
    small = {"parameters": 1_204_330, "macs": 61_000_000}
    make_run(folder / "model4" / "deep", {**model4, **deep}, accuracy=0.9128, epochs=30, model=small)
    tiny = {"parameters": 88_714, "macs": None}
    make_run(folder / "tiny" / "run", {**model4, **own}, accuracy=0.8462, epochs=30, model=tiny)
    make_run(
        folder / "model4" / "lr-10",
        {**model4, "optimizer.lr": 10.0},
        status="diverged",
        reason="loss is nan at step 40",
        epochs=1,
    )
    photos = {
        "variant": "folder",
        "hash": "a" * 64,
        "classes": ["cat [tabby]", "dog|hound", "*fish*"],
        "sizes": {"train": 900, "validation": 100, "test": 240},
    }
    root = {
        "data.root": "/home/me/pictures/2026/photos [sorted]",
        "name": "photos",
        "data.name": "folder",
        "model.name": "model1",
    }
    make_run(
        folder / "photos" / "run",
        root,
        variant="folder",
        status="failed",
        reason="DataLoader: photos [sorted]/x.png",
        data=photos,
    )
    digits = {"name": "digits", "model.name": "model1", "model.width": 0.125, "trainer.max_epochs": 3, "data.name": "digits"}
    made = {
        "variant": "digits",
        "hash": "d" * 64,
        "classes": list("0123456789"),
        "sizes": {"train": 1293, "validation": 144, "test": 360},
    }
    quick = {
        "compile": 0.0,
        "data_wait": 0.02,
        "compute": 7.4,
        "logging": 0.1,
        "checkpoint": 0.2,
        "evaluation": 0.4,
        "total": 8.6,
    }
    make_run(folder / "digits" / "run", digits, variant="digits", accuracy=0.9417, data=made, model=tiny, timing=quick)
    return folder
