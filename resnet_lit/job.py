"""What Hydra calls: one run in this process, or, for a cell of a multirun, one in a process of its own."""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import OmegaConf

from resnet_lit import crashes
from resnet_lit import record as records
from resnet_lit.command_line import quoted
from resnet_lit.hydra_session import source_of
from resnet_lit.record import Busy, Record
from resnet_lit.run import earlier
from resnet_lit.schema import Config
from resnet_lit.typed import Refused
from resnet_lit.watchdog import Watchdog

log = logging.getLogger("resnet_lit")

PARENT = "RESNET_LIT_PARENT"  # process number of the driver, for a cell's process: it ends when its driver is gone
TAIL_LINES = 20
_data_seen: dict[Any, tuple[str, str] | None] = {}  # by the cells of this multirun
_watching = False  # for the end of the process that started this one
FULL_ERROR = "RESNET_LIT_FULL_ERROR"  # HYDRA_FULL_ERROR as the user set it, also in the processes that a driver starts
os.environ.setdefault(FULL_ERROR, os.environ.get("HYDRA_FULL_ERROR", "0"))


def run_cell(config: Config, folder: Path, words: list[str]) -> Record:
    """Train one cell in a process of its own, started with the command line of a single run. Never raises.

    Returns the record in `folder`, at once where the run has ended before; where there is none, one that says why.
    """
    try:
        if not config.is_debug and (done := earlier(config, folder, seen=_data_seen)) is not None:
            return {**done, "folder": str(folder)}
    except Busy as error:
        return {"status": "running", "reason": str(error), "folder": str(folder)}
    except Refused as error:
        return {"status": "refused", "reason": str(error), "folder": str(folder)}
    kept = ["checkpoint.keep=best"] if config.checkpoint.keep == "auto" else []
    command = [sys.executable, "-m", "resnet_lit.train", *words, *kept]
    environment = {**os.environ, PARENT: str(os.getpid())}
    environment["HYDRA_FULL_ERROR"] = environment.pop(FULL_ERROR)
    if "SLURM_CPUS_PER_TASK" in os.environ:
        environment.setdefault("OMP_NUM_THREADS", os.environ["SLURM_CPUS_PER_TASK"])
    environment.pop("SLURM_NTASKS", None)  # Lightning would take the cell for one of several tasks that SLURM has started
    tail: list[str] = []
    memory_kills = kills_for_memory()
    try:
        process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
    except OSError as error:
        return {"status": "failed", "reason": f"could not be started: {error}", "folder": str(folder)}
    with Watchdog(process, folder, config.sweep.stall_minutes) as watchdog:
        try:
            _follow(process, tail, watchdog)
        except KeyboardInterrupt:
            process.send_signal(signal.SIGINT)  # the cell has a session of its own: it hears Ctrl-C from here alone, and once
            _follow(process, tail, watchdog)
            raise
    short = memory_kills is not None and (kills_for_memory() or 0) > memory_kills
    return {**_ending(folder, process, tail, watchdog.reason, short), "folder": str(folder)}


def _ending(folder: Path, process: subprocess.Popen[str], tail: list[str], stalled: str | None, short: bool) -> Record:
    """How a cell's process has ended: its record, or what can be said without one.

    stalled: why it was ended from here. short: meanwhile the kernel has killed a process of this group for want of memory.
    """
    status = process.wait()
    last = next((line for line in reversed(tail) if line.strip()), "")
    try:
        record = records.read(folder)
    except records.FolderError as error:
        return {"status": "failed", "reason": str(error)}
    if status == 75:
        return {**(record or {}), "status": "running", "reason": last}
    why = stalled or (killed_by(-status, short) if status < 0 else None)
    if record is None or (record.get("process", {}).get("pid") != process.pid and status not in (0, 1)):  # it had not begun
        return {"status": "refused" if status == 2 else "failed", "reason": why or last or f"exit status {status}"}
    if record["status"] == "interrupted" and why is not None:
        record = _write_down(folder, record, why)
    return record


def killed_by(number: int, short: bool = False) -> str:
    """`killed by signal 9 (SIGKILL)`; with `out of memory` where the kernel has counted that it killed for it."""
    out_of_memory = short and number == signal.SIGKILL
    return crashes.killed_by(number) + (": the kernel reports a process killed for lack of memory" if out_of_memory else "")


def kills_for_memory(cgroup: Path | None = None) -> int | None:
    """How many processes of this one's control group, or below it, the kernel has killed for want of memory; None: not known.

    cgroup: the group's folder; by default what /proc says (version 2 of control groups).
    """
    try:
        if cgroup is None:
            line = next(line for line in Path("/proc/self/cgroup").read_text().splitlines() if line.startswith("0::"))
            cgroup = Path("/sys/fs/cgroup") / line.removeprefix("0::").lstrip("/")
        counts = dict(line.split() for line in (cgroup / "memory.events").read_text().splitlines())
        return int(counts["oom_kill"])
    except (OSError, StopIteration, KeyError, ValueError):
        return None


def _write_down(folder: Path, record: Record, why: str) -> Record:
    """The record with the reason that its process could not write itself; on disk too, unless another has taken over."""
    record = {**record, "reason": why, "ended": record.get("ended") or records.now()}
    try:
        with records.lock(folder):
            if (records.read(folder) or {}).get("process") == record.get("process"):
                records.write(folder, record)
    except (Busy, Refused, OSError) as error:
        log.warning("%s: %s", folder, error)
    return record


def _follow(process: subprocess.Popen[str], tail: list[str], watchdog: Watchdog) -> None:
    """Read what a cell's process prints to its end, keeping the last lines."""
    assert process.stdout is not None
    for line in process.stdout:
        watchdog.printed()
        tail.append(line.rstrip())
        del tail[:-TAIL_LINES]
    process.wait()


def words_of_cell() -> list[str]:
    """The command line of a single run for the cell that Hydra is at: its words, its folder, and nothing of the sweep."""
    hydra = HydraConfig.get()
    kept = []
    for word in OmegaConf.to_container(hydra.overrides.hydra):  # type: ignore[union-attr]
        if (
            not str(word)
            .lstrip("+~")
            .startswith(("hydra.sweep", "hydra.mode", "hydra/launcher", "hydra/sweeper", "hydra.launcher", "hydra.run"))
        ):
            kept.append(str(word))
    folder = str(Path(hydra.runtime.output_dir))
    options = source_of(hydra).options()
    task = [str(word) for word in hydra.overrides.task]
    return [*options, *task, *kept, f"hydra.run.dir={quoted(folder)}", "hydra.mode=RUN", "progress=plain"]


def is_cell() -> bool:
    """Whether Hydra is at a cell of a multirun."""
    return HydraConfig.get().mode == RunMode.MULTIRUN


def settle_in(is_worker: bool) -> None:
    """Before a cell, in a process that a launcher may have started on another machine: go where the driver was started.

    is_worker: it is not the driver's own; it then ends with the process that started it, and its cell with it.
    """
    here = str(HydraConfig.get().runtime.cwd)
    try:
        os.chdir(here)
    except OSError as error:
        raise Refused(
            f"{here}: not on {socket.gethostname()} ({error.strerror}); the machines of a sweep share a folder"
        ) from error
    global _watching
    if is_worker and not _watching:
        _watching = True
        _end_without(os.getppid())


def end_with_parent() -> None:
    """In a cell's process: end, with a checkpoint, when the driver is gone; a driver that is killed can tell nobody."""
    parent = os.environ.pop(PARENT, None)
    if parent is not None:
        _end_without(int(parent))


def _end_without(parent: int) -> None:
    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


class Result(dict[str, Any]):
    """What a job returns to Hydra: small and plain, it travels between machines. As a number: what a search maximises."""

    def __float__(self) -> float:
        if self["status"] == "diverged":
            return 0.0  # no network at all: the search learns to keep away
        try:
            return float(self["metrics"]["val/accuracy"])
        except (KeyError, TypeError):
            raise ValueError(f"{self['folder']}: {self['status']}: {self['reason'] or 'no validation accuracy'}") from None


def result_of(record: Record) -> Result:
    """The part of a record that Hydra gets."""
    return Result({key: record.get(key) for key in ("status", "reason", "folder", "metrics")})
