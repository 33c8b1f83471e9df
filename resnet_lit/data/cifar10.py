"""CIFAR-10 as published: names, checksums, pickles.

Krizhevsky 2009, "Learning Multiple Layers of Features from Tiny Images".

https://www.cs.toronto.edu/~kriz/cifar.html. Checksums: the archive's stands on that page; those of the files are
torchvision.datasets.CIFAR10's (train_list, test_list, meta).
"""

from __future__ import annotations

import hashlib
import io
import pickle
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from resnet_lit.data.errors import Unusable, reason
from resnet_lit.data.tree import Layout

URL = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
ARCHIVE = "cifar-10-python.tar.gz"
FOLDER = "cifar-10-batches-py"
ARCHIVE_MD5 = "c58f30108f718f92721af3b95e74349a"
TRAIN_FILES = ("data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5")
TEST_FILES = ("test_batch",)
META_FILE = "batches.meta"
FILES = (*TRAIN_FILES, *TEST_FILES, META_FILE)
FILE_MD5 = {
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    "test_batch": "40351d587109b95175f43aff81a1287e",
    "batches.meta": "5ff9c542aee3614f3951f8cda6e48888",
}
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
PER_CLASS = {"train": 5_000, "test": 1_000}
SIZE = 32
REMEDY = "for images of your own use data=folder"


def check_archive(path: Path) -> None:
    """Raise Unusable unless the archive is the published one, byte for byte."""
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "md5").hexdigest()
    if found != ARCHIVE_MD5:
        raise Unusable(
            f"the archive has md5 {found}, the published {ARCHIVE} has {ARCHIVE_MD5}: it is damaged, incomplete "
            "or another file; download it again"
        )


def read_batches(read: Callable[[str], bytes]) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """The images and labels in the published pickles, and the class names.

    read: content of the file with a name. Returns {"train_images": (50000, 3, 32, 32) uint8, "train_labels": (50000,)
    int64, "test_images", "test_labels"}. No file is unpickled before its checksum has matched.
    """
    content = {name: read(name) for name in FILES}
    for name, data in content.items():
        found = hashlib.md5(data, usedforsecurity=False).hexdigest()
        if found != FILE_MD5[name]:
            raise Unusable(f"{name}: has md5 {found}, published is {FILE_MD5[name]}: damaged; unpack {ARCHIVE} again")
    arrays = {}
    for part, names in (("train", TRAIN_FILES), ("test", TEST_FILES)):
        batches = [_unpickle(name, content[name]) for name in names]
        # a row holds 1,024 red, 1,024 green and 1,024 blue pixels, each row by row
        arrays[f"{part}_images"] = np.concatenate([batch["data"] for batch in batches]).reshape(-1, 3, SIZE, SIZE)
        arrays[f"{part}_labels"] = np.concatenate([np.asarray(batch["labels"], np.int64) for batch in batches])
    return arrays, tuple(_unpickle(META_FILE, content[META_FILE])["label_names"])


def _unpickle(name: str, data: bytes) -> dict[str, Any]:
    try:
        return _ArrayUnpickler(io.BytesIO(data), encoding="latin1").load()
    except Exception as error:  # the checksum matched: this is for a pickle that a new numpy cannot read
        raise Unusable(f"{name}: cannot be read with numpy {np.__version__} ({reason(error)})") from error


class _ArrayUnpickler(pickle.Unpickler):
    """Builds arrays and plain data, and nothing else, whatever a pickle asks for."""

    def find_class(self, module: str, name: str) -> Any:
        module = module.replace("numpy._core", "numpy.core")
        if (module, name) == ("numpy.core.multiarray", "_reconstruct"):
            return lambda subtype, shape, dtype: np.ndarray.__new__(np.ndarray, shape, dtype)
        if (module, name) == ("numpy", "ndarray"):
            return np.ndarray
        if (module, name) == ("numpy", "dtype"):
            return lambda kind, align=False, copy=False: np.dtype(kind, align=bool(align), copy=bool(copy))
        if (module, name) == ("_codecs", "encode"):  # how Python 3 writes bytes in protocol 2
            return lambda text, encoding: text.encode(encoding)
        raise pickle.UnpicklingError(f"asks for {module}.{name}")


def check_tree(layout: Layout) -> None:
    """Raise Unusable unless a tree of images has CIFAR-10's classes and counts."""
    if layout.classes != CLASSES:
        missing, strange = sorted(set(CLASSES) - set(layout.classes)), sorted(set(layout.classes) - set(CLASSES))
        what = f"class {missing[0]} is missing" if missing else f"{strange[0]} is no class of CIFAR-10"
        raise Unusable(f"is not CIFAR-10: {what}; {REMEDY}")
    if layout.test is None:
        raise Unusable(f"is not the whole of CIFAR-10: there is no test/<class>/; {REMEDY}")
    held_out = f" and {layout.validation_folder}" if layout.validation else ""  # a part of CIFAR-10's training images
    validation = layout.validation.labels.tolist() if layout.validation else []
    for labels, name, where in (
        (layout.train.labels.tolist() + validation, "train", f"train{held_out}"),
        (layout.test.labels.tolist(), "test", "test"),
    ):
        counts = Counter(labels)
        for label, word in enumerate(CLASSES):
            if counts[label] != PER_CLASS[name]:
                raise Unusable(
                    f"{where}/{word}: has {counts[label]:,} images, CIFAR-10 has {PER_CLASS[name]:,}: "
                    f"incomplete or not CIFAR-10; {REMEDY}"
                )


def variant_of(formats: set[str]) -> str:
    """The variant of a tree, from the formats of its files as Pillow calls them."""
    if formats <= {"JPEG"} or formats <= {"PNG"}:
        return f"cifar10-{min(formats).lower()}"
    raise Unusable(f"is not CIFAR-10 as JPEG or as PNG throughout: holds {' and '.join(sorted(formats))}; {REMEDY}")
