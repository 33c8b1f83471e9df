"""A run is known by its folder and by any file in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from resnet_lit import report, sweep
from resnet_lit.record import FolderError
from resnet_lit.run_path import check_run, folder_and_weights, run_folder
from resnet_lit.typed import ConfigError, Refused


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("config.yaml", "result.json", "checkpoints/best.ckpt", "checkpoints/last.ckpt", "evaluations/x/evaluation.json"):
        file = Path("out/run") / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    return Path("out/run")


def test_a_file_of_a_run_means_the_run(run: Path) -> None:
    files = [path for path in run.rglob("*") if path.is_file()]
    assert len(files) == 5
    for path in [*files, run, run / "checkpoints", run / "checkpoints" / "gone.ckpt"]:
        assert run_folder(path) == run, path


@pytest.mark.parametrize("path", ["out", "out/run/typo", "typo", "n" * 300, "out/other.ckpt"])
def test_any_other_path_means_itself(run: Path, path: str) -> None:
    assert run_folder(path) == Path(path)


def test_a_link_to_a_file_of_a_run_means_the_run(run: Path) -> None:
    Path("best.ckpt").symlink_to(run / "checkpoints" / "last.ckpt")
    assert run_folder("best.ckpt") == run
    assert folder_and_weights("best.ckpt") == (run, True)  # what it links to counts, not what it is called


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("typo", "run=typo: no such folder or file"),
        ("out", "run=out: holds no run: config.yaml is missing"),
        ("alone.ckpt", "run=alone.ckpt: holds no run, and lies in none: give the run's folder; weights=alone.ckpt starts"),
        ("notes.txt", "run=notes.txt: holds no run, and lies in none: give the run's folder"),
    ],
)
def test_what_is_no_run_is_named_with_what_to_give(run: Path, path: str, said: str) -> None:
    Path("alone.ckpt").touch()
    Path("notes.txt").touch()
    with pytest.raises(FolderError) as refused:
        check_run(run_folder(path), "run")
    assert str(refused.value).startswith(said)


def test_a_tilde_is_the_home_folder(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(Path.cwd()))
    assert run_folder("~/out/run/checkpoints/last.ckpt") == Path.cwd() / "out/run"


def test_the_checkpoint_says_which_weights_are_meant(run: Path) -> None:
    assert folder_and_weights(run / "checkpoints" / "best.ckpt") == (run, False)
    assert folder_and_weights(run / "checkpoints" / "last.ckpt") == (run, True)
    assert folder_and_weights(run, last=True) == (run, True)
    with pytest.raises(ConfigError, match=r"best\.ckpt and --last name different weights.*run=out/run --last"):
        folder_and_weights(run / "checkpoints" / "best.ckpt", last=True)
    with pytest.raises(ConfigError, match=r"must be best\.ckpt, last\.ckpt or the run's folder \(try run=out/run\)"):
        folder_and_weights(run / "checkpoints" / "last.previous.ckpt")


@pytest.mark.parametrize("path", ["out/run/result.json", "out/run/checkpoints", "out/run/checkpoints/best.ckpt"])
def test_report_and_status_take_a_file_of_a_run_for_the_run(run: Path, path: str) -> None:
    assert report.parse([path]).folders == (str(run),)
    assert report.parse(["--compare", path, str(run)]).folders == (str(run), str(run))
    assert "out/run" in sweep.status(["status", path])


def test_report_says_of_a_file_outside_any_run_what_it_is(run: Path) -> None:
    Path("notes.txt").touch()
    with pytest.raises(Refused, match=r"^notes\.txt: is a file, and lies in no run"):
        report.parse(["notes.txt"])
