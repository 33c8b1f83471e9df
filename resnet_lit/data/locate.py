"""What lies where the user points: recognised by content, not by name."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from resnet_lit.data import archive, cifar10, tree
from resnet_lit.data.errors import Unusable

ARCHIVE_SUFFIXES = (".tar", ".gz", ".tgz", ".xz", ".txz", ".bz2", ".tbz2", ".zip", ".7z", ".zst")
EXPECTED = (
    f"expected {cifar10.ARCHIVE}, its extracted folder {cifar10.FOLDER}, a tree train/<class>/<image>, "
    "or a .tar.gz or .tar.xz of such a tree"
)


@dataclass(frozen=True)
class Found:
    """A source: where it is, in which form, and its files."""

    form: Literal["archive", "batches", "tree"]
    path: Path
    files: tuple[tree.File, ...]
    folders: tuple[str, ...] = ()

    @property
    def stamp(self) -> str:
        """sha256 over place, names, sizes and times of change: another stamp means that it must be decoded anew."""
        lines = [str(self.path), *(f"{file.path}\0{file.size}\0{file.modified}" for file in self.files), *self.folders]
        return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest()


def find(root: Path, kind: str) -> Found | None:
    """The data set at `root`, or the only one in that folder; None where there is nothing at all. Raises Unusable."""
    if not root.exists():
        if root.name.lower().endswith(ARCHIVE_SUFFIXES):
            raise Unusable(f"no such file; {EXPECTED}")
        return None
    root = root.resolve()
    if root.is_file():
        if not archive.is_compressed(root):
            raise Unusable(f"is neither a .tar.gz nor a .tar.xz archive; {EXPECTED}")
        return Found("archive", root, (_file(root),))
    entries = [path for path in sorted(root.iterdir()) if not tree.is_hidden(path.name) and path.suffix != ".part"]
    if not entries:
        return None
    candidates = _as_given(root) or [found for path in entries for found in _as_given(path)]
    if not candidates:  # class folders without train/ above them, here or in the only folder there is
        folders = [path for path in entries if path.is_dir()]
        for folder in (root, *(folders if len(folders) == 1 else ())):
            if tree.holds_classes(folder):
                return _tree(folder)
    if len(candidates) > 1 and kind == "cifar10":
        # what torchvision leaves in its root: the archive, its folder beside it, and other data sets
        for name in (cifar10.FOLDER, cifar10.ARCHIVE):
            if any(path.name == name for path, _ in candidates):
                candidates = [(path, form) for path, form in candidates if path.name == name]
                break
    if len(candidates) > 1:
        raise Unusable(f"holds several data sets ({', '.join(path.name for path, _ in candidates)}); name one of them")
    if not candidates:
        raise Unusable(f"holds nothing that is recognised; {EXPECTED}")
    path, form = candidates[0]
    if form == "archive":
        return Found("archive", path, (_file(path),))
    return _tree(path) if form == "tree" else _batches(path)


def _as_given(path: Path) -> list[tuple[Path, str]]:
    """The form in which `path` itself holds data, as a list of none or one."""
    if path.is_file():
        return [(path.resolve(), "archive")] if archive.is_archive(path) else []
    if not path.is_dir():
        return []
    if any((path / name).is_file() for name in cifar10.TRAIN_FILES):
        return [(path, "batches")]
    return [(path, "tree")] if (path / "train").is_dir() else []


def _tree(path: Path) -> Found:
    files, folders = tree.scan(path)
    return Found("tree", path, tuple(files), tuple(folders))


def _batches(path: Path) -> Found:
    for name in cifar10.FILES:
        if not (path / name).is_file():
            raise Unusable(f"{path / name}: is missing; unpack {cifar10.ARCHIVE} again")
    return Found("batches", path, tuple(_file(path / name) for name in cifar10.FILES))


def _file(path: Path) -> tree.File:
    status = path.stat()
    return tree.File(path.name, status.st_size, status.st_mtime_ns)
