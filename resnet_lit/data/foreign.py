"""Forms of image data that are not read: recognised by the names of their files, to say what to get instead."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

from resnet_lit.data import cifar10
from resnet_lit.data.tree import are_sorted, is_image

ORIGINAL = f"get {cifar10.ARCHIVE} from https://www.cs.toronto.edu/~kriz/cifar.html"
SORTED = "write its images as train/<class>/<image> and test/<class>/<image> and use data=folder"
EITHER = f"{ORIGINAL}, or {SORTED}"

# Of one file: a pattern for its path, and what that says of the whole. The first that fits wins.
BY_FILE = (
    (r"(^|/)cifar-100-(python|binary|matlab)(\.tar\.gz$|/)", "CIFAR-100", f"only CIFAR-10 is read as published; {SORTED}"),
    (r"(^|/)(data_batch_[1-5]|test_batch)\.bin$", "the binary version of CIFAR-10", ORIGINAL + ", the Python version"),
    (r"(^|/)cifar-10-binary\.tar\.gz$", "the binary version of CIFAR-10", ORIGINAL + ", the Python version"),
    (r"(^|/)(data_batch_[1-5]|test_batch)\.mat$", "the Matlab version of CIFAR-10", ORIGINAL + ", the Python version"),
    (r"(^|/)cifar-10-matlab\.tar\.gz$", "the Matlab version of CIFAR-10", ORIGINAL + ", the Python version"),
    (r"(^|/)(fine|coarse)_label_names\.txt$", "CIFAR-100", f"only CIFAR-10 is read as published; {SORTED}"),
    (r"(^|/)(trainLabels\.csv|train\.7z)$", "Kaggle's form of CIFAR-10, with the labels in trainLabels.csv", EITHER),
    (r"\.parquet$", "a data set in parquet files, as Hugging Face has them", EITHER),
    (r"\.arrow$", "a data set in Arrow files, as Hugging Face saves them", EITHER),
    (r"\.np[yz]$", "NumPy arrays (.npz, .npy)", EITHER),
    (r"\.(h5|hdf5)$", "an HDF5 file", EITHER),
    (r"\.tfrecords?(-|$)", "TensorFlow's records", EITHER),
    (r"(^|/)data\.mdb$", "an LMDB database", EITHER),
    (r"-ubyte(\.gz)?$", "images in the form of MNIST (IDX)", SORTED),
    (r"\.mat$", "a Matlab file", SORTED),
    (r"\.(pkl|pickle|pt|pth)$", "a pickle, which is not opened since it could run anything", EITHER),
)
CIFAR_100 = tuple(f"cifar-100-{form}" for form in ("python", "binary", "matlab"))
ARCHIVES = {
    ".zip": "a zip archive",
    ".7z": "a 7z archive",
    ".rar": "a rar archive",
    ".tar": "a tar archive without compression",
    ".bz2": "compressed with bzip2",
    ".tbz2": "compressed with bzip2",
    ".zst": "compressed with zstd",
}
UNPACK = "unpack it, and name the folder that it gives"


def recognise(paths: Collection[str]) -> str | None:
    """What files with these paths are, as the end of a sentence: `is CIFAR-100: get …`; None where nothing is known of them."""
    for pattern, what, instead in BY_FILE:
        if any(re.search(pattern, path) for path in paths):
            return f"is {what}, which is not read: {instead}"
    folders: dict[str, set[str]] = {}
    for path in paths:
        folder, _, name = path.rpartition("/")
        folders.setdefault(folder, set()).add(name)
    for names in folders.values():
        for suffix in ("", ".bin", ".mat"):
            if {f"{name}{suffix}" for name in ("train", "test")} <= names and (suffix == ".bin" or f"meta{suffix}" in names):
                return f"is CIFAR-100, which is not read: only CIFAR-10 is read as published; {SORTED}"
    return _unsorted(paths) or _misnamed(paths) or _packed(paths)


def recognise_file(path: Path) -> str | None:
    """What a single file is; None where nothing is known of it."""
    if is_image(path.name):
        return "is one image: python -m resnet_lit.predict answers for it; data are folders of images"
    if path.parent.name in (cifar10.FOLDER, *CIFAR_100):  # one of the files of a published set: what the folder is
        of_the_folder = recognise([f"{path.parent.name}/{path.name}"])
        return of_the_folder or f"is one file of {path.parent.name}: name the folder, {path.parent}"
    return recognise([path.name])


def _packed(paths: Collection[str]) -> str | None:
    for path in sorted(paths):
        for suffix, what in ARCHIVES.items():
            if path.lower().endswith(suffix):
                lone = len(paths) == 1
                return f"{'is' if lone else f'holds {path}, which is'} {what}: {UNPACK}"
    return None


def _misnamed(paths: Collection[str]) -> str | None:
    """Images in folders of classes, but in parts that are called otherwise than train/."""
    tops = sorted({path.split("/")[0] for path in paths if path.count("/") >= 2 and is_image(path.rpartition("/")[2])})
    if not tops:
        return None
    few = ", ".join(f"{top}/" for top in tops[:4]) + (", …" if len(tops) > 4 else "")
    return (
        f"has images in folders of classes in {few}, but none in train/: call the parts train/, test/ and val/ "
        f"(or name one of them, {tops[0]}, in data.root)"
    )


def _unsorted(paths: Collection[str]) -> str | None:
    """Images, none of which lies in the folder of a class."""
    images = sorted(path for path in paths if is_image(path.rpartition("/")[2]))
    if not images or are_sorted(images):
        return None
    where = {path.rpartition("/")[0] for path in images}
    place = " and ".join(f"{name}/ itself" if name else "the folder itself" for name in sorted(where)[:2])
    tables = sorted(path for path in paths if path.lower().endswith((".csv", ".tsv", ".txt", ".json", ".xml")))
    labels = f" (the labels are perhaps in {tables[0]}, which is not read)" if tables else ""
    few = ", ".join(images[:2]) + (", …" if len(images) > 2 else "")
    return (
        f"has its images ({few}) in {place}, not in folders of classes{labels}: sort them into train/<class>/<image> and "
        "test/<class>/<image>; where the classes are not known, python -m resnet_lit.predict answers for any images"
    )
