"""What a launcher costs: twenty runs of a one-second job, by launcher, against Hydra's own launchers with the same job.

python -m benchmarks.bench_launchers [launcher …]      default: those whose engine is installed (and answers)

The job waits for a second. Ours is a run like any other, in a process of its own, whose training has been replaced by that
second; Hydra's is a function called by the same engine, with no locked folder, no record, no process of its own. An interpreter's
start and the imports that a run makes are timed apart. SLURM: tests/cluster/slurm.sh starts one.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

from benchmarks.sides import save

RUNS, SECONDS, SLOTS = 20, 1.0, 2
# Ours and Hydra's for the same engine: words of each, and the runs at a time. Both get the same number of slots.
LAUNCHERS: dict[str, tuple[list[str], list[str], int]] = {
    "basic": ([], [], 1),
    "side_by_side": (
        ["hydra/launcher=side_by_side", f"hydra.launcher.n_jobs={SLOTS}"],
        ["hydra/launcher=joblib", f"hydra.launcher.n_jobs={SLOTS}"],
        SLOTS,
    ),
    "gpus": (
        ["hydra/launcher=gpus", f"hydra.launcher.ray.init.num_cpus={SLOTS}"],
        ["hydra/launcher=ray", "hydra.launcher.ray.init.address=local", f"+hydra.launcher.ray.init.num_cpus={SLOTS}"],
        SLOTS,
    ),
    "slurm": (
        ["hydra/launcher=slurm", "hydra.launcher.cpus_per_task=1", f"hydra.launcher.array_parallelism={SLOTS}"],
        ["hydra/launcher=submitit_slurm", "hydra.launcher.cpus_per_task=1", f"hydra.launcher.array_parallelism={SLOTS}"],
        SLOTS,
    ),
}
ENGINES = {"side_by_side": "hydra_joblib_launcher", "gpus": "hydra_ray_launcher", "slurm": "hydra_submitit_launcher"}
PLAIN = f"""
import time
import hydra

@hydra.main(version_base="1.3", config_path=None)
def job(config):
    time.sleep({SECONDS})

job()
"""
# Python reads it at its start, in every process: training is a second, everything around it is as it is.
REPLACED = f"""
import sys
if "hydra.mode=RUN" in sys.argv:
    import time
    from types import ModuleType
    training = ModuleType("resnet_lit.training")
    def train(config, folder, record, interrupt, begin, *_):
        begin()
        time.sleep({SECONDS})
        record["data"] = {{"variant": "none"}}
        record["metrics"] = dict.fromkeys(("val/accuracy", "test/accuracy", "test/accuracy_last"), 0.0)
        record["best"] = {{"epoch": 1, "step": 1, "chosen_on": "val"}}
    training.train = train
    sys.modules["resnet_lit.training"] = training
"""


def main() -> None:
    """The command."""
    wanted = sys.argv[1:] or [name for name in LAUNCHERS if _is_there(name)]
    starts = {
        "an interpreter": _seconds([sys.executable, "-c", "pass"]),
        "resnet_lit.train --help": _seconds([sys.executable, "-m", "resnet_lit.train", "--help"]),
        "what a run imports": _seconds([sys.executable, "-c", "import resnet_lit.training"]),
    }
    print("\nSeconds from start to end, the median of three")
    for name, seconds in starts.items():
        print(f"  {name:28} {seconds:6.2f} s")
    rows = {}
    print(f"\n{RUNS} runs of {SECONDS:g} s, {SLOTS} at a time but for basic: seconds a run over the job's own second")
    print(f"  {'':14} {'ours':>8} {'engine up':>10} {'hydra':>8} {'engine up':>10}")
    for name in wanted:
        ours, theirs, slots = LAUNCHERS[name]
        row = {"ours": _side(ours, slots, "ours"), "hydra": _side(theirs, slots, "hydra")}
        rows[name] = row
        shown = "".join(f" {side['over']:>8.2f} {side['first']:>10.2f}" for side in row.values())
        print(f"  {name:14}{shown}", flush=True)
    save("launchers", {"runs": RUNS, "job_seconds": SECONDS, "slots": SLOTS, "starts": starts, "launchers": rows})


def _is_there(name: str) -> bool:
    if name == "slurm" and (shutil.which("sinfo") is None or subprocess.run(["sinfo"], capture_output=True).returncode):
        return False
    return name not in ENGINES or find_spec(f"hydra_plugins.{ENGINES[name]}") is not None


def _seconds(command: list[str]) -> float:
    found = []
    for _ in range(3):
        started = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        found.append(time.perf_counter() - started)
    return sorted(found)[1]


def _side(words: list[str], slots: int, side: str) -> dict[str, float]:
    """`over`: seconds of each run beyond the job's own; `first`: of a sweep beyond its runs, with the start of its engine."""
    few, many = (_sweep(words, runs, side) for runs in (2, 2 + RUNS))
    over = (many - few) * slots / RUNS - SECONDS
    return {"first": few - 2 * (SECONDS + over) / slots, "over": over, "two": few, "all": many}


def _sweep(words: list[str], runs: int, side: str) -> float:
    """Seconds that a sweep of so many new runs takes, from Enter to the prompt."""
    seeds = f"seed=range(0,{runs})" if side == "ours" else f"+seed=range(0,{runs})"
    with tempfile.TemporaryDirectory(dir=Path("outputs").resolve()) as folder:  # the nodes share it, and git leaves it alone
        Path(folder, "sitecustomize.py").write_text(REPLACED if side == "ours" else "")
        Path(folder, "plain.py").write_text(PLAIN)
        program = ["-m", "resnet_lit.train", "-m", "+experiment=digits"]
        command = program if side == "ours" else ["plain.py", "-m", "hydra.sweep.dir=outputs"]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([folder, str(Path(__file__).resolve().parent.parent)])}
        started = time.perf_counter()
        ended = subprocess.run(
            [sys.executable, *command, *words, seeds], cwd=folder, env=environment, capture_output=True, text=True
        )
        seconds = time.perf_counter() - started
        if ended.returncode or (side == "ours" and not re.search(rf"{runs} of {runs} finished", ended.stdout)):
            sys.exit(f"{words}: ended with status {ended.returncode}: {ended.stdout[-2000:]}{ended.stderr[-2000:]}")
    return seconds


if __name__ == "__main__":
    main()
