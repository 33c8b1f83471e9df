"""The loader alone, crop + flip, and evaluation's plain batches: against PIL transforms in two DataLoader workers.

python -m benchmarks.bench_loader

`uint8 windows` is what resnet_lit trains on (normalisation belongs to the network); `float` adds it, for a fair second look.
Memory is that of the process tree, shared pages counted once (PSS), with the whole data set of 50,000 images on either side.
"""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

import torch

from benchmarks.paper_way import MEAN, STD, endless
from benchmarks.sides import Side, alternate, cifar10, save, serve, table
from resnet_lit.data.augment import Augment, normalize
from resnet_lit.data.loader import BatchLoader

ROUNDS = 7
PIL_BATCHES, OUR_BATCHES = 150, 6_000  # about two seconds each


def side(what: str) -> None:
    """The process of our side."""
    from resnet_lit.allocator import keep_freed_memory

    keep_freed_memory()
    images, labels = map(torch.from_numpy, cifar10())
    loader = BatchLoader(images, labels, batch_size=128, shuffle=True, augment=Augment(crop_padding=4, flip=0.5))
    batches = endless(loader)  # type: ignore[arg-type]

    def load() -> int:
        count = 0
        for inputs, _ in itertools.islice(batches, OUR_BATCHES):
            count += len(inputs if what == "uint8" else normalize(inputs, MEAN, STD))
        return count

    serve(load)


def memory(pid: int) -> float:
    """MiB of a process and its children, pages that they share counted once."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    own = next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024
    return own + sum(memory(int(child)) for child in children)


def main() -> None:
    sides = {
        "PIL, 2 workers": Side("benchmarks.paper_way", "load", str(PIL_BATCHES)),
        "resnet_lit, uint8 windows": Side("benchmarks.bench_loader", "uint8"),
        "resnet_lit, float, normalised": Side("benchmarks.bench_loader", "float"),
    }
    result = table("The loader alone, batch 128, crop + flip", alternate(sides, ROUNDS), against="PIL, 2 workers")
    used = {name: memory(one.process.pid) for name, one in sides.items()}
    print("  memory: " + ", ".join(f"{name} {mib:,.0f} MiB" for name, mib in used.items()))
    save("loader", {"loader": result, "memory_mib": used})
    for one in sides.values():
        one.close()


if __name__ == "__main__":
    side(sys.argv[1]) if len(sys.argv) > 1 else main()
