"""The engines that run the cells of a multirun: Hydra's launcher, joblib, Ray, SLURM; the presets lie in conf/hydra/launcher.

The engines are used as they are. Added here: what they need is checked before anything is started, only what is missing is
given to them, and a job that they lose is no lost sweep.
"""

from __future__ import annotations

import dataclasses
import logging
import math
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig, OmegaConf

from resnet_lit import others
from resnet_lit import record as records
from resnet_lit.callbacks.interrupt import Interrupted
from resnet_lit.record import Busy, Record
from resnet_lit.run import earlier
from resnet_lit.schema import Config
from resnet_lit.typed import ConfigError, Refused

log = logging.getLogger("resnet_lit")

# package of the plugin, and our extra that installs it
EXTRAS = {
    "hydra_ray_launcher": "ray",
    "hydra_submitit_launcher": "slurm",
    "hydra_joblib_launcher": "side_by_side",
    "hydra_optuna_sweeper": "optuna",
}
TRIES = 4  # of a launcher that loses all its jobs when one worker dies
# Variables that the machines of a Ray cluster get from the driver.
CARRIED = ("PYTHONPATH", "RESNET_LIT_DATA", "RESNET_LIT_CACHE")
SIGNALLED = [str(Interrupted(number)) for number in (signal.SIGTERM, signal.SIGUSR1)]  # how SLURM ends a run that may go on
ANSWER_SECONDS = 10  # that the head of a Ray cluster has to take a connection
CLIENT_PORT = 10001  # of ray://HOST
PATIENCE = 60  # seconds that runs get to write their checkpoints before joblib kills them
QUEUE_SECONDS = 5  # between two looks at SLURM's queue
ACCOUNTS_SECONDS = 60  # between two looks at its accounts, at most; submitit's 600 leave a killed job unnoticed for ten minutes
SLURM_ENDINGS = ("BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "TIMEOUT")

# How cells ended that the engines have told this process of: it knows more than the folder where a process was killed.
endings: dict[Path, Record] = {}


def check(config: DictConfig) -> None:
    """Refuse a launcher or a sweeper whose plugin is not installed, or that cannot work here. config: of the multirun."""
    for group in ("launcher", "sweeper"):
        plugin = str(config.hydra[group].get("_target_", "")).split(".")[1]
        if plugin in EXTRAS and not _is_installed(plugin):
            word = f"hydra/{group}={config.hydra.runtime.choices[f'hydra/{group}']}"
            raise Refused(f"{word}: needs {plugin.replace('_', '-')}; pip install 'resnet_lit[{EXTRAS[plugin]}]'")
    if "SlurmLauncher" in str(config.hydra.launcher.get("_target_")):
        if shutil.which("sbatch") is None:
            raise Refused("hydra/launcher=slurm: there is no sbatch here; run the command on a login node of the cluster")
        _prepare_slurm()


def runs_here(config: DictConfig) -> bool:
    """Whether a multirun's launcher runs its cells on this machine, and so on the data that are here."""
    launcher = config.hydra.launcher
    kind = str(launcher.get("_target_", "")).rpartition(".")[2]
    return kind in ("BasicLauncher", "JoblibLauncher") or (kind == "RayLauncher" and launcher.ray.init.get("address") == "local")


def _is_installed(plugin: str) -> bool:
    try:
        return find_spec(f"hydra_plugins.{plugin}") is not None
    except ModuleNotFoundError:
        return False


def guard(cell: Callable[[Sequence[str]], tuple[Config, Path]]) -> None:
    """Put a guard before the next launcher that Hydra makes. cell: config and folder of a cell, from its words."""
    plugins = Plugins.instance()
    instantiate = plugins.instantiate_launcher

    def guarded(**arguments: Any) -> Launcher:
        del plugins.instantiate_launcher  # Hydra's own again: the singleton travels to other processes
        return Guard(instantiate(**arguments), cell)

    plugins.instantiate_launcher = guarded  # type: ignore[assignment,method-assign]


class Guard(Launcher):
    """Starts by another launcher what has not ended yet, and answers for the rest from the folders.

    At the end it waits for what another process trains, takes its results, and starts what that process has left behind.
    """

    def __init__(self, launcher: Launcher, cell: Callable[[Sequence[str]], tuple[Config, Path]]) -> None:
        self.launcher, self.cell = launcher, cell
        if "Slurm" in type(launcher).__name__:
            launcher.task_function = Requeued(launcher.task_function)  # type: ignore[attr-defined]
        self.seen: dict[Any, tuple[str, str] | None] = {}  # data that were looked at
        self.put_aside: set[Path] = set()  # folders that were asked for an earlier run

    def setup(self, **_: Any) -> None:  # it is set up already
        pass

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        jobs = self._launch(job_overrides, initial_job_idx)
        while elsewhere := [i for i, job in enumerate(jobs) if (_value(job) or {}).get("status") == "running"]:
            folders = [Path(_value(jobs[i])["folder"]) for i in elsewhere]
            others.wait(folders)
            for folder in folders:
                endings.pop(folder, None)
            again = self._launch([job_overrides[i] for i in elsewhere], initial_job_idx)
            for i, job in zip(elsewhere, again, strict=True):
                jobs[i] = job
        return jobs

    def _launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> list[JobReturn]:
        cells = [self.cell(words) for words in job_overrides]
        found: dict[Path, Any] = {}
        for number in range(1, TRIES + 1):
            left = [i for i, (config, folder) in enumerate(cells) if folder not in found and not self._ended(config, folder)]
            if not left:
                break
            try:
                if type(self.launcher).__name__ == "RayLauncher":
                    _start_ray(self.launcher)
                with _sparing([cells[i][1] for i in left]) if "Joblib" in type(self.launcher).__name__ else nullcontext():
                    returns = self.launcher.launch([job_overrides[i] for i in left], initial_job_idx)
            except Refused:
                raise
            except Exception as error:  # the engines have classes of their own
                if type(self.launcher).__name__ == "BasicLauncher":  # it loses no job: the folder cannot be written, or the like
                    raise
                log.warning("%s has lost a job: %s", type(self.launcher).__name__, " ".join(str(error).split())[:300])
                if "Slurm" in type(self.launcher).__name__:  # the others go on without it
                    _wait_for_slurm()
                    break
                if number == TRIES:
                    log.warning("given up after %d tries", TRIES)
                continue
            found |= {cells[i][1]: job for i, job in zip(left, returns, strict=True)}
            endings.update({folder: value for folder, job in found.items() if isinstance(value := _value(job), dict)})
        return [found.get(folder) or _from_folder(words, folder) for words, (_, folder) in zip(job_overrides, cells, strict=True)]

    def _ended(self, config: Config, folder: Path) -> bool:
        """Whether there is nothing left to train. What is busy or refused goes to the engine: a job says so of itself."""
        if config.fresh and folder in self.put_aside:  # once: what is there now is of this sweep
            config = dataclasses.replace(config, fresh=False)
        self.put_aside.add(folder)
        try:
            return not config.is_debug and earlier(config, folder, seen=self.seen) is not None
        except (Busy, Refused):
            return False


def _value(job: JobReturn) -> Any:
    return job.return_value if job.status == JobStatus.COMPLETED else None


def _from_folder(words: Sequence[str], folder: Path) -> JobReturn:
    """What a job would return that finds its run ended."""
    from resnet_lit.job import result_of

    try:
        record = records.read(folder) or {"status": "failed", "reason": "its job ended unexpectedly"}
    except records.FolderError as error:
        record = {"status": "failed", "reason": str(error)}
    job = JobReturn(overrides=list(words), status=JobStatus.COMPLETED)
    job.return_value = result_of({**record, "folder": str(folder)})
    return job


# --- joblib


@contextmanager
def _sparing(folders: Sequence[Path]) -> Iterator[None]:
    """On Ctrl-C joblib kills its workers and what they have started: the runs are told before, and write their checkpoints."""

    def stop(*_: object) -> None:
        signal.signal(signal.SIGINT, before)  # a second one is joblib's
        for process in _running(folders):  # not SIGINT: a terminal has sent them one already, and a second ends them at once
            os.kill(process, signal.SIGTERM)
        until = time.monotonic() + PATIENCE
        while _running(folders) and time.monotonic() < until:
            time.sleep(0.1)
        raise KeyboardInterrupt

    before = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _running(folders: Sequence[Path]) -> list[int]:
    """The processes on this machine that train in `folders`."""
    found = []
    for folder in folders:
        try:
            record = records.read(folder) or {}
        except records.FolderError:
            continue
        if record.get("status") == "running" and record["process"]["host"] == socket.gethostname():
            found.append(int(record["process"]["pid"]))
    return found


# --- Ray


def _start_ray(launcher: Any) -> None:
    """Start or join Ray as the preset says, and divide the machines: `auto` becomes what each run gets."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # Ray's coming default, which it would announce at length
    os.environ.setdefault("RAY_kill_child_processes_on_worker_exit", "false")  # a run ends by itself then, with a checkpoint
    os.environ.setdefault("RAY_worker_niceness", "0")  # Ray's 15 starves a run wherever something else wants the cores
    import ray

    arguments: dict[str, Any] = OmegaConf.to_container(launcher.ray_cfg.init, resolve=True)  # type: ignore[assignment]
    address = arguments.get("address")
    if not ray.is_initialized():
        if address != "local":
            arguments.setdefault("runtime_env", {"env_vars": {key: os.environ[key] for key in CARRIED if key in os.environ}})
        try:
            if address not in (None, "local"):
                _reach(str(address))
            ray.init(**{key: value for key, value in arguments.items() if value is not None})
        except (ConnectionError, RuntimeError, ValueError) as error:
            first = next(iter(str(error).splitlines()), "")
            hint = "" if address == "local" else " (ray start --head starts one)"
            raise Refused(f"hydra.launcher.ray.init.address={address}: {first}{hint}") from error
    remote, nodes = launcher.ray_cfg.remote, [node["Resources"] for node in ray.nodes() if node["Alive"]]
    remote.num_gpus, remote.num_cpus = share(nodes, remote.get("num_gpus", "auto"), remote.get("num_cpus", "auto"))
    _in_one_queue(OmegaConf.to_container(remote, resolve=True))


def _reach(address: str) -> None:
    """Raise ConnectionError where nobody listens, be it an address that a dead cluster has left: Ray would try for minutes."""
    from ray._private.services import canonicalize_bootstrap_address

    if "://" not in address:
        place = canonicalize_bootstrap_address(address) or ""
    elif address.startswith("ray://"):
        place = address.removeprefix("ray://")
    else:  # a provider's own, which its package resolves
        return
    found = urlsplit(f"//{place}")
    try:
        socket.create_connection((found.hostname, found.port or CLIENT_PORT), timeout=ANSWER_SECONDS).close()
    except OSError as error:
        raise ConnectionError(f"no answer from {place}: {error.strerror or error}") from error


def _in_one_queue(options: Any) -> None:
    """Have Ray start the runs in the sweep's order: it keeps that of one function's calls; the plugin makes a function a run."""
    import ray
    from hydra_plugins.hydra_ray_launcher import _core, _launcher_util

    function: Any = ray.remote(**options)(_launcher_util._run_job)

    def launch_job(context: Any, remote: Any, config: Any, task: Any, state: Any) -> Any:
        return function.remote(hydra_context=context, sweep_config=config, task_function=task, singleton_state=state)

    _core.launch_job_on_ray = launch_job  # type: ignore[assignment]


def share(nodes: Sequence[dict[str, float]], gpus: float | str, cpus: float | str) -> tuple[float, float]:
    """GPUs and cores of each run. nodes: `GPU` and `CPU` of each machine. Raises ConfigError where none has so many.

    auto: a GPU each where there is one; the cores divided by the runs on the machine's GPUs, and a core each without GPUs.
    """
    if gpus == "auto":
        gpus = 1 if any(node.get("GPU", 0) >= 1 for node in nodes) else 0
    fitting = [node for node in nodes if node.get("GPU", 0) >= float(gpus)]
    if not fitting:
        most = max((node.get("GPU", 0) for node in nodes), default=0)
        raise ConfigError(f"hydra.launcher.ray.remote.num_gpus={gpus}: no machine has so many (at most {most:g}; 0: on the CPU)")
    if cpus == "auto":
        runs = [node["GPU"] // float(gpus) if float(gpus) else node["CPU"] for node in fitting]
        cpus = min(node["CPU"] / run for node, run in zip(fitting, runs, strict=True))
        cpus = math.floor(cpus) if cpus >= 1 else math.floor(100 * cpus) / 100  # Ray takes whole ones, or a part of one
    most = max(node.get("CPU", 0) for node in fitting)
    if most < float(cpus):
        raise ConfigError(f"hydra.launcher.ray.remote.num_cpus={cpus}: no machine has so many cores (at most {most:g})")
    return float(gpus), float(cpus)


# --- SLURM


class Requeued:
    """The task of a job. One whose run was ended by a signal has no result yet: SLURM takes the node away, and queues it again.

    A signal reaches the run and the job alike, and the run ends first. Where SLURM has no mind to queue the job again (a
    partition that preempts with a time of grace, and counts what ends within it as done) it is asked to. A job that is
    cancelled is in the state COMPLETING or CANCELLED by then, and stays ended.
    """

    def __init__(self, task: Callable[[DictConfig], Any]) -> None:
        self.task = task

    def __call__(self, config: DictConfig) -> Any:
        result, job = self.task(config), os.environ.get("SLURM_JOB_ID")
        if job is None or result["status"] != "interrupted" or result["reason"] not in SIGNALLED:
            return result
        log.warning("the run %s; the job ends without a result", result["reason"])
        state = subprocess.run(["squeue", "--noheader", "--format=%T", f"--jobs={job}"], capture_output=True, text=True).stdout
        if state.strip() == "RUNNING":
            subprocess.run(["scontrol", "requeue", job], check=False)
        os._exit(128 + signal.SIGTERM)  # past submitit, which would write a result, and the driver would take it


def _prepare_slurm() -> None:
    """Without accounting submitit would wait for ever for a job that was killed: the queue then says which jobs are left."""
    os.environ.setdefault("SUBMITIT_PREEMPT_SIGNAL", "USR1")  # the one that ends a run with a checkpoint
    try:
        shown = subprocess.run(["scontrol", "show", "config"], capture_output=True, text=True, timeout=60, check=True).stdout
    except (OSError, subprocess.SubprocessError) as error:
        why = getattr(error, "stderr", None) or str(error)
        raise Refused(f"hydra/launcher=slurm: SLURM does not answer ({why.strip().splitlines()[-1]})") from error
    storage = next((line.split("=")[1].strip() for line in shown.splitlines() if line.startswith("AccountingStorageType")), "")
    if storage in ("", "(null)", "accounting_storage/none"):
        print(
            "SLURM keeps no accounting here: a job has ended when it has left the queue, and its run folder says how",
            file=sys.stderr,
        )
        _watch_queue()
    else:
        from submitit.slurm.slurm import SlurmInfoWatcher, SlurmJob

        SlurmJob.watcher = SlurmInfoWatcher(delay_s=ACCOUNTS_SECONDS)


def _watch_queue() -> None:
    """Let submitit ask squeue, where it would ask sacct."""
    from submitit.slurm.slurm import SlurmInfoWatcher, SlurmJob

    class Queue(SlurmInfoWatcher):
        def _make_command(self) -> list[str] | None:
            waiting = self._registered - self._finished
            return ["squeue", "--me", "--states=all", "--array", "--noheader", "--format=%i|%T|%N"] if waiting else None

        def read_info(self, string: bytes | str) -> dict[str, dict[str, str]]:
            return queue_states(string if isinstance(string, str) else string.decode(), self._registered)

    SlurmJob.watcher = Queue(delay_s=QUEUE_SECONDS)


def queue_states(text: str, known: set[str]) -> dict[str, dict[str, str]]:
    """The states of the jobs `known`, from squeue's lines `id|state|nodes`; one that is not listed has left the queue."""
    listed = {words[0]: words for words in (line.strip().split("|") for line in text.splitlines()) if len(words) == 3}
    found = {}
    for job in known:
        number, state, nodes = listed.get(job, (job, "COMPLETED", ""))
        found[job] = {"JobID": number, "State": state if state in SLURM_ENDINGS else "RUNNING", "NodeList": nodes}
    return found


def _wait_for_slurm() -> None:
    """Wait until none of our jobs is left in the queue."""
    from submitit.slurm.slurm import SlurmJob

    watcher = SlurmJob.watcher
    arrays = {job.split("_")[0] for job in watcher._registered if "_" in job}  # sacct knows their elements alone
    while watcher._registered - watcher._finished - arrays:
        time.sleep(QUEUE_SECONDS)
        watcher.update()
