"""What a run is: a hash of the values that change its result. The same command has the same identity on every machine.

A value that equals the schema's neutral default is left out, so a key added later changes no identity; neither do paths,
loggers, progress and checkpoint intervals (`result=False` in the schema).

A correction that gives some configs other numbers has a marker in `FIXES`: it is hashed for those configs alone, so that their
runs of before are other runs, and every other run keeps its identity.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

from resnet_lit.models.architecture import has_subsampled
from resnet_lit.plugins import locate
from resnet_lit.run_path import BEST, CHECKPOINTS, run_folder
from resnet_lit.schema import Config, architecture
from resnet_lit.sections import RESNET
from resnet_lit.typed import ConfigError, fields_of, flatten

# Raised only when the same config gives other numbers than before: a run of an older version is then another run.
RESULTS_VERSION = 1


def _is_subsampled(config: Config) -> bool:
    return config.model.target == RESNET and has_subsampled(architecture(config.model, image_size=config.data.image_size or 32))


AVERAGING = {"WeightAveraging", "EMAWeightAveraging", "StochasticWeightAveraging"}


def _averages_weights(config: Config) -> bool:
    """Whether a callback puts other weights in place for a validation, or when training ends."""
    return any(_exchanges_weights(entry["_target_"]) for entry in config.callbacks.values() if entry)


def _exchanges_weights(target: str) -> bool:
    package, name = target.partition(".")[0], target.rpartition(".")[2]
    if package in ("lightning", "pytorch_lightning", "resnet_lit"):
        return name in AVERAGING
    try:
        bases = locate(target, "callbacks._target_").__mro__
    except (ConfigError, AttributeError):  # it cannot be used: refused when the run begins
        return False
    own = [base for base in bases if base.__module__.partition(".")[0] not in ("lightning", "pytorch_lightning")]
    hooks = ("on_validation_start", "on_validation_epoch_start")
    return any(base.__name__ in AVERAGING for base in bases) or any(hook in vars(base) for base in own for hook in hooks)


# Corrections that change the numbers of some configs: marker -> (which configs, what was corrected, for the user).
FIXES: dict[str, tuple[Callable[[Config], bool], str]] = {
    "evaluated_weights": (
        _averages_weights,
        "where a callback averages weights, the best weights are those that the validation was made with",
    ),
    "strided_1x1": (
        _is_subsampled,
        "1x1 convolutions of stride 2 with fewer than 16 input channels, which could crash in torch, are computed differently",
    ),
}


def fixes(config: Config) -> tuple[str, ...]:
    """The markers of the corrections that apply to a config, sorted; none for most."""
    return tuple(sorted(name for name, (applies, _) in FIXES.items() if applies(config)))


def identity(config: Config) -> str:
    """Ten hexadecimal digits that name what a run computes.

    Raises ConfigError where `weights` names no file: its content, not its path, is part of what the run computes.
    """
    return _hashed(config, fixes(config))


def missing_fixes(config: Config, known_as: str) -> tuple[str, ...]:
    """The corrections that came after a run of this config, which has the identity `known_as`; none where it is another run's."""
    applying = fixes(config)
    if not applying or known_as == identity(config):
        return ()
    for count in range(len(applying)):
        for had in combinations(applying, count):
            if _hashed(config, had) == known_as:
                return tuple(name for name in applying if name not in had)
    return ()


def _hashed(config: Config, fixed: Sequence[str]) -> str:
    values = result_values(config)
    if config.parent.checkpoint is not None:
        values["parent"] = config.parent.checkpoint
        values.pop("weights", None)  # the parent began with them: they are in its checkpoint
    elif config.weights is not None:
        values["weights"] = file_hash(config.weights)
    content: dict[str, Any] = {"results_version": RESULTS_VERSION, "values": values}
    if fixed:
        content["fixes"] = list(fixed)
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def result_values(config: Config) -> dict[str, Any]:
    """The values that change a result and differ from their neutral default, by dotted key."""
    defaults = flatten(Config())
    return {
        key: value
        for key, value in flatten(config).items()
        if changes_result(key) and (key not in defaults or value != defaults[key] or type(value) is not type(defaults[key]))
    }


def changes_result(key: str, schema: type = Config) -> bool:
    """Whether a dotted key can change what a run computes; keys of free groups (`optimizer.args.betas`) follow the group."""
    head, _, rest = key.partition(".")
    if head not in fields_of(schema):
        return False
    field, kind = fields_of(schema)[head]
    if not field.metadata["result"]:
        return False
    return changes_result(rest, kind) if rest and isinstance(kind, type) and hasattr(kind, "__dataclass_fields__") else True


def differences(old: Config, new: Config) -> dict[str, tuple[Any, Any]]:
    """The result-changing values in which two configs differ: {key: (old, new)}."""
    before, after = flatten(old), flatten(new)
    keys = sorted(key for key in {*before, *after} if changes_result(key))
    keys += ["parent.checkpoint"]
    return {key: (before.get(key), after.get(key)) for key in keys if before.get(key) != after.get(key)}


def file_hash(path: str) -> str:
    """sha256 of the file of `weights`. Raises ConfigError where there is none."""
    run = run_folder(path)
    best = run / CHECKPOINTS / BEST
    if os.path.isfile(best) and (os.path.isdir(path) or Path(path).suffix in (".json", ".yaml", ".csv", ".log", ".npz")):
        what = "is a run's folder" if Path(path) == run else "lies in a run"
        raise ConfigError(f"weights={path}: {what}; give the checkpoint that is meant, weights={best} for instance")
    if not os.path.isfile(path):
        what = "is a folder" if os.path.isdir(path) else "no such file"
        raise ConfigError(f"weights={path}: {what} (give a checkpoint, <run folder>/checkpoints/best.ckpt for instance)")
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
