"""From Enter to an answer, and from Enter to the first training step; against the imports that cannot be spared.

python -m benchmarks.bench_startup
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time

from lightning.pytorch import Callback, LightningModule, Trainer

from benchmarks.sides import save

ROUNDS = 5
COMMANDS = {
    "python -m resnet_lit.train --help": ["-m", "resnet_lit.train", "--help"],
    "python -m resnet_lit.summary": ["-m", "resnet_lit.summary", "+experiment=model4"],
    "a refused value (model.dropout=2)": ["-m", "resnet_lit.train", "+experiment=model4", "model.dropout=2"],
    "a refused key (model.depth=9)": ["-m", "resnet_lit.train", "+experiment=model4", "model.depth=9"],
    "import torch, lightning": ["-c", "import torch, lightning.pytorch"],
    "to the first training step": [
        *("-m", "resnet_lit.train", "+experiment=model4", "compile=false", "data.batch_size=32"),
        *("+callbacks.end._target_=benchmarks.bench_startup.EndAfterFirstStep",),
    ],
}


class EndAfterFirstStep(Callback):
    """Ends the process when the first step has been made."""

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: object) -> None:
        os._exit(0)


def main() -> None:
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(ROUNDS + 1):
            for name, words in COMMANDS.items():
                run = ["hydra.run.dir=" + tempfile.mkdtemp(dir=folder)] if "step" in name else []
                started = time.perf_counter()
                ended = subprocess.run([sys.executable, *words, *run], capture_output=True, text=True, check=False)
                seconds[name].append(time.perf_counter() - started)
                if ended.returncode != (2 if "refused" in name else 0):
                    sys.exit(f"{name}: ended with status {ended.returncode}: {ended.stderr}")
    medians = {}
    print(f"\nSeconds from Enter, {ROUNDS} rounds")
    for name, found in seconds.items():
        found = found[1:]  # the first round reads the files from disk
        medians[name] = statistics.median(found)
        print(f"  {name:36} {medians[name]:6.2f} s  ({min(found):.2f} to {max(found):.2f})")
    ratio = medians["to the first training step"] / medians["import torch, lightning"]
    print(f"  the first training step comes after {ratio:.2f} x the imports of torch and lightning")
    save("startup", {"seconds": medians, "first_step_over_imports": ratio})


if __name__ == "__main__":
    main()
