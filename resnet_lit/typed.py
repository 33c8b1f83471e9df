"""Typed values from untyped ones: a nested mapping becomes frozen dataclasses, or one clear line says why not.

A field made with `setting` carries its meaning, its range and whether it changes a run's result; `build` checks a mapping
against the field's type and range, `flatten` turns the object back into `{dotted key: plain value}`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import functools
import math
import re
import types
from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypeGuard, TypeVar, Union, get_args, get_origin, get_type_hints

from resnet_lit.printable import printable

T = TypeVar("T")


class Refused(Exception):
    """The user's input cannot be used. `str()` is one line that names the key, the value and the remedy; exit status 2."""

    def __str__(self) -> str:
        return printable(" ".join(filter(None, map(str.strip, super().__str__().splitlines()))))


class ConfigError(Refused):
    """A key or value of the configuration is wrong."""


def setting(
    default: Any,
    meaning: str,
    *,
    least: float | None = None,
    above: float | None = None,
    most: float | None = None,
    below: float | None = None,
    example: Any = None,
    result: bool = True,
    key: str | None = None,
) -> Any:
    """Declare one value of the configuration.

    default: the neutral value: a value equal to it does not enter a run's identity. meaning: what it is, with its unit.
    least/above/most/below: the range, bounds included / excluded (of every element where the value is a list).
    example: a value that works, for error messages (default: `default`). result: whether it can change what a run
    computes. key: its name in YAML where that is no good Python name (`_target_`).
    """
    metadata = {
        "meaning": meaning,
        "least": least,
        "above": above,
        "most": most,
        "below": below,
        "example": default if example is None else example,
        "result": result,
        "key": key,
    }
    if isinstance(default, dict | list):
        return dataclasses.field(default_factory=lambda: type(default)(default), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def section(schema: type, *, result: bool = True) -> Any:
    """Declare a nested group of values. result=False: nothing in it changes what a run computes."""
    return dataclasses.field(default_factory=schema, metadata={"result": result, "key": None})


@functools.cache
def fields_of(schema: type) -> dict[str, tuple[dataclasses.Field, Any]]:
    """The fields of a dataclass by their YAML key, each with its resolved type."""
    hints = get_type_hints(schema)
    return {f.metadata.get("key") or f.name: (f, hints[f.name]) for f in dataclasses.fields(schema)}


def is_schema(kind: Any) -> TypeGuard[type]:
    """Whether a field's type is a nested group of values."""
    return isinstance(kind, type) and dataclasses.is_dataclass(kind)


def nearest(word: str, names: Iterable[str]) -> str:
    """A hint `: did you mean x?` for a mistyped word, or the empty string."""
    names = [str(name) for name in names]
    group, _, tail = word.rpartition(".")
    inside = {name.rsplit(".", 1)[-1]: name for name in names if name.rpartition(".")[0] == group}
    close = [inside[name] for name in difflib.get_close_matches(tail, inside, n=1, cutoff=0.6)]
    close = close or difflib.get_close_matches(word, names, n=1, cutoff=0.75)
    if not close:  # the last part alone: `batch_size` for `data.batch_size`
        tails = {name.rsplit(".", 1)[-1]: name for name in reversed(names)}
        close = [tails[name] for name in difflib.get_close_matches(tail, tails, n=1, cutoff=0.75)]
    return f": did you mean {close[0]}?" if close else ""


def keys_of(schema: type, prefix: str = "") -> dict[str, dataclasses.Field]:
    """Every dotted key of a schema, down to its leaves, with its field."""
    keys: dict[str, dataclasses.Field] = {}
    for name, (field, kind) in fields_of(schema).items():
        if is_schema(kind):
            keys.update(keys_of(kind, f"{prefix}{name}."))
        else:
            keys[prefix + name] = field
    return keys


def type_of(schema: type, key: str) -> Any:
    """The type of a dotted key, or None where the schema has no such key."""
    kind: Any = schema
    for name in key.split("."):
        if not is_schema(kind) or name not in fields_of(kind):
            return None
        kind = fields_of(kind)[name][1]
    return kind


def is_text(kind: Any) -> bool:
    """Whether a type holds text and nothing else, but for null."""
    return kind is str or set(get_args(kind)) == {str, type(None)}


def accepts(kind: Any, value: Any) -> bool:
    """Whether `value` is one of a type, without a look at its range."""
    return any(_as(value, option) is not _NO for option in _options(kind))


def spelled(text: str) -> Any:
    """The number or bool that `text` spells, else `text` itself."""
    text, words = text.strip(), {"true": True, "false": False}
    for kind in (int, float):
        if re.fullmatch(r"[+-]?[0-9.]+([eE][+-]?[0-9]+)?", text):
            with contextlib.suppress(ValueError):
                return kind(text)
    return words.get(text.lower(), text)


def build(schema: type[T], values: Mapping[str, Any], prefix: str = "", root: type | None = None) -> T:
    """Check `values` against `schema` and return an instance of it.

    Raises ConfigError for an unknown key (with the nearest valid one), a wrong type, a value out of its range.
    """
    root = root or schema
    known = fields_of(schema)  # type: ignore[arg-type]  # a class is hashable
    for key in values:
        if key not in known:
            full = f"{prefix}{key}"
            raise ConfigError(f"{full}: unknown key{nearest(full, [*keys_of(root), *fields_of(root)])}")
    arguments: dict[str, Any] = {}
    for key, (field, kind) in known.items():
        full = f"{prefix}{key}"
        if key not in values:
            continue
        value = values[key]
        if is_schema(kind):
            if not isinstance(value, Mapping):
                raise ConfigError(f"{full}={show(value)}: must be a group of values ({full}.<key>=<value>)")
            arguments[field.name] = build(kind, value, f"{full}.", root)
        else:
            arguments[field.name] = _in_range(full, _convert(full, value, kind, field), field)
    return schema(**arguments)


def show(value: Any) -> str:
    """A value as it is typed on the command line."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple | list):
        return f"[{','.join(show(v) for v in value)}]"
    if isinstance(value, Mapping):
        return f"{{{','.join(f'{k}:{show(v)}' for k, v in value.items())}}}"
    return f"{value:g}" if isinstance(value, float) and math.isfinite(value) and float(f"{value:g}") == value else f"{value}"


def _try(key: str, field: dataclasses.Field) -> str:
    example = field.metadata["example"]
    return "" if example is None or example == "" or example == {} else f" (try {key}={show(example)})"


def _convert(key: str, value: Any, kind: Any, field: dataclasses.Field) -> Any:
    """`value` as `kind`. A number in quotes, 1.0 for an integer or a string for a bool is an error, an int for a float is not."""
    for option in _options(kind):
        converted = _as(value, option)
        if converted is not _NO:
            return converted
    if isinstance(value, str) and accepts(kind, spelled(value)):
        raise ConfigError(f"{key}='{value}': is text; must be {describe(kind)} (without quotes: {key}={value.strip()})")
    raise ConfigError(f"{key}={show(value)}: must be {describe(kind)}{_try(key, field)}")


_NO = object()


def _options(kind: Any) -> tuple[Any, ...]:
    return get_args(kind) if get_origin(kind) in (Union, types.UnionType) else (kind,)


def _as(value: Any, kind: Any) -> Any:
    origin = get_origin(kind)
    if kind is Any:
        return value
    if kind is type(None):
        return None if value is None else _NO
    if origin is Literal:
        # YAML reads a bare `false` as a bool: a choice may be one
        return next((c for c in get_args(kind) if c == value and type(c) is type(value)), _NO)
    if kind is bool:
        return value if isinstance(value, bool) else _NO
    if kind is int:
        return value if isinstance(value, int) and not isinstance(value, bool) else _NO
    if kind is float:
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else _NO
    if kind is str:
        return value if isinstance(value, str) else str(value) if type(value) in (int, float) else _NO  # name=2026
    if origin is tuple and isinstance(value, list | tuple):
        element = get_args(kind)[0]
        items = tuple(_as(v, element) for v in value)
        return _NO if any(v is _NO for v in items) else items
    if origin is dict or kind is dict:
        return dict(value) if isinstance(value, Mapping) else _NO
    return _NO


def describe(kind: Any) -> str:
    """A type in words: `a number`, `true or false`, `one of sgd, adam`."""
    names: dict[Any, str] = {
        int: "a whole number",
        float: "a number",
        bool: "true or false",
        str: "a word",
        type(None): "null",
        Any: "any value",
    }
    parts = []
    for option in _options(kind):
        origin = get_origin(option)
        if origin is Literal:
            parts.append(f"one of {', '.join(show(c) for c in get_args(option))}")
        elif origin is tuple:
            element = names[get_args(option)[0]].removeprefix("a ")
            parts.append(f"a list of {element}s")
        elif origin is dict or option is dict:
            parts.append("a group of values")
        else:
            parts.append(names.get(option, str(option)))
    return " or ".join(parts)


def _in_range(key: str, value: Any, field: dataclasses.Field) -> Any:
    limits = field.metadata
    for number in value if isinstance(value, tuple) else (value,):
        if isinstance(number, bool) or not isinstance(number, int | float):
            continue
        wrong = (
            "must be a finite number"
            if not math.isfinite(number)
            else f"must be at least {show(limits['least'])}"
            if limits["least"] is not None and number < limits["least"]
            else f"must be above {show(limits['above'])}"
            if limits["above"] is not None and number <= limits["above"]
            else f"must be at most {show(limits['most'])}"
            if limits["most"] is not None and number > limits["most"]
            else f"must be below {show(limits['below'])}"
            if limits["below"] is not None and number >= limits["below"]
            else ""
        )
        if wrong:
            raise ConfigError(f"{key}={show(value)}: {wrong}{_try(key, field)}")
    return value


def plain(value: Any) -> Any:
    """A typed value as plain data (dict, list, str, number, bool, None) under its YAML keys."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {key: plain(getattr(value, f.name)) for key, (f, _) in fields_of(type(value)).items()}
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, tuple | list):
        return [plain(v) for v in value]
    return value


def flatten(value: Any, prefix: str = "") -> dict[str, Any]:
    """A typed object or nested mapping as `{dotted key: plain value}`; mappings (`optimizer.args`) are opened, lists are not."""
    flat: dict[str, Any] = {}
    for key, item in plain(value).items() if not isinstance(value, Mapping) else value.items():
        if isinstance(item, Mapping) and item:
            flat.update(flatten(item, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = plain(item)
    return flat
