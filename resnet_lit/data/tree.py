"""Images sorted into folders: train/<class>/<image>, test/<class>/<image> and val/<class>/<image>, or <class>/<image> alone.

The same rules hold for a folder and for the member names of an archive, so both give the same data.
"""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from resnet_lit.data.errors import Unusable
from resnet_lit.data.split import nested_order
from resnet_lit.printable import printable

# HEIC is here although Pillow cannot read it: such a file is an image, and is named, not left out in silence.
IMAGE_SUFFIXES = {
    *("jpg", "jpeg", "jpe", "jfif", "png", "bmp", "gif", "webp", "tif", "tiff", "ppm", "pgm", "pbm", "pnm"),
    *("tga", "jp2", "avif", "heic", "heif"),
}
EXPECTED = "expected train/<class>/<image> and test/<class>/<image>"
VALIDATION = ("val", "valid", "validation", "dev")  # what people call the part that chooses
PARTS = ("train", "test", *VALIDATION)
HELD_OUT_SEED = 0  # which images are held out for the test is part of the data, not of a run


@dataclass(frozen=True)
class Part:
    """Images of one part: paths (with '/') in a fixed order, labels (N,) int64."""

    paths: tuple[str, ...]
    labels: np.ndarray


@dataclass(frozen=True)
class Layout:
    """Which images there are, and what each shows. classes: the names of the folders in train/.

    validation_folder: what the folder of the validation part is called, None where there is none.
    """

    classes: tuple[str, ...]
    train: Part
    test: Part | None
    validation: Part | None = None
    validation_folder: str | None = None

    @property
    def parts(self) -> dict[str, Part]:
        """The parts that there are, by name."""
        return {name: part for name in ("train", "test", "validation") if (part := getattr(self, name)) is not None}


class File(NamedTuple):
    """One file of a folder, with what changes when it changes."""

    path: str
    size: int
    modified: int  # ns


def is_hidden(name: str) -> bool:
    """Whether a file or folder belongs to an operating system or an editor (`.DS_Store`, `._0001.jpg`, `__MACOSX`)."""
    return name.startswith(".") or name == "__MACOSX"


def is_image(name: str) -> bool:
    """Whether a file counts as an image, by its suffix; whether it is one, decoding will tell."""
    stem, _, suffix = name.rpartition(".")
    return suffix.lower() in IMAGE_SUFFIXES and bool(stem) and not is_hidden(name)


def scan(root: Path) -> tuple[list[File], list[str]]:
    """The image files of a tree and its class folders, relative to `root`. Beside train/ those of PARTS are looked into."""
    files: list[File] = []
    folders: list[str] = []
    tops = [f"{name}/" for name in PARTS if (root / name).is_dir()] if (root / "train").is_dir() else [""]
    for top in tops:
        if top:
            folders.append(top.rstrip("/"))
        if top.rstrip("/") in VALIDATION:  # so that a part whose images are not sorted is refused, and one without any is not
            files += [File(f"{top}{name}", 0, 0) for name in _images(root / top)]
        for folder in _folders(root / top):
            folders.append(f"{top}{folder}")
            with os.scandir(root / top / folder) as entries:
                for entry in entries:
                    if is_image(entry.name):
                        status = entry.stat()
                        files.append(File(f"{top}{folder}/{entry.name}", status.st_size, status.st_mtime_ns))
                    elif not is_hidden(entry.name) and entry.is_dir():
                        files += [File(f"{top}{folder}/{entry.name}/{name}", 0, 0) for name in _images(entry.path)]
    return sorted(files), sorted(folders)


def holds_classes(root: Path) -> bool:
    """Whether there are folders with images in `root`, beside those that are parts of data."""
    return any(_images(root / folder) for folder in _folders(root) if folder not in PARTS)


def has_folders(root: Path) -> bool:
    """Whether there is any folder in `root`."""
    return bool(_folders(root))


def are_sorted(paths: Iterable[str]) -> bool:
    """Whether any of these images lies in a folder that may be a class's."""
    return any(len(parts := path.split("/")) > 1 and parts[-2] not in PARTS for path in paths)


def _folders(root: Path) -> list[str]:
    with os.scandir(root) as entries:
        return sorted(entry.name for entry in entries if not is_hidden(entry.name) and entry.is_dir())


def _images(root: str | Path) -> list[str]:
    with os.scandir(root) as entries:
        return [entry.name for entry in entries if is_image(entry.name)]


def prefix_of(paths: Iterable[str]) -> str:
    """The folder inside an archive that holds the tree, as `name/` or nothing, from the paths of its images."""
    folders = {tuple(path.split("/")[:-1]) for path in paths}
    trains = {folder[:-2] for folder in folders if len(folder) >= 2 and folder[-2] == "train"}
    above = {folder[:-1] for folder in folders if folder}
    # an image beside the class folders (a cover, a contact sheet) is no class folder's
    prefixes = trains or {folder[:-1] for folder in folders - above if folder}
    if len(prefixes) > 1:
        first, second = ("/".join(prefix) or "." for prefix in sorted(prefixes)[:2])
        raise Unusable(f"holds images under {first} and under {second}: cannot tell which are the classes; {EXPECTED}")
    return "".join(f"{part}/" for prefix in prefixes for part in prefix)


def arrange(paths: Iterable[str], folders: Iterable[str], *, least: int = 2) -> Layout:
    """The classes (sorted names) and, for each part, its images sorted by class and name.

    paths: of images, folders: of classes, which may be empty; both relative to the tree. least: classes that there must be.
    Raises Unusable.
    """
    paths, folders = sorted(set(paths)), set(folders)
    split = any(text.startswith("train/") for text in (*paths, *folders))
    train = _part(paths, folders, "train/" if split else "")
    if train and set(train) <= set(PARTS):
        raise Unusable(f"holds images of no class, in {'/ and '.join(sorted(train))}/; {EXPECTED}")
    if len(train) < least:
        found = "no class folder" if not train else f"one class folder only ({next(iter(train))})"
        raise Unusable(f"{'train/ holds ' if split else 'holds '}{found}; {EXPECTED}, with at least two classes")
    classes = tuple(sorted(train))
    shown: dict[str, str] = {}
    for name in classes:
        if (other := shown.setdefault(class_name(name), name)) != name:
            raise Unusable(f"the class folders {other!a} and {name!a} show the same name: put their images into one")
    tops = {text.partition("/")[0] for text in (*paths, *folders)} if split else set()
    validation_folders = [name for name in VALIDATION if name in tops and any(path.startswith(f"{name}/") for path in paths)]
    if len(validation_folders) > 1:
        raise Unusable(f"holds {'/ and '.join(validation_folders)}/: which is the validation part? Keep one of them")
    others = {top: _beside(paths, folders, top, shown) for top in ("test", *validation_folders) if top in tops}
    parts = {top: _flat(found, classes) for top, found in others.items()}
    validation = validation_folders[0] if validation_folders else None
    return Layout(classes, _flat(train, classes), parts.get("test"), parts[validation] if validation else None, validation)


def class_name(folder: str) -> str:
    """What a class is called: the name of its folder, in one of Unicode's spellings and without control characters."""
    return printable(unicodedata.normalize("NFC", folder))


def _beside(paths: list[str], folders: set[str], top: str, classes: dict[str, str]) -> dict[str, list[str]]:
    """The images of each class in a part beside train/. classes: of train/, {what it is called: folder}."""
    found = _part(paths, folders, f"{top}/")
    if not found:
        raise Unusable(f"{top}/ holds no class folder: sort its images into {top}/<class>/, or move it away")
    images: dict[str, list[str]] = {}
    for folder, those in found.items():
        if class_name(folder) not in classes:
            alike = [name for name in classes if name.casefold().strip() == class_name(folder).casefold().strip()]
            meant = f": did you mean {top}/{alike[0]}?" if alike else ""
            raise Unusable(f"{top}/{folder} has no counterpart train/{folder}{meant}")
        images.setdefault(classes[class_name(folder)], []).extend(those)
    return images


def _part(paths: Iterable[str], folders: Iterable[str], top: str) -> dict[str, list[str]]:
    """The images of each class below `top`."""
    found: dict[str, list[str]] = {}
    for folder in folders:
        parts = folder.removeprefix(top).split("/")
        if folder.startswith(top) and len(parts) == 1 and parts[0]:
            found.setdefault(parts[0], [])
    for path in paths:
        if path.startswith(top):
            parts = path.removeprefix(top).split("/")
            if len(parts) > 2:
                raise Unusable(f"{path}: lies in a folder inside a class folder; move it to {top}<class>/")
            if len(parts) == 2:
                found.setdefault(parts[0], []).append(path)
    for name, images in found.items():
        if not images:
            raise Unusable(f"{top}{name}: holds no image (.png, .jpg, …); add some, or remove the folder")
    return found


def _flat(images: dict[str, list[str]], classes: tuple[str, ...]) -> Part:
    labels = np.repeat(np.arange(len(classes)), [len(images.get(name, ())) for name in classes]).astype(np.int64)
    return Part(tuple(path for name in classes for path in images.get(name, ())), labels)


def check_trainable(classes: tuple[str, ...], labels: np.ndarray, test_fraction: float) -> None:
    """Raise Unusable unless there are at least two classes, each with training images. labels: (N,), of the training part."""
    if len(classes) < 2:
        raise Unusable(f"holds one class folder only ({', '.join(classes)}); {EXPECTED}, with at least two classes")
    left = Counter(labels.tolist())
    for label, name in enumerate(classes):
        if not left[label]:
            raise Unusable(
                f"{name}: too few images to hold out {test_fraction:g} of them for the test; add some, or give test/<class>/"
            )


def hold_out(layout: Layout, fraction: float) -> Layout:
    """Move a fixed, stratified part of the training images to the test."""
    train, test = held_out(layout.train.labels, fraction)

    def take(indices: np.ndarray) -> Part:
        return Part(tuple(layout.train.paths[i] for i in indices), layout.train.labels[indices])

    return replace(layout, train=take(train), test=take(test))


def held_out(labels: np.ndarray, fraction: float) -> tuple[np.ndarray, np.ndarray]:
    """Ascending indices of the training and of the test part, which has `fraction` of each class in labels (N,)."""
    count = min(max(round(fraction * len(labels)), 1), len(labels) - 1)
    order = nested_order(labels, HELD_OUT_SEED)
    return np.sort(order[count:]), np.sort(order[:count])
