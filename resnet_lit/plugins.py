"""The user's own classes, by import path: `optimizer._target_=mypackage.Lion`."""

from __future__ import annotations

import hashlib
import importlib
import inspect
import os
import sys
from pathlib import Path
from typing import Any

from resnet_lit.typed import ConfigError


def locate(path: str, key: str) -> Any:
    """The class or function at `package.module.Name`. key: the config's key, for the error.

    Looks in the current folder too, as `python -m` does. Raises ConfigError with one line.
    """
    module_name, _, name = path.rpartition(".")
    if not module_name:
        raise ConfigError(f"{key}={path}: must be an import path, package.module.Name")
    if "" not in sys.path and str(Path.cwd()) not in sys.path:  # an installed command does not look there by itself
        sys.path.append(str(Path.cwd()))
    try:
        return getattr(importlib.import_module(module_name), name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        is_named = f"{module_name}.".startswith(f"{missing}.")
        where = _searched(missing) if is_named else f", which {module_name} imports, is not installed"
        raise ConfigError(f"{key}={path}: cannot be imported: no module {missing}{where}") from error
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"{key}={path}: cannot be imported: {error}") from error
    except Exception as error:
        raise ConfigError(f"{key}={path}: its module fails when imported: {type(error).__name__}: {error}") from error


def _searched(module: str) -> str:
    """Where a module was looked for, and how another folder is added."""
    parent, _, name = module.rpartition(".")
    if parent:
        return f" ({parent} is there, and has no {name})"
    paths = os.environ.get("PYTHONPATH")
    return (
        f" in the current folder ({Path.cwd()}), in PYTHONPATH ({paths or 'not set'}), or installed; "
        f"run from the folder that holds {name}.py, or PYTHONPATH=<that folder>"
    )


def parameters_of(function: Any) -> list[str] | None:
    """The names of the parameters that a class or function takes; None where it takes any, or does not say."""
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):  # written in C
        return None
    if any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters.values()):
        return None
    return [*parameters]


def source_of(path: str) -> str | None:
    """sha256 of the source file that defines what lies at an import path; None where there is no such file."""
    try:
        module = importlib.import_module(getattr(locate(path, "source"), "__module__", path.rpartition(".")[0]))
        return hashlib.sha256(Path(str(module.__file__)).read_bytes()).hexdigest()
    except (ConfigError, ImportError, OSError, AttributeError):  # a built-in module has no file
        return None
