"""Model 4 at batch 128 with crop and flip, end to end: resnet_lit's real run against the paper's way, and the machine's limit.

python -m benchmarks.bench_training
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path

import torch
from torch.nn import functional as F

from benchmarks.sides import Side, alternate, save, table
from resnet_lit.config import load
from resnet_lit.models.cost import count_multiply_adds
from resnet_lit.schema import architecture
from resnet_lit.work import FLOPS_PER_MULTIPLY_ADD

ROUNDS, STEPS = 7, 3
CONVOLUTIONS = ((64, 64, 32, 1), (64, 128, 32, 2), (128, 128, 16, 1), (256, 256, 8, 1), (512, 512, 4, 1))  # of Model 4
BATCHES = (32, 128)
MATRICES = (512, 1024, 2048)


def run_side(*words: str) -> None:
    """The process of our side: the command's own path, with a callback that waits for the driver."""
    from resnet_lit.run import run

    with tempfile.TemporaryDirectory() as folder:
        run(load("+experiment=model4", *words, *pause(), "progress=none", "trainer.max_epochs=200"), Path(folder) / "run")


def pause() -> list[str]:
    return ["+callbacks.pause._target_=benchmarks.sides.Pause", f"+callbacks.pause.batches={STEPS}"]


def limit() -> tuple[float, str]:
    """FLOP/s of the fastest of matrix products and of Model 4's own convolutions, forward, and what it was; about 3 s."""
    found = []
    for n in MATRICES:
        a, b = torch.randn(n, n), torch.randn(n, n)
        found.append((_best(lambda a=a, b=b: a @ b, 2 * n**3), f"matrix product {n}"))
    for batch in BATCHES:
        for c_in, c_out, size, stride in CONVOLUTIONS:
            x = torch.randn(batch, c_in, size, size).contiguous(memory_format=torch.channels_last)
            w = torch.randn(c_out, c_in, 3, 3).contiguous(memory_format=torch.channels_last)
            flops = 2 * batch * c_in * c_out * 9 * (size // stride) ** 2
            name = f"convolution {c_in} to {c_out} at {size}x{size}, batch {batch}"
            found.append((_best(lambda x=x, w=w, s=stride: F.conv2d(x, w, stride=s, padding=1), flops), name))
    return max(found)


def _best(work: object, flops: int) -> float:
    times = []
    for _ in range(4):
        started = time.perf_counter()
        work()  # type: ignore[operator]
        times.append(time.perf_counter() - started)
    return flops / min(times[1:])


def main() -> None:
    from resnet_lit.allocator import keep_freed_memory

    keep_freed_memory()
    ours = "benchmarks.bench_training", "side"
    sides = {
        "the paper's way": Side("benchmarks.paper_way", "train", str(STEPS)),
        "resnet_lit, eager": Side(*ours, "compile=false"),
        "resnet_lit, compiled": Side(*ours, "compile=default"),
        "resnet_lit, compiled, bf16-mixed": Side(*ours, "compile=default", "trainer.precision=bf16-mixed"),
    }
    rates: dict[str, list[float]] = {name: [] for name in sides}
    limits = []
    for _ in range(ROUNDS):
        limits.append(limit())
        for name, found in alternate(sides, 1).items():
            rates[name] += found
    title = f"Training Model 4, batch 128, crop + flip, {ROUNDS} rounds of {STEPS} steps (compile time excluded)"
    result = table(title, rates, against="the paper's way")
    flops = FLOPS_PER_MULTIPLY_ADD * count_multiply_adds(architecture(load("+experiment=model4").model))
    peak = statistics.median(rate for rate, _ in limits)
    shares = {
        name: [rate * flops / limit for rate, (limit, _) in zip(found, limits, strict=True)] for name, found in rates.items()
    }
    print(f"\n  limit of this machine in float32: {peak / 1e9:,.0f} GFLOP/s ({max(limits)[1]} was fastest)")
    for name, found in shares.items():
        if "bf16" not in name:
            print(f"  {name:34} {statistics.median(found):.2f} of it ({min(found):.2f} to {max(found):.2f})")
    save(
        "training",
        {"training": result, "limit_gflops": peak / 1e9, "share": {k: statistics.median(v) for k, v in shares.items()}},
    )
    for side in sides.values():
        side.close()


if __name__ == "__main__":
    run_side(*sys.argv[2:]) if sys.argv[1:2] == ["side"] else main()
