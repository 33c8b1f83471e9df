"""A sweep of the paper's cells at smoke scale whose processes are killed at random, against one that was left alone.

python -m benchmarks.kill_sweep                                # 12 kills: workers, training jobs and the driver, by Ray
python -m benchmarks.kill_sweep --kills=20 --seed=1 --to=DIR   # everything lies in DIR (default outputs/kill_sweep)
python -m benchmarks.kill_sweep --compare A B                  # two sweep folders, cell by cell

The sweep is `+sweep=paper +scale=smoke sweep.seeds=2`, 84 runs, deterministic, one thread a run. SIGKILL hits one process at a
time; the command is typed again whenever its driver has died, or has ended with casualties. In the end every cell must be there
once, and hold what the same cell of the undisturbed sweep holds: weights, metrics, events, answers to the test set.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from benchmarks.kill_matrix import compare
from resnet_lit.record import RESULT, git, hardware, now, versions

WORDS = (
    *("+sweep=paper", "+scale=smoke", "sweep.seeds=2", "deterministic=true"),
    *("hydra/launcher=gpus", "hydra.launcher.ray.init.num_cpus=2"),
)
KINDS = ("training job", "worker", "driver")
RUNS = 84


def main() -> None:
    words = sys.argv[1:]
    if words[:1] == ["--compare"] and len(words) == 3:
        different = compare_sweeps(Path(words[1]), Path(words[2]))
        sys.exit(bool(different))
    options = dict(word.partition("=")[::2] for word in words)
    if set(options) - {"--kills", "--seed", "--to"}:
        sys.exit(__doc__)
    to, kills, seed = (
        Path(options.get("--to", "outputs/kill_sweep")),
        int(options.get("--kills", 12)),
        int(options.get("--seed", 0)),
    )
    to.mkdir(parents=True, exist_ok=True)
    undisturbed, disturbed = to / "undisturbed", to / "disturbed"
    if (status := _start(undisturbed).wait()) != 0:
        sys.exit(f"the undisturbed sweep ended with status {status}; see {undisturbed}.log")
    done, typed = disturb(disturbed, kills, random.Random(seed))
    different = compare_sweeps(undisturbed, disturbed)
    counts = Counter(kill["kind"] for kill in done)
    result = {"kills": done, "typed": typed, "different": different, "command": " ".join(words), "ended": now()}
    about = {"git": git(), "versions": versions(), "hardware": hardware()}
    (to / "kill_sweep.json").write_text(json.dumps({**about, **result}, indent=1) + "\n")
    print(", ".join(f"{kind} killed {counts[kind]} times" for kind in KINDS) + f"; the command was typed {typed} times")
    sys.exit(bool(different))


def _start(folder: Path) -> subprocess.Popen[bytes]:
    """The sweep, with its folder as the mark by which its processes are found."""
    with folder.with_suffix(".log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "resnet_lit.train", *WORDS, f"hydra.sweep.dir={folder.absolute()}"],
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def disturb(folder: Path, kills: int, draw: random.Random) -> tuple[list[dict[str, object]], int]:
    """Kill processes of the sweep and type it again until it is whole. Gives the kills, and how often it was typed."""
    done: list[dict[str, object]] = []
    # Spread over the sweep: one in each part of it, when so many runs have finished and a moment more has passed.
    due = [(RUNS * (part + draw.uniform(0, 0.9)) / kills, draw.uniform(0, 6)) for part in range(kills)]
    driver, typed, reached = _start(folder), 1, None
    while True:
        time.sleep(0.2)
        status = driver.poll()
        if status == 0 and len(done) >= kills:
            return done, typed
        if status == 0:
            raise RuntimeError(f"the sweep was whole after {len(done)} kills of {kills}")
        if status is not None:
            if typed > 2 * kills + 2:
                raise RuntimeError(f"typed {typed} times, and still not whole; see {folder}.log")
            driver, typed = _start(folder), typed + 1
        elif len(done) < kills and (finished := _finished(folder)) >= due[len(done)][0]:
            reached = reached or time.monotonic()
            if time.monotonic() < reached + due[len(done)][1]:
                continue
            kind = KINDS[len(done) % len(KINDS)]  # each kind as often
            victims = [driver.pid] if kind == "driver" else _processes(kind, driver.pid, folder)
            if not victims:
                continue
            os.kill(draw.choice(victims), signal.SIGKILL)
            done.append({"kind": kind, "finished": finished})
            print(f"{now()} {kind} killed, {finished} of {RUNS} runs finished", flush=True)
            reached = None


def _finished(folder: Path) -> int:
    return sum('"status": "finished"' in path.read_text() for path in folder.glob("*/*/" + RESULT))


def _processes(kind: str, driver: int, folder: Path) -> list[int]:
    """Living processes of a kind: jobs that train a cell in `folder`, or the workers that wait for them."""
    jobs = {}
    for entry in Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes().decode().split("\0") if entry.name.isdigit() else []
            if "resnet_lit.train" in words and any(word.startswith("hydra.run.dir=") and str(folder) in word for word in words):
                jobs[int(entry.name)] = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
        except (OSError, ValueError):  # it has just ended
            continue
    return list(jobs) if kind == "training job" else [parent for parent in set(jobs.values()) if parent not in (1, driver)]


def compare_sweeps(first: Path, second: Path) -> dict[str, list[str]]:
    """What differs between the cells of two sweeps, by cell; printed as well."""
    cells = [sorted(str(path.parent.relative_to(sweep)) for path in sweep.glob("*/*/" + RESULT)) for sweep in (first, second)]
    different = {cell: ["in one of the sweeps alone"] for cell in set(cells[0]) ^ set(cells[1])}
    for cell in sorted(set(cells[0]) & set(cells[1])):
        if found := compare(first / cell, second / cell):
            different[cell] = found
    print(f"{len(cells[0])} and {len(cells[1])} cells, {len(different)} of them different", flush=True)
    for cell, why in different.items():
        print(f"  {cell}: {'; '.join(why)}")
    return different


if __name__ == "__main__":
    main()
