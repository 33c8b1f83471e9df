"""Runs killed at every kind of moment and typed again, against runs left alone: what they leave must be equal, bit for bit.

python -m benchmarks.kill_matrix                          # 64 kills
python -m benchmarks.kill_matrix --kills=12 --seed=1
python -m benchmarks.kill_matrix --only=ddp               # settings whose name has it
python -m benchmarks.kill_matrix --to=DIR                 # kill_matrix.json and .md lie in DIR (default outputs/kill_matrix)

Each run is small (a network of a few thousand parameters on handwritten digits) and takes seconds beyond the imports. A trial
kills one run twice, with SIGKILL to its whole process group, then types it a third time and lets it end. Moments come in two
kinds: at random (uniform over the rest of the run) and at a stated place (`benchmarks.kill_at`). Compared are the last weights,
the states of optimizer, schedule, callbacks and random generators, the best weights, metrics.csv and TensorBoard's events but for
perf/, the test outputs, the record's results, and the names of the files. Written as it goes; typed again, the command goes on
with what is missing.
"""

from __future__ import annotations

import contextlib
import csv
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from resnet_lit.record import METRICS, RESULT, git, hardware, versions

ROOT = Path(__file__).resolve().parent.parent
COMMON = (
    *("+experiment=digits", "model.blocks=[1,1]", "model.channels=[8,16]", "data.limit_train=512", "data.limit_test=100"),
    *("data.batch_size=16", "trainer.max_epochs=6", "trainer.log_every_n_steps=5", "checkpoint.every_minutes=0.003"),
    *("deterministic=true", "threads=1", "compile=false", "progress=plain", "scheduler=cosine", "optimizer.lr=0.02"),
)
TWO = ("trainer.accelerator=cpu", "trainer.devices=2", "trainer.strategy=ddp", "model.dropout=0.25")
STEM = (
    *("model.stem=2x2", "model.stem_norm=false", "model.stem_init=whitened", "model.stem_frozen=2", "model.stem_bias_epochs=4"),
    *("model.transition=pool", "model.activation=gelu", "model.norm_scale=false", "model.squeeze_excitation=4"),
)
SETTINGS: dict[str, tuple[str, ...]] = {
    "dropout": ("model.dropout=0.25",),
    "every augmentation": ("augment=all",),
    "warm-up, then cosine": ("scheduler.warmup_epochs=2", "optimizer=adam"),
    "scheduler=one_cycle": ("scheduler=one_cycle", "model.dropout=0.1"),
    "scheduler=sgdr": ("scheduler=sgdr", "scheduler.args.period=2"),
    "scheduler=step": ("scheduler=step",),
    "scheduler=linear": ("scheduler=linear", "optimizer=adamw"),
    "ReduceLROnPlateau": (
        *("scheduler=constant", "scheduler._target_=torch.optim.lr_scheduler.ReduceLROnPlateau"),
        *("+scheduler.args.patience=0", "+scheduler.args.threshold=0.2"),
    ),
    "gradient accumulation": ("trainer.accumulate_grad_batches=3", "model.dropout=0.1"),
    "compile=default": ("compile=default", "model.dropout=0.25", "augment=all"),
    "protocol=paper": ("protocol=paper",),
    "early stopping": (
        "callbacks=early_stopping",
        "callbacks.early_stopping.patience=1",
        "trainer.max_epochs=40",
        "optimizer.lr=0.3",
    ),
    "evaluated within epochs": ("++trainer.val_check_interval=12", "model.dropout=0.1"),
    "evaluated across epochs": ("++trainer.val_check_interval=40", "++trainer.check_val_every_n_epoch=null"),
    "evaluated every second epoch": ("++trainer.check_val_every_n_epoch=2", "optimizer=sgd"),
    "checkpoints at the default interval": ("checkpoint.every_minutes=10", "model.dropout=0.1"),
    "ends within an epoch": ("trainer.max_steps=150", "checkpoint.every_minutes=0.01"),
    "optimizer=muon, averaging=ema": ("optimizer=muon", "averaging=ema", "+optimizer.groups.norm_bias.lr_multiple=8"),
    "averaging=lookahead": ("averaging=lookahead", "averaging.every_steps=3", "scheduler=triangular"),
    "a stem of whitened patches, frozen in some epochs": STEM,
    "ddp": TWO,
    "ddp, a stem of whitened patches, frozen in some epochs": (*TWO, *STEM),
    "ddp, averaging=ema": (*TWO, "averaging=ema", "averaging.decay=0.9", "averaging.every_steps=2"),
    "ddp, gradient accumulation": (*TWO, "trainer.accumulate_grad_batches=2"),
}
RANDOM = "at random"
Moment = tuple[str, int]  # a place of `benchmarks.kill_at`, and at which of its calls; or RANDOM
# A place, and at which of its calls: the first number in a first session, the second in one that goes on.
AIMED: dict[str, tuple[int, int]] = {
    "in a step": (50, 20),
    "half a checkpoint written": (3, 2),
    "between the two renames": (3, 2),
    "before best.ckpt is renamed": (2, 1),
    "at an epoch's end": (2, 1),
    "at an epoch's start": (3, 2),
    "in an evaluation": (5, 2),
    "in the test": (2, 2),
    "before the final record": (1, 1),
    "while going on": (1, 1),
}
DEADLINE = 600.0  # seconds for one session: a run that hangs is a failure, not a wait


def main() -> None:
    options = dict(word.partition("=")[::2] for word in sys.argv[1:])
    if set(options) - {"--kills", "--seed", "--only", "--to"}:
        sys.exit(__doc__)
    folder = Path(options.get("--to", "outputs/kill_matrix"))
    folder.mkdir(parents=True, exist_ok=True)
    kept, seed = folder / "kill_matrix.json", int(options.get("--seed", 0))
    if not kept.exists():
        if any(folder.iterdir()):
            sys.exit(f"--to={folder}: holds files of others, and folders in it are replaced; name a new one")
        kept.write_text('{"trials": []}\n')
    found: dict[str, Any] = json.loads(kept.read_text())
    names = [name for name in SETTINGS if options.get("--only", "") in name]
    for number, (name, moments) in enumerate(schedule(names, int(options.get("--kills", 64)), seed)):
        if any(trial["number"] == number and trial["seed"] == seed and trial["setting"] == name for trial in found["trials"]):
            continue
        whole = folder / "runs" / re.sub(r"\W+", "-", name) / "whole"
        if not (whole / RESULT).exists():
            shutil.rmtree(whole, ignore_errors=True)
            seconds = leave_alone(SETTINGS[name], whole)
            (whole.parent / "seconds").write_text(f"{seconds:.3f}")
        seconds = float((whole.parent / "seconds").read_text())
        result = trial(SETTINGS[name], moments, whole, whole.parent / f"killed-{seed}-{number}", seconds, seed + 1000 * number)
        found["trials"].append({"number": number, "seed": seed, "setting": name, **result})
        found.update(
            commit=git(),
            versions=versions(),
            hardware=hardware(),
            command=" ".join(["python -m benchmarks.kill_matrix", *sys.argv[1:]]),
        )
        kept.write_text(json.dumps(found, indent=1) + "\n")
        (folder / "kill_matrix.md").write_text(table(found["trials"]))
        landed = ", ".join(f"{kill['moment']}{'' if kill['landed'] else ' (missed)'}" for kill in result["kills"])
        print(f"{name}: {landed}: {'equal' if not result['differences'] else result['differences']}", flush=True)
    print(table(found["trials"]))
    sys.exit(any(trial["differences"] for trial in found["trials"]))


def schedule(names: list[str], kills: int, seed: int) -> Iterator[tuple[str, list[Moment]]]:
    """Trials of two kills each: every setting in turn, every moment about equally often, at random twice as often."""
    draw, deck = random.Random(seed), []
    for number in range(-(-kills // 2)):
        moments = []
        for _ in range(2):
            deck = deck or draw.sample([*AIMED, RANDOM, RANDOM], len(AIMED) + 2)
            moments.append(deck.pop())
        late = ("in the test", "before the final record")  # nothing of training is left after them
        moments.sort(key=late.__contains__)
        yield names[number % len(names)], [(name, AIMED.get(name, (0, 0))[session]) for session, name in enumerate(moments)]


def start(words: tuple[str, ...], folder: Path, aimed: Moment | None = None) -> subprocess.Popen[bytes]:
    """The command in a process group of its own, to be killed at a place where one is given."""
    module = ["resnet_lit.train"] if aimed is None else ["benchmarks.kill_at", aimed[0], str(aimed[1])]
    folder.parent.mkdir(parents=True, exist_ok=True)
    log = (folder.parent / f"{folder.name}.log").open("ab")
    return subprocess.Popen(
        [sys.executable, "-m", *module, *COMMON, *words, f"hydra.run.dir={folder}"],
        stdout=log,
        stderr=log,
        start_new_session=True,
        cwd=ROOT,
    )


def finish(process: subprocess.Popen[bytes]) -> int:
    """The exit status; a session that goes on for DEADLINE is killed and has none that is good."""
    try:
        return process.wait(DEADLINE)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return 124


def leave_alone(words: tuple[str, ...], folder: Path) -> float:
    """Run undisturbed; seconds from the first metrics to the end of the process."""
    process = start(words, folder)
    _wait_for_training(folder, process)
    began = time.monotonic()
    if (status := finish(process)) != 0:
        raise RuntimeError(f"{folder}: ended with status {status}; see {folder}.log")
    return time.monotonic() - began


def trial(words: tuple[str, ...], moments: list[Moment], whole: Path, folder: Path, seconds: float, seed: int) -> dict[str, Any]:
    """Run, kill at each of the moments, run to the end, compare. `differences` is empty where all is equal.

    seconds: what `leave_alone` gave of the run in `whole`. seed: of the moments at random.
    """
    shutil.rmtree(folder, ignore_errors=True)
    draw, kills = random.Random(seed), []
    for moment, nth in moments:
        if moment == RANDOM:
            process = start(words, folder)
            if _wait_for_training(folder, process):
                time.sleep(draw.uniform(0, seconds * (1 - _last_step(folder) / _last_step(whole))))
            _kill(process)
        else:
            process = start(words, folder, (moment, nth))
        landed = finish(process) == -signal.SIGKILL
        kills.append({"moment": moment, "landed": landed, "step": _last_step(folder)})
    status = finish(start(words, folder))
    differences = compare(whole, folder) if status == 0 else [f"exit status {status}; see {folder}.log"]
    if not differences:
        shutil.rmtree(folder)
    return {"kills": kills, "differences": differences}


def _kill(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):  # it has ended
        os.killpg(process.pid, signal.SIGKILL)


def _wait_for_training(folder: Path, process: subprocess.Popen[bytes]) -> bool:
    """Wait until this session writes metrics; False where the process ended before."""
    least = None
    while process.poll() is None:
        size = (folder / METRICS).stat().st_size if (folder / METRICS).exists() else 0
        least = size if least is None else min(least, size)  # a session that goes on begins by cutting back
        if size > least:
            return True
        time.sleep(0.005)
    return False


def _last_step(folder: Path) -> int:
    try:
        return int((folder / METRICS).read_text().splitlines()[-1].split(",")[0])
    except (OSError, IndexError, ValueError):
        return 0


# --- comparing


def compare(first: Path, second: Path) -> list[str]:
    """What differs between two finished runs that should be equal, times apart: a line each."""
    found = []
    names = [
        sorted(re.sub(r"tfevents.*", "tfevents", str(p.relative_to(run))) for p in run.rglob("*")) for run in (first, second)
    ]
    if names[0] != names[1]:
        found.append(f"files: {sorted(set(names[0]) ^ set(names[1])) or 'more of one kind'}")
    contents = [_contents(first), _contents(second)]
    for tag, series in contents[1]["events"].items():
        steps = [step for step, _ in series]
        if steps != sorted(set(steps)):
            found.append(f"events.{tag}: steps {steps}")
    for part, left in contents[0].items():
        if (where := _difference(left, contents[1][part])) is not None:
            found.append(f"{part}{where}")
    return found


def _contents(run: Path) -> dict[str, Any]:
    """Everything of a run that must not depend on when it was interrupted."""
    last, best = (
        torch.load(path, weights_only=True) if (path := run / "checkpoints" / name).exists() else None
        for name in ("last.ckpt", "best.ckpt")
    )
    record = json.loads((run / RESULT).read_text())
    for checkpoint in (last, best):
        if checkpoint is not None:
            checkpoint.get("callbacks", {}).pop("Timing", None)
            checkpoint.pop("written", None)  # bytes: times have more or fewer digits
            latest = checkpoint.get("metrics", {}).get("latest", {})
            for key in [key for key in latest if key.startswith("perf/")]:
                del latest[key]
    with (run / METRICS).open(newline="") as file:
        rows = [{key: value for key, value in row.items() if not key.startswith("perf/")} for row in csv.DictReader(file)]
    keys = ("status", "reason", "identity", "metrics", "best", "steps", "epochs", "threads", "compile", "data", "model")
    return {
        "last.ckpt": last,
        "best.ckpt": best,
        "metrics.csv": rows,
        "events": events(run),
        "test outputs": {name: torch.from_numpy(values) for name, values in np.load(run / "test_outputs.npz").items()},
        "record": {key: record.get(key) for key in keys},
    }


def events(run: Path) -> dict[str, Any]:
    """The raw events but for times: tag -> [(step, value)]. Raises ValueError where there is more than one file."""
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    (path,) = run.glob("events.out.tfevents.*")
    series: dict[str, list[Any]] = defaultdict(list)
    for event in EventFileLoader(str(path)).Load():
        for value in event.summary.value:
            if not value.tag.startswith("perf/"):  # HParams hold when the run began
                series[value.tag].append((event.step, value.tensor.SerializeToString() * (not value.tag.startswith("_hparams_"))))
    return dict(series)


def _difference(left: Any, right: Any, where: str = "") -> str | None:
    """Where two nested values first differ; None where they are equal, bit for bit."""
    if isinstance(left, torch.Tensor):
        same = isinstance(right, torch.Tensor) and left.dtype == right.dtype and torch.equal(left, right)
        return None if same else where
    if isinstance(left, dict):
        if not isinstance(right, dict) or left.keys() != right.keys():
            return f"{where}: keys {sorted(map(str, left.keys() ^ right.keys())) if isinstance(right, dict) else right}"
        return next((found for key in left if (found := _difference(left[key], right[key], f"{where}.{key}")) is not None), None)
    if isinstance(left, list | tuple):
        if not isinstance(right, list | tuple) or len(left) != len(right):
            return f"{where}: {len(left)} and {len(right) if isinstance(right, list | tuple) else right}"
        pairs = enumerate(zip(left, right, strict=True))
        return next((found for i, (a, b) in pairs if (found := _difference(a, b, f"{where}[{i}]")) is not None), None)
    return None if left == right else f"{where}: {left!r:.80} and {right!r:.80}"


# --- the table


def table(trials: list[dict[str, Any]]) -> str:
    """Markdown: kills that landed, by setting and by moment, and how many of the trials ended equal."""
    lines = ["| setting | kills | moments | trials | equal |", "| --- | --- | --- | --- | --- |"]
    by_setting: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for one in trials:
        by_setting[one["setting"]].append(one)
    for name, ones in by_setting.items():
        landed = [kill["moment"] for one in ones for kill in one["kills"] if kill["landed"]]
        equal = sum(not one["differences"] for one in ones)
        lines.append(f"| {name} | {len(landed)} | {', '.join(dict.fromkeys(landed))} | {len(ones)} | {equal} |")
    lines += ["", "| moment | kills | in trials that ended equal |", "| --- | --- | --- |"]
    for moment in (RANDOM, *AIMED):
        good = [not one["differences"] for one in trials for kill in one["kills"] if kill["landed"] and kill["moment"] == moment]
        lines.append(f"| {moment} | {len(good)} | {sum(good)} |")
    total = sum(kill["landed"] for one in trials for kill in one["kills"])
    equal = sum(not one["differences"] for one in trials)
    lines += ["", f"{total} kills in {len(trials)} trials; {equal} trials ended equal to the run left alone."]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
