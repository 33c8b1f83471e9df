"""`make demo` and `make setup`: what is installed for which task, and what is said before and while it happens."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest
from tests_support import ROOT


@pytest.fixture(scope="module")
def install() -> ModuleType:
    spec = importlib.util.spec_from_file_location("install", ROOT / "install.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("task", "extra"),
    [("demo", "digits"), ("train", "digits"), ("tensorboard", "digits"), ("setup", "dev"), ("test", "dev"), ("lint", "dev")],
)
def test_each_task_installs_what_it_needs(task: str, extra: str, tmp_path: Path) -> None:
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):  # as in a fresh clone, without .venv
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    shown = subprocess.run(["make", "-n", task], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert re.findall(r"install\.py (\w+)", shown) == [extra]


def test_what_has_been_installed_for_the_tests_is_enough_for_the_demo(tmp_path: Path) -> None:
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / ".core").touch()
    (tmp_path / ".venv" / ".ready").touch()
    shown = subprocess.run(["make", "-n", "demo", "test"], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert "install.py" not in shown


def test_the_extras_are_those_of_the_package(install: ModuleType) -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(install.SIZES) <= set(extras)


def test_the_size_is_said_before_and_a_way_to_a_smaller_one(install: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(install.sys, "platform", "linux")
    monkeypatch.setattr(install.shutil, "which", lambda name: None)
    monkeypatch.delenv("PIP_EXTRA_INDEX_URL", raising=False)
    said = install.announcement("digits", 20 * 2**30)
    assert "(20 GiB free)" in said
    assert "6.0 GiB on disk, 4.0 GiB of it CUDA libraries; 3.0 GiB to download" in said
    assert "torch's CPU builds need less: see docs/how-to.md" in said
    assert "PIP_EXTRA_INDEX_URL" in (ROOT / "docs" / "how-to.md").read_text()
    assert max(map(len, said.splitlines())) < 80
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "somewhere")
    assert "CPU builds" not in install.announcement("digits", 20 * 2**30)


@pytest.mark.parametrize(
    ("line", "phase"),
    [
        ("  Downloading torch-2.14.1-cp311-cp311-manylinux_2_28_x86_64.whl (887.9 MB)", "downloading torch (887.9 MB)"),
        ("  Using cached filelock-4.2.12-py3-none-any.whl (222 kB)", "downloading filelock (222 kB)"),
        ("Collecting hydra-core<1.4,>=1.3.2 (from resnet_lit==0.1.0)", "collecting hydra-core"),
        ("Processing /wheels/torch-2.14.1-cp311-cp311-manylinux_2_28_x86_64.whl (from resnet_lit==0.1.0)", "collecting torch"),
        ("Installing collected packages: a, b, c", "unpacking 3 packages"),
        ("WARNING: Location '/opt/wheels' is ignored", None),
        ("", None),
    ],
)
def test_what_pip_is_doing_is_said_in_a_few_words(install: ModuleType, line: str, phase: str | None) -> None:
    assert install.phase(line) == phase


def test_a_failed_install_keeps_what_pip_said(install: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pip = tmp_path / "python"
    pip.write_text("#!/bin/sh\necho 'Collecting torch'\necho 'ERROR: No space left on device' >&2\nexit 3\n")
    pip.chmod(0o755)
    monkeypatch.setattr(install, "LOG", tmp_path / "install.log")
    meter = install.Meter(None)
    assert install.install(pip, "digits", meter) == (3, ["ERROR: No space left on device"])
    assert meter.phase == "collecting torch"
    assert (tmp_path / "install.log").read_text() == "Collecting torch\nERROR: No space left on device\n"


def test_the_meter_counts_towards_the_size_that_was_said(install: ModuleType) -> None:
    meter = install.Meter(6.0 * install.GIB)
    meter.phase = "unpacking 77 packages"
    assert meter.text(int(2.1 * install.GIB)) == "unpacking 77 packages; 2.1 of about 6.0 GiB"


def test_other_words_are_refused() -> None:
    ended = subprocess.run([sys.executable, str(ROOT / "install.py"), "everything"], capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (1, "python install.py digits | dev\n")


def test_the_commands_are_listed_as_they_are_called_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    from resnet_lit import __main__ as listing
    from resnet_lit import interpreter

    bin_folder = tmp_path / ".venv" / "bin"
    bin_folder.mkdir(parents=True)
    (bin_folder / "python").symlink_to(sys.executable)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(interpreter.sys, "executable", str(bin_folder / "python"))
    monkeypatch.setattr(interpreter.sys, "prefix", str(tmp_path / ".venv"))
    monkeypatch.setenv("PATH", "/usr/bin")
    lines = listing.listing().splitlines()
    assert ".venv/bin/python -m resnet_lit.sweep status    how far all runs are" in lines
    assert lines[-1] == "After `source .venv/bin/activate`, `python` is enough."
    assert max(map(len, lines)) <= 80
    monkeypatch.setenv("PATH", str(bin_folder))
    lines = listing.listing().splitlines()
    assert "python -m resnet_lit.sweep status    how far all runs are" in lines
    assert "activate" not in lines[-1]
    modules = {path.stem for path in (ROOT / "resnet_lit").glob("*.py") if "\ndef main() -> None:" in path.read_text()}
    assert {line.split()[2].removeprefix("resnet_lit.") for line in lines[2:]} == modules - {"__main__", "reference", "rehearsal"}
    for words, said in ((["train", "seed=1"], "try python -m resnet_lit.train seed=1"), (["bla"], "python -m resnet_lit lists")):
        monkeypatch.setattr(sys, "argv", ["resnet_lit", *words])
        with pytest.raises(SystemExit) as ended:
            listing.main()
        assert ended.value.code == 2
        assert said in capsys.readouterr().err


def test_the_demo_ends_with_commands_that_work_as_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    """resnet_lit takes the last command of the recipe, which prints each command as it works in this shell."""
    from resnet_lit import __main__ as listing
    from resnet_lit import interpreter

    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    recipe = subprocess.run(["make", "-n", "demo"], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    *_, words = re.findall(r"-m resnet_lit (.+)$", recipe, re.MULTILINE)
    run = tmp_path / "outputs" / "digits" / "8fa8fcaad8"
    run.mkdir(parents=True)
    (run / "result.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["resnet_lit", *words.split()])
    monkeypatch.setattr(interpreter.sys, "executable", str(tmp_path / ".venv" / "bin" / "python"))
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "python").symlink_to(Path(sys.base_prefix) / "bin" / "python3")
    monkeypatch.setattr(interpreter.sys, "prefix", str(tmp_path / ".venv"))
    monkeypatch.setenv("PATH", "/usr/bin")
    listing.main()  # no SystemExit: `make demo` ends with status 0
    lines = capsys.readouterr().out.splitlines()
    commands = [line.strip() for line in lines if line.startswith("  .venv/bin/python -m resnet_lit")]
    assert len(commands) == len([line for line in lines if line.startswith("  # ")]) >= 6
    assert ".venv/bin/python -m resnet_lit.evaluate run=outputs/digits/8fa8fcaad8" in commands
    assert {command.split()[2].removeprefix("resnet_lit.") for command in commands} - {"resnet_lit"} <= {
        name.split()[0] for name in listing.COMMANDS
    }
    assert max(map(len, lines)) <= 80
    assert lines[-1] == "After `source .venv/bin/activate`, `python` is enough."


def test_a_file_that_pip_renames_meanwhile_does_not_end_the_progress(install, tmp_path, monkeypatch) -> None:
    (tmp_path / "stays").write_bytes(b"x" * 10_000)
    (tmp_path / "goes").write_bytes(b"x" * 10_000)
    scan = install.os.scandir

    def renamed_meanwhile(folder: Path):
        entries = list(scan(folder))
        (tmp_path / "goes").unlink(missing_ok=True)
        return entries

    monkeypatch.setattr(install.os, "scandir", renamed_meanwhile)
    assert install.size_of(tmp_path) == (tmp_path / "stays").stat().st_blocks * 512
    assert install.size_of(tmp_path / "no folder") == 0
