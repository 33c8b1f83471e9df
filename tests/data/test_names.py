"""Names of classes and files that people have: other scripts, brackets, control characters, bytes that are not UTF-8."""

from __future__ import annotations

import json
import os
import unicodedata
from pathlib import Path

import pytest

from resnet_lit.config import load as config
from resnet_lit.data import sources
from resnet_lit.datamodule import ImageData
from resnet_lit.typed import ConfigError

ODD = {
    "кошка": "кошка",
    "[bold]": "[bold]",
    "a\nb": r"a\x0ab",
    "red\x1b[31m": r"red\x1b[31m",
    os.fsdecode(b"\xe9t\xe9"): r"\xe9t\xe9",
    " ": r"\x20",
    "x" * 250: "x" * 250,
    unicodedata.normalize("NFD", "été"): unicodedata.normalize("NFC", "été"),
}


@pytest.fixture
def odd_tree(make_tree, tmp_path: Path) -> Path:
    root = make_tree(tmp_path / "odd", {f"{part}/c{i}": n for part, n in (("train", 3), ("test", 1)) for i in range(len(ODD))})
    for part in ("train", "test"):
        for i, name in enumerate(ODD):
            (root / part / f"c{i}").rename(root / part / name)
            image = root / part / name / "0000.png"
            image.rename(os.fsdecode(os.fsencode(image.parent) + b"/\xff\n\x1b.png"))
    return root


@pytest.mark.parametrize("form", ["tree", "archive"])
def test_classes_are_called_by_what_any_output_holds(odd_tree, load, pack, tmp_path, form) -> None:
    source = odd_tree if form == "tree" else pack(odd_tree, tmp_path / "odd.tar.gz")
    data = load("folder", source)
    assert data.classes == tuple(ODD[name] for name in sorted(ODD))
    assert len(data.train_labels) == 3 * len(ODD)
    json.dumps(data.classes, ensure_ascii=False).encode()
    assert sources.identify("folder", source, cache_dir=tmp_path / "cache") == ("folder", data.hash)


def test_an_odd_name_in_an_error_is_one_line_that_can_be_printed(odd_tree, refusal) -> None:
    bad = odd_tree / "train" / os.fsdecode(b"\xe9t\xe9") / os.fsdecode(b"\xff\n\x1b.png")
    bad.write_bytes(b"no image")
    text = refusal("folder", odd_tree)
    assert r"train/\xe9t\xe9/\xff \x1b.png: cannot be read as an image" in text
    text.encode()


def test_any_refusal_is_one_line_that_can_be_printed() -> None:
    assert str(ConfigError("name=a\x1b:\n  is\n\nwrong")) == r"name=a\x1b: is wrong"


def test_a_root_that_is_not_utf8_is_read_and_named(odd_tree, load, refusal, tmp_path) -> None:
    root = tmp_path / os.fsdecode(b"fotos_\xe9")
    wanted = load("folder", odd_tree).hash
    odd_tree.rename(root)
    assert load("folder", root).hash == wanted
    (root / "test" / "кошка").rename(root / "test" / "кот")
    assert refusal("folder", root, key=f"data.root={tmp_path}/fotos_\\xe9: test/кот has no counterpart")


def test_two_spellings_of_one_name(make_tree, load, refusal, tmp_path) -> None:
    one, other = (unicodedata.normalize(form, "été") for form in ("NFC", "NFD"))
    apart = make_tree(tmp_path / "apart", {f"train/{one}": 3, "train/dog": 3, f"test/{other}": 2, "test/dog": 1})
    data = load("folder", apart)  # a Mac has written one of the parts
    assert data.classes == ("dog", one)
    assert sorted(data.test_labels) == [0, 1, 1]
    both = make_tree(tmp_path / "both", {f"train/{one}": 3, f"train/{other}": 3, "train/dog": 3})
    assert "show the same name: put their images into one" in refusal("folder", both)


def test_classes_that_differ_by_case_are_two_and_it_is_said(make_tree, tmp_path) -> None:
    root = make_tree(tmp_path / "pets", {"train/Cat": 10, "train/cat": 10, "test/cat": 1})
    words = ("data=folder", f"data.root={root}", f"data.cache={tmp_path / 'cache'}", "data.image_size=null")
    assert ImageData(config(*words)).notes() == ["data: the classes Cat and cat differ in upper and lower case alone"]
