"""From the words of a command line to one typed, checked, immutable config.

    config = load("+experiment=model4", "data.batch_size=64")     # from Python: no sys.argv, no global state

Hydra composes the YAML of conf/; `resnet_lit.schema` says what the values mean. This file is what lies between: where conf/
is, which folder a run gets, and what to tell a user whose words do not fit.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra._internal.hydra import Hydra
from hydra.core.config_loader import ConfigLoader
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from resnet_lit import composing, paper
from resnet_lit.identity import changes_result, identity
from resnet_lit.reserved import OWNED
from resnet_lit.schema import Config, Trainer, from_mapping, replace, to_mapping
from resnet_lit.typed import ConfigError, Refused, flatten, keys_of, nearest, show

__all__ = [
    "CONF",
    "Config",
    "ConfigError",
    "Refused",
    "explain",
    "folder_name",
    "from_hydra",
    "load",
    "replace",
    "split_config_dir",
    "to_mapping",
]

_PACKAGE = Path(__file__).resolve().parent
# In a repository conf/ lies beside the package, in an installed wheel inside it.
CONF = next((p for p in (_PACKAGE.parent / "conf", _PACKAGE / "conf") if (p / "config.yaml").is_file()), _PACKAGE / "conf")

OUTPUTS = "outputs"
ADDED_GROUPS = ("experiment", "debug", "sweep", "search", "cell", "scale")  # not in the defaults list: they need a plus
UNNAMED_GROUPS = (*ADDED_GROUPS, "logger", "callbacks")  # a choice there says nothing that the values do not
LABEL_LENGTH = 100
MOST_CHOICES = 12  # in an error message

composing.speed_up()

# The cells of the paper, as files of the group `cell` would be, and their names for the sweep over all of them.
for _cell in paper.CELLS:
    ConfigStore.instance().store(_cell.name, _cell.config, group="cell", package="_global_", provider="resnet_lit.paper")
OmegaConf.register_new_resolver("paper_cells", lambda: ",".join(cell.name for cell in paper.CELLS), replace=True)


def load(*overrides: str, config_dir: str | Path | None = None) -> Config:
    """The config of a command line: `load("+experiment=model4", "data.batch_size=64")`.

    config_dir: a folder with configs of your own, as `--config-dir`. Raises ConfigError with one line to act on.
    """
    extra = [] if config_dir is None else [f"hydra.searchpath=[file://{Path(config_dir).resolve()}]"]
    try:
        with own_hydra():
            return from_hydra(hydra_compose("config", [*overrides, *extra], return_hydra_config=True))
    except (HydraException, OmegaConfBaseException, ValueError) as error:
        raise ConfigError(explain(error, overrides, config_dir)) from error


def split_config_dir(words: Sequence[str]) -> tuple[str | None, list[str]]:
    """The folder of `--config-dir DIR` or `--config-dir=DIR`, None where there is none, and the other words."""
    rest, directory, it = [], None, iter(words)
    for word in it:
        name, equals, value = word.partition("=")
        if name in ("--config-dir", "-cd"):
            directory = value if equals else next(it, None)
        else:
            rest.append(word)
    return directory, rest


def from_hydra(config: DictConfig) -> Config:
    """The typed config of a composed one (which still has its hydra node: it says what was chosen). Raises ConfigError."""
    values = _values(config)
    if values.get("label") is None and "hydra" in config:
        values["label"] = _label(config, values)
    typed = from_mapping(values)
    if typed.sweep.seeds > 1 and "hydra" in config and "sweep" not in _choices(config):
        raise ConfigError(f"sweep.seeds={typed.sweep.seeds}: counts the seeds of a sweep file (add +sweep=seeds)")
    return typed


def folder_name(config: Config) -> str:
    """`<experiment>/<readable>-<identity>`: the run's folder under outputs/, whatever launches it."""
    if config.is_debug:
        return f"debug/{_safe(config.name)}"
    label = _safe(config.label or "")[:LABEL_LENGTH]
    experiment = "-".join(filter(None, [_safe(config.name), _safe(config.scale or "")]))
    return f"{experiment}/{'-'.join(filter(None, [label, identity(config)]))}"


# The resolver of hydra.run.dir and hydra.sweep.subdir.
def _run_folder(*, _root_: DictConfig) -> str:
    return folder_name(from_hydra(_root_)) if "model" in _root_ else "<experiment>/<run>"  # `--cfg hydra` shows no job


OmegaConf.register_new_resolver("run_folder", _run_folder, replace=True)


def own_presets() -> None:
    """Let a preset of ours stand where a plugin brings a schema of the same name (hydra/sweeper=optuna): Hydra refuses both."""
    Plugins.instance()  # they register when they are found
    for group in ("launcher", "sweeper"):
        known = ConfigStore.instance().repo.get("hydra", {}).get(group, {})
        for path in (CONF / "hydra" / group).glob("*.yaml"):
            known.pop(path.name, None)


@contextmanager
def own_hydra() -> Iterator[Hydra]:
    """Compose beside a Hydra that may be running already (a notebook, a job), and leave it as it was."""
    state = GlobalHydra.instance()
    running = state.hydra
    state.clear()
    own_presets()
    try:
        with initialize_config_dir(str(CONF), version_base="1.3", job_name="train"):
            own = GlobalHydra.instance().hydra
            assert own is not None
            yield own
    finally:
        state = GlobalHydra.instance()
        state.clear()
        if running is not None:
            state.initialize(running)


def _values(config: DictConfig) -> dict[str, Any]:
    """A composed config as resolved plain data, without its hydra node."""
    plain = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    values = OmegaConf.to_container(plain, resolve=True)
    assert isinstance(values, dict)
    return {str(key): value for key, value in values.items()}


# --- the readable name: what differs from the experiment's own values


def _label(config: DictConfig, values: dict[str, Any]) -> str:
    """`optimizer=adam,batch_size=64`: the groups and values in which a config differs from its experiment's own."""
    choices = _choices(config)
    scale = [str(word) for word in config.hydra.overrides.task if str(word).startswith("+scale=")]
    experiment = [f"+experiment={choices['experiment']}"] if "experiment" in choices else []
    start = (*experiment, *scale)
    loader, name = GlobalHydra.instance().config_loader(), str(config.hydra.job.config_name)
    start += tuple(str(word) for word in config.hydra.overrides.hydra if str(word).startswith("hydra.searchpath"))
    own_choices = _own_choices(loader, name, start)
    groups = {g: c for g, c in choices.items() if own_choices.get(g) != c and g not in UNNAMED_GROUPS}
    added = tuple(f"{'' if g in own_choices else '+'}{g}={c}" for g, c in groups.items())
    typed = {str(word) for word in config.hydra.overrides.task}
    own_values = flatten(values) if typed <= {*start, *added} else _own_values(loader, name, (*start, *added))
    flat = flatten(values)
    tails = [key.rsplit(".", 1)[-1] for key in keys_of(Config)]
    words = [f"{group}={choice}" for group, choice in groups.items()]
    if values.get("scale") is None:  # a reduced scale is in the folder's name already
        words = [word.lstrip("+") for word in scale] + words
    for key, value in sorted(flat.items(), key=lambda item: "." not in item[0]):  # seed and the like at the end
        if changes_result(key) and own_values.get(key) != value:
            tail = key.rsplit(".", 1)[-1]
            text = "-".join(map(show, value)) if isinstance(value, list) else show(value)
            words.append(f"{tail if tails.count(tail) <= 1 else key}={text}")
    return _shortened([_safe(word) for word in words])


def _choices(config: DictConfig) -> dict[str, str]:
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
    return flatten(_values(loader.load_configuration(config_name, list(words), run_mode=RunMode.RUN)))


def _safe(text: str) -> str:
    """Characters that are safe in a file name on every system, in TensorBoard and in a shell."""
    return re.sub(r"[^A-Za-z0-9._=,+-]+", "-", text).strip("-.")


def _shortened(words: list[str]) -> str:
    text = ",".join(words)
    if len(text) <= LABEL_LENGTH:
        return text
    kept: list[str] = []
    while words and len(",".join([*kept, words[0]])) <= LABEL_LENGTH - 8:
        kept.append(words.pop(0))
    return ",".join([*kept, f"+{len(words)}more"])


# --- words that do not fit


def explain(error: Exception, words: Sequence[str], config_dir: str | Path | None = None) -> str:
    """One line for an error of Hydra's: which word does not fit, and the nearest that does."""
    extra = [] if config_dir is None else [f"hydra.searchpath=[file://{Path(config_dir).resolve()}]"]
    try:
        with own_hydra():
            hydra_compose("config", extra)  # makes the search path known
            loader = GlobalHydra.instance().config_loader()
            overrides = OverridesParser.create(config_loader=loader).parse_overrides(list(words))
            for override in overrides:
                _check_word(override, loader, extra, error)
            both = [str(o.input_line) for o in overrides if o.key_or_group in ("cell", "experiment") and o.is_add()]
            if len(both) == 2 and "experiment" in str(error):
                raise ConfigError(f"{' '.join(both)}: a cell has its own experiment; leave one of them out")
    except ConfigError as found:
        return str(found)
    except Exception:  # the word cannot even be parsed, or a config of the user's own is broken: Hydra's message says where
        pass
    root = error
    while root.__cause__ is not None and isinstance(root.__cause__, Exception):
        root = root.__cause__
    lines = [line.strip() for line in f"{error}\n{root}".splitlines() if line.strip()]
    return "; ".join(
        dict.fromkeys(
            line for line in lines if not line.startswith(("object_type", "reference_type", "Config search path", "provider="))
        )
    )[:400]


def _check_word(override: Override, loader: ConfigLoader, extra: list[str], error: Exception) -> None:
    """Raise ConfigError where the word names a group, a choice or a key that does not exist."""
    word, key = override.input_line or "", override.key_or_group
    if key.split("/")[0].split(".")[0] == "hydra":
        return
    if key in set(loader.list_groups("")) - {"hydra"} and not override.is_delete():
        options = loader.get_group_options(key, config_name="config", overrides=extra)
        for choice in _chosen(override):
            if choice not in options:
                all_of_them = ", ".join(options) if len(options) <= MOST_CHOICES else "see --help"
                hint = nearest(choice, options) or f" (choices: {all_of_them})"
                raise ConfigError(f"{key}={choice}: no such {key}{hint}")
        if key in ADDED_GROUPS and not override.is_add():
            raise ConfigError(f"{word}: {key} is no part of the defaults: add it with a plus, +{word}")
        if key not in ADDED_GROUPS and override.is_add() and not override.is_force_add():
            raise ConfigError(f"{word}: {key} is chosen already: leave out the plus, {word.lstrip('+')}")
        return
    if key.startswith("trainer.") and key.removeprefix("trainer.") in OWNED:
        raise ConfigError(f"{key}: belongs to resnet_lit: {OWNED[key.removeprefix('trainer.')]}")
    if not _is_key(key):
        names = [*keys_of(Config), *(g for g in loader.list_groups("") if g != "hydra")]
        raise ConfigError(f"{word.lstrip('+')}: unknown key{nearest(key, names)}")
    if f"'{key}'" in str(error) and "not in struct" in f"{error} {error.__cause__}":
        raise ConfigError(f"{word}: {key} is new in this config: add it with a plus, +{word}")


def _chosen(override: Override) -> list[str]:
    """The choices of a group that a word names; none for a glob or a range."""
    if override.is_choice_sweep():
        return [str(value) for value in override.value().list]  # type: ignore[union-attr]
    if override.is_sweep_override():
        return []
    value = override.value()
    return [str(v) for v in value] if isinstance(value, list) else [] if value is None else [str(value)]


def _is_key(key: str) -> bool:
    """Whether a dotted key is one of the schema, one of its groups, or lies in a free group (`optimizer.args.betas`)."""
    known = keys_of(Config)
    if key in known or any(k.startswith(f"{key}.") for k in known):
        return True
    free = [k for k, field in known.items() if isinstance(field.metadata["example"], dict)]
    return any(key.startswith(f"{k}.") for k in free) or key in {f"trainer.{k}" for k in keys_of(Trainer)}
