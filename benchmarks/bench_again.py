"""A sweep typed again when every run has finished, against what Hydra takes to compose its cells; and one finished run.

python -m benchmarks.bench_again

The sweep is `+sweep=paper sweep.seeds=2`, 84 cells whose records say that they have finished. The sides take turns: our command;
a Hydra application on the same conf/ whose task does nothing (Hydra composes a cell when it looks whether it can be, and again
when it runs it); and 84 bare compositions by Hydra as it is installed, each cell once, with the start of Python.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.sides import save
from resnet_lit import record as records
from resnet_lit.config import CONF
from resnet_lit.data import sources
from resnet_lit.data.paths import request
from resnet_lit.identity import identity
from resnet_lit.preflight import Cell, cells_of
from resnet_lit.schema import to_mapping

ROUNDS = 3
SWEEP, SINGLE = ["+sweep=paper", "sweep.seeds=2"], ["+cell=model4_adam"]
# conf/ names a resolver of ours and a callback: the one gives a constant here, the other is taken out. Hydra is as installed.
STOCK = """
from resnet_lit import composing
composing.speed_up = lambda: None
"""
PLAIN = f"""
{STOCK}
import hydra
from omegaconf import OmegaConf
from resnet_lit import config
OmegaConf.register_new_resolver("run_folder", lambda: "run", replace=True)

@hydra.main(version_base="1.3", config_path={str(CONF)!r}, config_name="config")
def task(config):
    pass

task()
"""
BARE = f"""
{STOCK}
import sys
from resnet_lit.config import own_hydra
from hydra.types import RunMode
from resnet_lit.preflight import _expand
with own_hydra() as hydra:
    master = hydra.compose_config("config", sys.argv[1:], RunMode.MULTIRUN, with_log_configuration=False)
    for words in _expand(master):
        hydra.config_loader.load_sweep_config(master, words)
"""


def finish(cell: Cell, folder: Path) -> None:
    """A record that says the run has finished."""
    place = folder / cell.folder
    place.mkdir(parents=True)
    accuracy = dict.fromkeys(("val/accuracy", "test/accuracy", "test/accuracy_last"), 0.9)
    known = {"identity": identity(cell.config), "config": to_mapping(cell.config), "name": cell.config.name}
    ended = {"status": "finished", "reason": None, "metrics": accuracy, "best": {"epoch": 1, "step": 1, "chosen_on": "test"}}
    data = cell.config.data
    seen = sources.identify(**request(data)) or ("none", "none")
    images = {"data": {"variant": seen[0], "hash": seen[1]}, "process": records.process()}
    images |= {"git": records.git(), "sources": {"resnet_lit": records.source_hash()}}
    about = {"label": cell.config.label, "seed": cell.config.seed, **images, "started": records.now(), "ended": records.now()}
    records.write(place, {**known, **ended, **about, "scale": None, "debug": False, "protocol": cell.config.protocol})


def main() -> None:
    """The command."""
    seconds: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for cell in {cell.folder: cell for cell in [*cells_of(SWEEP), *cells_of(SINGLE)]}.values():
            finish(cell, folder)
        (folder / "plain.py").write_text(PLAIN)
        (folder / "bare.py").write_text(BARE)
        ours = ["-m", "resnet_lit.train"]
        sides = {
            "84 finished runs typed again": [*ours, *SWEEP],
            "the same by a Hydra application": ["plain.py", "~hydra.callbacks.preflight", "hydra.sweep.dir=plain", *SWEEP],
            "84 bare compositions": ["bare.py", *SWEEP],
            "a finished run typed again": [*ours, *SINGLE],
            "import resnet_lit.train": ["-c", "import resnet_lit.train"],
        }
        for number in range(ROUNDS + 1):
            for side, words in sides.items():
                started = time.perf_counter()
                ended = subprocess.run([sys.executable, *words], cwd=folder, capture_output=True, text=True, check=False)
                if number:  # the first round reads the files from disk
                    seconds.setdefault(side, []).append(time.perf_counter() - started)
                if ended.returncode:
                    sys.exit(f"{side}: ended with status {ended.returncode}: {ended.stdout[-2000:]}{ended.stderr[-2000:]}")
    medians = {side: statistics.median(found) for side, found in seconds.items()}
    print(f"\nSeconds from Enter, {ROUNDS} rounds in turns")
    for side, found in seconds.items():
        print(f"  {side:34} {medians[side]:6.2f} s  ({min(found):.2f} to {max(found):.2f})")
    again, application, bare = list(medians.values())[:3]
    print(f"  typed again: {again / application:.2f} x a Hydra application, {again / bare:.2f} x the bare compositions")
    save("again", {"seconds": medians, "over_application": again / application, "over_bare": again / bare})


if __name__ == "__main__":
    main()
