"""Other forms of image data are recognised by the names of their files, and what to get instead is said in one line."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

# What people have: the files, and what is said of them (nothing here is a real image or archive).
FORMS: dict[str, tuple[tuple[str, ...], str]] = {
    "kaggle": (("train/1.png", "train/2.png", "test/1.png", "trainLabels.csv"), "Kaggle's form of CIFAR-10"),
    "kaggle_packed": (("train.7z", "test.7z", "trainLabels.csv"), "Kaggle's form of CIFAR-10"),
    "binary": (
        ("cifar-10-batches-bin/data_batch_1.bin", "cifar-10-batches-bin/test_batch.bin"),
        "the binary version of CIFAR-10",
    ),
    "matlab": (("cifar-10-batches-mat/data_batch_1.mat",), "the Matlab version of CIFAR-10"),
    "cifar100": (("cifar-100-python/train", "cifar-100-python/test", "cifar-100-python/meta"), "CIFAR-100"),
    "cifar100_itself": (("train", "test", "meta", "file.txt~"), "CIFAR-100"),
    "cifar100_binary": (("train.bin", "test.bin", "fine_label_names.txt"), "CIFAR-100"),
    "parquet": (("README.md", "plain_text/train-00000-of-00001.parquet"), "parquet files, as Hugging Face"),
    "arrow": (("train/data-00000-of-00001.arrow", "train/state.json"), "Arrow files, as Hugging Face"),
    "arrays": (("cifar10.npz",), "NumPy arrays (.npz, .npy)"),
    "mnist": (("raw/train-images-idx3-ubyte.gz",), "the form of MNIST"),
    "hdf5": (("cifar10.h5",), "an HDF5 file"),
    "records": (("cifar10-train.tfrecord-00000-of-00001",), "TensorFlow's records"),
    "lmdb": (("train.lmdb/data.mdb",), "an LMDB database"),
    "pickle": (("images.pkl",), "a pickle, which is not opened"),
    "zip": (("archive.zip",), "a zip archive: unpack it"),
    "packed": (("archive.zip", "notes.txt"), "holds archive.zip, which is a zip archive: unpack it"),
    "flat": (
        ("cat_1.jpg", "dog_1.jpg", "labels.csv"),
        "in the folder itself, not in folders of classes (the labels are perhaps in labels.csv",
    ),
    "capitals": (
        ("Train/cat/1.jpg", "Test/cat/1.jpg"),
        "in Test/, Train/, but none in train/: call the parts train/, test/ and val/",
    ),
    "no_train": (("test/cat/1.jpg", "val/dog/1.jpg", "readme.txt"), "in test/, val/, but none in train/: call the parts"),
    "train_itself": (("train/cat_1.jpg", "train/dog_1.jpg"), "in train/ itself, not in folders of classes: sort them"),
}


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("kind", ["cifar10", "folder"])
def test_a_folder_in_another_form_is_recognised(refusal, tmp_path: Path, name: str, kind: str) -> None:
    files, said = FORMS[name]
    for file in files:
        (tmp_path / name / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name / file).write_bytes(b"no real content")
    assert said in refusal(kind, tmp_path / name)


@pytest.mark.parametrize("name", ["kaggle", "binary", "matlab", "cifar100", "parquet", "arrays", "flat"])
def test_an_archive_of_another_form_is_recognised(refusal, tmp_path: Path, name: str) -> None:
    files, said = FORMS[name]
    for file in files:
        (tmp_path / name / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name / file).write_bytes(b"no real content")
    with tarfile.open(tmp_path / "data.tar.gz", "w:gz") as tar:
        for top in sorted((tmp_path / name).iterdir()):
            tar.add(top, top.name)
    assert said.split(" in the folder")[0] in refusal("cifar10", tmp_path / "data.tar.gz")


def test_a_single_file_of_another_form_is_recognised(refusal, tmp_path) -> None:
    for name, said in {"cifar10.npz": "NumPy arrays", "a.parquet": "parquet", "train.zip": "is a zip archive: unpack it"}.items():
        (tmp_path / name).write_bytes(b"no real content")
        assert said in refusal("cifar10", tmp_path / name)
    for folder, said in {"cifar-100-python": "is CIFAR-100", "cifar-10-batches-py": "is one file of cifar-10-batches-py"}.items():
        (tmp_path / folder).mkdir()
        for name in ("train", "test", "meta", "data_batch_1"):
            (tmp_path / folder / name).write_bytes(b"no real content")
        assert said in refusal("cifar10", tmp_path / folder / ("train" if "100" in folder else "data_batch_1"))
    (tmp_path / "photo.jpg").write_bytes(b"no real content")
    assert "is one image: python -m resnet_lit.predict" in refusal("folder", tmp_path / "photo.jpg")


def test_a_data_set_that_is_read_is_read_whatever_lies_beside_it(make_tree, load, tmp_path) -> None:
    root = make_tree(tmp_path / "pets", {"train/cat": 3, "train/dog": 3, "test/cat": 1, "test/dog": 1})
    wanted = load("folder", root).hash
    for file in ("labels.csv", "pets.npz", "trainLabels.csv", "data/x.parquet"):
        (root / file).parent.mkdir(exist_ok=True)
        (root / file).write_bytes(b"x")
    assert load("folder", root).hash == wanted
