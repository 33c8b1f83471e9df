"""Which run a path means: its folder, or a file in it, such as the checkpoint that users of Lightning give."""

from __future__ import annotations

import os
from pathlib import Path

from resnet_lit.record import FolderError
from resnet_lit.typed import ConfigError

CHECKPOINTS, CONFIG = "checkpoints", "config.yaml"
BEST, LAST = "best.ckpt", "last.ckpt"
WEIGHTS = (".ckpt", ".pth", ".pt")  # what files with weights end in
NEAR = 3  # folders above a file in which its run is looked for: <run>/evaluations/<data>/evaluation.json


def run_folder(path: str | Path) -> Path:
    """The run folder that `path` means; `path` itself, with `~` expanded, where it names nothing inside a run."""
    return _folder_and_checkpoint(path)[0]


def folder_and_weights(path: str | Path, *, last: bool = False) -> tuple[Path, bool]:
    """The run folder that `path` means, and whether its last weights are meant: `last`, or `path` is its last.ckpt.

    Raises ConfigError for a checkpoint that is neither best.ckpt nor last.ckpt, and for best.ckpt together with `last`.
    """
    folder, checkpoint = _folder_and_checkpoint(path)
    if checkpoint not in (None, BEST, LAST):
        raise ConfigError(f"run={path}: must be {BEST}, {LAST} or the run's folder (try run={folder})")
    if checkpoint == BEST and last:
        raise ConfigError(f"run={path}: {BEST} and --last name different weights; leave one of them out (run={folder} --last)")
    return folder, last or checkpoint == LAST


def is_run(path: str | Path) -> bool:
    """Whether `path` is a run's folder, or a file in one."""
    return os.path.isfile(run_folder(path) / CONFIG)


def check_run(folder: Path, key: str) -> None:
    """Raise FolderError where `folder`, which the user named by `key`, is no run's."""
    if os.path.isfile(folder / CONFIG):
        return
    if not os.path.exists(folder):
        raise FolderError(f"{key}={folder}: no such folder or file (runs are in outputs/, or where hydra.run.dir names)")
    if os.path.isdir(folder):
        raise FolderError(f"{key}={folder}: holds no run: {CONFIG} is missing (give the folder of one run)")
    new = f"; weights={folder} starts a new run from its weights" if folder.suffix in WEIGHTS else ""
    raise FolderError(f"{key}={folder}: holds no run, and lies in none: give the run's folder{new}")


def _folder_and_checkpoint(path: str | Path) -> tuple[Path, str | None]:
    """The run folder that `path` means, and the name of the checkpoint where `path` is one (`last.ckpt`), else None.

    A path in <run>/checkpoints/ means that run even where the file is gone; any other file means the nearest run around it, or
    around what it links to.
    """
    path = Path(os.path.expanduser(path))
    if path.parent.name == CHECKPOINTS and path.suffix == ".ckpt":
        return path.parent.parent, path.name
    if path.name == CHECKPOINTS and not os.path.exists(path / CONFIG):
        return path.parent, None
    if os.path.isfile(path):  # os.path: a name that is too long is no file, where pathlib raises
        above = path.absolute().parents[:NEAR]
        around = next((Path(os.path.relpath(folder)) for folder in above if os.path.isfile(folder / CONFIG)), None)
        if around is None and os.path.islink(path):
            target = Path(os.path.realpath(path))
            folder, checkpoint = _folder_and_checkpoint(target)
            return (path, None) if folder == target else (Path(os.path.relpath(folder)), checkpoint)
        return around or path, None
    return path, None
