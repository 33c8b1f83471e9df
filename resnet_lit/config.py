"""From the words of a command line to one typed, checked, immutable config.

    config = load("+experiment=model4", "data.batch_size=64")     # from Python: no sys.argv, no global state

Hydra composes the YAML of conf/; `resnet_lit.schema` says what the values mean; this file is what lies between.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from hydra import compose as hydra_compose
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from resnet_lit.command_line import CONFIG_NAME, PACKAGE, Source, check_name, literal
from resnet_lit.explain import explain
from resnet_lit.hydra_session import CONF, own_hydra, own_presets
from resnet_lit.parent import Parent
from resnet_lit.run_name import ADDED_GROUPS, choices_of, folder_name, label, name_groups, plain_values
from resnet_lit.schema import Config, from_mapping, replace, to_mapping
from resnet_lit.typed import ConfigError, Refused, accepts, is_text, keys_of, spelled, type_of

__all__ = [
    "ADDED_GROUPS",
    "CONF",
    "OUTPUTS",
    "Config",
    "ConfigError",
    "Refused",
    "explain",
    "folder_name",
    "from_hydra",
    "load",
    "own_hydra",
    "own_presets",
    "replace",
    "to_mapping",
]

OUTPUTS = "outputs"
PATHS = ("data.root", "data.cache", "data.download", "weights")  # of files and folders, where ~ is the user's home


def load(*overrides: str, config_dir: str | Path | None = None, config_name: str = CONFIG_NAME) -> Config:
    """The config of a command line: `load("+experiment=model4", "data.batch_size=64")`.

    config_dir: a folder with configs of your own, as `--config-dir`. config_name: of a config there, as `--config-name`. Raises
    ConfigError with one line to act on.
    """
    return compose(overrides, Source(None if config_dir is None else os.path.expanduser(config_dir), config_name))


def compose(overrides: Iterable[str], source: Source = PACKAGE) -> Config:
    """The config of one run. Raises ConfigError with one line."""
    words = [literal(word, sweeps=False) for word in overrides]
    check_name(source, CONF, words)
    try:
        with own_hydra(source):
            return from_hydra(hydra_compose(source.name, words, return_hydra_config=True))
    except (HydraException, OmegaConfBaseException, ValueError) as error:
        raise ConfigError(explain(error, words, source)) from error


def from_hydra(config: DictConfig) -> Config:
    """The typed config of a composed one (which still has its hydra node: it says what was chosen). Raises ConfigError."""
    values = plain_values(config)
    _decode(config, values)
    _expand(values)
    if "hydra" in config:
        if config.hydra.job.get("chdir"):
            raise ConfigError("hydra.job.chdir=true: paths mean the folder in which the command was typed; leave it out")
        name_groups(config, values)
        if values.get("label") is None:
            values["label"] = label(config, values)
    typed = from_mapping(values)
    if typed.parent != Parent():
        raise ConfigError("parent: names the run that another one continues; resume=<run> trainer.max_epochs=N sets it")
    if typed.sweep.seeds > 1 and "hydra" in config and "sweep" not in choices_of(config):
        raise ConfigError(f"sweep.seeds={typed.sweep.seeds}: counts the seeds of a sweep file (add +sweep=seeds)")
    return typed


# The resolver of hydra.run.dir and hydra.sweep.subdir.
def _run_folder(*, _root_: DictConfig) -> str:
    return folder_name(from_hydra(_root_)) if "model" in _root_ else "<experiment>/<run>"  # `--cfg hydra` shows no job


OmegaConf.register_new_resolver("run_folder", _run_folder, replace=True)


def _decode(config: DictConfig, values: dict[str, Any]) -> None:
    """Turn text that an interpolation gave (`seed: ${oc.env:SLURM_ARRAY_TASK_ID}`) into the number or true/false that it spells.

    Only where the schema takes more than text; `seed: "3"` stays text. values: changed in place.
    """
    for key in keys_of(Config):
        *groups, last = key.split(".")
        node: Any = config
        section: Any = values
        for group in groups:
            node, section = (part.get(group) if isinstance(part, Mapping) else None for part in (node, section))
        value = section.get(last) if isinstance(section, Mapping) else None
        kind = type_of(Config, key)
        if not isinstance(node, DictConfig) or is_text(kind):
            continue
        if isinstance(value, str) and OmegaConf.is_interpolation(node, last):
            section[last] = _spelled(value, kind)
        elif isinstance(value, list):  # `channels: [${oc.env:FIRST}, 128]`
            items: Any = OmegaConf.to_container(node[last], resolve=False)
            given = [isinstance(item, str) and "${" in item for item in items]
            found = [spelled(v) if isinstance(v, str) and g else v for v, g in zip(value, given, strict=True)]
            section[last] = found if accepts(kind, found) else value


def _spelled(text: str, kind: Any) -> Any:
    """The value of a type that `text` spells, a list too (`[8,16]` or `8,16`); `text` itself where it spells none."""
    one: Any = None if text.strip().lower() == "null" else spelled(text)
    several = [spelled(part) for part in text.strip().removeprefix("[").removesuffix("]").split(",")]
    return next((value for value in (one, several) if accepts(kind, value)), text)


def _expand(values: dict[str, Any]) -> None:
    """Write `~` out as the user's home in each path. values: changed in place. Raises ConfigError for an empty path."""
    for key in PATHS:
        group, _, name = key.rpartition(".")
        section: Any = values.get(group) if group else values
        path = section.get(name) if isinstance(section, Mapping) else None
        if path == "":
            raise ConfigError(f"{key}=: is empty; name a file or folder, or leave it out ({key}=null)")
        if isinstance(path, str) and path.startswith("~"):
            section[name] = os.path.expanduser(path)
