"""Files that are on the disk, whole, once they have their name. No torch here."""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

# Network and FUSE file systems that know no fsync answer with one of these: what was written is as safe there as it can be.
UNKNOWN = {errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS}
UNKNOWN_OF_FOLDERS = UNKNOWN | {errno.EACCES, errno.EPERM, errno.EBADF, errno.EISDIR}


def sync(path: Path) -> None:
    """Have what was written to a file, or the names in a folder, on the disk; nothing where the file system knows no fsync.

    Raises OSError where writing has failed (a full disk, a broken one).
    """
    unknown = UNKNOWN_OF_FOLDERS if path.is_dir() else UNKNOWN
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError as error:
        if path.is_dir() and error.errno in unknown:
            return
        raise
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in unknown:
            raise
    finally:
        os.close(descriptor)


def write_text(path: Path, text: str, hold: Callable[[], None] = lambda: None) -> None:
    """Write a file in one step: temporary file, fsync, rename. hold: called just before the rename; may raise to prevent it."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
        sync(Path(temporary))
        with contextlib.suppress(OSError):  # some shared folders refuse it; the file is its owner's alone then
            os.chmod(temporary, 0o644)
        hold()
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
