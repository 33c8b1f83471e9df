"""The layer table and the nine parameter counts, as the command prints them."""

from __future__ import annotations

import time

import pytest

COUNTS = {
    "model1": "2,777,674",
    "model2": "2,797,610",
    "model3": "4,366,250",
    "model4": "4,977,226",
    "resnet18": "11,173,962",
    "resnet34": "21,282,122",
    "resnet50": "23,520,842",
    "resnet101": "42,512,970",
    "resnet152": "58,156,618",
}


@pytest.mark.parametrize("name", COUNTS)
def test_all_nine_networks_exist_as_model_and_as_experiment(name: str) -> None:
    from resnet_lit.config import load
    from resnet_lit.summary import summary

    for config in (load(f"model={name}"), load(f"+experiment={name}")):
        total = next(line for line in summary(config).splitlines() if line.startswith("total"))
        assert total.split()[1] == COUNTS[name]
        assert config.model.max_parameters == (5_000_000 if name.startswith("model") else None)


def test_the_command_prints_the_table_and_the_budget(command) -> None:
    started = time.monotonic()
    ended = command("+experiment=model1", module="summary")
    assert ended.returncode == 0
    assert "layers.1.0.skip.conv" in ended.stdout
    assert "2,777,674 of 5,000,000 parameters" in ended.stdout
    assert time.monotonic() - started < 20  # about a second on a quiet machine: torch is not imported


def test_the_command_refuses_as_train_does(command) -> None:
    ended = command("+experiment=model1", "model.blocks=[1]", module="summary")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == "model.blocks has 1 values but model.channels has 3: give one per layer\n"
