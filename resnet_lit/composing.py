"""Hydra composes what it always does, in two thirds of the time: what it does needlessly is left out.

Composing is most of what a command takes that has nothing to train, and all of what a sweep takes before its first run.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import omegaconf.basecontainer
import yaml
from hydra._internal.hydra import Hydra
from hydra.core.config_store import ConfigStore
from hydra.types import RunMode
from omegaconf import DictConfig, _utils, open_dict


def speed_up() -> None:
    """To be called once, before Hydra composes."""
    # Each composition copies the store, though the store only gives away copies: a fifth of the time of each.
    ConfigStore.__deepcopy__ = lambda self, memo: self  # type: ignore[attr-defined]
    _parse_yaml_in_c()
    Hydra.get_mode = _compose_once  # type: ignore[method-assign]


def _parse_yaml_in_c() -> None:
    """OmegaConf makes a parser in Python for each file. libyaml's, where PyYAML has it, is several times as fast; one will do."""
    in_python = yaml.SafeLoader
    yaml.SafeLoader = getattr(yaml, "CSafeLoader", in_python)
    try:
        loader = _utils.get_yaml_loader()
    finally:
        yaml.SafeLoader = in_python
    for module in (_utils, omegaconf.basecontainer):
        module.get_yaml_loader = lambda: loader  # type: ignore[attr-defined]


hydra_get_mode: Callable[[Hydra, str | None, list[str]], Any] = Hydra.get_mode


def _compose_once(self: Hydra, config_name: str | None, overrides: list[str]) -> Any:
    """Hydra composes a config to see whether it asks for a multirun, and once more to run it: the second gets the first's."""
    try:
        config = self.config_loader.load_configuration(config_name, overrides, RunMode.RUN)
    except Exception:  # words to sweep over, or wrong ones: as Hydra has it
        return hydra_get_mode(self, config_name, overrides)
    loader, known = self.config_loader, list(overrides)

    def composed(config_name: str | None, overrides: list[str], run_mode: RunMode, **options: Any) -> DictConfig:
        del loader.load_configuration
        if run_mode != RunMode.RUN or overrides not in (known, [*known, "hydra.mode=RUN"]):
            return loader.load_configuration(config_name, overrides, run_mode, **options)
        with open_dict(config):
            config.hydra.mode = RunMode.RUN
            config.hydra.overrides.hydra.extend(overrides[len(known) :])
        return config

    loader.load_configuration = composed  # type: ignore[method-assign, assignment]
    return config.hydra.mode
