"""A report of many runs: seconds, memory, size of the page; runs that were never trained, with curves of 200 epochs.

python -m benchmarks.bench_report [--runs=5000]
"""

from __future__ import annotations

import itertools
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from made_runs import make_run

from benchmarks.sides import save

RUNS, SEEDS, EPOCHS = 5_000, 5, 200
SIZES = (32, 64, 128, 256, 512)
OPTIMIZERS = {
    "sgd": "torch.optim.SGD",
    "adam": "torch.optim.Adam",
    "adamw": "torch.optim.AdamW",
    "rmsprop": "torch.optim.RMSprop",
}
DECAYS = (0.0, 1e-4, 5e-4, 1e-3, 5e-3)
DROPOUTS = (0.0, 0.05, 0.1, 0.2, 0.25)
SMOOTHINGS = (0.0, 0.1)
# The command, and then the most memory that it had; the kernel's count for a child would begin with that of its parent.
COMMAND = """
from resnet_lit import report
report.main()
print(next(line.strip() for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


def make(folder: Path, runs: int) -> None:
    """A full grid of five factors, five seeds a cell; one run in fifty has failed."""
    random = np.random.default_rng(0)
    grid = itertools.product(SIZES, OPTIMIZERS.items(), DECAYS, DROPOUTS, SMOOTHINGS)
    for cell, (size, (name, target), decay, dropout, smoothing) in enumerate(itertools.islice(grid, runs // SEEDS)):
        values = {"data.batch_size": size, "optimizer.name": name, "optimizer._target_": target, "optimizer.weight_decay": decay}
        values |= {"model.dropout": dropout, "label_smoothing": smoothing}
        for seed in range(SEEDS):
            status = "failed" if random.random() < 0.02 else "finished"
            accuracy = 0.93 + 0.01 * (decay > 0) + random.normal(0, 0.002)
            make_run(folder / f"{cell:04}-{seed}", values, seed=seed, accuracy=accuracy, status=status, epochs=EPOCHS)


def processor() -> float:
    """Processor seconds of the commands that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    runs = int(next((word.split("=")[1] for word in sys.argv[1:] if word.startswith("--runs=")), RUNS))
    with tempfile.TemporaryDirectory() as place:
        make(Path(place), runs)
        seconds, memory = {}, 0.0
        for name, words in (("without page", ["--no-html"]), ("with page", []), ("with page, again", [])):
            started, before = time.perf_counter(), processor()
            said = subprocess.run(
                [sys.executable, "-c", COMMAND, place, *words], check=True, stdout=subprocess.PIPE, text=True
            ).stdout
            memory = max(memory, int(said.splitlines()[-1].split()[1]) / 1024)
            seconds[name] = time.perf_counter() - started, processor() - before
        page = (Path(place) / "report" / "report.html").stat().st_size / 1e6
    print(f"\nA report of {runs:,} runs")
    for name, (clock, used) in seconds.items():
        print(f"  {name:18} {clock:6.1f} s, of the processor {used:6.1f} s")
    print(f"  most memory        {memory:6.0f} MiB\n  report.html        {page:6.1f} MB")
    save("report", {"runs": runs, "seconds": seconds, "memory_mib": memory, "page_mb": page})


if __name__ == "__main__":
    main()
