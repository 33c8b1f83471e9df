"""What a run leaves on disk, and reading it back: result.json, written at the start and replaced atomically. No torch here.

The keys of result.json are documented in docs/record.md. A record says `running` while its process lives; a reader takes
`running` with a dead holder for `interrupted`: one on this machine is looked up, one on another is dead when its heartbeat is
minutes old.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from resnet_lit import heartbeat
from resnet_lit.heartbeat import HEARTBEAT, Heartbeat
from resnet_lit.typed import Refused

SCHEMA_VERSION = 1
RESULT = "result.json"
METRICS = "metrics.csv"
LOG = "train.log"
LOCK = ".lock"
BUILT = "built.json"
GLANCE_SECONDS = 0.3  # one who asks whether a folder is held has its lock for less
ENDED = ("finished", "diverged")  # results: typed again, they are returned
PACKAGES = ("torch", "torchvision", "lightning", "torchmetrics", "hydra-core", "omegaconf", "tensorboard", "numpy", "pillow")

Record = dict[str, Any]


class FolderError(Refused):
    """The run's folder cannot be used: it holds another run, or cannot be written."""


class Busy(Exception):
    """Another living process trains this run; exit status 75."""


def now() -> str:
    """The time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def read(folder: str | Path) -> Record | None:
    """The record of a run folder, None where there is none. Raises FolderError where it is damaged."""
    path = Path(folder) / RESULT
    try:
        record = json.loads(path.read_text())
        status = record["status"]
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise FolderError(
            f"{path}: not a record of a run ({error}); use another folder, or fresh=true to put it aside"
        ) from error
    if status == "running" and not is_alive(record.get("process", {}), folder):
        record["status"], record["reason"] = "interrupted", "its process ended without a word (killed, or out of memory)"
    return record


def write(folder: str | Path, record: Record) -> None:
    """Replace result.json by `record`, with its digest, in one step: a reader sees the old one or the new one."""
    folder = Path(folder)
    record = {"schema_version": SCHEMA_VERSION, **record}
    record["digest"] = digest(folder, record)
    write_text(folder / RESULT, json.dumps(record, indent=2, allow_nan=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a file in one step: temporary file, fsync, rename."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def digest(folder: str | Path, record: Record) -> str:
    """sha256 of the record (but for the digest itself) and of metrics.csv: shows an edit or a file cut short."""
    content = {key: value for key, value in record.items() if key != "digest"}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    metrics = Path(folder) / METRICS
    return hashlib.sha256(text.encode() + (metrics.read_bytes() if metrics.is_file() else b"")).hexdigest()


def is_whole(folder: str | Path, record: Record) -> bool:
    """Whether the record and metrics.csv are as they were written."""
    return record.get("digest") == digest(folder, record)


@contextmanager
def lock(folder: str | Path) -> Iterator[Heartbeat]:
    """Hold the run's folder; released by the system when the process dies. Raises Busy where another process holds it.

    Yields the heartbeat that names this process meanwhile. Between machines whose file system passes no locks on, the
    heartbeat of a living holder is respected like a lock.
    """
    if not os.access(folder, os.W_OK):
        raise FolderError(f"{folder}: cannot be written; choose another folder with hydra.run.dir=<folder>")
    if _other_holder(folder) is not None:
        raise Busy(busy_text(folder))
    guard = FileLock(Path(folder) / LOCK, timeout=GLANCE_SECONDS)
    try:
        guard.acquire()
    except Timeout:
        raise Busy(busy_text(folder)) from None
    try:
        with Heartbeat(Path(folder) / HEARTBEAT, process()) as heart:
            yield heart
    finally:
        guard.release()


def is_held(folder: str | Path) -> bool:
    """Whether a living process holds the run's folder."""
    if _other_holder(folder) is not None:
        return True
    if not (Path(folder) / LOCK).exists():
        return False
    try:
        with FileLock(Path(folder) / LOCK, timeout=0):
            return False
    except Timeout:
        return True


def _other_holder(folder: str | Path) -> Record | None:
    """The living process, not this one, whose heartbeat lies in the folder."""
    holder, me = heartbeat.read(Path(folder) / HEARTBEAT), process()
    if holder is None or me == {key: holder.get(key) for key in me} or not is_alive(holder, folder):
        return None
    return holder


def busy_text(folder: str | Path) -> str:
    """Who trains the run in `folder`."""
    holder = heartbeat.read(Path(folder) / HEARTBEAT) or (read(folder) or {}).get("process", {})
    who = f"process {holder.get('pid', '?')} on {holder.get('host', '?')}"
    return f"{folder}: {who} is training this run; wait for it, or end it first"


def set_aside(folder: Path) -> Path:
    """Rename a run's folder to the first free `<folder>.<n>`."""
    number = 1
    while (aside := folder.with_name(f"{folder.name}.{number}")).exists():
        number += 1
    folder.rename(aside)
    return aside


# --- provenance: who, where, with what


def process() -> Record:
    """This process, so that another can tell whether it still lives."""
    return {"host": socket.gethostname(), "pid": os.getpid(), "started": _start_time(os.getpid())}


def is_alive(holder: Record, folder: str | Path) -> bool:
    """Whether the process that a record or a heartbeat in `folder` names lives. On another host: whether its heart beats."""
    if not holder:
        return False
    if holder.get("host") != socket.gethostname():
        return heartbeat.age(Path(folder) / HEARTBEAT) < heartbeat.DEAD_SECONDS
    try:
        os.kill(int(holder["pid"]), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return holder.get("started") in (None, _start_time(int(holder["pid"])))


def _start_time(pid: int) -> int | None:
    """When a process started, in clock ticks since boot: tells a process from a later one with its number. Linux only."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else int(fields[19])


def git() -> Record:
    """Commit of the repository that the package lies in, and whether files differ from it.

    For a package without a repository, what BUILT beside it says of the one that it was made from; else nulls.
    """
    package = Path(__file__).resolve().parent
    root, none = package.parent, _built_from(package / BUILT)
    if not (root / ".git").exists():
        return none
    try:
        commit = subprocess.run(["git", "-C", root, "rev-parse", "HEAD"], capture_output=True, text=True, timeout=20, check=True)
        status = subprocess.run(
            ["git", "-C", root, "status", "--porcelain"], capture_output=True, text=True, timeout=20, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return none
    return {"commit": commit.stdout.strip(), "dirty": bool(status.stdout.strip())}


def _built_from(path: Path) -> Record:
    try:
        said = json.loads(path.read_text())
        return {"commit": said["commit"], "dirty": said["dirty"]}
    except (OSError, ValueError, KeyError, TypeError):
        return {"commit": None, "dirty": None}


def versions() -> Record:
    """Python and the packages that a result depends on."""
    found: Record = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = None
    return found


def hardware() -> Record:
    """Processor, cores that this process may use, memory in GiB. Accelerators are added by training."""
    model, flags = platform.processor() or platform.machine(), ""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
            elif line.startswith("flags"):
                flags = line
                break
        memory = round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (OSError, ValueError):
        memory = None
    return {
        "cpu": model,
        "cores": usable_cores(),
        "avx512": "avx512f" in flags if flags else None,
        "memory_gib": memory,
        "devices": [],
    }


def usable_cores() -> int:
    """Cores that this process may use: its affinity, and the quota of its control group where one is set."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        if quota != "max":
            cores = min(cores, max(1, int(quota) // int(period)))
    except (OSError, ValueError):
        pass
    return cores


def default_threads() -> int:
    """CPU threads of a run with `threads=auto`: what OMP_NUM_THREADS says (launchers divide the cores by it), else all cores."""
    said = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    return min(int(said), usable_cores()) if said.isdigit() and int(said) > 0 else usable_cores()


def source_hash() -> str:
    """sha256 of the package's own Python source: tells whether it has changed since a run was trained."""
    package = Path(__file__).resolve().parent
    total = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        total.update(path.relative_to(package).as_posix().encode() + b"\0" + path.read_bytes())
    return total.hexdigest()
