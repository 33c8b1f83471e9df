"""The planner's forecasts against the real runs made right after them.

python -m benchmarks.forecasts                 # all that is not measured yet: about 35 minutes on 2 cores
python -m benchmarks.forecasts --only=3        # the third alone
python -m benchmarks.forecasts --to=DIR        # forecasts.json, forecasts.md and the runs lie in DIR (default outputs/forecasts)

Each pair is written as it comes; typed again, the command goes on with the next one. Measured is what a user waits, from the
command typed to its end. Run it on a machine that does nothing else; the load before each forecast and after each run is kept.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from resnet_lit.formatting import duration
from resnet_lit.record import git, hardware, versions

SMALL = ("+experiment=model1", "name=small", "model.blocks=[1,1,1]", "model.strides=[2,2,2]")  # 51 M multiply-adds
TINY = ("+experiment=model1", "name=tiny", "model.blocks=[1,1,1]", "model.channels=[16,32,64]", "model.strides=[1,2,2]")
RUNS: dict[str, tuple[str, ...]] = {  # five to ten minutes each where Model 4 trains 80 to 100 images/s
    "Model 4, eager, batch 128, ends within an epoch": ("+experiment=model4", "trainer.max_steps=180", "compile=false"),
    "Model 4, compiled, batch 64, Adam": (
        *("+experiment=model4", "data.batch_size=64", "optimizer=adam", "compile=default"),
        *("data.limit_train=7000", "trainer.max_epochs=3"),
    ),
    "small, compiled, batch 128": (*SMALL, "compile=default", "trainer.max_epochs=3"),
    "Model 2, eager, batch 256, all augmentations": (
        *("+experiment=model2", "data.batch_size=256", "augment=all", "compile=false"),
        *("data.limit_train=15000", "trainer.max_epochs=3"),
    ),
    "tiny, eager, batch 32, the paper's protocol": (
        *TINY,
        "data.batch_size=32",
        "protocol=paper",
        "compile=false",
        "trainer.max_epochs=6",
    ),
}


def main() -> None:
    options = dict(word.partition("=")[::2] for word in sys.argv[1:])
    if set(options) - {"--only", "--to"}:
        sys.exit(__doc__)
    folder = Path(options.get("--to", "outputs/forecasts"))
    folder.mkdir(parents=True, exist_ok=True)
    kept = folder / "forecasts.json"
    if not kept.exists():
        if any(folder.iterdir()):
            sys.exit(f"--to={folder}: holds files of others, and folders in it are replaced; name a new one")
        kept.write_text("{}\n")
    found: dict[str, Any] = json.loads(kept.read_text())
    for number, (name, words) in enumerate(RUNS.items(), start=1):
        if options.get("--only", str(number)) != str(number) or found.get(name, {}).get("words") == [*words]:
            continue
        print(f"[{number}/{len(RUNS)}] {name}", flush=True)
        found[name] = pair(words, folder / f"run{number}")
        kept.write_text(json.dumps(found, indent=1) + "\n")
        (folder / "forecasts.md").write_text(table(found))
    print(table(found), end="")


def pair(words: tuple[str, ...], folder: Path) -> dict[str, Any]:
    """A forecast, and the run after it."""
    shutil.rmtree(folder, ignore_errors=True)
    here = (*words, f"hydra.run.dir={folder}", "checkpoint.keep=none", "progress=plain")
    load, began = os.getloadavg(), time.perf_counter()
    planned = subprocess.run([sys.executable, "-m", "resnet_lit.plan", "--json", *here], check=True, stdout=subprocess.PIPE)
    planning = time.perf_counter() - began
    (forecast,) = (run["forecast"] for run in json.loads(planned.stdout)["runs"])
    began = time.perf_counter()
    subprocess.run([sys.executable, "-m", "resnet_lit.train", *here], check=True)
    took = time.perf_counter() - began
    record = json.loads((folder / "result.json").read_text())
    return {
        "words": [*words],
        "forecast": forecast,
        "planning_seconds": planning,
        "measured": took,
        "inside": forecast["low"] <= took <= forecast["high"],
        "timing": record["timing"],
        "data": record["data"]["variant"],
        "load": [load[0], os.getloadavg()[0]],
        "git": git(),
        "versions": versions(),
        "hardware": hardware(),
    }


def table(found: dict[str, Any]) -> str:
    """The pairs as Markdown, with the median error."""
    lines = [
        "| run | forecast | 90 % interval | measured | error | inside | load before, after |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    errors = []
    for name, one in found.items():
        forecast, took = one["forecast"], one["measured"]
        errors.append(forecast["total"] / took - 1)
        cells = [
            name,
            duration(forecast["total"]),
            f"{duration(forecast['low'])} to {duration(forecast['high'])}",
            duration(took),
        ]
        cells += [f"{errors[-1]:+.1%}", "yes" if one["inside"] else "no", "{:.1f}, {:.1f}".format(*one["load"])]
        lines.append(f"| {' | '.join(cells)} |")
    inside = sum(one["inside"] for one in found.values())
    median = statistics.median(map(abs, errors)) if errors else float("nan")
    lines.append(f"\n{inside} of {len(found)} inside the interval; median error {median:.1%}.")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
