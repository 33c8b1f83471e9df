"""Where data are looked for and kept, and what is said of a place that cannot be used."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from resnet_lit.config import load
from resnet_lit.data import paths
from resnet_lit.data.errors import DataError
from resnet_lit.typed import Refused


@pytest.fixture(autouse=True)
def _variables(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("RESNET_LIT_DATA", "RESNET_LIT_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    paths._users_cache.cache_clear()


def asked(*words: str) -> dict[str, paths.Place]:
    return paths.request(load("+experiment=model4", *words).data)


def test_a_tilde_is_the_home_folder_wherever_a_path_is_named(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("RESNET_LIT_DATA", "~/images")
    monkeypatch.setenv("RESNET_LIT_CACHE", "~/decoded")
    assert asked()["root"] == (tmp_path / "images", "RESNET_LIT_DATA")
    assert asked()["cache_dir"] == (tmp_path / "decoded", "RESNET_LIT_CACHE")
    given = asked("data.root='~/a'", "data.cache='~/b'", "data.download='~/c'")
    assert [given[key].path for key in ("root", "cache_dir", "download_to")] == [tmp_path / name for name in "abc"]
    with pytest.raises(DataError, match=r"^data\.root=~nobody_of_this_name/x: the home folder .* is not known"):
        asked("data.root='~nobody_of_this_name/x'")


def test_an_empty_path_is_refused_and_not_taken_for_none() -> None:
    with pytest.raises(DataError, match=r"^data\.root=: names nothing"):
        paths.place("", "data.root")
    with pytest.raises(Refused, match=r"^data\.download=: is empty"):
        asked("data.download=''")


def test_the_variable_is_for_cifar10_alone(monkeypatch) -> None:
    monkeypatch.setenv("RESNET_LIT_DATA", "/somewhere")
    assert asked("data=folder")["root"] is None


def test_a_user_without_a_home_gets_a_cache_in_the_temporary_folder_and_is_told_once(monkeypatch, tmp_path, caplog) -> None:
    def unknown(uid: int) -> None:
        raise KeyError(uid)

    monkeypatch.delenv("HOME")
    monkeypatch.setattr("pwd.getpwuid", unknown)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with caplog.at_level(logging.WARNING, "resnet_lit"):
        assert {paths.cache_folder(None) for _ in range(3)} == {tmp_path / f"resnet_lit-{os.getuid()}"}
    (record,) = caplog.records
    assert "RESNET_LIT_CACHE=<folder> chooses another" in record.message
    monkeypatch.setenv("RESNET_LIT_CACHE", "~/x")
    with pytest.raises(DataError, match=r"^RESNET_LIT_CACHE=~/x: the home folder"):
        paths.cache_folder(None)


def test_a_cache_of_another_user_is_not_read(monkeypatch, tmp_path) -> None:
    monkeypatch.delenv("HOME")
    monkeypatch.setattr("pwd.getpwuid", lambda uid: (_ for _ in ()).throw(KeyError(uid)))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("os.getuid", lambda: 4711)
    (tmp_path / "resnet_lit-4711").mkdir()
    with pytest.raises(DataError, match="belongs to another user; set RESNET_LIT_CACHE"):
        paths.cache_folder(None)
