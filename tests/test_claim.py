"""A run that begins in a folder leaves alone what lies there and is not its own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from tests_support import TINY

from resnet_lit import own_files
from resnet_lit import record as records
from resnet_lit.config import load
from resnet_lit.record import FolderError
from resnet_lit.run import resume, run
from resnet_lit.schema import to_mapping

DEBUG = (*TINY, "+debug=fast_dev_run")


def content(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("words", [(), ("+debug=fast_dev_run",), ("fresh=true",)])
@pytest.mark.parametrize("name", ["config.yaml", "metrics.csv", "test_outputs.npz", "checkpoints/best.ckpt", "checkpoints"])
def test_files_of_others_under_a_runs_names_are_not_overwritten(tmp_path: Path, name: str, words: tuple[str, ...]) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("model: mine\n")
    with pytest.raises(FolderError, match=rf"holds .*{name}.* overwrite|holds something other than a debug run"):
        run(load(*TINY, *words), tmp_path)
    assert content(tmp_path) == {name: "model: mine\n"}


def test_a_run_whose_record_is_gone_is_not_replaced_by_another(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(to_mapping(load(*TINY))))
    (tmp_path / "metrics.csv").write_text("step\n")
    before = content(tmp_path)
    with pytest.raises(FolderError, match=r"holds another run, which differs in seed=3 \(there: 0\)"):
        run(load(*TINY, "seed=3"), tmp_path)
    assert content(tmp_path) == before


def test_fresh_never_moves_the_folder_that_one_works_in(tmp_path: Path, monkeypatch) -> None:
    records.write(tmp_path, {"status": "finished"})
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    for folder in ("..", tmp_path):
        with pytest.raises(FolderError, match="cannot be set aside"):
            run(load(*TINY, "fresh=true"), folder)
    assert (tmp_path / records.RESULT).exists()


def debug_folder(folder: Path) -> Path:
    folder.mkdir()
    own_files.mark_debug(folder, load(*DEBUG))
    return folder


def test_a_debug_run_deletes_nothing_behind_a_link(tmp_path: Path) -> None:
    folder, real = debug_folder(tmp_path / "debug"), tmp_path / "real"
    real.mkdir()
    (real / "last.ckpt").write_text("weeks")
    (folder / "checkpoints").symlink_to(real)
    with pytest.raises(FolderError, match=r"holds checkpoints/last\.ckpt of something else"):
        run(load(*DEBUG), folder)
    assert content(real) == {"last.ckpt": "weeks"}


def test_a_changed_marker_lets_nothing_go_that_a_run_has_no_name_for(tmp_path: Path) -> None:
    folder = debug_folder(tmp_path / "debug")
    (folder / "thesis").mkdir()
    (folder / "thesis" / "last.ckpt").write_text("years")
    (folder / own_files.MARKER).write_text(json.dumps({"files": ["*/", "thesis/", "thesis/*", "**/last.ckpt", "config.yaml"]}))
    own_files.clear_debug(folder)
    assert content(folder / "thesis") == {"last.ckpt": "years"}


def test_a_debug_run_keeps_a_log_that_no_debug_run_has_left(tmp_path: Path) -> None:
    (tmp_path / records.LOG).write_text("of another program")
    own_files.check_debug(tmp_path)
    own_files.clear_debug(tmp_path)
    assert content(tmp_path) == {records.LOG: "of another program"}


def test_a_real_run_removes_no_marker_of_something_else(tmp_path: Path) -> None:
    (tmp_path / own_files.MARKER).write_text("mine")
    own_files.unmark(tmp_path)
    assert content(tmp_path) == {own_files.MARKER: "mine"}


def test_a_config_that_is_no_text_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_bytes(b"name: d\xe3gits\n")
    with pytest.raises(FolderError, match=r"^resume=.*holds no run \('utf-8' codec can't decode"):
        resume(tmp_path)
