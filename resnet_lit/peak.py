"""How fast a device can multiply: what a training's own arithmetic is a share of (model FLOP/s utilisation)."""

from __future__ import annotations

import time

import torch

SIZES = {"cpu": 1024}
ACCELERATOR_SIZE = 8192
ROUNDS = 5


def number_format(precision: str | int | None) -> torch.dtype:
    """The format that Lightning's `precision` multiplies in."""
    digits = str(precision or 32).split("-")[0]
    return {"bf16": torch.bfloat16, "16": torch.float16, "64": torch.float64}.get(digits, torch.float32)


def measured_peak(device: torch.device, dtype: torch.dtype) -> float:
    """FLOP/s of the fastest of a few matrix products on `device`, all of the process's threads at work; about 0.1 s."""
    size = SIZES.get(device.type, ACCELERATOR_SIZE)
    a = torch.randn(size, size, device=device).to(dtype)  # equal numbers would multiply faster
    times = []
    for _ in range(ROUNDS + 1):  # the first one warms up
        _wait(device)
        started = time.perf_counter()
        a @ a
        _wait(device)
        times.append(time.perf_counter() - started)
    return 2 * size**3 / min(times[1:])


def _wait(device: torch.device) -> None:
    if device.type != "cpu":
        torch.accelerator.synchronize(device)
