"""What lies where the user points: recognised by content, not by name."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from resnet_lit.data import archive, cifar10, foreign, leftovers, tree
from resnet_lit.data.errors import Unusable

LOOKED_AT = 5_000  # files whose names are looked at to say what a folder is that holds nothing that is read
EXPECTED = (
    f"expected {cifar10.ARCHIVE}, its extracted folder {cifar10.FOLDER}, a tree train/<class>/<image>, "
    "or a .tar.gz or .tar.xz of such a tree"
)


@dataclass(frozen=True)
class Found:
    """A source: where it is, in which form, and its files. beside: what else lies in the folder that the user named."""

    form: Literal["archive", "batches", "tree"]
    path: Path
    files: tuple[tree.File, ...]
    folders: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()

    @property
    def stamp(self) -> str:
        """sha256 over place, names, sizes and times of change: another stamp means that it must be decoded anew."""
        lines = [str(self.path), *(f"{file.path}\0{file.size}\0{file.modified}" for file in self.files), *self.folders]
        return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest()


def find(root: Path, kind: str) -> Found | None:
    """The data set at `root`, or the only one in that folder; None where there is nothing at all. Raises Unusable."""
    if not os.path.exists(root):  # a name that is too long is none, where pathlib raises
        return None
    root = root.resolve()
    if root.is_file():
        if not archive.is_compressed(root):
            what = foreign.recognise_file(root)
            raise Unusable(what or f"is neither a .tar.gz nor a .tar.xz archive; {EXPECTED}")
        return _found(root, "archive")
    entries = [path for path in sorted(root.iterdir()) if not tree.is_hidden(path.name) and path.suffix != ".part"]
    if not entries:
        return None
    if (form := _form(root)) is not None:
        return _found(root, form)
    candidates = _one_of([(path, form) for path in entries if (form := _form(path))], kind)
    # class folders without train/ above them, here or in the only folder there is
    folders = [path for path in entries if path.is_dir()]
    candidates = candidates or [
        (folder, "tree") for folder in (root, *(folders if len(folders) == 1 else ())) if tree.holds_classes(folder)
    ]
    if not candidates:
        known = foreign.recognise(leftovers.files_below(root, LOOKED_AT))
        raise Unusable(known or f"holds nothing that is recognised; {EXPECTED}")
    path, form = candidates[0]
    return _found(path, form, tuple(entry.name for entry in entries if path not in (root, entry)))


Form = Literal["archive", "batches", "tree"]


def _form(path: Path) -> Form | None:
    """The form in which `path` itself holds data; None where it holds none."""
    if path.is_file():
        return "archive" if archive.is_archive(path) else None
    if not path.is_dir():
        return None
    if any((path / name).is_file() for name in cifar10.TRAIN_FILES):
        return "batches"
    return "tree" if (path / "train").is_dir() and tree.has_folders(path / "train") else None


def _one_of(candidates: list[tuple[Path, Form]], kind: str) -> list[tuple[Path, Form]]:
    """At most one of some data sets in a folder. Raises Unusable where the user must say which."""
    if len(candidates) > 1 and kind == "cifar10":
        # what torchvision leaves in its root: the archive, its folder beside it, and other data sets
        for name in (cifar10.FOLDER, cifar10.ARCHIVE):
            if any(path.name == name for path, _ in candidates):
                return [(path, form) for path, form in candidates if path.name == name]
    if len(candidates) > 1:
        raise Unusable(f"holds several data sets ({', '.join(path.name for path, _ in candidates)}); name one of them")
    return candidates


def _found(path: Path, form: Form, beside: tuple[str, ...] = ()) -> Found:
    if form == "tree":
        files, folders = tree.scan(path)
        return Found(form, path, tuple(files), tuple(folders), beside)
    if form == "archive":
        return Found(form, path.resolve(), (_file(path),), beside=beside)
    for name in cifar10.FILES:
        if not (path / name).is_file():
            raise Unusable(f"{path / name}: is missing; unpack {cifar10.ARCHIVE} again")
    return Found(form, path, tuple(_file(path / name) for name in cifar10.FILES), beside=beside)


def _file(path: Path) -> tree.File:
    status = path.stat()
    return tree.File(path.name, status.st_size, status.st_mtime_ns)
