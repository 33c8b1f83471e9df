"""What to tell a user whose words do not fit: one line with the key, the value and the remedy."""

from __future__ import annotations

import re
from collections.abc import Sequence

from hydra import compose as hydra_compose
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException

from resnet_lit.command_line import CONFIG_NAME, PACKAGE, Source
from resnet_lit.hydra_session import own_hydra
from resnet_lit.reserved import OWNED
from resnet_lit.run_name import ADDED_GROUPS, NAMED_GROUPS
from resnet_lit.schema import Config
from resnet_lit.sections import Trainer
from resnet_lit.synonyms import hint
from resnet_lit.typed import ConfigError, Refused, keys_of, nearest

MOST_CHOICES = 12  # in an error message

# Lines of OmegaConf's and Hydra's errors that mean nothing to a user; the one with the key; and the name of an exception.
NOISE = ("object_type", "reference_type", "Config search path", "provider=")
KEY_LINE = "full_key: "
RESOLVING = re.compile(r"^\w+ raised while resolving interpolation: \"?(.*?)\"?$")


def explain(error: Exception, words: Sequence[str], source: Source = PACKAGE) -> str:
    """One line for an error of Hydra's: which word does not fit, and the nearest that does."""
    root = error
    while root.__cause__ is not None and isinstance(root.__cause__, Exception):
        root = root.__cause__
    if (refused := _refused(error)) is not None:
        return str(refused)
    if missing := re.search(r"Environment variable '(.+?)' not found", str(error)):
        asked = re.search(r"full_key: (\S+)", str(error))
        return (
            f"{asked[1] if asked else 'config'}=${{oc.env:{missing[1]}}}: the environment variable {missing[1]} is not set "
            f"(set it, or give a default: ${{oc.env:{missing[1]},<value>}})"
        )
    for word in words:
        try:
            OverridesParser.create().parse_override(word)
        except HydraException as unreadable:
            if word.lstrip("+~").startswith("optimizer.groups."):
                return f"{word}: cannot be read; a pattern stands in braces: '+optimizer.groups={{stem.*: {{epochs: 3}}}}'"
            why = str(unreadable).splitlines()[0].partition(" expecting {")[0]
            return f"{word}: cannot be read ({why}); check its commas, brackets and quotes"
    extra = [word for word in words if word.lstrip("+").startswith("hydra.searchpath")]
    try:
        with own_hydra(source):
            hydra_compose(source.name, extra)  # makes the search path known
            loader = GlobalHydra.instance().config_loader()
            overrides = OverridesParser.create(config_loader=loader).parse_overrides(list(words))
            for override in overrides:
                _check_word(override, loader, extra, error, source)
            both = [o for o in overrides if o.key_or_group in ("cell", "experiment") and o.is_add()]
            if len(both) == 2 and "experiment" in str(error):
                why = "" if both[0].key_or_group == both[1].key_or_group else "a cell has its own experiment; "
                raise ConfigError(f"{' '.join(str(o.input_line) for o in both)}: {why}leave one of them out")
    except ConfigError as found:
        return str(found)
    except Exception:  # the word cannot even be parsed, or a config of the user's own is broken: Hydra's message says where
        pass
    if source.name != CONFIG_NAME and "No match in the defaults list" in str(error):
        return f"--config-name={source.name}: does not hold the package's config: let it begin with `defaults: [config, _self_]`"
    lines = [line.strip() for line in f"{error}\n{root}".splitlines() if line.strip()]
    key = next((f"{line.removeprefix(KEY_LINE)}: " for line in lines if line.startswith(KEY_LINE)), "")
    left = dict.fromkeys(RESOLVING.sub(r"\1", line) for line in lines if not line.startswith((*NOISE, KEY_LINE)))
    return (key + "; ".join(left))[:400]


def _refused(error: BaseException | None) -> Refused | None:
    """What one of our resolvers has refused. OmegaConf raises errors of its own instead and hides the cause."""
    while error is not None and not isinstance(error, Refused):
        error = error.__cause__ or error.__context__
    return error


def _check_word(override: Override, loader: ConfigLoader, extra: list[str], error: Exception, source: Source) -> None:
    """Raise ConfigError where the word names a group, a choice or a key that does not exist."""
    word, key = override.input_line or "", override.key_or_group
    if key.split("/")[0].split(".")[0] == "hydra":
        return
    if key in set(loader.list_groups("")) - {"hydra"} and not override.is_delete():
        options = loader.get_group_options(key, config_name=source.name, overrides=extra)
        for choice in _chosen(override):
            if choice not in options:
                raise ConfigError(f"{key}={choice}: {_no_such(key, choice, options)}")
        if key in ADDED_GROUPS and not override.is_add():
            raise ConfigError(f"{word}: {key} is not in the defaults: add it with a plus, +{word}")
        if key not in ADDED_GROUPS and override.is_add() and not override.is_force_add():
            raise ConfigError(f"{word}: {key} is chosen already: leave out the plus, {word.lstrip('+')}")
        return
    if key.startswith("parent."):
        raise ConfigError(f"{key}: names the run that another one continues; resume=<run> trainer.max_epochs=N sets it")
    if key.startswith("trainer.") and key.removeprefix("trainer.") in OWNED:
        raise ConfigError(f"{key}: belongs to resnet_lit: {OWNED[key.removeprefix('trainer.')]}")
    if not _is_key(key):
        names = [*keys_of(Config), *(g for g in loader.list_groups("") if g != "hydra")]
        raise ConfigError(f"{word.lstrip('+')}: unknown key{hint(key, names)}")
    if f"'{key}'" in str(error) and "not in struct" in f"{error} {error.__cause__}":
        raise ConfigError(f"{word}: {key} is new in this config: add it with a plus, +{word}")


def _no_such(group: str, choice: str, options: list[str]) -> str:
    """Why a group has no such choice: a typing error, or something that is not here, and what there is instead."""
    close = nearest(choice, options)
    if group == "data":
        typo = close and re.sub(r"\D", "", close) == re.sub(r"\D", "", choice)  # cifar100 is no misspelt cifar10
        if not typo:
            return f"not among the data sets ({', '.join(options)}); images of your own: data=folder data.root=<folder>"
    if close:
        return f"no such {group}{close}"
    choices = f"choices: {', '.join(options) if len(options) <= MOST_CHOICES else 'see --help'}"
    own = f"; a class of your own: {group}._target_=<module>.<Class>" if group in NAMED_GROUPS else ""
    return f"no such {group} ({choices}{own})"


def _chosen(override: Override) -> list[str]:
    """The choices of a group that a word names; none for a glob or a range."""
    if override.is_choice_sweep():
        return [str(value) for value in override.value().list]  # type: ignore[union-attr]
    if override.is_sweep_override():
        return []
    value = override.value()
    return [str(v) for v in value] if isinstance(value, list) else ["null" if value is None else str(value)]


def _is_key(key: str) -> bool:
    """Whether a dotted key is one of the schema, one of its groups, or lies in a free group (`optimizer.args.betas`)."""
    known = keys_of(Config)
    if key in known or any(k.startswith(f"{key}.") for k in known):
        return True
    free = [k for k, field in known.items() if isinstance(field.metadata["example"], dict)]
    return any(key.startswith(f"{k}.") for k in free) or key in {f"trainer.{k}" for k in keys_of(Trainer)}
