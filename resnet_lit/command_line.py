"""What a user types, read in one place: options, where configs are read from, and overrides whose values mean what was typed.

Hydra's grammar has no place for `data.root=фото` or `Tom's photos`. A value that is none of its grammar is quoted here, for every
command and for `config.load`; lists, sweeps, `range(…)`, `${…}` and quoted text keep their meaning.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.errors import HydraException

from resnet_lit.schema import Config
from resnet_lit.synonyms import hint
from resnet_lit.typed import ConfigError, fields_of, is_text, nearest, type_of

CONFIG_NAME = "config"
# Never swept over: a comma in them is part of the name.
FOLDERS = ("hydra.run.dir", "hydra.sweep.dir", "data.cache", "data.download", "resume")
FILES = ("data.root", "weights")
# Options of Hydra's, long and short.
SWITCHES = {
    "--help": "-h",
    "--hydra-help": "",
    "--version": "",
    "--resolve": "",
    "--run": "-r",
    "--multirun": "-m",
    "--shell-completion": "-sc",
}
SOURCES = {"--config-path": "-cp", "--config-name": "-cn", "--config-dir": "-cd"}
WITH_VALUE = {"--cfg": "-c", "--package": "-p", "--info": "-i", "--experimental-rerun": ""}
CHOICES = {
    "--cfg": ("job", "hydra", "all"),
    "--info": ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath"),
}
DOING = ("--run", "--multirun", "--cfg", "--info", "--shell-completion")  # Hydra does one of them
_PLAIN = re.compile(r"[\w./+-]*", re.ASCII)
_GRAMMAR = re.compile(  # begun, whether or not it can be read
    r"[\[{'\"]|(range|choice|interval|glob|sort|shuffle|tag|int|float|str|bool|json_str|extend_list)\s*\(|.*\$\{"
)


@dataclass(frozen=True)
class Source:
    """Where configs are read from, as the options of the same name say.

    directory: --config-dir, a folder whose configs are added. name: --config-name. path: --config-path, a folder in place of
    the package's conf/.
    """

    directory: str | None = None
    name: str = CONFIG_NAME
    path: str | None = None

    def options(self) -> list[str]:
        """The options that say so, in any folder of this machine."""
        found = {"--config-path": self.path, "--config-dir": self.directory}
        options = [
            f"{option}={folder if '://' in folder else os.path.abspath(folder)}"
            for option, folder in found.items()
            if folder is not None
        ]
        return options if self.name == CONFIG_NAME else [*options, f"--config-name={self.name}"]


PACKAGE = Source()


@dataclass(frozen=True)
class CommandLine:
    """The words of a command. overrides: quoted where that is needed. options: by their long names; switches have None."""

    overrides: tuple[str, ...] = ()
    source: Source = PACKAGE
    options: Mapping[str, str | None] = field(default_factory=dict)

    @property
    def multirun(self) -> bool:
        """Whether -m stands there (a sweep file makes a multirun without it)."""
        return "--multirun" in self.options

    def for_hydra(self) -> list[str]:
        """The same as Hydra's own parser reads it."""
        options = [name if value is None else f"{name}={value}" for name, value in self.options.items()]
        return [*options, *self.source.options(), *self.overrides]


def read(words: Sequence[str], command: str, switches: Mapping[str, str] = {}, with_value: Mapping[str, str] = {}) -> CommandLine:
    """The words of `python -m resnet_lit.<command>`, which takes these options beside the three that say where configs are.

    switches, with_value: long options with their short forms ("" for none). Raises ConfigError with one line for an unknown
    option, one that lacks its value, a folder or config that is not there, and for what is no key=value.
    """
    options: dict[str, str | None] = {}
    overrides: list[str] = []
    known = {**switches, **with_value, **SOURCES}
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if not word.startswith("-"):
            overrides.append(_override(word, command))
            continue
        name, equals, value = word.partition("=")
        option = _option(name, known)
        if option is None:
            raise ConfigError(f"{word}: no such option{_meant(word, known) or f' (python -m resnet_lit.{command} --help)'}")
        if option in switches:
            if equals:
                raise ConfigError(f"{word}: {option} takes no value; leave out ={value}")
            options[option] = None
            continue
        if not equals:
            if option == "--info" and (not rest or rest[0] not in CHOICES[option]):
                value = "all"
            elif not rest:
                raise ConfigError(f"{word}: needs a value ({option}=…)")
            else:
                value = rest.pop(0)
        if options.get(option, value) != value:
            raise ConfigError(f"{option}: given twice, {options[option]} and {value}; leave one of them out")
        if option in CHOICES and value not in CHOICES[option]:
            raise ConfigError(f"{option}={value}: must be one of {', '.join(CHOICES[option])}")
        options[option] = value
    overrides = [literal(word) for word in overrides]
    source = _source({name: options.pop(name) for name in SOURCES if name in options}, overrides)
    doing = [name for name in DOING if name in options]
    if len(doing) > 1 and "--help" not in options:
        if set(doing) == {"--multirun", "--cfg"}:
            raise ConfigError("--cfg: shows the config of one run; leave out -m, and give one value of each")
        raise ConfigError(f"{doing[0]}, {doing[1]}: only one at a time; leave one of them out")
    if "--resolve" in options and "--cfg" not in options and "--help" not in options:
        raise ConfigError("--resolve: belongs to --cfg (add --cfg job)")
    return CommandLine(tuple(overrides), source, options)


def read_train(words: Sequence[str]) -> CommandLine:
    """The words of resnet_lit.train: all options are Hydra's. Raises ConfigError as `read`."""
    return read(words, "train", SWITCHES, WITH_VALUE)


def _meant(word: str, known: Iterable[str]) -> str:
    """What may be meant by an unknown option: another, or a value, which has no dashes here."""
    key, _, value = word.lstrip("-").partition("=")
    key = key.replace("-", "_")
    if not _is_key(key):
        close = nearest(word.partition("=")[0], known)
        meant = re.fullmatch(r": did you mean (\S+)\?", hint(key, ())) if len(key) > 1 else None
        if meant is None:
            return close
        key = meant[1]
    return f": did you mean {key}?" if "=" in key else f": did you mean {key}={value or '…'}?"


def _option(name: str, known: Mapping[str, str]) -> str | None:
    """The long name of an option, given by its short one, or cut off, as Hydra lets its own be; None: there is none."""
    if name in known:
        return name
    found = [option for option, short in known.items() if short and name == short]
    if not found and len(name) > 3:
        found = [option for option in known if option.startswith(name) and option in {**SWITCHES, **WITH_VALUE, **SOURCES}]
    return found[0] if len(found) == 1 else None


def _source(options: Mapping[str, str | None], overrides: Iterable[str]) -> Source:
    folders = {}
    for option in ("--config-dir", "--config-path"):
        given = options.get(option)
        if given is None:
            continue
        folder = given if "://" in given else os.path.expanduser(given)  # pkg://… is a package
        if "://" not in given and not os.path.isdir(folder):
            why = "is empty" if not given else "no such folder" if not os.path.exists(folder) else "is not a folder"
            raise ConfigError(f"{option}={given}: {why} (relative to {Path.cwd()})")
        folders[option] = folder
    name = options.get("--config-name")
    if name is not None and name.endswith((".yaml", ".yml")) and os.path.isfile(os.path.expanduser(name)) and not folders:
        directory, file = os.path.split(os.path.expanduser(name))  # the path of a file of the user's own
        return Source(directory or ".", file.rpartition(".")[0])
    if name is not None:
        name = re.sub(r"\.ya?ml$", "", name)
        if not name:
            raise ConfigError("--config-name=: is empty (try --config-name=config)")
    return Source(folders.get("--config-dir"), name or CONFIG_NAME, folders.get("--config-path"))


def check_name(source: Source, conf: Path, overrides: Iterable[str] = ()) -> None:
    """Raise ConfigError where no folder of `source` holds the config of --config-name. conf: the package's folder."""
    folders = [folder for folder in (source.path or str(conf), source.directory) if folder is not None]
    searched = any("://" in folder for folder in folders) or any(
        word.lstrip("+").startswith("hydra.searchpath") for word in overrides
    )
    if searched or any(os.path.isfile(os.path.join(folder, f"{source.name}.yaml")) for folder in folders):
        return
    where = "there" if source.directory or source.path else "among the package's configs; --config-dir=<folder> adds your own"
    names = [path.stem for folder in folders for path in Path(folder).glob("*.yaml")]
    raise ConfigError(f"--config-name={source.name}: no such config {where}{nearest(source.name, names)}")


def _override(word: str, command: str) -> str:
    """The word, if it is key=value or ~key. Raises ConfigError."""
    if ("=" in word and not word.startswith("=")) or word.startswith("~"):
        return word
    if word == "=" or word.startswith("="):
        raise ConfigError(f"{word}: has no key before the = (no blanks around it: optimizer.lr=0.1)")
    if _is_key(word.lstrip("+")):
        raise ConfigError(f"{word}: needs a value, {word}=… (python -m resnet_lit.train --help lists them)")
    raise ConfigError(f"{word}: must be key=value (python -m resnet_lit.{command} --help)")


def _is_key(name: str) -> bool:
    """Whether `name` is a value of the configuration, a group, or begins like one."""
    return name.split(".")[0].split("/")[0] in {
        *fields_of(Config),
        "hydra",
        "experiment",
        "sweep",
        "cell",
        "search",
        "scale",
        "debug",
    }


# --- values


def literal(word: str, *, sweeps: bool = True) -> str:
    """`key=value` with the value quoted where Hydra would not read it as it was typed; every other word as it is.

    sweeps=False: for one run, where `a,b` in a path is its name. Raises ConfigError for a path that is empty.
    """
    key, equals, value = word.partition("=")
    name = key.lstrip("+")
    if not equals or not name or name.startswith("~"):
        return word
    path = name in FOLDERS or name in FILES
    if path and not value:
        raise ConfigError(f"{word}: is empty; name {'a folder' if name in FOLDERS else 'a file or folder'}, or leave it out")
    if _PLAIN.fullmatch(value) and not (_is_text(name) and _is_number(value)):
        return word
    if path and value.startswith("~"):
        value = os.path.expanduser(value)
    if path:
        return f"{key}={_path(value, sweeps and name in FILES)}"
    if os.path.exists(value) and re.search(r"[=,(){}\[\] ]", value) and not re.search(r"['\"$]", value):
        return f"{key}={quoted(value)}"  # a file that is there, whatever the key: of a callback of the user's own, for instance
    if _is_grammar(value):
        return f"{key}={quoted(value)}" if _is_text(name) and _is_number(value) else word
    if not _is_text(name) and _GRAMMAR.match(value):
        return word  # a mistake in a list or a range: Hydra says where
    if sweeps and "," in value:
        return f"{key}={','.join(_element(part) for part in value.split(','))}"
    return f"{key}={quoted(value)}"


def quoted(text: str) -> str:
    """`text` as Hydra's grammar writes it between quotes."""
    return QuotedString(text, Quote.single).with_quotes()


def unquoted(word: str) -> str:
    """The value of `key=value`, without the quotes of Hydra's grammar."""
    value = word.partition("=")[2]
    try:
        found = OverridesParser.create().parse_override(f"key={value}").value()
    except HydraException:
        return value
    return found if isinstance(found, str) else value


def _path(value: str, sweeps: bool) -> str:
    """A file or folder: one that exists is meant as it is; else grammar keeps its meaning. sweeps: a comma parts several."""
    if not os.path.exists(value):
        if value.lower() == "null" or ("${" in value and _is_grammar(value)):
            return value
        if value[0] in "'\"" or "\\" in value:
            return value if _is_grammar(value) else quoted(value)
        if sweeps and (re.match(r"(choice|glob|range|sort|shuffle)\(", value) and _is_grammar(value)):
            return value
        if sweeps and "," in value and all(part.strip() for part in value.split(",")):
            return ",".join(_element(part) for part in value.split(","))
    return quoted(value)


def _element(text: str) -> str:
    text = text.strip()
    return text if _is_grammar(text) else quoted(text)


def _is_grammar(value: str) -> bool:
    try:
        OverridesParser.create().parse_override(f"key={value}")
    except HydraException:
        return False
    return True


def _is_text(key: str) -> bool:
    """Whether a dotted key of the schema holds text and nothing else."""
    return key in FOLDERS or is_text(type_of(Config, key))


def _is_number(value: str) -> bool:
    """Whether Hydra reads `value` as a number that it would write in another way: 1.10, 1e5, 1_000."""
    try:
        found = OverridesParser.create().parse_override(f"key={value}").value()
    except HydraException:
        return False
    return isinstance(found, int | float) and not isinstance(found, bool) and str(found) != value
