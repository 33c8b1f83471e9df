"""What a GPU does when several trainings share it: images a second of one, two and four bare loops side by side.

python -m benchmarks.gpu_together                   Model 4, batch 128, bf16, compiled, random pixels

Each loop is a process of its own, as the runs of `hydra/launcher=side_by_side` are. They begin at the same moment and train for
some seconds; their rates are added. The results are written after every number of processes. `--device cpu --smoke` rehearses it.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu import Bench, Item, about
from benchmarks.gpu_loop import WARM_UP, BareLoop
from resnet_lit import job
from resnet_lit import record as records
from resnet_lit.config import load
from resnet_lit.models.cost import count_multiply_adds
from resnet_lit.schema import architecture
from resnet_lit.work import FLOPS_PER_MULTIPLY_ADD

DEFAULT_OUT = "outputs/benchmarks/gpu_together.json"
PROCESSES = (1, 2, 4)
SECONDS = 4.0
STEPS = 25  # between two looks at the clock


def train(connection: Connection, device: str, smoke: bool) -> None:
    """The work of one process: be ready, then train for the seconds that are sent, and answer with images a second."""
    item, each = Item("throughput", compile=None if smoke else "default"), 1 if smoke else STEPS
    with tempfile.TemporaryDirectory() as scratch:
        bench = Bench(torch.device(device), Path(scratch), smoke=smoke)
        torch.manual_seed(0)
        loop = BareLoop(load(*bench.words(item)), bench.loader(item), classes=10, compile_mode=item.compile)
        loop.run(WARM_UP)
        bench.clock.now()
        connection.send(None)
        while (seconds := connection.recv()) is not None:
            start, steps, passed = bench.clock.now(), 0, 0.0
            while passed < seconds:
                loop.run(each)
                steps, passed = steps + each, bench.clock.now() - start
            connection.send(steps * item.batch_size / passed)


def measure(options: argparse.Namespace, result: dict[str, Any], processes: Any) -> None:
    """Fill result["processes"], and write it after each number. processes: a context of multiprocessing."""
    counts, seconds = ((1, 2), 0.1) if options.smoke else (PROCESSES, SECONDS)
    with tempfile.TemporaryDirectory() as scratch:
        bench = Bench(torch.device(options.device), Path(scratch), smoke=options.smoke)
        macs = count_multiply_adds(architecture(load(*bench.words(Item("throughput"))).model))
    workers: list[tuple[Connection, Any]] = []
    for count in counts:
        new = []
        for _ in range(count - len(workers)):
            mine, its = processes.Pipe()
            process = processes.Process(target=train, args=(its, options.device, options.smoke))
            process.daemon = True
            process.start()
            its.close()  # else its death would not be seen
            new.append((mine, process))
        workers += new
        for connection, _ in new:  # the first has filled the cache of compiled kernels for the others
            connection.recv()
        for connection, _ in workers:
            connection.send(seconds)
        rates = [float(connection.recv()) for connection, _ in workers]
        tflops = sum(rates) * FLOPS_PER_MULTIPLY_ADD * macs * 1e-12
        result["processes"][str(count)] = {"images_per_second": sum(rates), "each": rates, "tflops": tflops}
        options.out.parent.mkdir(parents=True, exist_ok=True)
        records.write_text(options.out, json.dumps(result, indent=1) + "\n")
        print(f"{count} at a time: {sum(rates):,.0f} images/s together, {tflops:.3g} TFLOP/s", flush=True)
    for connection, process in workers:
        connection.send(None)
        process.join()


def main(argv: list[str] | None = None) -> int:
    """The command; its exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(DEFAULT_OUT), help=f"where the results go ({DEFAULT_OUT})")
    parser.add_argument("--commit", help="commit that is measured, where the code is a copy without .git")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--smoke", action="store_true", help="tiny networks, eager, for a moment: a rehearsal")
    options = parser.parse_args(argv)
    job.end_with_parent()
    if options.device == "cuda" and not torch.cuda.is_available():
        print("no CUDA GPU here: nothing is measured (a rehearsal: python -m benchmarks.gpu_together --device cpu --smoke)")
        return 0
    began, device = time.monotonic(), torch.device(options.device)
    result: dict[str, Any] = {"schema_version": 1, "about": about(device, options), "processes": {}}
    try:
        measure(options, result, multiprocessing.get_context("spawn"))
    except EOFError:
        print(f"a process has died; {options.out} holds what there is", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"\ncut: {options.out} holds what there is")
        return 130
    print(f"{options.out}: {len(result['processes'])} measurements in {time.monotonic() - began:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
