"""Reading .tar.gz and .tar.xz in memory: nothing is ever extracted, so no member name can reach the disk."""

from __future__ import annotations

import gzip
import lzma
import tarfile
import zlib
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

from resnet_lit.data.errors import Unusable, reason
from resnet_lit.data.tree import is_hidden, is_image

_DAMAGED = (EOFError, tarfile.TarError, zlib.error, lzma.LZMAError, gzip.BadGzipFile)


def is_archive(path: Path) -> bool:
    """Whether a file is a compressed tar, by its first bytes."""
    try:
        with _decompressed(path) as stream:
            tarfile.TarInfo.frombuf(stream.read(tarfile.BLOCKSIZE), tarfile.ENCODING, "surrogateescape")
    except (*_DAMAGED, OSError, Unusable):
        return False
    return True


def is_compressed(path: Path) -> bool:
    """Whether a file begins as .gz or .xz do."""
    return _opener(path) is not None


def _opener(path: Path) -> Callable[..., object] | None:
    with path.open("rb") as file:
        start = file.read(6)
    return gzip.open if start.startswith(b"\x1f\x8b") else lzma.open if start == b"\xfd7zXZ\x00" else None


def _decompressed(path: Path) -> IO[bytes]:
    opener = _opener(path)
    if opener is None:
        raise Unusable("is neither a .tar.gz nor a .tar.xz archive")
    # tarfile's own decompression takes a truncated file for a short one; these raise EOFError
    return cast(IO[bytes], opener(path, "rb"))


@contextmanager
def _members(path: Path) -> Iterator[tuple[tarfile.TarFile, IO[bytes]]]:
    try:
        with _decompressed(path) as stream, tarfile.open(fileobj=stream, mode="r|") as tar:
            yield tar, stream
    except _DAMAGED as error:
        raise Unusable(f"the archive is damaged or incomplete ({reason(error)}); copy or download it again") from error


def listing(path: Path) -> tuple[list[str], list[str]]:
    """Names of the regular files and of the folders in an archive, read to its end so that its checksums are checked.

    Raises Unusable for a damaged archive, and for an image that is a link or whose name points out of the archive;
    other members of that kind are left out.
    """
    files: list[str] = []
    folders: list[str] = []
    with _members(path) as (tar, stream):
        for member in tar:
            name = _inside(member.name)
            if name is None or not (member.isreg() or member.isdir()):
                if is_image(member.name.rsplit("/", 1)[-1]):
                    kind = "its name points out of the archive" if name is None else "it is no regular file"
                    raise Unusable(f"member {member.name} is refused: {kind}")
            elif not any(map(is_hidden, name.split("/"))):
                (files if member.isreg() else folders).append(name)
        while stream.read(1 << 20):  # what is left is padding; the checksum stands at the end
            pass
    return files, [folder for folder in folders if folder]


def read(path: Path, names: Collection[str]) -> Iterator[tuple[str, bytes]]:
    """(name, content) of the members named, in the order of the archive."""
    with _members(path) as (tar, _):
        for member in tar:
            name = _inside(member.name)
            if name in names and member.isreg():
                content = tar.extractfile(member)
                assert name is not None
                assert content is not None
                yield name, content.read()


def _inside(name: str) -> str | None:
    """A member's name without `.` parts; None where it is absolute or leads out of the archive."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if name.startswith("/") or "\\" in name or ".." in parts or (parts and parts[0].endswith(":")):
        return None
    return "/".join(parts)
