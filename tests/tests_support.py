"""Helpers of the tests that several files use."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from resnet_lit.record import Record, read

ROOT = Path(__file__).resolve().parent.parent

# A network of 1,454 parameters on 192 digits: a whole run takes a second or two beyond the imports.
TINY = (
    "+experiment=digits",
    "model.blocks=[1,1]",
    "model.channels=[4,8]",
    "data.limit_train=192",
    "data.limit_test=64",
    "trainer.max_epochs=2",
    "compile=false",
    "threads=1",
    "progress=plain",
)


def start(*words: str, cwd: Path) -> subprocess.Popen[str]:
    """The command as a user types it, running in `cwd`; what it prints is in its stdout."""
    return subprocess.Popen(
        [sys.executable, "-m", "resnet_lit.train", *words],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])},
        preexec_fn=hear_ctrl_c,
    )


def hear_ctrl_c() -> None:
    """What a shell starts in the background ignores Ctrl-C, and so would what it starts: the tests may run there."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def records_in(folder: Path) -> list[Record]:
    """The records of the cells in `folder`."""
    return [record for path in folder.glob("*/result.json") if (record := read(path.parent))]


def statuses(folder: Path) -> dict[str, int]:
    """The statuses of the cells in `folder`, each with the number of a process."""
    return {record["status"]: record["process"]["pid"] for record in records_in(folder)}


def wait_for(condition: Callable[[], object], seconds: float = 240) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.02)


def files_of(folder: Path) -> dict[str, str]:
    """Every file under a folder with the sha256 of its content."""
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.rglob("*")) if p.is_file()
    }


def tensors_equal(first: Path, second: Path) -> bool:
    """Whether the last checkpoints of two runs hold equal weights and optimizer states, bit for bit."""
    a, b = (torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True) for folder in (first, second))
    return _equal(a["state_dict"], b["state_dict"]) and _equal(a["optimizer_states"], b["optimizer_states"])


def _equal(a: object, b: object) -> bool:
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and torch.equal(a, b)
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(_equal(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return isinstance(b, list | tuple) and len(a) == len(b) and all(map(_equal, a, b))
    return a == b


def image_tree(
    folder: Path, *, classes: tuple[str, ...] = ("cat", "dog"), train: int = 20, test: int = 6, size: int = 8, seed: int = 0
) -> None:
    """A small tree train/<class>/*.png and test/<class>/*.png of random images, each class with a colour of its own."""
    random = np.random.default_rng(seed)
    for part, count in (("train", train), ("test", test)):
        for number, name in enumerate(classes):
            (folder / part / name).mkdir(parents=True)
            for index in range(count):
                pixels = random.integers(0, 128, (size, size, 3), dtype=np.uint8)
                pixels[..., number % 3] += 100
                Image.fromarray(pixels).save(folder / part / name / f"{index:04}.png")
