"""What `resume=<run>` trains: the rest of that run, or a new run that continues a finished one for more epochs."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from resnet_lit import record as records
from resnet_lit import same_run
from resnet_lit.command_line import PACKAGE, CommandLine, unquoted
from resnet_lit.config import OUTPUTS, folder_name
from resnet_lit.identity import FIXES, missing_fixes
from resnet_lit.more_epochs import extended
from resnet_lit.record import FolderError
from resnet_lit.run_path import CONFIG, check_run, run_folder
from resnet_lit.schema import Config, from_mapping, to_mapping
from resnet_lit.typed import ConfigError, spelled

log = logging.getLogger("resnet_lit")

MORE = "trainer.max_epochs"
# What `resume=<run>` takes beside it; all else is the run's own.
BESIDE = (MORE, "progress", "data.root", "data.cache", "data.download")


def config_of(folder: str | Path, key: str = "resume") -> Config:
    """The config that a run folder was trained with. key: what the user said it by. Raises FolderError where it holds none."""
    check_run(Path(folder), key)
    path = Path(folder) / CONFIG
    try:
        return from_mapping(yaml.safe_load(path.read_text()))
    except (OSError, ValueError, yaml.YAMLError, ConfigError, AttributeError) as error:
        raise FolderError(f"{key}={folder}: holds no run ({error})") from error


def resumed(
    path: str | Path, changes: Mapping[str, Any] | None = None, new_folder: str | Path | None = None
) -> tuple[Config, Path, str | None]:
    """The config and folder of the run to train, and the identity that its record gives (None for a new run).

    path: the folder of a run, or a checkpoint in it. changes: values of BESIDE by dotted key; with trainer.max_epochs it is a new
    run, in `new_folder` or below outputs/, and `fresh` may stand there too. Raises Refused.
    """
    folder, changes = run_folder(path), dict(changes or {})
    config, record = config_of(folder), records.read(folder) or {}
    known_as: str | None = same_run.identity_of(folder, config, record)
    if MORE in changes:
        if not record:
            raise FolderError(f"resume={folder}: holds no {records.RESULT}: only a finished run is continued for more epochs")
        for name in missing_fixes(config, record["identity"]):
            log.info("%s was trained before a correction, which holds from here on: %s", folder, FIXES[name][1])
        config, known_as = extended(config, folder, record, changes.pop(MORE)), None
        folder = Path(new_folder) if new_folder is not None else Path(OUTPUTS) / folder_name(config)
    elif new_folder is not None:
        raise ConfigError(f"hydra.run.dir={new_folder}: a run is resumed in its own folder; leave it out")
    values = to_mapping(dataclasses.replace(config, fresh=False, resume=None))
    for key, value in changes.items():
        group, _, name = key.rpartition(".")
        (values[group] if group else values)[name] = value
    return from_mapping(values), folder, known_as


def resumption(line: CommandLine) -> tuple[Config, Path, str | None] | None:
    """What `resume=<run>` on a command line trains, as `resumed`; None where it is not there.

    Raises ConfigError where words stand beside it that it does not take.
    """
    values = {word.partition("=")[0].lstrip("+"): unquoted(word) for word in line.overrides}
    path = values.pop("resume", "null")
    if path == "null":
        return None
    known = ("resume", "hydra.run.dir", *BESIDE, *(["fresh"] if MORE in values else []))
    others = [word for word in line.overrides if word.partition("=")[0].lstrip("+") not in known]
    others += ["-m"] if line.multirun else []
    others += ["--cfg"] if "--cfg" in line.options else []
    others += line.source.options() if line.source != PACKAGE else []
    if others:
        raise ConfigError(
            f"resume={path}: uses that run's own config, and takes {', '.join(BESIDE)} alone beside it (with {MORE} also "
            f"hydra.run.dir and fresh); leave out {' '.join(others)}"
        )
    new_folder = values.pop("hydra.run.dir", None)
    changes = {
        key: None if value == "null" else spelled(value) if key in (MORE, "fresh") else value for key, value in values.items()
    }
    return resumed(path, changes, new_folder)
