"""How fast training is on a GPU, and how much of a bare loop's speed the whole framework keeps.

python -m benchmarks.gpu --minutes 9              what is worth most first; typed again, it goes on with what is missing
python -m benchmarks.gpu --list                   the measurements in their order, with the seconds each is expected to take
python -m benchmarks.gpu --only share,training    these kinds alone
python -m benchmarks.gpu --table outputs/benchmarks/gpu.json      the tables of docs/performance.md

The real images are used where RESNET_LIT_DATA names them, else random pixels stand in for them; no network is needed. Results are
written after every measurement. Without a GPU the command says so and ends with status 0; `--device cpu --smoke` rehearses every
measurement there with a tiny network and few images, to show that the code runs: its numbers say nothing.
"""

from __future__ import annotations

import argparse
import gc
import json
import logging
import shlex
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks import gpu_table
from benchmarks.gpu_framework import Alternate, Profile, Synchronisations, data_set, has_real_data, run_framework
from benchmarks.gpu_loop import BareLoop, Clock, arithmetic, endless, rates, spread
from resnet_lit import job
from resnet_lit import record as records
from resnet_lit.callbacks.interrupt import Interrupted
from resnet_lit.config import load
from resnet_lit.data.loader import BatchLoader
from resnet_lit.datamodule import build_augment
from resnet_lit.models.cost import count_multiply_adds
from resnet_lit.schema import architecture
from resnet_lit.work import FLOPS_PER_MULTIPLY_ADD

DEFAULT_OUT = "outputs/benchmarks/gpu.json"
BATCHES = (32, 64, 128, 256, 512, 1024)
# Dense bf16 TFLOP/s of the vendor's data sheets, by the name that the driver gives.
STATED_PEAK = {"NVIDIA H100 80GB HBM3": 989.4, "NVIDIA H200": 989.4, "NVIDIA A100-SXM4-80GB": 312.0}
# What results in one file have in common.
MUST_MATCH = ("device", "torch", "sources", "smoke", "data")


@dataclass(frozen=True)
class Item:
    """One measurement. compile: null is eager. tf32: float32 products may be rounded to it. search: cudnn.benchmark."""

    kind: str
    model: str = "model4"
    batch_size: int = 128
    precision: str = "bf16-mixed"
    compile: str | None = "default"
    tf32: bool = False
    search: bool = False
    augment: str = "crop_flip"

    @property
    def key(self) -> str:
        words = {
            "peak": [],
            "loader": [self.batch_size, self.augment],
        }.get(self.kind, [self.model, self.batch_size, self.precision, self.compile or "eager"])
        return " ".join(map(str, [self.kind, *words, *(flag for flag in ("tf32", "search") if getattr(self, flag))]))

    @property
    def seconds(self) -> float:
        """How long it takes, roughly, on an H100 with a cold compiler cache."""
        whole = {"share": 20, "synchronisations": 15, "profile": 20, "training": 40}
        compiling = {None: 0, "default": 45, "max-autotune": 200}[self.compile]
        return whole.get(self.kind, 6) + (compiling if self.kind not in ("peak", "loader") else 0)


def plan() -> list[Item]:
    """Every measurement, the most valuable first."""
    first = [Item("peak"), Item("share"), Item("share", batch_size=512)]
    first += [Item("throughput", batch_size=n, compile=mode) for n in (128, 512) for mode in ("default", None)]
    first += [Item("synchronisations"), Item("training"), Item("loader"), Item("share", compile=None), Item("profile")]
    rest = [Item("loader", batch_size=n) for n in (512, 1024)] + [Item("loader", augment="all")]
    rest += [Item("throughput", batch_size=n, compile=mode) for mode in (None, "default") for n in BATCHES]
    rest += [Item("throughput", batch_size=n, compile=None, search=True) for n in (128, 512)]
    rest += [
        Item("throughput", batch_size=n, precision="32-true", tf32=tf32, compile=mode)
        for mode in (None, "default")
        for n in (128, 512)
        for tf32 in (False, True)
    ]
    rest += [Item("throughput", model=model, batch_size=n) for model in ("model2", "resnet18") for n in (128, 512)]
    rest += [Item("share", compile="max-autotune"), Item("throughput", compile="max-autotune")]
    rest += [Item("throughput", batch_size=n, precision="bf16-true") for n in (128, 512)]
    rest += [Item("throughput", batch_size=512, compile="max-autotune"), Item("throughput", model="resnet50", batch_size=512)]
    return list(dict.fromkeys(first + rest))


class Bench:
    """Where and on how much is measured."""

    def __init__(self, device: torch.device, scratch: Path, *, smoke: bool) -> None:
        self.device, self.scratch, self.smoke = device, scratch, smoke
        self.clock = Clock(device)
        self.rounds, self.seconds = 5, 0.01 if smoke else 0.4
        self.images = (256, 64) if smoke else (50_000, 10_000)
        self.real = has_real_data() and not smoke

    def words(self, item: Item, *, experiment: str | None = None) -> list[str]:
        """The config of an item, as a user would type it."""
        words = [
            f"+experiment={experiment or item.model}",
            f"data.batch_size={item.batch_size}",
            f"trainer.accelerator={'gpu' if self.device.type == 'cuda' else 'cpu'}",
            f"trainer.precision={item.precision}",
            f"compile={item.compile or 'false'}",
            f"progress={'rich' if item.kind == 'share' else 'plain'}",
        ]
        if self.smoke:
            words += ["model.blocks=[1,1]", "model.channels=[4,8]", "data.validation=64", "threads=1"]
        return words

    def loader(self, item: Item) -> BatchLoader:
        """Random pixels of the training set's size, resident on the device."""
        n = self.images[0]
        images = torch.randint(0, 256, (n, 3, 32, 32), dtype=torch.uint8, device=self.device)
        targets = torch.randint(0, 10, (n,), device=self.device)
        augment = build_augment(load(*self.words(item), f"augment={item.augment}").augment)
        return BatchLoader(images, targets, batch_size=item.batch_size, shuffle=True, augment=augment, drop_last=True)

    def measure(self, item: Item) -> dict[str, Any]:
        """What came of one measurement."""
        gc.collect()
        torch.compiler.reset()  # each network is compiled anew: one too many of them would run eagerly
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        ways: dict[str, Callable[[Item], dict[str, Any]]] = {
            "peak": self.peak,
            "throughput": self.throughput,
            "loader": self.loader_alone,
            "training": self.training,
        }
        found = ways.get(item.kind, self.framework)(item)
        if self.device.type == "cuda":
            found["peak_memory_gib"] = torch.cuda.max_memory_allocated() / 2**30
        return found

    def peak(self, item: Item) -> dict[str, Any]:
        """TFLOP/s of a matrix product of random numbers by number format, and GB/s of a copy, bytes read and written."""
        size = 128 if self.smoke else 8192
        found: dict[str, Any] = {"size": size}
        for name, dtype, tf32 in (("bf16", torch.bfloat16, True), ("tf32", torch.float32, True), ("fp32", torch.float32, False)):
            a, b = (torch.randn(size, size, device=self.device).to(dtype) for _ in range(2))
            with arithmetic(tf32=tf32, search=False):
                found[f"{name}_tflops"] = self._repeated(partial(torch.matmul, a, b), 2 * size**3 * 1e-12)
        a = torch.randn(size, size * 4, device=self.device)
        b = torch.empty_like(a)
        found["copy_gb_per_second"] = self._repeated(partial(b.copy_, a), 2 * a.nbytes * 1e-9)
        if self.device.type == "cuda":
            found["stated_bf16_tflops"] = STATED_PEAK.get(torch.cuda.get_device_name())
        return found

    def _repeated(self, call: Callable[[], Any], work: float) -> dict[str, float]:
        """`work` a second, of a call: twenty times after three."""
        found = []
        for _ in range(23):
            start = self.clock.mark()
            call()
            found.append(work / max(self.clock.between(start, self.clock.mark()), 1e-9))
        return spread(found[3:])

    def throughput(self, item: Item) -> dict[str, Any]:
        """Images a second of the bare loop."""
        config = load(*self.words(item))
        torch.manual_seed(0)
        with arithmetic(tf32=item.tf32, search=item.search):
            loop = BareLoop(config, self.loader(item), classes=10, compile_mode=item.compile)
            start = self.clock.now()
            loop.run(1)
            first = self.clock.now() - start
            speed = rates(self.clock, loop.run, item.batch_size, rounds=self.rounds, seconds=self.seconds)
        flops = FLOPS_PER_MULTIPLY_ADD * count_multiply_adds(architecture(config.model))
        return {
            "images_per_second": speed,
            "first_step_seconds": first,
            "ms_per_step": 1000 * item.batch_size / speed["median"],
            "tflops": speed["median"] * flops * 1e-12,
        }

    def loader_alone(self, item: Item) -> dict[str, Any]:
        """Images a second of the batches alone, on the device."""
        batches = endless(self.loader(item))

        def run(steps: int) -> None:
            for _ in range(steps):
                next(batches)

        return {"images_per_second": rates(self.clock, run, item.batch_size, rounds=self.rounds, seconds=self.seconds / 2)}

    def framework(self, item: Item) -> dict[str, Any]:
        """A run of the whole framework with something that looks on."""
        window = {"first": 3, "last": 9} if self.smoke else {"first": 60, "last": 160}
        callback, epochs, options = {
            "share": (Alternate, self.rounds + 2, {}),
            "synchronisations": (Synchronisations, 2, window),
            "profile": (Profile, 2, window),
        }[item.kind]
        with data_set(self.images, synthetic=not self.real), tempfile.TemporaryDirectory(dir=self.scratch) as folder:
            words = [*self.words(item), "data.drop_last=true", f"trainer.max_epochs={epochs}"]
            return run_framework(words, Path(folder), callback, **options)

    def training(self, item: Item) -> dict[str, Any]:
        """A short real training: on the real images for ten epochs, else on scikit-learn's digits."""
        words = self.words(item, experiment=None if self.real else "digits")
        words.append(f"trainer.max_epochs={2 if self.smoke else 10}")
        with tempfile.TemporaryDirectory(dir=self.scratch) as folder:
            record = run_framework(words, Path(folder))
        return {
            "words": words,
            **{
                name: record[name] for name in ("data", "metrics", "best", "steps", "epochs", "timing", "peak", "compile", "seed")
            },
        }


def main(argv: list[str] | None = None) -> int:
    """The command; its exit status."""
    options = _parser().parse_args(argv)
    if options.table is not None:
        print(gpu_table.table(json.loads(options.table.read_text())))
        return 0
    items = plan()
    if unknown := set(options.only) - {item.kind for item in items}:
        print(f"--only {','.join(sorted(unknown))}: must be of {', '.join(sorted({i.kind for i in items}))}", file=sys.stderr)
        return 2
    items = [item for item in items if not options.only or item.kind in options.only]
    if options.smoke:
        items = smaller(items)
    if options.list:
        for item in items:
            print(f"{item.seconds:5.0f} s  {item.key}")
        return 0
    if options.device == "cuda" and not torch.cuda.is_available():
        print("no CUDA GPU here: nothing is measured (a rehearsal: python -m benchmarks.gpu --device cpu --smoke)")
        return 0
    job.end_with_parent()
    device = torch.device("cuda", 0) if options.device == "cuda" else torch.device("cpu")
    result = about(device, options)
    if options.out.exists():
        earlier = json.loads(options.out.read_text())
        changed = [key for key in MUST_MATCH if earlier["about"][key] != result["about"][key]]
        if changed and not options.fresh:
            print(f"{options.out}: measured with another {', '.join(changed)}; use --fresh, or another --out", file=sys.stderr)
            return 2
        if not changed:
            again = {item.key for item in items} if options.fresh else set()
            result["items"] = {key: value for key, value in earlier["items"].items() if key not in again}
            result["about"]["sessions"] = [*earlier["about"]["sessions"], *result["about"]["sessions"]]
    options.out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch, quiet():
        try:
            return measure_all(items, Bench(device, Path(scratch), smoke=options.smoke), result, options.out, options.minutes)
        except (KeyboardInterrupt, Interrupted):
            print(f"\ncut: {options.out} holds what there is; the same command goes on")
            return 130


def smaller(items: list[Item]) -> list[Item]:
    """One eager item of every kind, of a size that a CPU rehearses in seconds."""
    kinds: dict[str, Item] = {}
    for item in items:
        kinds.setdefault(item.kind, Item(item.kind, batch_size=16, compile=None))
    return list(kinds.values())


def measure_all(items: list[Item], bench: Bench, result: dict[str, Any], out: Path, minutes: float | None) -> int:
    """Measure what is missing, and write after each; 1 where something failed. What would not end in time is left out."""
    began, found = time.monotonic(), result["items"]
    missing = [item for item in items if "error" in found.get(item.key, {"error": None})]
    late, failed = [], 0
    for number, item in enumerate(missing):
        used = time.monotonic() - began
        if minutes is not None and used + item.seconds > 60 * minutes:
            late.append(item)
            continue
        print(f"[{number + 1}/{len(missing)}] {item.key}", flush=True)
        start = time.monotonic()
        try:
            values = bench.measure(item)
        except Exception as error:  # out of memory, a compiler's failure: the others are still worth having
            values = {"error": " ".join(f"{type(error).__name__}: {error}".split())[:500]}
            failed += 1
        found[item.key] = {**asdict(item), **values, "seconds": round(time.monotonic() - start, 1), "at": records.now()}
        records.write_text(out, json.dumps(result, indent=1) + "\n")
        left = sum(later.seconds for later in missing[number + 1 :])
        left = left if minutes is None else min(left, max(0.0, 60 * minutes - (time.monotonic() - began)))
        took = f"{found[item.key]['seconds']:.0f} s, about {left / 60:.0f} min left"
        print(f"    {gpu_table.one_line(found[item.key])}  ({took})", flush=True)
    for item in late:
        print(f"left out for time: {item.key}")
    print(f"{out}: {len(found)} measurements" + ("; the same command goes on" if late or failed else ""))
    return 1 if failed else 0


def about(device: torch.device, options: argparse.Namespace) -> dict[str, Any]:
    """The result as it stands before anything is measured: on what, with what, of which commit."""
    hardware, versions, git = records.hardware(), records.versions(), records.git()
    versions |= {"cuda": torch.version.cuda, "cudnn": torch.backends.cudnn.version()}
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        hardware["devices"] = [properties.name]
        hardware["device_memory_gib"] = round(properties.total_memory / 2**30, 1)
        hardware["multiprocessors"] = properties.multi_processor_count
    described = {
        "device": hardware["devices"] or [hardware["cpu"]],
        "torch": versions["torch"],
        "sources": records.source_hash(),
        "smoke": options.smoke,
        "data": "RESNET_LIT_DATA" if has_real_data() else "synthetic",
        "commit": options.commit or git["commit"],
        "dirty": git["dirty"],
        "command": shlex.join(["python", "-m", f"benchmarks.{Path(sys.argv[0]).stem}", *sys.argv[1:]]),
        "hardware": hardware,
        "versions": versions,
        "sessions": [records.now()],
    }
    return {"schema_version": 1, "about": described, "items": {}}


@contextmanager
def quiet() -> Iterator[None]:
    """Of what the runs log, only warnings are shown; the rest is in each run's train.log."""
    handler, root = logging.StreamHandler(), logging.getLogger()
    handler.setLevel(logging.WARNING)
    root.addHandler(handler)
    try:
        with warnings.catch_warnings():
            # torch 2.9 to 2.11 says this of what it does itself
            warnings.filterwarnings("ignore", ".*Please use the new API settings to control TF32.*")
            yield
    finally:
        root.removeHandler(handler)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m benchmarks.gpu", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--minutes", type=float, help="leave out what is not expected to end within so many minutes")
    add(
        "--only",
        type=lambda text: text.split(","),
        default=[],
        help="kinds, with commas: peak, share, throughput, synchronisations, profile, training, loader",
    )
    add("--out", type=Path, default=Path(DEFAULT_OUT), help=f"where the results go ({DEFAULT_OUT})")
    add("--fresh", action="store_true", help="measure again what is there already (with --only: of these kinds)")
    add("--list", action="store_true", help="print the measurements and stop")
    add("--table", type=Path, metavar="JSON", help="print the tables of such a file and stop")
    add("--commit", help="commit that is measured, where the code is a copy without .git")
    add("--device", choices=("cuda", "cpu"), default="cuda")
    add("--smoke", action="store_true", help="a tiny network, few images, one eager item of every kind: a rehearsal")
    return parser


if __name__ == "__main__":
    sys.exit(main())
