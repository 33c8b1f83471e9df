"""Whether a run may begin in a folder: nothing that it writes may replace what somebody else has put there. No torch here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from resnet_lit import record as records
from resnet_lit import same_run
from resnet_lit.own_files import CHECKPOINTS
from resnet_lit.record import FolderError
from resnet_lit.schema import Config, from_mapping
from resnet_lit.typed import ConfigError

CONFIG = "config.yaml"
RESUMED_FROM = CHECKPOINTS[:2]
REMEDY = "use another folder (hydra.run.dir=<folder>), or move what lies there"


def check(folder: Path, config: Config) -> None:
    """Raise FolderError where `folder` holds files that are not of the run of `config`, under names that it would write to.

    The caller holds the folder, and has cleared it of what a debug run has left. A run that was killed early has left its
    config.yaml, which shows that the others are its own; the checkpoint that it would be resumed from is compared when it is
    read (same_run).
    """
    names = _written(folder)
    if names and (config.is_debug or not is_of_a_run(folder)):
        raise FolderError(f"{folder}: holds {', '.join(names)} of something else, which this run would overwrite; {REMEDY}")
    there = _config(folder)
    if there is None or (folder / records.RESULT).exists() or set(names) & set(RESUMED_FROM):
        return
    if changed := same_run.changes(there, config):
        raise FolderError(f"{folder}: holds another run, which differs in {changed}; {same_run.REMEDY}")


def is_of_a_run(folder: Path) -> bool:
    """Whether `folder` holds a run: its record, the checkpoint that it would be resumed from, or its config."""
    found = (folder / name for name in (records.RESULT, *RESUMED_FROM))
    return any(path.exists() for path in found) or _config(folder) is not None


def _written(folder: Path) -> list[str]:
    """The names in `folder` that a run would write to, behind links too."""
    names = [name for name in (CONFIG, records.METRICS, records.OUTPUTS, *CHECKPOINTS) if (folder / name).exists()]
    checkpoints = folder / "checkpoints"
    return names + (["checkpoints"] if checkpoints.exists() and not checkpoints.is_dir() else [])


def _config(folder: Path) -> dict[str, Any] | None:
    """The content of config.yaml, None where it is not that of a run."""
    try:
        content = yaml.safe_load((folder / CONFIG).read_text())
        from_mapping(content)
    except (OSError, ValueError, yaml.YAMLError, ConfigError, AttributeError, TypeError):
        return None
    return dict(content)
