"""Checkpoint files: last, the one before it, and best; each whole or not there at all, and checked when it is read."""

from __future__ import annotations

import secrets
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO

from resnet_lit.durable import sync
from resnet_lit.record import FolderError

LAST, PREVIOUS, BEST = "last.ckpt", "last.previous.ckpt", "best.ckpt"


def _unasked() -> None:
    """Nobody else can hold the folder."""


class WholeFiles(TorchCheckpointIO):
    """Lightning's way to write checkpoints, but for last.ckpt: Lightning writes to /tmp first, and without fsync.

    hold: raises where the folder is no longer this process's to write in; set by the callback Checkpoints.
    """

    def __init__(self) -> None:
        self.hold: Callable[[], None] = _unasked

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        if Path(path).name == LAST:
            write(checkpoint, Path(path), keep_as=PREVIOUS, hold=self.hold)
        else:
            self.hold()
            super().save_checkpoint(checkpoint, path, storage_options)


def write(checkpoint: dict[str, Any], path: Path, keep_as: str | None = None, hold: Callable[[], None] = _unasked) -> None:
    """Write a checkpoint beside `path` and give it that name when it is on the disk; the file it replaces is renamed `keep_as`.

    At every instant one of the two names is that of a whole file, once there has been one. hold: asked before anything is
    written and, as that takes its time, before the renames.
    """
    hold()
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")  # no other process writes to the same
    try:
        torch.save(checkpoint, temporary)
        sync(temporary)
        hold()
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if keep_as is not None and path.exists():
        path.replace(path.with_name(keep_as))
    temporary.replace(path)
    sync(path.parent)  # the renames, too, survive a power cut


def load(path: Path) -> dict[str, Any]:
    """A checkpoint's content, on the CPU. Raises an exception of torch's or zipfile's where the file is damaged.

    A checkpoint is a zip file, with a CRC-32 of each tensor and of the structure; torch writes them but does not check them.
    """
    with zipfile.ZipFile(path) as archive:
        damaged = archive.testzip()
    if damaged is not None:
        raise zipfile.BadZipFile(f"{damaged} does not fit its checksum")
    return torch.load(path, map_location="cpu", weights_only=True)


def prepare(folder: Path, resumed: Path | None) -> None:
    """Make checkpoints/ ready for a session that goes on from `resumed`: what a killed one left half written goes, and so does a
    damaged last.ckpt, which would otherwise replace the whole one before it.
    """
    (folder / "checkpoints").mkdir(exist_ok=True)
    for name in (LAST, BEST):
        for path in (folder / "checkpoints").glob(f".{name}*.tmp"):
            path.unlink(missing_ok=True)
    if resumed is not None and resumed.name != LAST:
        (folder / "checkpoints" / LAST).unlink(missing_ok=True)


def newest(folder: Path) -> tuple[Path, str | None] | None:
    """The checkpoint to go on from: last.ckpt, or last.previous.ckpt and why; None where there is neither.

    Raises FolderError where there are some, and all are damaged.
    """
    complaint = None
    for name in (LAST, PREVIOUS):
        path = folder / "checkpoints" / name
        if not path.exists():
            continue
        try:
            load(path)
        except Exception as error:  # whatever a damaged zip or pickle raises
            complaint = f"{path} is damaged ({(str(error).splitlines() or [type(error).__name__])[0][:100]})"
            continue
        return path, complaint
    if complaint:
        raise FolderError(f"{complaint}, and there is no other to resume from; fresh=true sets the folder aside and starts again")
    return None


def tidy(folder: Path, keep: str) -> None:
    """What stays of a finished run's checkpoints. keep: all (or auto: last and best), best, none."""
    gone = {"best": (PREVIOUS, LAST), "none": (PREVIOUS, LAST, BEST)}.get(keep, (PREVIOUS,))
    if keep == "best" and not (folder / "checkpoints" / BEST).exists():
        gone = (PREVIOUS,)  # nothing was held out to choose by: the last weights are the result
    for name in gone:
        (folder / "checkpoints" / name).unlink(missing_ok=True)
