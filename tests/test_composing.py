"""Composing faster gives what Hydra gives."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
import yaml
from hydra.errors import ConfigCompositionException
from hydra.types import RunMode
from omegaconf import OmegaConf, _utils

from resnet_lit.composing import hydra_get_mode
from resnet_lit.config import CONF, own_hydra


@pytest.mark.parametrize(
    "words",
    [["+experiment=model4", "optimizer=adam", "seed=1"], ["+cell=model4_adam", "hydra.mode=RUN"], ["hydra.run.dir=x", "name=y"]],
)
def test_a_run_gets_the_config_that_it_got(words: list[str]) -> None:
    typed = words if "hydra.mode=RUN" in words else [*words, "hydra.mode=RUN"]  # as Hydra adds it
    with own_hydra() as hydra:
        assert hydra.get_mode("config", words) == hydra_get_mode(hydra, "config", words)
        found = hydra.compose_config("config", typed, RunMode.RUN)
        stock = hydra.compose_config("config", typed, RunMode.RUN)
    assert found is not stock
    assert OmegaConf.to_container(found) == OmegaConf.to_container(stock)
    assert OmegaConf.to_container(found.hydra, resolve=False) == OmegaConf.to_container(stock.hydra, resolve=False)


def test_other_words_get_a_config_of_their_own() -> None:
    with own_hydra() as hydra:
        hydra.get_mode("config", ["seed=1"])
        assert hydra.compose_config("config", ["seed=2"], RunMode.RUN).seed == 2
        assert hydra.compose_config("config", ["seed=1"], RunMode.RUN).seed == 1
        hydra.get_mode("config", ["seed=1"])
        with pytest.raises(ConfigCompositionException):
            hydra.compose_config("config", ["sead=1"], RunMode.RUN)


@pytest.mark.parametrize("words", [["+sweep=seeds"], ["seed=1,2"], ["sead=1"], ["hydra.mode=MULTIRUN"]])
def test_what_asks_for_a_multirun_is_seen_as_before(words: list[str]) -> None:
    with own_hydra() as hydra:
        assert hydra.get_mode("config", words) == hydra_get_mode(hydra, "config", words)


def stock() -> ModuleType:
    """omegaconf._utils once more, as it is installed."""
    spec = importlib.util.find_spec("omegaconf._utils")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_yaml_means_what_it_meant(tmp_path: Path) -> None:
    ours, theirs = _utils.get_yaml_loader(), stock().get_yaml_loader()
    assert issubclass(ours, yaml.CSafeLoader)
    assert not issubclass(theirs, yaml.CSafeLoader)
    for path in CONF.rglob("*.yaml"):
        assert yaml.load(path.read_text(), Loader=ours) == yaml.load(path.read_text(), Loader=theirs)
    text = "[1e-3, 1_000, 2026-11-27, yes, off, 0o17, .inf, 12:30, ~, '1', \"a\\tb\", {a: [b]}, 1.e5, -.5, +1e+3, 'é']"
    assert yaml.load(text, Loader=ours) == yaml.load(text, Loader=theirs)
    for wrong in ("a: 1\na: 2", "a: [1", "a: b: c"):
        for loader in (ours, theirs):
            with pytest.raises(yaml.YAMLError):
                yaml.load(wrong, Loader=loader)
