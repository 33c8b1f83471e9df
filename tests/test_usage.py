"""What `--help` says."""

from __future__ import annotations

from pathlib import Path

from resnet_lit.command_line import read_train
from resnet_lit.config import CONF, load
from resnet_lit.schema import Config
from resnet_lit.typed import keys_of
from resnet_lit.usage import usage


def test_help_names_every_group_choice_and_value() -> None:
    page = usage(read_train(["--help"]))
    for path in CONF.glob("*/*.yaml"):
        assert path.stem in page
    for key, field in keys_of(Config).items():
        assert f"  {key}" in page
        assert field.metadata["meaning"] in page


def test_help_shows_the_config_of_the_words_beside_it(tmp_path: Path) -> None:
    assert "  data.batch_size=64 " in usage(read_train(["+experiment=model4", "data.batch_size=64", "-h"]))
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "mine.yaml").write_text("defaults: [resnet]\nblocks: [1]\nchannels: [8]\n")
    page = usage(read_train(["--config-dir", str(tmp_path), "model=mine", "--help"]))
    assert "mine, model1" in page
    assert f"  model.blocks={list(load('model=mine', config_dir=tmp_path).model.blocks)}" in page


def test_the_command_answers_without_torch(command) -> None:
    ended = command("--help", PYTHONPROFILEIMPORTTIME="1")
    assert ended.returncode == 0
    assert ended.stdout.startswith("resnet_lit: experiments with small residual networks")
    imported = {line.rpartition("|")[2].strip() for line in ended.stderr.splitlines()}
    assert "resnet_lit.usage" in imported
    assert not imported & {"torch", "lightning", "numpy"}
