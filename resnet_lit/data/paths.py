"""Where data are looked for, where they are downloaded to, and where decoded images are kept."""

from __future__ import annotations

import logging
import os
import tempfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from resnet_lit.data.errors import DataError

if TYPE_CHECKING:
    from resnet_lit.sections import Data

log = logging.getLogger("resnet_lit")


class Place(NamedTuple):
    """A path with `~` expanded, and the key or the variable that names it: `str()` is what a user would recognise."""

    path: Path
    key: str

    def __str__(self) -> str:
        return f"{self.key}={self.path}"


def place(path: str | Path | Place, key: str) -> Place:
    """`path` as a place that `key` names. Raises DataError where it names nothing, or a home folder that is not known."""
    if isinstance(path, Place):
        return path
    if not str(path):
        raise DataError(f"{key}=: names nothing; give a path, or leave it out")
    try:
        return Place(Path(path) if os.path.exists(path) else Path(path).expanduser(), key)  # a folder may be called ~something
    except RuntimeError as error:
        raise DataError(f"{key}={path}: the home folder that `~` stands for is not known; write the path in full") from error


def request(data: Data) -> dict[str, Any]:
    """The arguments of `sources.load` and `sources.identify` for the section `data` of a config. Raises DataError."""
    kept = cache_place(data.cache)
    return {
        "kind": data.name,
        "root": data_root(data),
        "cache_dir": kept,
        "download_to": None if data.download is None else place(data.download, "data.download"),
        "image_size": data.image_size,
        "test_fraction": data.test_fraction,
    }


def data_root(data: Data) -> Place | None:
    """`data.root`, else $RESNET_LIT_DATA for CIFAR-10, else None: a download."""
    if data.root is not None:
        return place(data.root, "data.root")
    variable = os.environ.get("RESNET_LIT_DATA") if data.name == "cifar10" else None
    return place(variable, "RESNET_LIT_DATA") if variable else None


def download_place(download_to: str | Path | Place | None, cache_dir: Place) -> Place:
    """Where the original CIFAR-10 is downloaded to, and looked for where no other place is named."""
    if download_to is None:
        return Place(cache_dir.path / "downloads", cache_dir.key)
    return place(download_to, "data.download")


def are_there(data: Data) -> bool:
    """Whether there is anything at all where the data of a config are looked for."""
    if data.name == "digits":
        return True
    asked = request(data)
    return os.path.exists((asked["root"] or download_place(asked["download_to"], asked["cache_dir"])).path)


def cache_place(cache: str | None) -> Place:
    """`data.cache`, else $RESNET_LIT_CACHE, else the user's cache folder, else one below the temporary folder."""
    if cache is not None:
        return place(cache, "data.cache")
    if variable := os.environ.get("RESNET_LIT_CACHE"):
        return place(variable, "RESNET_LIT_CACHE")
    if base := os.environ.get("XDG_CACHE_HOME"):
        return place(Path(base) / "resnet_lit", "XDG_CACHE_HOME")
    return Place(_users_cache(), "data.cache")


def cache_folder(cache: str | None) -> Path:
    """The folder of `cache_place`."""
    return cache_place(cache).path


@cache
def _users_cache() -> Path:
    try:
        return Path("~/.cache/resnet_lit").expanduser()
    except RuntimeError:  # neither HOME nor an entry for the user, as in containers with a user id of their own
        folder = Path(tempfile.gettempdir()) / f"resnet_lit-{os.getuid()}"
        if folder.exists() and folder.stat().st_uid != os.getuid():
            raise DataError(
                f"RESNET_LIT_CACHE: is not set, HOME is not known, and {folder} belongs to another user; "
                "set RESNET_LIT_CACHE=<folder>"
            ) from None
        log.warning("no home folder is known: decoded images are kept in %s (RESNET_LIT_CACHE=<folder> chooses another)", folder)
        return folder
