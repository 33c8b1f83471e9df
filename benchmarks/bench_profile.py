"""Where a training step of Model 4 spends its time, the paper's way and compiled: a picture.

python -m benchmarks.bench_profile            # writes outputs/benchmarks/profile.json and profile.svg

Each side runs in a process of its own under torch's profiler; what is drawn is the CPU time of the operators themselves.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from typing import Any

import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile

from benchmarks import figures
from benchmarks.bench_training import limit
from benchmarks.sides import RESULTS, save
from resnet_lit.config import load
from resnet_lit.models.cost import count_multiply_adds
from resnet_lit.models.resnet import ResNet
from resnet_lit.schema import architecture
from resnet_lit.work import FLOPS_PER_MULTIPLY_ADD

STEPS, ROUNDS = 3, 3
SIDES = {"paper": "the paper's way", "eager": "resnet_lit, eager", "compiled": "resnet_lit, compiled"}
# What an operator is called, and what it counts as; the first that matches.
KINDS = (
    ("convolution_backward", "convolution, backward"),
    ("convolution", "convolution, forward"),
    ("batch_norm", "BatchNorm"),
    ("CompiledFxGraph", "fused: BatchNorm, ReLU, sums"),
    ("cpp_fused", "fused: BatchNorm, ReLU, sums"),
    ("threshold", "ReLU and sums"),
    ("relu", "ReLU and sums"),
    ("clamp", "ReLU and sums"),
    ("aten::add", "ReLU and sums"),
    ("SGD", "optimizer"),
    ("_fused_sgd", "optimizer"),
)


def side(what: str) -> dict[str, float]:
    """Seconds a step by kind of work."""
    if what != "paper":
        from resnet_lit.allocator import keep_freed_memory

        keep_freed_memory()
    network: Any = ResNet([2, 1, 1, 1], [64, 128, 256, 512], pool=4)
    inputs, targets = torch.randn(128, 3, 32, 32), torch.randint(10, (128,))
    options = {} if what == "paper" else {"fused": True}
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4, **options)
    if what != "paper":
        network = network.to(memory_format=torch.channels_last)
        inputs = inputs.contiguous(memory_format=torch.channels_last)
    run = torch.compile(network.forward, dynamic=False) if what == "compiled" else network
    criterion = nn.CrossEntropyLoss()

    def step() -> None:
        optimizer.zero_grad()
        criterion(run(inputs), targets).backward()
        optimizer.step()

    for _ in range(3):
        step()
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        for _ in range(STEPS):
            step()
    seconds: dict[str, float] = {}
    for event in profiler.key_averages():
        kind = next((kind for name, kind in KINDS if name in event.key), "the rest")
        seconds[kind] = seconds.get(kind, 0.0) + event.self_cpu_time_total / 1e6 / STEPS
    return seconds


def convolutions_alone() -> float:
    """Seconds that the convolutions of one step take when nothing else is done: each is timed by itself, forward and backward."""
    from resnet_lit.allocator import keep_freed_memory

    keep_freed_memory()
    network = ResNet([2, 1, 1, 1], [64, 128, 256, 512], pool=4).to(memory_format=torch.channels_last)
    inputs: list[tuple[nn.Conv2d, torch.Tensor]] = []
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_pre_hook(lambda module, arguments: inputs.append((module, arguments[0].detach())))
    network(torch.randn(128, 3, 32, 32).contiguous(memory_format=torch.channels_last))
    total = 0.0
    for number, (module, x) in enumerate(inputs):
        x.requires_grad_(number > 0)  # the images need no gradient
        times = []
        for _ in range(6):
            started = time.perf_counter()
            y = nn.functional.conv2d(x, module.weight, stride=module.stride, padding=module.padding)
            forward = time.perf_counter() - started
            gradient = torch.ones_like(y)
            started = time.perf_counter()
            torch.autograd.grad(y, [module.weight, x] if number else [module.weight], gradient)
            times.append(forward + time.perf_counter() - started)
        total += statistics.median(times[1:])
    return total


def main() -> None:
    found = {}
    for what, name in SIDES.items():
        command = [sys.executable, "-m", "benchmarks.bench_profile", what]
        output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        found[name] = json.loads(output.splitlines()[-1])
        print(f"\n{name}: {sum(found[name].values()):.2f} s a step")
        for kind, seconds in sorted(found[name].items(), key=lambda item: -item[1]):
            print(f"  {kind:32} {seconds * 1e3:>8.1f} ms")
    alone = statistics.median(convolutions_alone() for _ in range(ROUNDS))
    flops = 128 * FLOPS_PER_MULTIPLY_ADD * count_multiply_adds(architecture(load("+experiment=model4").model))
    fastest, name = limit()
    print(f"\nIts convolutions alone, one by one: {alone:.2f} s, {flops / alone / fastest:.2f} of the limit ({name})")
    save("profile", {"seconds_a_step": found, "convolutions_alone": alone, "limit_gflops": fastest / 1e9})
    figures.profile(found, RESULTS / "profile.svg")


if __name__ == "__main__":
    print(json.dumps(side(sys.argv[1]))) if len(sys.argv) > 1 else main()
