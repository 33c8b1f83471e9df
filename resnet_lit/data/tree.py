"""Images sorted into folders: `train/<class>/<image>` and `test/<class>/<image>`, or `<class>/<image>` alone.

The same rules hold for a folder and for the member names of an archive, so both give the same data.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from resnet_lit.data.errors import Unusable
from resnet_lit.data.split import nested_order

# HEIC is here although Pillow cannot read it: such a file is an image, and is named, not left out in silence.
IMAGE_SUFFIXES = {
    *("jpg", "jpeg", "jpe", "jfif", "png", "bmp", "gif", "webp", "tif", "tiff", "ppm", "pgm", "pbm", "pnm"),
    *("tga", "jp2", "avif", "heic", "heif"),
}
EXPECTED = "expected train/<class>/<image> and test/<class>/<image>"
HELD_OUT_SEED = 0  # which images are held out for the test is part of the data, not of a run


@dataclass(frozen=True)
class Part:
    """Images of one part: paths (with '/') in a fixed order, labels (N,) int64."""

    paths: tuple[str, ...]
    labels: np.ndarray


@dataclass(frozen=True)
class Layout:
    """Which images there are, and what each shows."""

    classes: tuple[str, ...]
    train: Part
    test: Part | None


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
    """The image files of a tree and its class folders, relative to `root`. Other folders beside train/ are not read."""
    files: list[File] = []
    folders: list[str] = []
    tops = [f"{name}/" for name in ("train", "test") if (root / name).is_dir()] if (root / "train").is_dir() else [""]
    for top in tops:
        if top:
            folders.append(top.rstrip("/"))
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
    """Whether there are folders with images in `root`."""
    return any(_images(root / folder) for folder in _folders(root))


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


def arrange(paths: Iterable[str], folders: Iterable[str]) -> Layout:
    """The classes (sorted names) and, for each part, its images sorted by class and name.

    paths: of images, folders: of classes, which may be empty; both relative to the tree. Raises Unusable.
    """
    paths, folders = sorted(set(paths)), set(folders)
    split = any(text.startswith("train/") for text in (*paths, *folders))
    train = _part(paths, folders, "train/" if split else "")
    if len(train) < 2:
        found = "no class folder" if not train else f"one class folder only ({next(iter(train))})"
        raise Unusable(f"{'train/ holds ' if split else 'holds '}{found}; {EXPECTED}, with at least two classes")
    classes = tuple(sorted(train))
    test = _part(paths, folders, "test/") if split else {}
    if split and not test and any(text == "test" or text.startswith("test/") for text in (*paths, *folders)):
        raise Unusable("test/ holds no class folder: sort its images into test/<class>/, or move it away")
    if strange := sorted(set(test) - set(train)):
        raise Unusable(f"test/{strange[0]} has no counterpart train/{strange[0]}")
    return Layout(classes, _flat(train, classes), _flat(test, classes) if test else None)


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


def hold_out(layout: Layout, fraction: float) -> Layout:
    """Move a fixed, stratified part of the training images to the test. Raises Unusable where a class has too few."""
    train, test = held_out(layout.train.labels, fraction)
    left = Counter(layout.train.labels[train].tolist())
    for label, name in enumerate(layout.classes):
        if not left[label]:
            raise Unusable(
                f"{name}: too few images to hold out {fraction:g} of them for the test; add some, or give test/<class>/"
            )

    def take(indices: np.ndarray) -> Part:
        return Part(tuple(layout.train.paths[i] for i in indices), layout.train.labels[indices])

    return Layout(layout.classes, take(train), take(test))


def held_out(labels: np.ndarray, fraction: float) -> tuple[np.ndarray, np.ndarray]:
    """Ascending indices of the training and of the test part, which has `fraction` of each class in labels (N,)."""
    count = min(max(round(fraction * len(labels)), 1), len(labels) - 1)
    order = nested_order(labels, HELD_OUT_SEED)
    return np.sort(order[count:]), np.sort(order[:count])
