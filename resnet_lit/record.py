"""What a run leaves on disk, and reading it back: result.json, written at the start and replaced atomically. No torch here.

The keys of result.json are documented in docs/record.md. `read` is the one reader: no number of a run is taken from a record
whose digest does not match. A record says `running` while its process lives; `running` with a dead holder is read as
`interrupted`: one on this machine is looked up, one on another is dead when its heartbeat is minutes old.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import secrets
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from resnet_lit import crashes, heartbeat
from resnet_lit.durable import write_text
from resnet_lit.heartbeat import HEARTBEAT, Heartbeat
from resnet_lit.typed import Refused

SCHEMA_VERSION = 1
RESULT = "result.json"
METRICS = "metrics.csv"
OUTPUTS = "test_outputs.npz"
LOG = "train.log"
LOCK = ".lock"
BUILT = "built.json"
GLANCE_SECONDS = 0.3  # one who asks whether a folder is held has its lock for less
ENDED = ("finished", "diverged")  # results: the same command again returns them
DEAD = "its process ended unexpectedly (a signal, a crash or a power cut)"
PACKAGES = ("torch", "torchvision", "lightning", "torchmetrics", "hydra-core", "omegaconf", "tensorboard", "numpy", "pillow")

Record = dict[str, Any]


class FolderError(Refused):
    """The run's folder cannot be used: it holds another run, or cannot be written."""


class Damaged(FolderError):
    """What lies in a run's folder is not what the run wrote there. `reason`: the same in a few words, without path and remedy."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}; restore it, use another folder, or set the run aside with fresh=true")
        self.reason = reason


class Busy(Exception):
    """Another living process trains this run; exit status 75."""


class TakenOver(Busy):
    """This process gave no sign of life for minutes and another has taken its run over: nothing more may be written here."""


def now() -> str:
    """The time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def read(folder: str | Path) -> Record | None:
    """The record of a run folder, None where there is none.

    Raises Damaged where it cannot be read, or where it is not as the run wrote it, or metrics.csv of a run that has ended. A
    record without a digest is read as it is: `unverified` says so.
    """
    path = Path(folder) / RESULT
    try:
        record = json.loads(path.read_bytes())
        status = record["status"]
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, OSError, RecursionError) as error:
        raise Damaged(path, f"not a record of a run, it may have been cut short ({_one_line(error)})") from error
    if record.get("schema_version", SCHEMA_VERSION) != SCHEMA_VERSION:
        raise Damaged(path, f"schema_version {record['schema_version']!r}: this version reads {SCHEMA_VERSION}")
    if (reason := _changed(Path(folder), record)) is not None:
        raise Damaged(Path(folder), reason)
    if status == "running" and not is_alive(record.get("process") or {}, folder):
        record["status"], record["reason"] = "interrupted", crashes.read(Path(folder) / LOG) or DEAD
    return dict(record)


def _one_line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:160]


def _changed(folder: Path, record: Record) -> str | None:
    """What was changed since the run wrote `record`; None where nothing was, or nothing shows it."""
    if record.get("digest") in (None, digest(folder, record)):
        return None
    if record["status"] == "running" and "checksums" not in record:
        return None  # of an earlier version: with the metrics.csv of its start, which has grown
    if record["status"] == "running":
        return f"{RESULT} was changed after the run had written it (the digest does not match)"
    known = (record.get("checksums") or {}).get(METRICS)
    if known is not None and not (folder / METRICS).is_file():
        return f"{METRICS} is gone (the digest does not match)"
    both = f"{RESULT} or {METRICS}"
    what = both if known is None else RESULT if known == checksum(folder / METRICS) else METRICS
    return f"{what} was changed after the run had written it (the digest does not match)"


def unverified(record: Record) -> str | None:
    """Why nothing shows that a record's numbers are those that the run wrote; None where its digest has shown it."""
    if record.get("digest") is None:
        return "not verified: its record has no digest"
    said = record.get("unverified")
    return f"not verified: {said}" if said else None


def write(folder: str | Path, record: Record, hold: Callable[[], None] = lambda: None) -> Record:
    """Replace result.json by `record`, in one step: a reader sees the old one or the new one. Returns it with its digest.

    hold: called just before; raises where the folder is no longer this process's to write in.
    """
    folder = Path(folder)
    record = {"schema_version": SCHEMA_VERSION, **record}
    files = (METRICS, OUTPUTS) if record["status"] != "running" else ()
    record["checksums"] = {name: checksum(folder / name) for name in files if (folder / name).is_file()}
    record["digest"] = digest(folder, record)
    write_text(folder / RESULT, json.dumps(record, indent=2, allow_nan=False) + "\n", hold)
    return record


def digest(folder: str | Path, record: Record) -> str:
    """sha256 of the record (but for the digest itself) and, once the run has ended, of metrics.csv: shows an edit or a cut."""
    metrics = Path(folder) / METRICS
    return content_digest(record, metrics.read_bytes() if metrics.is_file() and record["status"] != "running" else b"")


def content_digest(content: Record, more: bytes = b"") -> str:
    """sha256 of plain data (but for the key `digest`), and of further bytes."""
    text = json.dumps({key: value for key, value in content.items() if key != "digest"}, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode() + more).hexdigest()


def checksum(path: Path, size: int | None = None) -> str:
    """sha256 of a file, or of its first `size` bytes."""
    with path.open("rb") as file:
        return hashlib.sha256(file.read(size)).hexdigest()


def is_whole(folder: str | Path, record: Record) -> bool:
    """Whether the record and metrics.csv are as they were written."""
    return record.get("digest") == digest(folder, record)


@contextmanager
def lock(folder: str | Path) -> Iterator[Heartbeat]:
    """Hold the run's folder; released by the system when the process dies. Raises Busy where another process holds it.

    Yields the heartbeat that names this process meanwhile. Between machines whose file system passes no locks on, the
    heartbeat of a living holder is respected like a lock; one that sleeps for minutes is taken for dead, and asks `check_hold`
    before it writes.
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
    me, found = process(), _process_of_record(folder)
    try:
        unnamed = lambda: _process_of_record(folder) in (None, me, found)  # noqa: E731
        with Heartbeat(Path(folder) / HEARTBEAT, {**me, "token": secrets.token_hex(8)}, unnamed) as heart:
            yield heart
    finally:
        guard.release()


def check_hold(folder: str | Path, heart: Heartbeat) -> None:
    """Raise TakenOver where this process, which got `heart` from `lock`, holds the folder no longer."""
    if not heart.holds():
        holder = heartbeat.read(Path(folder) / HEARTBEAT) or _process_of_record(folder) or {}
        raise TakenOver(
            f"{folder}: process {holder.get('pid', '?')} on {holder.get('host', '?')} has taken this run over while this process "
            "gave no sign of life for minutes (asleep?); this one stops and writes nothing more; rerun the command for the result"
        )


def _process_of_record(folder: str | Path) -> Record | None:
    """The process that began the last session of the run; None where no record says."""
    try:
        found = json.loads((Path(folder) / RESULT).read_bytes())["process"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found if isinstance(found, dict) else None


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
    """Rename a run's folder to the first free `<folder>.<n>`. Raises FolderError where it holds the place that we work in."""
    if Path.cwd().is_relative_to(folder.resolve()):
        raise FolderError(
            f"{folder}: holds the current folder, and cannot be set aside; use another one, with hydra.run.dir=<folder>"
        )
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
    if not isinstance(holder, dict) or not str(holder.get("pid", "")).isdigit():
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
