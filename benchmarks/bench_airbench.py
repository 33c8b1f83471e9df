"""`+experiment=cpu` beside airbench94_muon's own program on the same CPU: seconds from process start to test result, accuracies.

    git clone https://github.com/KellerJordan/cifar10-airbench
    python -m benchmarks.bench_airbench --airbench cifar10-airbench/airbench94_muon.py --data <folder> --rounds 3

data: a folder with cifar-10-batches-py/. The sides take turns, so that a slow minute meets both. airbench's program
is run as it is, but for what a CPU and one run need, each a replacement of its text that `adapted` lists: device, clock, number
format (autocast to bfloat16, or float32), `torch.compile` without autotuning, no warm-up run, one run, no evaluation after each
epoch but the last, and the seed. Its images are decoded before the clock starts, as ours are. The result goes to
outputs/benchmarks/airbench.json after every run, so that a run of this program that is stopped keeps what it has measured.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from torchvision.datasets import CIFAR10

from benchmarks.sides import save
from resnet_lit import record as records

FINAL = re.compile(r"\|\s+eval\s+\|.*")


def adapted(source: str, precision: str, seed: int, threads: int) -> str:
    """airbench94_muon.py for one run on a CPU. Raises ValueError where its text is not the one that this was written for."""
    number = "torch.bfloat16" if precision == "bf16-mixed" else None
    replacements = [
        # device and seed
        ("torch.backends.cudnn.benchmark = True", f"torch.set_num_threads({threads}); torch.manual_seed({seed})"),
        ('torch.device("cuda")', 'torch.device("cpu")'),
        ("CifarNet().cuda()", "CifarNet()"),
        ('model.compile(mode="max-autotune")', "model.compile()"),
        # clock
        ("starter = torch.cuda.Event(enable_timing=True)", "import time; began = 0.0"),
        ("    ender = torch.cuda.Event(enable_timing=True)\n", ""),
        ("        starter.record()", "        nonlocal began; began = time.perf_counter()"),
        ("        ender.record()\n        torch.cuda.synchronize()\n", ""),
        ("1e-3 * starter.elapsed_time(ender)", "time.perf_counter() - began"),
        # number format: half precision is for GPUs
        ("self.images.half() / 255", "self.images.float() / 255"),
        ("                mod.half()", "                mod.float()"),
        # one run, one evaluation
        ('    main("warmup", model)\n', ""),
        ("range(200)", "range(1)"),
        (
            "        val_acc = evaluate(model, test_loader, tta_level=0)",
            "        val_acc = evaluate(model, test_loader, tta_level=0) if step >= total_train_steps else float('nan')",
        ),
    ]
    if number is not None:
        forward = "            outputs = model(inputs, whiten_bias_grad=(step < whiten_bias_train_steps))\n"
        replacements += [
            (forward, f"            with torch.autocast('cpu', {number}):\n    {forward}"),
            ("            F.cross_entropy(outputs, labels", "            F.cross_entropy(outputs.float(), labels"),
            ("    with torch.no_grad():\n", f"    with torch.no_grad(), torch.autocast('cpu', {number}):\n"),
        ]
    else:
        replacements.append(("X = G.bfloat16()", "X = G.float()"))
    for old, new in replacements:
        if source.count(old) != 1:
            raise ValueError(f"airbench94_muon.py: {source.count(old)} times {old!r}, not once: another version of it")
        source = source.replace(old, new)
    return source


def prepare(data: Path, folder: Path) -> None:
    """Decode CIFAR-10 into the files that airbench's loader reads, cifar10/{train,test}.pt."""
    (folder / "cifar10").mkdir(exist_ok=True)
    for part in ("train", "test"):
        dataset = CIFAR10(str(data), train=part == "train")
        content = {"images": torch.tensor(dataset.data), "labels": torch.tensor(dataset.targets), "classes": dataset.classes}
        torch.save(content, folder / "cifar10" / f"{part}.pt")


def airbench(source: str, folder: Path, precision: str, seed: int, threads: int) -> dict[str, Any]:
    """One run of airbench's program: seconds of the process, its own seconds of training and TTA, accuracies."""
    program = folder / "airbench94_muon.py"
    program.write_text(adapted(source, precision, seed, threads))
    began = time.perf_counter()
    ended = subprocess.run([sys.executable, program.name], cwd=folder, capture_output=True, text=True)
    seconds = time.perf_counter() - began
    if ended.returncode:
        raise RuntimeError(ended.stderr[-2000:])
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in ended.stdout.splitlines() if line.startswith("|")]
    final = rows[-1]
    return {"seconds": seconds, "own_seconds": float(final[5]), "single": float(final[3]), "tta": float(final[4]), "rows": rows}


def ours(words: list[str], data: Path, folder: Path, precision: str, seed: int, threads: int) -> dict[str, Any]:
    """One run of our command: seconds of the process, accuracies and what the record says."""
    run = folder / f"run-{seed}-{time.time_ns()}"
    fixed = [f"seed={seed}", f"trainer.precision={precision}", f"threads={threads}", f"hydra.run.dir={run}", "progress=none"]
    command = [sys.executable, "-m", "resnet_lit.train", *words, *fixed]
    began = time.perf_counter()
    ended = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "RESNET_LIT_DATA": str(data)})
    seconds = time.perf_counter() - began
    if ended.returncode:
        raise RuntimeError(ended.stderr[-2000:])
    record = records.read(run)
    metrics = record["metrics"]
    return {
        "seconds": seconds,
        "single": metrics["test/accuracy"],
        "tta": metrics.get("test/accuracy_tta"),
        "timing": record["timing"],
        "identity": record["identity"],
        "digest": record["digest"],
        "git": record["git"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--airbench", type=Path, required=True, help="path of airbench94_muon.py")
    parser.add_argument("--data", type=Path, required=True, help="folder with cifar-10-batches-py/")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each side; round r has seed r")
    parser.add_argument("--precision", default="bf16-mixed", choices=("32", "bf16-mixed"))
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("words", nargs="*", default=["+experiment=cpu", "protocol=final"], help="our side's command")
    options = parser.parse_args()
    source = options.airbench.read_text()
    adapted(source, options.precision, 0, options.threads)
    result: dict[str, Any] = {"precision": options.precision, "threads": options.threads, "airbench": [], "ours": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(options.data, folder)
        for seed in range(options.rounds):
            sides = [
                ("airbench", lambda s=seed: airbench(source, folder, options.precision, s, options.threads)),
                ("ours", lambda s=seed: ours(options.words, options.data, folder, options.precision, s, options.threads)),
            ]
            for side, run in sides if seed % 2 == 0 else reversed(sides):
                found = run()
                result[side].append(found)
                save("airbench", result)
                print(
                    f"round {seed}, {side}: {found['seconds']:.0f} s, single {found['single']:.4f}, TTA {found['tta']}",
                    flush=True,
                )
    ratios = [one["seconds"] / other["seconds"] for one, other in zip(result["ours"], result["airbench"], strict=True)]
    print(f"seconds, ours over airbench's: median {statistics.median(ratios):.3f}, {min(ratios):.3f} to {max(ratios):.3f}")


if __name__ == "__main__":
    main()
