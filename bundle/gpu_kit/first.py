"""Is everything there, and how fast is the GPU? The first program of the GPU kit; for every load but the last.

./first --seconds 180           end by then, with the measurements in $OUT; called again, it measures what is missing

Measured on random pixels: images/s of one, two and four trainings of Model 4 side by side, from which `second` works out what
fits; then what `python -m benchmarks.gpu --list` lists, the most valuable first. In $OUT: gpu_together.json, gpu.json, first.log.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import time
from importlib import metadata
from pathlib import Path

from PIL import features

from gpu_kit import kept
from gpu_kit.processes import Log, Process, Signals, end_all
from gpu_kit.second import LEAST_FOR_SPEED, SPEED, speeds_in
from resnet_lit.config import load
from resnet_lit.formatting import duration
from resnet_lit.record import versions
from resnet_lit.summary import summary

ENDING = 5.0  # seconds in which a measurement is ended
NEEDED = ("torch", "torchvision", "lightning", "torchmetrics", "tensorboard", "numpy", "pillow", "filelock")


def missing() -> list[str]:
    """What this machine lacks, a line each."""
    found = []
    for package in NEEDED:
        try:
            metadata.version(package)
        except metadata.PackageNotFoundError:
            found.append(f"{package}: not installed here")
    if not features.check("webp"):
        found.append("pillow: built without WebP, in which the images are packed; give `second` them in RESNET_LIT_DATA")
    return found


def measure(words: list[str], end: float, out: Path, log: Log, signals: Signals) -> None:
    """Run one benchmark until it ends, the time is up, or a signal comes; its results are kept as they come."""
    process = Process(words[0], words, out / "first.log", {"RESNET_LIT_DATA": None})
    while process.status is None and signals.noted is None and time.monotonic() < end:
        keep(out)
        time.sleep(0.5)
    end_all([process], ENDING)
    keep(out)
    log(f"{process.last_lines()}\n{words[0]}: {duration(process.seconds)}, status {process.status}")


def keep(out: Path) -> None:
    """Renew what is brought back."""
    for path in SPEED.parent.glob("*.json"):
        kept.keep_file(path, out)


def main(argv: list[str] | None = None) -> int:
    """The command; its exit status: 2 where something is missing here, 128 + its number after a signal."""
    parser = argparse.ArgumentParser(prog="first", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=180, help="in all, from now on (180); 0: measure nothing")
    parser.add_argument("--smoke", action="store_true", help="a rehearsal on the CPU with tiny networks")
    options = parser.parse_args(argv)
    end = time.monotonic() + options.seconds - ENDING
    out = Path(os.environ.get("OUT", "out")).resolve()
    log, signals = Log(out / "first.log"), Signals()
    if shutil.which("nvidia-smi"):
        log(subprocess.run(["nvidia-smi"], capture_output=True, text=True).stdout)
    log("  ".join(f"{name} {version or '(none)'}" for name, version in versions().items()))
    log("\n".join(summary(load("+experiment=model4")).splitlines()[-3:]))
    log(f"{len(list(Path('parts').glob('*')))} parts of the images so far")
    if lacking := missing():
        log("\n".join(lacking))
        return 2
    rehearsed = ["--device", "cpu", "--smoke"] if options.smoke else []
    if not speeds_in(SPEED) and end - time.monotonic() > 0:
        measure(["benchmarks.gpu_together", *rehearsed], end, out, log, signals)
    if (left := end - time.monotonic()) > LEAST_FOR_SPEED and signals.noted is None:
        measure(["benchmarks.gpu", *rehearsed, "--minutes", f"{left / 60:.2f}"], end, out, log, signals)
    return 0 if signals.noted is None else 128 + signals.noted


if __name__ == "__main__":
    raise SystemExit(main())
