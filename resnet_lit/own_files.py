"""What a run itself makes in its folder, by name: nothing else that lies there is ever deleted. No torch here.

A debug run replaces the one before it in the same folder. Before it makes its first file it leaves a marker there that lists
them all: whenever it is killed, the next one knows what may go.
"""

from __future__ import annotations

import glob
import json
import logging
import os
import shutil
import socket
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath

from resnet_lit import record as records
from resnet_lit.durable import write_text
from resnet_lit.heartbeat import HEARTBEAT
from resnet_lit.record import LOCK, LOG, METRICS, OUTPUTS, RESULT, FolderError
from resnet_lit.schema import Config

log = logging.getLogger("resnet_lit")

MARKER = ".debug_run.json"
BEFORE_TRAINING = (HEARTBEAT, LOG, MARKER, LOCK)  # what a run that is then refused may have made
CHECKPOINTS = tuple(f"checkpoints/{name}" for name in ("last.ckpt", "last.previous.ckpt", "best.ckpt"))
# Patterns: a file that was being written when the process was killed has a random end.
HALF_WRITTEN = (
    *(f".{name}.????????" for name in (RESULT, "config.yaml", MARKER)),
    *(f"{HEARTBEAT}.????????", f".{OUTPUTS}"),
    *(f"checkpoints/.{name}*.tmp" for name in ("last.ckpt", "best.ckpt")),
)
OF_EVERY_RUN = ("config.yaml", METRICS, OUTPUTS, *CHECKPOINTS, *HALF_WRITTEN, RESULT, *BEFORE_TRAINING)
EVENTS = "events.out.tfevents."
OF_LOGGERS = {"WeightsAndBiases": ("wandb/", ".wandb_id"), "MLflow": (".mlflow_run_id",)}  # with a slash: all that is in it
KEPT_WHILE_HELD = (LOCK, HEARTBEAT)  # of the process that clears the folder
MOST_NAMES = 10  # in a message


def absent(folder: Path) -> list[Path]:
    """The folders that would have to be made for `folder` to exist, the deepest first."""
    missing = []
    for one in (folder, *folder.parents):
        if os.path.exists(one):  # a name that is too long is none, where pathlib raises
            break
        missing.append(one)
    return missing


def remove_empty(folders: Iterable[Path]) -> None:
    """Remove those of `folders` that hold nothing, the deepest first."""
    for one in sorted(folders, key=lambda path: len(path.parts), reverse=True):
        with suppress(OSError):
            one.rmdir()


def leave_as_found(folder: Path, before: set[Path], new: Iterable[Path]) -> None:
    """A run that was refused takes away the files that it has made, and of `new` the folders that are empty then.

    before: what lay in the folder before it. What somebody else has put there meanwhile stays and is named.
    """
    if folder.exists() and not records.is_held(folder):  # another process may have begun there by now
        for name in BEFORE_TRAINING:
            if folder / name not in before:
                (folder / name).unlink(missing_ok=True)
        if others := [path.name for path in folder.iterdir() if path not in before]:
            log.warning("%s: kept files that this run did not make: %s", folder, _shown(others))
    remove_empty(new)


# --- debug runs


def check_debug(folder: Path) -> None:
    """Raise FolderError where `folder` holds something other than a debug run, Busy where another process holds it."""
    inside = os.listdir(folder) if os.path.isdir(folder) else []
    if not inside or set(inside) <= {*BEFORE_TRAINING}:
        return
    if records.is_held(folder):
        raise records.Busy(records.busy_text(folder))
    record = _record(folder)
    if not (record.get("debug") if record else (folder / MARKER).is_file()):
        raise FolderError(
            f"{folder}: holds something other than a debug run, which a debug run would overwrite; use another folder "
            "(hydra.run.dir=<folder>)"
        )


def clear_debug(folder: Path) -> None:
    """Delete what the debug run before this one has made, by the list in its marker; the rest stays and is named.

    A folder of an earlier version has no marker: the files that every run makes are deleted then, if its record is that of a
    debug run. The caller holds the folder.
    """
    record = _record(folder)
    unlisted = (*OF_EVERY_RUN, f"{EVENTS}*") if record and record.get("debug") else ()
    for name in _listed(folder) or unlisted:
        if name not in KEPT_WHILE_HELD:
            _delete(folder, name)
    remove_empty([folder / "checkpoints"])
    kept = {*KEPT_WHILE_HELD, LOG}
    if others := [path.name for path in folder.iterdir() if path.name not in kept]:
        log.warning("%s: kept files that the earlier debug run did not make: %s", folder, _shown(others))


def mark_debug(folder: Path, config: Config) -> None:
    """Leave the marker of a debug run, with the list of what it will make: names and patterns, relative to the folder."""
    process = f"{glob.escape(socket.gethostname())}.{os.getpid()}"
    names = [*OF_EVERY_RUN, f"{EVENTS}*.{process}.*"]
    for entry in config.logger.values():
        names += OF_LOGGERS.get(str((entry or {}).get("_target_", "")).rpartition(".")[2], ())
    write_text(folder / MARKER, json.dumps({"made_by": "a debug run of resnet_lit", "files": names}, indent=1) + "\n")


def unmark(folder: Path) -> None:
    """A real run begins where a debug run was killed at once: nothing of it may go with the next debug run."""
    if _listed(folder):
        (folder / MARKER).unlink(missing_ok=True)


def _record(folder: Path) -> records.Record | None:
    try:
        return records.read(folder)
    except FolderError:
        return None


def _listed(folder: Path) -> list[str]:
    """What the marker lists, of the names that a run uses; nothing where there is none that can be read."""
    try:
        names = [str(name) for name in json.loads((folder / MARKER).read_text())["files"]]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    ours = {*OF_EVERY_RUN, *(name for more in OF_LOGGERS.values() for name in more)}
    ours |= {name for name in names if name.startswith(EVENTS) and "/" not in name}
    return sorted(
        ours.intersection(names), key=lambda name: (name == MARKER, name)
    )  # last: a clearing that is killed can be done again


def _delete(folder: Path, name: str) -> None:
    for path in _matching(folder, name):
        if path.parent.resolve() != folder.resolve() / PurePosixPath(name).parent:
            continue  # behind a link: in a folder of somebody else's
        if name.endswith("/") and path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.is_symlink() or not path.is_dir():
            path.unlink(missing_ok=True)


def _matching(folder: Path, name: str) -> Iterator[Path]:
    if any(sign in name for sign in "*?["):
        yield from folder.glob(name)
    elif (path := folder / name).is_symlink() or path.exists():
        yield path


def _shown(names: list[str]) -> str:
    return ", ".join(sorted(names)[:MOST_NAMES]) + (f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else "")
