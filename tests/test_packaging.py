"""Installed as a wheel and called from another folder: conf/ is found, and a user's own experiments are added."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests_support import ROOT

import resnet_lit


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the unpacked wheel."""
    dist, target = tmp_path_factory.mktemp("dist"), tmp_path_factory.mktemp("site")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(dist), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = dist.glob("*.whl")
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(target), str(wheel)]
    subprocess.run(install, check=True, capture_output=True)
    return target


def call(installed: Path, where: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    return subprocess.run([sys.executable, "-m", *words], cwd=where, env=environment, capture_output=True, text=True)


@pytest.mark.slow
def test_a_wheel_finds_its_configs_from_anywhere(installed: Path, tmp_path: Path) -> None:
    ended = call(installed, tmp_path, "resnet_lit.summary", "+experiment=model1")
    assert ended.returncode == 0, ended.stderr
    assert "2,777,674" in ended.stdout
    shown = call(installed, tmp_path, "resnet_lit.train", "+experiment=model4", "--cfg", "job", "--resolve")
    assert shown.returncode == 0, shown.stderr
    assert "channels:" in shown.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_config_dir_adds_experiments_of_the_users_own(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "mine" / "experiment").mkdir(parents=True)
    text = "# @package _global_\ndefaults:\n  - override /model: model2\nname: mine\n"
    (tmp_path / "mine" / "experiment" / "mine.yaml").write_text(text)
    ended = call(installed, tmp_path, "resnet_lit.summary", "+experiment=mine", "--config-dir", "mine")
    assert "2,797,610" in ended.stdout, ended.stderr
    shown = call(installed, tmp_path, "resnet_lit.train", "--config-dir=mine", "+experiment=mine", "--cfg", "job")
    assert "name: mine" in shown.stdout, shown.stderr
    refused = call(installed, tmp_path, "resnet_lit.train", "--config-dir=mine", "+experiment=mime")
    assert (refused.returncode, refused.stderr) == (2, "experiment=mime: no such experiment: did you mean mine?\n")


def test_the_version_is_said_once() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", resnet_lit.__version__)
    assert f"## {resnet_lit.__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_the_reference_page_is_up_to_date() -> None:
    from resnet_lit.reference import reference

    assert (ROOT / "docs" / "configuration.md").read_text() == reference()


def test_every_file_of_conf_composes() -> None:
    from resnet_lit.config import ADDED_GROUPS, CONF, load

    for folder in sorted(p for p in CONF.iterdir() if p.is_dir() and p.name != "hydra"):
        for file in sorted(folder.glob("*.yaml")):
            if (folder.name, file.stem) in {("model", "resnet")}:  # what the others have in common; over no budget of its own
                continue
            plus = "+" if folder.name in ADDED_GROUPS else ""
            load(f"{plus}{folder.name}={file.stem}", "label=any")  # no name to be made: half the time


def test_the_schema_names_lightnings_own_arguments() -> None:
    import inspect

    from lightning import Trainer

    from resnet_lit.reserved import OWNED
    from resnet_lit.sections import Trainer as Ours
    from resnet_lit.typed import keys_of

    theirs = set(inspect.signature(Trainer).parameters)
    assert set(keys_of(Ours)) <= theirs
    assert theirs - set(keys_of(Ours)) == set(OWNED)


@pytest.mark.slow
def test_training_is_imported_without_signal_processing_and_leaves_it_whole() -> None:
    code = """
import sys
import resnet_lit.training
print("scipy.signal" in sys.modules)
import scipy.signal
print(scipy.signal.medfilt([1, 9, 1]))
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.splitlines() == ["False", "[1 1 1]"]
