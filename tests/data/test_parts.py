"""A validation part that the data bring along, and what lies beside the images: used, refused or named, never passed over."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from resnet_lit.config import load as config
from resnet_lit.data.errors import DataError
from resnet_lit.datamodule import ImageData

PETS = {"train/cat": 20, "train/dog": 10, "test/cat": 2, "test/dog": 2}
SPLIT = {**PETS, "val/cat": 4, "val/dog": 3}


@pytest.fixture
def image_data(tmp_path: Path):
    def make(root: Path, *words: str, **options: bool) -> ImageData:
        named = ["data=folder", f"data.root='{root}'", f"data.cache='{tmp_path / 'cache'}'", "data.image_size=null"]
        return ImageData(config(*named, *words), **options)

    return make


@pytest.mark.parametrize("form", ["tree", "archive"])
@pytest.mark.parametrize("folder", ["val", "valid", "validation", "dev"])
def test_a_validation_folder_chooses_and_all_of_train_trains(make_tree, pack, image_data, load, tmp_path, folder, form) -> None:
    make_tree(tmp_path / "pets", PETS)
    without = load("folder", tmp_path / "pets")
    root = make_tree(tmp_path / "pets", {f"{folder}/cat": 4, f"{folder}/dog": 3})
    root = root if form == "tree" else pack(root, tmp_path / "pets.tar.gz", "pets/")
    data = image_data(root)
    assert sorted(data.train_indices) == list(range(30))
    (images, targets) = next(iter(data.val_dataloader()))
    assert np.array_equal(images.numpy(), data.source.validation_images)
    assert targets.tolist() == [0] * 4 + [1] * 3
    assert data.source.hash != without.hash  # a record of before is one of other data
    assert np.array_equal(data.source.train_images, without.train_images)
    assert data.chooses_on == "val"
    record = data.provenance()
    assert record["sizes"] == {"train": 30, "validation": 7, "test": 4}
    assert record["validation_origin"] == "given"
    assert data.notes() == [f"data: {folder}/ chooses the epoch (7 images); all of train/ trains"]


def test_data_without_one_are_as_they_were(make_tree, image_data, tmp_path) -> None:
    data = image_data(make_tree(tmp_path / "pets", PETS))
    digest = {}
    for name in ("train_images", "train_labels", "test_images", "test_labels"):  # what the hash has always been made of
        array = getattr(data.source, name)
        content = hashlib.sha256(np.ascontiguousarray(array).data).hexdigest()
        digest[name] = {"shape": list(array.shape), "dtype": array.dtype.str, "sha256": content}
    text = json.dumps({"classes": ["cat", "dog"], "arrays": digest}, sort_keys=True)
    assert data.source.hash == hashlib.sha256(text.encode()).hexdigest()
    assert len(data.validation_indices) == 3
    assert data.provenance()["validation_origin"] == "held out"
    assert data.notes() == []


def test_what_the_config_says_of_a_validation_part_that_is_given(make_tree, image_data, tmp_path) -> None:
    root = make_tree(tmp_path / "pets", SPLIT)
    with pytest.raises(DataError, match=r"^data\.validation=5: the data have a validation part of 7 images, val/; leave"):
        image_data(root, "data.validation=5")
    few = image_data(root, "data.limit_validation=2")
    assert sorted(few.arrays("validation")[1][few.validation_indices]) == [0, 1]  # stratified
    with pytest.raises(DataError, match=r"^data\.limit_validation=8: must be from 1 to 7"):
        image_data(root, "data.limit_validation=8")
    assert len(image_data(root, "data.limit_train=5").validation_indices) == 5
    for words, why in (("data.validation=0", "data.validation=0"), ("protocol=paper", "protocol=paper chooses on the test set")):
        unused = image_data(root, words)
        assert len(unused.train_indices) == 30
        assert len(unused.validation_indices) == 0
        assert unused.notes() == [f"data: val/ is not used: {why}"]
        assert unused.provenance()["validation_origin"] is None


def test_a_validation_part_that_does_not_fit_is_named(make_tree, refusal, tmp_path) -> None:
    assert "val/fox has no counterpart train/fox" in refusal("folder", make_tree(tmp_path / "a", {**SPLIT, "val/fox": 1}))
    assert "did you mean val/cat?" in refusal("folder", make_tree(tmp_path / "b", {**PETS, "val/Cat": 1}))
    both = refusal("folder", make_tree(tmp_path / "c", {**SPLIT, "valid/cat": 1}))
    assert "holds val/ and valid/: which is the validation part?" in both
    assert "val/ holds no class folder: sort its images" in refusal("folder", make_tree(tmp_path / "d", {**PETS, "val": 2}))
    assert "val/cat: holds no image" in refusal("folder", make_tree(tmp_path / "e", {**PETS, "val/cat": 0, "val/dog": 1}))


@pytest.mark.parametrize("form", ["tree", "archive"])
def test_a_folder_without_images_is_no_validation_part(make_tree, pack, load, tmp_path, form) -> None:
    root = make_tree(tmp_path / "pets", {**PETS, "val/cat": 0, "dev/scripts": 0})
    (root / "dev/scripts/run.py").write_text("x")
    data = load("folder", root if form == "tree" else pack(root, tmp_path / "pets.tar.gz"))
    assert data.validation_folder is None
    assert data.left_out == ("dev/ (1 file)", "val/ (no image)")


def test_a_test_fraction_that_changes_nothing_is_said(make_tree, image_data, tmp_path) -> None:
    data = image_data(make_tree(tmp_path / "pets", PETS), "data.test_fraction=0.4")
    assert data.notes() == ["data: data.test_fraction=0.4 is not used: the data have a test part"]


def test_a_validation_part_beside_no_test_part(make_tree, image_data, tmp_path) -> None:
    data = image_data(make_tree(tmp_path / "pets", {"train/cat": 20, "train/dog": 10, "val/cat": 2, "val/dog": 2}))
    assert data.provenance()["sizes"] == {"train": 24, "validation": 4, "test": 6}
    assert data.source.test_origin == "held out"
    assert data.notes() == ["data: val/ chooses the epoch (4 images); train/ trains, but for a test part held out of it"]


def test_a_class_may_be_called_val(make_tree, load, tmp_path) -> None:
    assert load("folder", make_tree(tmp_path / "roads", {"val": 5, "mountain": 5})).classes == ("mountain", "val")
    with_train = make_tree(tmp_path / "flat", {"test": 5, "val": 5})
    with pytest.raises(DataError, match="in test/ itself and val/ itself, not in folders of classes"):
        load("folder", with_train)


def test_cifar10_may_come_with_a_validation_part_split_off(small_cifar10, load, refusal) -> None:
    root = small_cifar10()
    for folder in (root / "train").iterdir():
        (root / "val" / folder.name).mkdir(parents=True)
        shutil.move(folder / "0000.png", root / "val" / folder.name)
    data = load("cifar10", root)
    assert (data.variant, len(data.train_labels), len(data.validation_labels)) == ("cifar10-png", 20, 10)
    (root / "train/cat/0001.png").unlink()
    assert "train and val/cat: has 2 images, CIFAR-10 has 3" in refusal("cifar10", root)


@pytest.mark.parametrize("form", ["tree", "archive"])
def test_what_is_not_read_is_said_with_counts(make_tree, pack, load, tmp_path, form) -> None:
    root = make_tree(tmp_path / "pets", {**PETS, "tests/cat": 3, "eval": 2, "train": 2})
    (root / "notes").mkdir()
    for name in ("notes/a.txt", "labels.csv", "train/cat/Thumbs.db", "train/cat/a.json", "train/dog/raw"):
        (root / name).write_text("x")
    clean = load("folder", make_tree(tmp_path / "clean", PETS))
    data = load("folder", root if form == "tree" else pack(root, tmp_path / "pets.tar.gz", "pets/"))
    assert data.hash == clean.hash
    assert sorted(data.left_out) == [
        "2 images in no class folder (train/0000.png, …)",
        "3 files that are no image (.csv, .json, no suffix)",
        "eval/ (2 images)",
        "notes/ (1 file)",
        "tests/ (3 images)",
    ]
    assert clean.left_out == ()
    again = load("folder", root) if form == "tree" else data
    assert again.left_out == data.left_out  # from the cache too


def test_what_lies_beside_the_folder_that_is_found_is_said(make_tree, image_data, tmp_path) -> None:
    make_tree(tmp_path / "above/pets", PETS)
    make_tree(tmp_path / "above/more/birds", {"crow": 2})
    (tmp_path / "above/readme.txt").write_text("x")
    data = image_data(tmp_path / "above")
    assert data.notes() == ["data: not read: beside the folder or archive that is read: more, readme.txt"]
    assert data.provenance()["left_out"] == ["beside the folder or archive that is read: more, readme.txt"]
