"""The original CIFAR-10: checksums first, pickles only then."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import struct
import tarfile
from pathlib import Path

import numpy as np
import pytest

from resnet_lit.data import cifar10, sources

ROWS = 4


def pickled(value: object) -> bytes:
    """A pickle as Python 2 and the numpy of 2009 wrote it: what the published files hold, and Python 3 cannot write."""
    return b"\x80\x02" + _opcodes(value) + b"."


def _opcodes(value: object) -> bytes:
    if isinstance(value, str):
        text = value.encode("latin1")
        return b"T" + struct.pack("<i", len(text)) + text
    if isinstance(value, bool):
        return b"\x88" if value else b"\x89"
    if isinstance(value, int):
        return b"J" + struct.pack("<i", value)
    if value is None:
        return b"N"
    if isinstance(value, list):
        return b"](" + b"".join(map(_opcodes, value)) + b"e"
    if isinstance(value, tuple):
        return b"(" + b"".join(map(_opcodes, value)) + b"t"
    if isinstance(value, dict):
        return b"}(" + b"".join(_opcodes(k) + _opcodes(v) for k, v in value.items()) + b"u"
    assert isinstance(value, np.ndarray)
    empty = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n" + _opcodes((0,)) + _opcodes("b") + b"tR"
    dtype = b"cnumpy\ndtype\n" + _opcodes(("u1", 0, 1)) + b"R" + _opcodes((3, "|", None, None, None, -1, -1, 0)) + b"b"
    state = _opcodes(1) + _opcodes(value.shape) + dtype + _opcodes(False) + _opcodes(value.tobytes().decode("latin1"))
    return empty + b"(" + state + b"tb"


def batches(write=pickled) -> tuple[dict[str, bytes], np.ndarray]:
    """The seven files with ROWS random images each, and all pixels (6 * ROWS, 3072)."""
    pixels = np.random.default_rng(0).integers(0, 256, (6 * ROWS, 3072), dtype=np.uint8)
    files = {}
    for number, name in enumerate((*cifar10.TRAIN_FILES, *cifar10.TEST_FILES)):
        rows = slice(number * ROWS, (number + 1) * ROWS)
        files[name] = write(
            {"batch_label": name, "labels": [number, 1, 2, 9], "data": pixels[rows], "filenames": ["a.png"] * ROWS}
        )
    files[cifar10.META_FILE] = write({"num_cases_per_batch": ROWS, "label_names": list(cifar10.CLASSES), "num_vis": 3072})
    return files, pixels


def as_folder(files: dict[str, bytes], folder: Path) -> Path:
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    (folder / "readme.html").write_text("<meta http-equiv='refresh'>")
    return folder


def as_archive(files: dict[str, bytes], path: Path) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(f"{cifar10.FOLDER}/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def publish(monkeypatch: pytest.MonkeyPatch, files: dict[str, bytes], archive: Path | None = None) -> None:
    """Make these files the published ones."""
    monkeypatch.setattr(cifar10, "FILE_MD5", {name: hashlib.md5(content).hexdigest() for name, content in files.items()})
    if archive is not None:
        monkeypatch.setattr(cifar10, "ARCHIVE_MD5", hashlib.md5(archive.read_bytes()).hexdigest())


class Bomb:
    """Leaves a mark when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


def check(data: sources.DataSet, pixels: np.ndarray) -> None:
    assert data.variant == "cifar10"
    assert data.test_origin == "given"
    assert data.classes == cifar10.CLASSES
    assert np.array_equal(data.train_images, pixels[: 5 * ROWS].reshape(-1, 3, 32, 32))  # rows of red, of green, of blue
    assert np.array_equal(data.test_images, pixels[5 * ROWS :].reshape(-1, 3, 32, 32))
    assert data.train_labels[:8].tolist() == [0, 1, 2, 9, 1, 1, 2, 9]
    assert data.test_labels.tolist() == [5, 1, 2, 9]
    assert data.train_labels.dtype == np.int64


@pytest.mark.parametrize("write", [pickled, lambda value: pickle.dumps(value, 2)], ids=["python2", "python3"])
def test_archive_and_extracted_folder_are_the_same_data(load, monkeypatch, tmp_path, write) -> None:
    files, pixels = batches(write)
    archive = as_archive(files, tmp_path / "any_name.tgz")
    folder = as_folder(files, tmp_path / "data/any_name")
    publish(monkeypatch, files, archive)
    check(load("cifar10", archive), pixels)
    check(load("cifar10", folder), pixels)
    check(load("cifar10", folder.parent), pixels)
    assert load("cifar10", archive).hash == load("cifar10", folder).hash


def test_torchvisions_root_with_archive_and_folder_is_read(load, monkeypatch, tmp_path) -> None:
    files, pixels = batches()
    as_folder(files, tmp_path / "root" / cifar10.FOLDER)
    archive = as_archive(files, tmp_path / "root" / cifar10.ARCHIVE)
    as_archive({"train/x": b""}, tmp_path / "root/cifar-100-python.tar.gz")
    publish(monkeypatch, files, archive)
    check(load("cifar10", tmp_path / "root"), pixels)


def test_an_archive_with_another_checksum_is_refused_before_a_pickle_is_read(refusal, monkeypatch, tmp_path) -> None:
    files, _ = batches()
    mark = tmp_path / "exploded"
    files["data_batch_1"] = pickle.dumps(Bomb(mark), 2)
    monkeypatch.setattr(cifar10, "_unpickle", lambda *_: pytest.fail("a pickle was read"))
    text = refusal("cifar10", as_archive(files, tmp_path / cifar10.ARCHIVE))
    assert "the archive has md5" in text
    assert "the published cifar-10-python.tar.gz has c58f30108f718f92721af3b95e74349a" in text
    assert not mark.exists()


def test_an_extracted_file_with_another_checksum_is_named_before_a_pickle_is_read(refusal, monkeypatch, tmp_path) -> None:
    files, _ = batches()
    mark = tmp_path / "exploded"
    publish(monkeypatch, files)
    files["test_batch"] = pickle.dumps(Bomb(mark), 2)
    monkeypatch.setattr(cifar10, "_unpickle", lambda *_: pytest.fail("a pickle was read"))
    assert "test_batch: has md5" in refusal("cifar10", as_folder(files, tmp_path / "batches"))
    assert not mark.exists()


def test_even_a_pickle_with_the_right_checksum_can_only_build_arrays(refusal, monkeypatch, tmp_path) -> None:
    files, _ = batches()
    mark = tmp_path / "exploded"
    files["data_batch_3"] = pickle.dumps(Bomb(mark), 2)
    publish(monkeypatch, files)
    assert "data_batch_3: cannot be read" in refusal("cifar10", as_folder(files, tmp_path / "batches"))
    assert not mark.exists()


def test_a_missing_file_is_named(refusal, tmp_path) -> None:
    files, _ = batches()
    del files["data_batch_4"]
    assert "data_batch_4: is missing" in refusal("cifar10", as_folder(files, tmp_path / "batches"))


def test_the_original_as_own_images_names_the_remedy(refusal, tmp_path) -> None:
    files, _ = batches()
    assert "use data=cifar10" in refusal("folder", as_folder(files, tmp_path / "batches"))


def test_the_constants_are_torchvisions() -> None:
    theirs = pytest.importorskip("torchvision.datasets").CIFAR10
    assert theirs.tgz_md5 == cifar10.ARCHIVE_MD5
    assert theirs.url == cifar10.URL
    published = dict([*theirs.train_list, *theirs.test_list, [theirs.meta["filename"], theirs.meta["md5"]]])
    assert published == cifar10.FILE_MD5
