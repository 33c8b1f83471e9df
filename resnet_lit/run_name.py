"""What a run is called: its folder, and the names of groups whose class is another one than their file's."""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Mapping
from typing import Any

import yaml
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from resnet_lit.command_line import literal
from resnet_lit.hydra_session import CONF
from resnet_lit.identity import changes_result, identity
from resnet_lit.optim.rules import short_key
from resnet_lit.schema import Config
from resnet_lit.typed import flatten, keys_of, show, spelled

ADDED_GROUPS = ("experiment", "debug", "sweep", "search", "cell", "scale")  # not in the defaults list: they need a plus
UNNAMED_GROUPS = (*ADDED_GROUPS, "logger", "callbacks")  # a choice there says nothing that the values do not
NAMED_GROUPS = ("model", "augment", "optimizer", "scheduler")  # each has a name and the import path of a class
LABEL_LENGTH = 100  # bytes: a file name holds 255


def folder_name(config: Config) -> str:
    """`<experiment>/<readable>-<identity>`: the run's folder under outputs/, whatever launches it."""
    if config.is_debug:
        return f"debug/{safe_name(config.name)}"
    label = _cut(safe_name(config.label or ""))
    experiment = "-".join(filter(None, [safe_name(config.name), safe_name(config.scale or "")]))
    return f"{experiment}/{'-'.join(filter(None, [label, identity(config)]))}"


def plain_values(config: DictConfig) -> dict[str, Any]:
    """A composed config as resolved plain data, without its hydra node."""
    plain = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    values = OmegaConf.to_container(plain, resolve=True)
    assert isinstance(values, dict)
    return {str(key): value for key, value in values.items()}


def label(config: DictConfig, values: dict[str, Any]) -> str:
    """`optimizer=adam,batch_size=64`: the groups and values in which a config differs from its experiment's own."""
    choices = choices_of(config)
    scale = [str(word) for word in config.hydra.overrides.task if str(word).startswith("+scale=")]
    experiment = [literal(f"+experiment={choices['experiment']}")] if "experiment" in choices else []
    start = (*experiment, *scale)
    loader, name = GlobalHydra.instance().config_loader(), str(config.hydra.job.config_name)
    start += tuple(str(word) for word in config.hydra.overrides.hydra if str(word).startswith("hydra.searchpath"))
    own_choices = _own_choices(loader, name, start)
    groups = {g: c for g, c in choices.items() if own_choices.get(g) != c and g not in UNNAMED_GROUPS}
    added = tuple(literal(f"{'' if g in own_choices else '+'}{g}={c}") for g, c in groups.items())
    typed = {str(word) for word in config.hydra.overrides.task}
    own_values = flatten(values) if typed <= {*start, *added} else _own_values(loader, name, (*start, *added))
    flat = flatten(values)
    tails = [key.rsplit(".", 1)[-1] for key in keys_of(Config)]
    words = [f"{group}={choice}" for group, choice in groups.items()]
    if values.get("scale") is None:  # a reduced scale is in the folder's name already
        words = [word.lstrip("+") for word in scale] + words
    for key, value in sorted(flat.items(), key=lambda item: "." not in item[0]):  # seed and the like at the end
        if changes_result(key) and own_values.get(key) != value:
            tail = short_key(key)
            text = "-".join(map(show, value)) if isinstance(value, list) else show(value)
            words.append(f"{tail if tails.count(tail) <= 1 else key}={text}")
    return _shortened([safe_name(word) for word in words])


def choices_of(config: DictConfig) -> dict[str, str]:
    """The chosen file of each group."""
    return _of_the_job(OmegaConf.to_container(config.hydra.runtime.choices))  # type: ignore[arg-type]


def _of_the_job(choices: Mapping[Any, Any]) -> dict[str, str]:
    return {str(g): str(c) for g, c in choices.items() if not str(g).startswith("hydra/") and c is not None}


@functools.lru_cache(maxsize=256)
def _own_choices(loader: ConfigLoader, config_name: str, words: tuple[str, ...]) -> dict[str, str]:
    """The choices of an experiment as its file has them. Cached: a sweep asks for few."""
    return _of_the_job(loader.compute_defaults_list(config_name, list(words), RunMode.RUN).overrides.known_choices)


@functools.lru_cache(maxsize=256)
def _own_values(loader: ConfigLoader, config_name: str, words: tuple[str, ...]) -> dict[str, Any]:
    """The flat values of an experiment with these choices."""
    return flatten(plain_values(loader.load_configuration(config_name, list(words), run_mode=RunMode.RUN)))


def safe_name(text: str, also: str = "") -> str:
    """`text` as part of a file name: letters and digits of any script, and `._=,+-`; the rest becomes `-`.

    The same on every system: composed characters (NFC). also: further characters that may stay.
    """
    kept = f"._=,+-{also}"
    text = "".join(c if c in kept or unicodedata.category(c)[0] in "LMN" else "\0" for c in unicodedata.normalize("NFC", text))
    return re.sub("\0+", "-", text).strip("-. ")


def _shortened(words: list[str]) -> str:
    text = ",".join(words)
    if _length(text) <= LABEL_LENGTH:
        return text
    kept: list[str] = []
    while words and _length(",".join([*kept, words[0]])) <= LABEL_LENGTH - 8:
        kept.append(words.pop(0))
    return ",".join([*kept, f"+{len(words)}more"])


def _length(text: str) -> int:
    return len(text.encode("utf-8", "surrogateescape"))


def _cut(text: str) -> str:
    while _length(text) > LABEL_LENGTH:
        text = text[:-1]
    return text


# --- the names of groups


def name_groups(config: DictConfig, values: dict[str, Any]) -> None:
    """Give a group whose `_target_` is not its file's the class's name, where the user gave it none. values: changed in place."""
    choices = choices_of(config)
    for group in NAMED_GROUPS:
        section = values.get(group)
        if not isinstance(section, dict) or group not in choices:
            continue
        name, target = section.get("name"), section.get("_target_")
        if not isinstance(name, str) or not isinstance(target, str):
            continue
        if (shipped := _shipped_target(group, name)) is not None:
            outlived = shipped != target
        else:  # a file of the user's own
            own = _own_group(str(config.hydra.job.config_name), group, choices[group])
            outlived = name == own.get("name") and target != own.get("_target_")
        if outlived:
            chosen = _shipped_target(group, choices[group]) is None and target == _own_group(
                str(config.hydra.job.config_name), group, choices[group]
            ).get("_target_")
            section["name"] = choices[group] if chosen else target.rpartition(".")[2]


@functools.lru_cache(maxsize=256)
def _shipped_target(group: str, name: str) -> str | None:
    """The import path in <group>/<name>.yaml of the package's conf/, or in the file that it is made of; None: no such file."""
    path = CONF / group / f"{name}.yaml"
    if "/" in name or not path.is_file():
        return None
    content = yaml.safe_load(path.read_text())
    if "_target_" in content:
        return str(content["_target_"])
    return next(filter(None, (_shipped_target(group, str(parent)) for parent in content.get("defaults", ()))), None)


@functools.cache
def shipped_args(group: str) -> dict[str, list[Any]]:
    """The values that the package's own files of a group give to `<group>.args`, by their name."""
    found: dict[str, list[Any]] = {}
    for path in sorted((CONF / group).glob("*.yaml")):
        for name, value in (yaml.safe_load(path.read_text()).get("args") or {}).items():
            found.setdefault(name, []).append(spelled(value) if isinstance(value, str) else value)  # YAML 1.1 reads 1e-8 as text
    return found


def _own_group(config_name: str, group: str, choice: str) -> dict[str, Any]:
    """The flat values of a group as its file has them, by their key within it; empty where it cannot be composed alone."""
    try:
        values = _own_values(GlobalHydra.instance().config_loader(), config_name, (literal(f"{group}={choice}"),))
    except (HydraException, OmegaConfBaseException):
        return {}
    return {key.removeprefix(f"{group}."): value for key, value in values.items() if key.startswith(f"{group}.")}
