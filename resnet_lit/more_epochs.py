"""More epochs for a finished run: a new run, in a folder of its own, that begins with the last checkpoint of the finished one."""

from __future__ import annotations

import hashlib
from pathlib import Path

from resnet_lit import record as records
from resnet_lit.parent import Parent
from resnet_lit.record import Busy, FolderError, Record
from resnet_lit.run_path import CHECKPOINTS, LAST
from resnet_lit.schema import Config, from_mapping, to_mapping
from resnet_lit.typed import ConfigError, show


def extended(config: Config, folder: Path, record: Record, max_epochs: object) -> Config:
    """The config of a run that continues a finished one up to `max_epochs`, all other values as they were.

    config, record: of the finished run in `folder`. Raises ConfigError or FolderError where it cannot be continued, with the
    reason and what to do; Busy where it is being trained.
    """
    values = to_mapping(config)
    values["trainer"]["max_epochs"] = max_epochs
    total = from_mapping(values).trainer.max_epochs  # refuses what is no number
    said = f"trainer.max_epochs={show(max_epochs)}"
    if record["status"] == "running" and records.is_held(folder):
        raise Busy(records.busy_text(folder))
    if record["status"] == "diverged":
        raise FolderError(f"{said}: {folder} has diverged; there is nothing to continue")
    if record["status"] != "finished":
        raise FolderError(f"{said}: {folder} has not finished ({record['status']}); finish it first, with resume={folder} alone")
    if config.is_debug:
        raise FolderError(f"{said}: {folder} is a debug run; only others are continued")
    done, planned = int(record["epochs"]), config.trainer.max_epochs
    if total is None or total <= done:
        raise ConfigError(f"{said}: {folder} has trained {done} epochs; give more than that (try trainer.max_epochs={2 * done})")
    if planned is None or done < planned:
        raise FolderError(
            f"{said}: {folder} was ended by something other than its number of epochs, after {done}"
            f"{f' of {planned}' if planned else ''} ({_ended_by(config, record)}), which would end it again; "
            f"weights={folder}/checkpoints/best.ckpt starts a new run from its weights"
        )
    if 0 < config.trainer.max_steps < total / done * record["steps"]:
        raise FolderError(f"{said}: trainer.max_steps={config.trainer.max_steps} of {folder} would end it sooner")
    values |= {"label": _label(config, total, done), "fresh": False, "resume": None}
    values["parent"] = {
        "folder": str(folder.absolute()),
        "identity": record["identity"],
        "checkpoint": _hash(folder),
        "resumed_at_epoch": done,
        "steps": int(record["steps"]),
        "petaflops": record.get("petaflops"),
    }
    return from_mapping(values)


def _ended_by(config: Config, record: Record) -> str:
    if config.trainer.max_steps == record["steps"]:
        return f"trainer.max_steps={config.trainer.max_steps}"
    if config.trainer.max_time is not None:
        return f"trainer.max_time={config.trainer.max_time}, or a callback"
    return "a callback, early stopping for instance"


def _label(config: Config, total: int, done: int) -> str:
    """The readable part of the new folder's name: first what is new, as a long one is cut at its end."""
    new = {"max_epochs": total, "resumed_at_epoch": done}
    old = [word for word in (config.label or "").split(",") if word and word.partition("=")[0] not in new]
    return ",".join([*(f"{key}={value}" for key, value in new.items()), *old])


def _hash(folder: Path) -> str:
    path = folder / CHECKPOINTS / LAST
    if not path.is_file():
        weights = f"weights={folder}/{CHECKPOINTS}/best.ckpt"
        raise FolderError(
            f"resume={folder}: holds no {CHECKPOINTS}/{LAST}, from which more epochs would start: a run keeps it with "
            f"checkpoint.keep=all ({weights} starts a new run from the best weights, where they were kept)"
        )
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def checkpoint_of(parent: Parent) -> Path:
    """The checkpoint that a run begins with which continues `parent`. Raises FolderError where it is gone or another one."""
    folder = Path(str(parent.folder))
    path = folder / CHECKPOINTS / LAST
    if not path.is_file() or _hash(folder) != parent.checkpoint:
        what = "is another one than when this run was made" if path.is_file() else "is gone"
        raise FolderError(f"{path}: {what}; where the run has moved to, give resume=<its folder> trainer.max_epochs=N again")
    return path


def curves_of(parent: Parent, size: int) -> bytes:
    """The first `size` bytes of the parent's metrics.csv, which the new run's begins with. Raises FolderError where it is cut."""
    source = Path(str(parent.folder)) / records.METRICS
    content = source.read_bytes()[:size] if source.is_file() else b""
    if len(content) < size:
        raise FolderError(f"{source}: is shorter than when the run ended ({len(content):,} of {size:,} bytes); restore it")
    return content
